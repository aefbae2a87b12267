import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.formats.ecs import Ecs
from hauberk.model.event import Event, Folded
from hauberk.model.process import ExecSession
from hauberk.model.workload import Owner, Workload
from tests.hostile import hostile_events

TESTS = Path(__file__).parents[2]
GOLDEN = sorted(TESTS.glob("golden/*/event.json"))
PAGE = (TESTS.parent / "docs/formats/ecs.md").read_text()
DOCUMENTED = set(re.findall(r"`([@a-z0-9_.]+)`", PAGE))

KINDS = {"alert", "event"}
TYPES = {
    "process": {"access", "change", "end", "info", "start"},
    "file": {"access", "change", "creation", "deletion", "info"},
    "network": {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"},
    "host": {"access", "change", "end", "info", "start"},
    "intrusion_detection": {"allowed", "denied", "info"},
}
"""The categories that we use, and the types that ECS 9.4 allows with each."""


def told(event: Event) -> dict[str, Any]:
    return dict(json.loads(Ecs().make().encode(event)))


def leaves(fields: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in fields.items():
        if isinstance(value, dict) and f"{path}{key}" != "container.labels":
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def check(event: Event) -> None:
    """Every field is documented, and has the type that ECS gives it."""
    line = Ecs().make().encode(event)
    found = json.loads(line)
    assert line.decode().isprintable()
    assert {path for path, _ in leaves(found)} <= DOCUMENTED
    assert found["event"]["kind"] in KINDS
    categories, types = found["event"]["category"], found["event"]["type"]
    assert set(types) <= set().union(*(TYPES[each] for each in categories))
    assert all(TYPES[each] & set(types) for each in categories)
    for path, value in leaves(found):
        match path.rpartition(".")[2]:
            case "ip":
                assert ip_address(value)
            case "port":
                assert 0 < value < 65536
            case "pid" | "vpid" | "ppid" | "severity" | "folded":
                assert isinstance(value, int)
            case "category" | "type" if path.startswith("event."):
                assert isinstance(value, list)
            case "id" if path != "threat.technique.id":
                assert isinstance(value, str)


def test_golden_events() -> None:
    for case in GOLDEN:
        given = msgspec.json.decode(case.read_bytes(), type=Event | list[Event])
        for event in given if isinstance(given, list) else [given]:
            check(event)


def test_hostile_events() -> None:
    for event in hostile_events(2000):
        check(event)


@given(st.from_type(Event))
def test_any_event(event: Event) -> None:
    check(event)


def test_log(event: Event) -> None:
    found = told(event)

    assert found["@timestamp"] == "2023-06-27T12:21:47.932526Z"
    assert found["event"] == {
        "kind": "event", "category": ["file"], "type": ["access"], "module": "kubearmor", "dataset": "kubearmor.logs",
        "code": "HostLog.File", "outcome": "success", "action": "openat", "id": event.id,
    }  # fmt: skip
    assert found["process"] == {
        "pid": 42, "vpid": 42, "executable": "/usr/bin/bash", "name": "bash", "command_line": "/bin/bash",
        "working_directory": "/home/ada", "interactive": True,
        "parent": {"pid": 7, "executable": "/usr/sbin/sshd", "name": "sshd"},
    }  # fmt: skip
    assert found["user"] == {"id": "1000", "name": "ada"}
    assert found["file"] == {"path": "/etc/passwd", "name": "passwd"}
    assert "rule" not in found


def test_alert(alert: Event) -> None:
    found = told(alert)

    assert (found["event"]["kind"], found["event"]["severity"]) == ("alert", 5)
    assert found["event"]["type"] == ["access", "denied"]
    assert (found["event"]["outcome"], found["event"]["reason"]) == ("failure", "Permission denied")
    assert found["rule"] == {"name": "no-passwd", "description": "Hands off!"}
    assert found["threat"]["technique"]["id"] == ["T1003"]
    assert found["tags"] == ["MITRE", "T1003"]
    assert found["message"] == "Hands off!"


def test_execution(event: Event) -> None:
    """The process is what was executed, and its command line is that of the call."""
    executed = replace(
        event,
        operation=Operation.PROCESS,
        details={"syscall": "execve"},
        resource="/bin/ls -l",
        source="/bin/bash",
    )
    found = told(executed)

    assert found["process"]["command_line"] == "/bin/ls -l"
    assert found["event"]["type"] == ["start"]
    assert found["kubearmor"]["source"] == "/bin/bash"


def test_pod(event: Event) -> None:
    workload = Workload(
        "c0ffee", "web", "registry:5000/shop/web:1.2@sha256:abc", "shop", "web-1", {"app": "web"},
        Owner("Deployment", "web", "shop"), "0d5a1a3c-5f0e-4b7c-9c70-3d1a7a5b7f11",
    )  # fmt: skip
    found = told(replace(event, workload=workload, exec_session=ExecSession("7", "sh")))

    assert found["container"] == {
        "id": "c0ffee",
        "name": "web",
        "image": {"name": "registry:5000/shop/web", "tag": ["1.2"], "hash": {"all": ["sha256:abc"]}},
    }
    assert found["orchestrator"] == {
        "type": "kubernetes",
        "resource": {
            "type": "pod", "name": "web-1", "id": "0d5a1a3c-5f0e-4b7c-9c70-3d1a7a5b7f11", "label": ["app=web"],
            "parent": {"type": "Deployment"},
        },
        "namespace": "shop",
        "cluster": {"name": "default"},
    }  # fmt: skip
    assert (found["kubearmor"]["exec_id"], found["kubearmor"]["exec_comm"]) == ("7", "sh")


def test_container_without_a_pod_keeps_its_labels(event: Event) -> None:
    found = told(replace(event, workload=Workload("c0ffee", labels={"a.b": "c"})))

    assert found["container"]["labels"] == {"a.b": "c"}
    assert "orchestrator" not in found


@pytest.mark.parametrize(
    ("call", "side", "direction"), [("connect", "destination", "egress"), ("accept4", "source", "ingress")]
)
def test_peers(event: Event, call: str, side: str, direction: str) -> None:
    resource = "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10"
    network = replace(event, operation=Operation.NETWORK, resource=resource, details={"syscall": call})
    found = told(network)

    assert found[side] == {"address": "10.0.0.10", "ip": "10.0.0.10", "port": 53}
    assert found["network"] == {"type": "ipv4", "direction": direction}
    assert found["event"]["type"] == ["connection"]


def test_folded_alerts_are_counted(alert: Event) -> None:
    found = told(replace(alert, folded=Folded(57, alert.time_ns, alert.time_ns)))

    assert found["kubearmor"]["folded"] == 57
    assert found["event"]["start"] == found["event"]["end"] == "2023-06-27T12:21:47.932526Z"
