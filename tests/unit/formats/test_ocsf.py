"""Every event against the schema, by ocsf-json-schema and jsonschema."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from hauberk.abi import Operation
from hauberk.formats.ocsf import Ocsf
from hauberk.model.event import Event, Folded
from hauberk.model.policy import Verdict
from tests.hostile import hostile_events

GOLDEN = sorted(Path(__file__).parents[2].glob("golden/*/event.json"))
VERSIONS = ["1.6.0", "1.7.0", "1.8.0", "1.9.0"]
PACKAGED = {"1.9.0": "1.8.0"}
"""The package has no 1.9 yet, which only adds to the classes and objects that we use."""


@cache
def schema_of(version: str) -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(PACKAGED.get(version, version)))


@cache
def validator_of(version: str, class_uid: int, profiles: tuple[str, ...]) -> jsonschema.Draft202012Validator:
    schema = schema_of(version)
    name = schema.lookup_class_name_from_uid(class_uid)
    return jsonschema.Draft202012Validator(schema.get_class_schema(name, list(profiles)))


def problems_of(line: bytes) -> list[str]:
    """What of an event is not as its schema wants it, by the version, class and profiles that it names."""
    event = json.loads(line)
    metadata = event["metadata"]
    validator = validator_of(metadata["version"], event["class_uid"], tuple(metadata["profiles"]))
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    event["metadata"]["version"] = PACKAGED.get(metadata["version"], metadata["version"])
    problems = [
        f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(event)
    ]
    return problems + list(unnamed(event))


def unnamed(found: Any, path: str = "") -> Iterator[str]:
    """Where 99 (Other) stands without the name that the schema's description asks for."""
    siblings = {"activity_id": "activity_name"}
    if isinstance(found, dict):
        for key, value in found.items():
            sibling = siblings.get(key, key.removesuffix("_id"))
            if key.endswith("_id") and value == 99 and not found.get(sibling):
                yield f"{path}{key}: 99 without {sibling}"
            yield from unnamed(value, f"{path}{key}.")
    elif isinstance(found, list):
        for each in found:
            yield from unnamed(each, path)


