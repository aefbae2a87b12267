import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from hauberk.formats.kubearmor import KubeArmor, encode
from hauberk.formats.results import result_text
from hauberk.model.event import Event, Node, Relayed
from hauberk.model.process import ExecSession, Process
from hauberk.model.workload import Owner, Workload


def moment_of(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC).replace(microsecond=time_ns // 1000 % 10**6)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def line_of(event: Event) -> list[tuple[str, Any]]:
    """The keys and values that an event must give, in order: the tables of the document, by the book."""
    node, workload, process, verdict = event.node, event.workload, event.process, event.verdict
    host = workload.container_id is None
    names = [("ParentProcessName", event.parent_executable), ("ProcessName", process.executable)]
    numbers = [
        ("HostPPID", event.host_ppid),
        ("HostPID", event.host_pid),
        ("PPID", event.ppid),
        ("PID", event.pid),
        ("UID", event.uid),
    ]
    relayed = event.relayed or Relayed()
    owner = [
        (key, value)
        for key, value in zip(
            ("Ref", "Name", "Namespace"), astuple(workload.owner or Owner("", "", "")), strict=True
        )
        if value
    ]
    session = [
        (key, value)
        for key, value in zip(
            ("ExecID", "ExecutableName"), astuple(event.exec_session or ExecSession("", "")), strict=True
        )
        if value
    ]
    who: list[tuple[str, Any]]
    details = list(event.details.items())
    decision: list[tuple[str, Any]] = []
    if verdict is None:
        who = [*names, *numbers, ("Type", relayed.type or ("HostLog" if host else "ContainerLog"))]
    else:
        who = [
            *numbers,
            *names,
            ("PolicyName", verdict.policy),
            ("Severity", str(verdict.severity).removeprefix("0")),
            ("Tags", ",".join(verdict.tags)),
            ("ATags", list(verdict.tags)),
            ("Message", verdict.message),
            ("Type", relayed.type or ("MatchedHostPolicy" if host else "MatchedPolicy")),
        ]
        decision = [("Enforcer", verdict.enforcer), ("Action", verdict.action)]
        if event.folded:
            details += [
                ("folded", str(event.folded.count)),
                ("foldedFirst", moment_of(event.folded.first_ns)),
                ("foldedLast", moment_of(event.folded.last_ns)),
            ]
    fields = [
        ("Timestamp", event.time_ns // 10**9),
        ("UpdatedTime", moment_of(event.time_ns)),
        ("ClusterName", node.cluster),
        ("HostName", node.host),
        ("NamespaceName", workload.namespace),
        ("Owner", owner),
        ("PodName", workload.pod),
        ("Labels", ",".join(f"{key}={value}" for key, value in workload.labels.items())),
        ("ContainerID", workload.container_id),
        ("ContainerName", workload.container_name),
        ("ContainerImage", workload.image),
        *who,
        ("Source", event.source),
        ("Operation", relayed.operation or event.operation.name.title()),
        ("Resource", event.resource),
        ("Data", event.data),
        ("EventData", details),
        *decision,
        ("Result", (relayed.result if event.error else "") or result_text(event.error)),
        ("Cwd", event.cwd and event.cwd.removesuffix("/") + "/"),
        ("TTY", event.tty),
        ("MaxAlertsPerSec", relayed.max_alerts_per_s),
        ("DroppingAlertsInterval", relayed.throttled_s),
        ("ExecEvent", session),
        ("KubeArmorVersion", relayed.version),
        ("NodeID", node.node_id),
        ("ProcessHash", relayed.process_hash),
        ("ParentHash", relayed.parent_hash),
        ("ResourceHash", relayed.resource_hash),
        ("HashAlgo", relayed.hash_algorithm),
        ("UserName", event.user),
        ("cluster_id", relayed.cluster_id),
        ("component_name", relayed.component_name),
        ("tenant_id", relayed.tenant_id),
    ]
    always = {"Timestamp", "UpdatedTime", "PPID", "UID"}
    present = {key for key, told in (("Owner", workload.owner), ("ExecEvent", event.exec_session)) if told}
    return [(key, value) for key, value in fields if value or key in always | present]


@given(st.from_type(Event))
def test_any_event_is_one_line_of_json_that_tells_it_all(event: Event) -> None:
    line = encode(event).decode()

    assert line.splitlines() == [line]
    assert line.isprintable()
    assert json.loads(line, object_pairs_hook=list) == line_of(event)


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
        {"exec_session": ExecSession("7", "bash")},
        {"relayed": Relayed(process_hash="a")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_frame_follows_its_process(event: Event, change: dict[str, Any]) -> None:
    """What is kept of a process is not told of it once it has changed."""
    encode(event)
    changed = replace(event, **change)

    assert json.loads(encode(changed), object_pairs_hook=list) == line_of(changed)


@pytest.mark.parametrize(("cwd", "shown"), [("/", "/"), ("/home/ada", "/home/ada/")])
def test_cwd_ends_with_a_slash(event: Event, cwd: str, shown: str) -> None:
    assert json.loads(encode(replace(event, cwd=cwd)))["Cwd"] == shown


def test_host_log_names_no_container(event: Event) -> None:
    keys = json.loads(encode(event)).keys()

    assert not keys & {"NamespaceName", "PodName", "Labels", "ContainerID", "ContainerName", "ContainerImage"}


def test_alert_leaves_frames_alone(event: Event, alert: Event) -> None:
    """A log before an alert and the same log after it are the same."""
    log = encode(event)

    assert json.loads(encode(alert))["Type"] == "MatchedHostPolicy"
    assert encode(event) == log


def test_tag_with_comma_is_one_tag(alert: Event) -> None:
    """KubeArmor takes its list from the text, and finds two."""
    assert alert.verdict is not None
    verdict = replace(alert.verdict, tags=("a,b", "c"))
    found = json.loads(encode(replace(alert, verdict=verdict)))

    assert (found["Tags"], found["ATags"]) == ("a,b,c", ["a,b", "c"])


def test_surrogate_pairs_are_whole(event: Event) -> None:
    """A character beyond U+FFFF that is not printable is escaped as two units, and comes back as one."""
    line = encode(replace(event, resource="/\U000e0041"))

    assert b"\\udb40\\udc41" in line
    assert json.loads(line)["Resource"] == "/\U000e0041"


def test_account_stands_at_the_end(event: Event) -> None:
    """Once, though the event was relayed with another."""
    relayed = replace(event, relayed=Relayed(cluster_id="1", tenant_id="2"))
    encode_hosted = KubeArmor(cluster_id="596", tenant_id="11").make().encode
    account = b',"cluster_id":"596","component_name":"kubearmor","tenant_id":"11"}'

    assert encode_hosted(event) == encode(event)[:-1] + account
    assert encode_hosted(relayed) == encode(event)[:-1] + account
    assert encode(relayed) == encode(event)[:-1] + b',"cluster_id":"1","tenant_id":"2"}'


def test_account_is_text(event: Event) -> None:
    line = KubeArmor(tenant_id='"\n').make().encode(event)

    assert json.loads(line)["tenant_id"] == '"\n'
    assert len(line.splitlines()) == 1
