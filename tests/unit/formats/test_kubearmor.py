import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.formats import kubearmor
from hauberk.formats.kubearmor import encode
from hauberk.formats.results import result_text
from hauberk.model.event import Event, Node
from hauberk.model.process import Process
from hauberk.model.workload import Workload


def log_of(event: Event) -> list[tuple[str, Any]]:
    """The keys and values that an event must give, in order: the table of the document, by the book."""
    node, workload, process = event.node, event.workload, event.process
    moment = datetime.fromtimestamp(event.time_ns // 10**9, UTC).replace(
        microsecond=event.time_ns // 1000 % 10**6
    )
    always = {"Timestamp", "UpdatedTime", "PPID", "UID"}
    fields = [
        ("Timestamp", event.time_ns // 10**9),
        ("UpdatedTime", moment.isoformat(timespec="microseconds").replace("+00:00", "Z")),
        ("ClusterName", node.cluster),
        ("HostName", node.host),
        ("NamespaceName", workload.namespace),
        ("PodName", workload.pod),
        ("Labels", ",".join(f"{key}={value}" for key, value in workload.labels.items())),
        ("ContainerID", workload.container_id),
        ("ContainerName", workload.container_name),
        ("ContainerImage", workload.image),
        ("ParentProcessName", event.parent_executable),
        ("ProcessName", process.executable),
        ("HostPPID", event.host_ppid),
        ("HostPID", event.host_pid),
        ("PPID", event.ppid),
        ("PID", event.pid),
        ("UID", event.uid),
        ("Type", "HostLog" if workload.container_id is None else "ContainerLog"),
        ("Source", event.source),
        ("Operation", event.operation.name.title()),
        ("Resource", event.resource),
        ("Data", event.data),
        ("EventData", list(event.details.items())),
        ("Result", result_text(event.error)),
        ("Cwd", event.cwd and event.cwd.removesuffix("/") + "/"),
        ("TTY", event.tty),
        ("NodeID", node.node_id),
        ("UserName", event.user),
    ]
    return [(key, value) for key, value in fields if value or key in always]


@given(st.from_type(Event))
def test_any_event_is_one_line_of_json_that_tells_it_all(event: Event) -> None:
    line = encode(event).decode()

    assert line.splitlines() == [line]
    assert line.isprintable()
    assert json.loads(line, object_pairs_hook=list) == log_of(event)


@pytest.mark.parametrize(
    "change",
    [
        {"process": Process(42, 8_410_000_000, 2, "/usr/bin/dash", "/bin/bash")},
        {"workload": Workload("7aca8d52d35a")},
        {"node": Node("node-2")},
        {"parent_executable": None},
        {"host_ppid": 1},
        {"ppid": 1},
        {"pid": 1},
        {"uid": 0},
        {"user": "root"},
        {"source": "/usr/sbin/sshd"},
        {"cwd": "/"},
        {"tty": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_frame_follows_its_process(event: Event, change: dict[str, Any]) -> None:
    """What is kept of a process is not told of it once it has changed."""
    encode(event)
    changed = replace(event, **change)

    assert json.loads(encode(changed), object_pairs_hook=list) == log_of(changed)


def test_frames_do_not_outgrow_their_bound(event: Event) -> None:
    for host_pid in range(10_000):
        encode(replace(event, host_pid=host_pid))

    assert len(kubearmor._frames) <= kubearmor._FRAMES_KEPT


@pytest.mark.parametrize(("cwd", "shown"), [("/", "/"), ("/home/ada", "/home/ada/")])
def test_cwd_ends_with_a_slash(event: Event, cwd: str, shown: str) -> None:
    assert json.loads(encode(replace(event, cwd=cwd)))["Cwd"] == shown


def test_host_log_names_no_container(event: Event) -> None:
    keys = json.loads(encode(event)).keys()

    assert not keys & {"NamespaceName", "PodName", "Labels", "ContainerID", "ContainerName", "ContainerImage"}


def test_surrogate_pairs_are_whole(event: Event) -> None:
    """A character beyond U+FFFF that is not printable is escaped as two units, and comes back as one."""
    line = encode(replace(event, resource="/\U000e0041"))

    assert b"\\udb40\\udc41" in line
    assert json.loads(line)["Resource"] == "/\U000e0041"