def told(event: Event, **settings: Any) -> dict[str, Any]:
    return dict(json.loads(Ocsf(**settings).make().encode(event)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("alerts", ["activity", "finding"])
def test_golden_events_are_valid(version: Any, alerts: Any) -> None:
    encode = Ocsf(version=version, alerts=alerts).make().encode
    for case in GOLDEN:
        given = msgspec.json.decode(case.read_bytes(), type=Event | list[Event])
        for event in given if isinstance(given, list) else [given]:
            assert problems_of(encode(event)) == [], case.parent.name


@pytest.mark.parametrize("alerts", ["activity", "finding"])
def test_hostile_events_are_valid(alerts: Any) -> None:
    encode = Ocsf(alerts=alerts).make().encode
    for event in hostile_events(500):
        assert problems_of(encode(event)) == []


@given(st.from_type(Event))
def test_any_event_is_one_valid_line(event: Event) -> None:
    line = Ocsf().make().encode(event)

    assert line.decode().isprintable()
    assert problems_of(line) == []


def test_the_validator_finds_what_is_wrong(event: Event) -> None:
    """Or all of the above says nothing."""
    good = told(event)

    assert problems_of(json.dumps(good).encode()) == []
    assert problems_of(json.dumps(good | {"pid": 1}).encode())
    assert problems_of(json.dumps(good | {"severity_id": 77}).encode())
    good.pop("file")
    assert problems_of(json.dumps(good).encode())


def test_log(event: Event) -> None:
    found = told(event)

    assert (found["class_uid"], found["activity_id"], found["type_uid"]) == (1001, 14, 100114)
    assert (found["time"], found["severity_id"], found["status_id"]) == (1687868507932, 1, 1)
    assert found["file"] == {"name": "passwd", "type_id": 0, "path": "/etc/passwd"}
    assert found["actor"]["process"]["pid"] == 42
    assert found["actor"]["process"]["cmd_line"] == "/bin/bash"
    assert found["actor"]["process"]["parent_process"]["path"] == "/usr/sbin/sshd"
    assert found["actor"]["user"] == {"name": "ada", "uid": "1000"}
    assert found["metadata"]["uid"] == event.id
    assert found["metadata"]["profiles"] == ["host"]
    assert "is_alert" not in found


def test_alert(alert: Event) -> None:
    """The schema recommends the class of the activity; a finding is for who asks for it."""
    activity, finding = told(alert), told(alert, alerts="finding")

    for found in (activity, finding):
        assert found["is_alert"] is True
        assert (found["action_id"], found["disposition_id"]) == (2, 2)
        assert (found["severity_id"], found["status_id"]) == (3, 2)
        assert (found["status_code"], found["status_detail"]) == ("EACCES", "Permission denied")
        assert found["policy"] == {"name": "no-passwd"}
        assert found["message"] == "Hands off!"
        assert found["attacks"] == [{"technique": {"uid": "T1003"}}]
    assert activity["class_uid"] == 1001
    assert (finding["class_uid"], finding["activity_id"]) == (2004, 1)
    assert finding["finding_info"]["uid"] == alert.id
    assert finding["evidences"][0]["file"] == activity["file"]
    assert finding["evidences"][0]["actor"] == activity["actor"]


@pytest.mark.parametrize(
    ("severity", "action", "number"),
    [(1, "Block", 2), (3, "Block", 2), (4, "Audit", 3), (6, "Audit", 3), (7, "Block", 4), (9, "Block", 5),
     (10, "Audit", 5), (0, "Block", 3), (0, "Audit (Block)", 2)],
)  # fmt: skip
def test_severities(alert: Event, severity: int, action: str, number: int) -> None:
    verdict = Verdict(policy="p", action=action, enforcer="BPFLSM", severity=severity)
    found = told(replace(alert, verdict=verdict))

    assert found["severity_id"] == number
    assert found["disposition_id"] == (2 if action == "Block" else 15)


@pytest.mark.parametrize(
    ("operation", "details", "error", "kind"),
    [
        (Operation.PROCESS, {"syscall": "execve"}, 0, 100701),
        (Operation.PROCESS, {"tracepoint": "sched_process_exit"}, 0, 100702),
        (Operation.PROCESS, {"syscall": "ptrace", "pid": "7"}, 0, 100703),
        (Operation.PROCESS, {"tracepoint": "sched_process_fork"}, 0, 100799),
        (Operation.SYSCALL, {"syscall": "setuid"}, 0, 100705),
        (Operation.SYSCALL, {"syscall": "mount"}, 0, 100304),
        (Operation.CAPABILITIES, {"lsm": "capable", "capability": "CAP_NET_RAW"}, 0, 100304),
        (Operation.FILE, {"syscall": "openat", "flags": "O_WRONLY|O_CREAT"}, 0, 100101),
        (Operation.FILE, {"syscall": "unlinkat"}, 0, 100104),
        (Operation.FILE, {"lsm": "file_rename"}, 0, 100105),
        (Operation.FILE, {"syscall": "fchmodat"}, 0, 100107),
        (Operation.FILE, {"syscall": "something"}, 0, 100199),
        (Operation.NETWORK, {"syscall": "connect"}, 0, 400101),
        (Operation.NETWORK, {"syscall": "connect"}, 111, 400105),
        (Operation.NETWORK, {"syscall": "connect"}, 110, 400104),
        (Operation.NETWORK, {"syscall": "listen"}, 0, 400107),
        (Operation.NETWORK, {"syscall": "socket"}, 0, 400199),
        (Operation.NETWORK, {"kfunc": "udp_sendskb", "domain": "a.b", "qtype": "A"}, 0, 400106),
    ],
)
def test_classes_and_activities(
    event: Event, operation: Operation, details: dict[str, str], error: int, kind: int
) -> None:
    found = told(replace(event, operation=operation, details=details, error=error))

    assert found["type_uid"] == kind


def test_peers(event: Event) -> None:
    resource = "sa_family=AF_INET6 sin_port=443 sin_addr=2001:db8::7"
    network = replace(event, operation=Operation.NETWORK, resource=resource)
    out = told(replace(network, details={"syscall": "connect"}))
    into = told(replace(network, details={"syscall": "accept4"}))

    assert out["dst_endpoint"] == {"ip": "2001:db8::7", "port": 443}
    assert out["src_endpoint"]["hostname"] == "node-1"
    assert out["connection_info"] == {"direction_id": 2, "protocol_ver_id": 6}
    assert into["src_endpoint"] == {"ip": "2001:db8::7", "port": 443}
    assert into["dst_endpoint"]["hostname"] == "node-1"
    assert into["connection_info"]["direction_id"] == 1


def test_folded_alerts_are_counted(alert: Event) -> None:
    found = told(replace(alert, folded=Folded(57, alert.time_ns - 3_000_000, alert.time_ns)))

    assert (found["count"], found["end_time"] - found["start_time"]) == (57, 3)
