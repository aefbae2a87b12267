"""OTLP: our bytes against those of `opentelemetry-proto`, and what an event must mean there."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs

from benchmarks.opentelemetry_sdk import SDK
from benchmarks.world import World
from hauberk.abi import Operation
from hauberk.formats import Format
from hauberk.formats.otel import Otel, OtelProtobuf, Profile
from hauberk.formats.otel import mapping as m
from hauberk.model.event import Event, Folded, Node, Relayed
from hauberk.model.policy import Verdict
from hauberk.model.process import ExecSession, Process
from hauberk.model.workload import HOST, Owner, Workload

PROFILES: tuple[Profile, ...] = ("semconv", "adapter", "both")
BINARY: dict[Profile, Format] = {
    profile: OtelProtobuf(profile=profile, labels=True).make() for profile in PROFILES
}
LINES: dict[Profile, Format] = {profile: Otel(profile=profile, labels=True).make() for profile in PROFILES}
"""Made once: what they remember of one event must not show in the next."""

POD = Workload(
    "72de193fc8d8",
    "wordpress",
    "docker.io/library/wordpress:4.8-apache@sha256:6216",
    "wordpress-mysql",
    "wordpress-787f45786f-2q9wf",
    {"app": "wordpress"},
    Owner("Deployment", "wordpress", "wordpress-mysql"),
    "0f6a2f2e-7d5b-4c0e-9a4b-2f1f2f0a9c11",
)


def any_value(value: m.Value) -> AnyValue:
    """As the classes of protobuf have it."""
    found = AnyValue()
    match value:
        case str():
            found.string_value = value
        case bool():
            found.bool_value = value
        case int():
            found.int_value = value
        case float():
            found.double_value = value
        case Mapping():
            found.kvlist_value.SetInParent()
            found.kvlist_value.values.extend(key_values(value))
        case _:
            found.array_value.SetInParent()
            found.array_value.values.extend(map(any_value, value))
    return found


def key_values(values: Mapping[str, m.Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def reference(event: Event) -> ExportLogsServiceRequest:
    """What the profile `semconv` must give, put together by protobuf."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add(schema_url=m.SCHEMA_URL)
    logs.resource.attributes.extend(
        key_values(m.resource_attributes(event.node, event.workload, labels=True))
    )
    scope = logs.scope_logs.add(schema_url=m.SCHEMA_URL)
    scope.scope.name, scope.scope.version = m.scope_of(event)
    attributes = {
        **m.process_attributes(event),
        **m.act_attributes(event),
        **m.details_attributes(event),
        **m.object_attributes(event),
        **m.own_attributes(event),
        **(m.verdict_attributes(event.verdict) if event.verdict else {}),
        **(m.relayed_attributes(event.relayed) if event.relayed else {}),
    }
    severity = event.verdict.severity if event.verdict else 0
    scope.log_records.add(
        time_unix_nano=m.time_of(event),
        observed_time_unix_nano=m.time_of(event),
        severity_number=m.severity_of(event),
        severity_text=str(severity) if severity else "",
        body=any_value(m.body_of(event)),
        attributes=key_values(attributes),
        event_name=m.name_of(event),
    )
    return request


def logs_of(content: bytes) -> list[ResourceLogs]:
    return list(ExportLogsServiceRequest.FromString(content).resource_logs)


def source_of(logs: ResourceLogs) -> tuple[bytes, bytes]:
    return logs.resource.SerializeToString(), logs.scope_logs[0].scope.SerializeToString()


def record_of(event: Event, **settings: Any) -> LogRecord:
    (logs,) = logs_of(OtelProtobuf(**settings).make().encode(event))
    return logs.scope_logs[0].log_records[0]


def told(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values; that no name stands there twice is a rule of OpenTelemetry's."""
    keys = [attribute.key for attribute in attributes]
    assert len(keys) == len(set(keys))
    return {attribute.key: plain(attribute.value) for attribute in attributes}


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind
    content = getattr(value, kind)
    match kind:
        case "array_value":
            return [plain(each) for each in content.values]
        case "kvlist_value":
            return {each.key: plain(each.value) for each in content.values}
        case _:
            return content


# Bytes


@given(st.lists(st.from_type(Event), min_size=1, max_size=4))
def test_bytes_are_those_of_protobuf(events: list[Event]) -> None:
    for event in events:
        expected = reference(event)
        found = BINARY["semconv"].encode(event)

        assert ExportLogsServiceRequest.FromString(found) == expected
        assert found == expected.SerializeToString()


def test_requests_are_those_of_the_sdk() -> None:
    """The program that everybody else uses makes the same bytes of the same events, grouped in the same way."""
    events = World().events(1000)
    sdk = SDK(len(events))
    form = OtelProtobuf().make()

    assert [form.join([form.encode(event) for event in events])] == list(sdk.requests(sdk.prepare(events)))


@pytest.mark.parametrize("profile", PROFILES)
@given(event=st.from_type(Event))
def test_lines_and_bytes_say_the_same(profile: Profile, event: Event) -> None:
    line = LINES[profile].encode(event).decode()
    content = BINARY[profile].encode(event)

    assert line.isprintable()
    assert json_format.Parse(line, ExportLogsServiceRequest()) == ExportLogsServiceRequest.FromString(content)
    assert ExportLogsServiceRequest.FromString(content).SerializeToString() == content


@pytest.mark.parametrize("profile", PROFILES)
@given(events=st.lists(st.from_type(Event), min_size=1, max_size=8))
def test_joined_messages_are_one_request_by_workload(profile: Profile, events: list[Event]) -> None:
    """Every record is there, in its order, and no workload and scope twice."""
    messages = [BINARY[profile].encode(event) for event in events]
    expected: dict[tuple[bytes, bytes], list[LogRecord]] = {}
    for message in messages:
        (logs,) = logs_of(message)
        expected.setdefault(source_of(logs), []).extend(logs.scope_logs[0].log_records)

    content = BINARY[profile].join(messages)
    found = logs_of(content)

    assert {source_of(logs): list(logs.scope_logs[0].log_records) for logs in found} == expected
    assert len(found) == len(expected)
    assert {logs.schema_url for logs in found} == {logs_of(messages[0])[0].schema_url}
    assert ExportLogsServiceRequest.FromString(content).SerializeToString() == content


def test_messages_of_another_version_keep_their_scope(event: Event) -> None:
    """A spool may hold what was written before an upgrade."""
    of_old = reference(event)
    of_old.resource_logs[0].scope_logs[0].scope.version = "0.0.1-rc.1"
    content = BINARY["semconv"].join([of_old.SerializeToString(), BINARY["semconv"].encode(event)])

    versions = [logs.scope_logs[0].scope.version for logs in logs_of(content)]

    assert versions == ["0.0.1-rc.1", m.OWN_SCOPE[1]]


@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384, 100_000, 3_000_000])
def test_long_texts(event: Event, size: int) -> None:
    """Lengths of any number of bytes; and what is long is not kept in memory."""
    long = replace(event, resource="x" * size)
    found = BINARY["semconv"].encode(long)

    assert found == reference(long).SerializeToString()
    assert logs_of(BINARY["semconv"].join([found, found]))[0].scope_logs[0].log_records[1].body


@pytest.mark.parametrize("profile", ["semconv", "both"])
def test_half_a_surrogate_pair_is_valid_utf8(event: Event, profile: Profile) -> None:
    broken = replace(event, source="/bin/\ud83d")
    found = json_format.Parse(LINES["semconv"].encode(broken), ExportLogsServiceRequest())

    assert found == ExportLogsServiceRequest.FromString(BINARY["semconv"].encode(broken))
    attributes = told(found.resource_logs[0].scope_logs[0].log_records[0].attributes)
    assert attributes["kubearmor.source"] == r"/bin/\ud83d"


@given(st.from_type(Event))
def test_names_stand_there_once(event: Event) -> None:
    (logs,) = logs_of(BINARY["semconv"].encode(event))

    told(logs.resource.attributes)
    told(logs.scope_logs[0].log_records[0].attributes)


# Meaning


@pytest.mark.parametrize(
    ("change", "number", "text"),
    [
        ({}, 9, ""),
        ({"error": 13}, 10, ""),
        ({"error": 13, "severity": 1}, 11, "1"),
        ({"severity": 2}, 12, "2"),
        ({"severity": 3}, 13, "3"),
        ({"severity": 6}, 16, "6"),
        ({"severity": 7}, 17, "7"),
        ({"severity": 10}, 20, "10"),
        ({"severity": 99}, 20, "99"),
        ({"action": "Block", "severity": 0}, 15, ""),
        ({"action": "Audit", "severity": 0}, 13, ""),
        ({"action": "Audit (Block)", "severity": 0}, 13, ""),
    ],
)
def test_severity(event: Event, change: dict[str, Any], number: int, text: str) -> None:
    error = change.pop("error", 0)
    verdict = Verdict(policy="p", enforcer="BPFLSM", **{"action": "Audit"} | change) if change else None
    record = record_of(replace(event, error=error, verdict=verdict))

    assert (record.severity_number, record.severity_text) == (number, text)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (
            "docker.io/hashicorp/vault:1.13.1@sha256:b888",
            {
                "container.image.name": "docker.io/hashicorp/vault",
                "container.image.tags": ["1.13.1"],
                "container.image.repo_digests": ["docker.io/hashicorp/vault@sha256:b888"],
            },
        ),
        ("localhost:5000/vault", {"container.image.name": "localhost:5000/vault"}),
        ("vault:latest", {"container.image.name": "vault", "container.image.tags": ["latest"]}),
        ("sha256:b888", {"container.image.id": "sha256:b888"}),
        ("", {}),
    ],
)
def test_image(event: Event, image: str, expected: dict[str, Any]) -> None:
    (logs,) = logs_of(
        BINARY["semconv"].encode(replace(event, workload=Workload("72de193fc8d8", image=image)))
    )
    found = told(logs.resource.attributes)

    assert {key: value for key, value in found.items() if key.startswith("container.image")} == expected


@pytest.mark.parametrize(
    ("workload", "settings", "service"),
    [
        (HOST, {}, "hauberk"),
        (Workload("72de193fc8d8"), {}, "unknown_service"),
        (Workload("72de193fc8d8", "vault"), {}, "vault"),
        (replace(POD, owner=None), {}, "wordpress-787f45786f-2q9wf"),
        (POD, {}, "wordpress"),
        (replace(POD, owner=Owner("Rollout", "blue", "x")), {}, "wordpress-787f45786f-2q9wf"),
        (replace(POD, labels={"app.kubernetes.io/name": "blog"}), {}, "wordpress"),
        (replace(POD, labels={"app.kubernetes.io/name": "blog"}), {"service_from_labels": True}, "blog"),
        (
            replace(POD, labels={"app.kubernetes.io/instance": "mine", "app.kubernetes.io/name": "blog"}),
            {"service_from_labels": True},
            "mine",
        ),
    ],
)
def test_service_name(event: Event, workload: Workload, settings: dict[str, Any], service: str) -> None:
    (logs,) = logs_of(OtelProtobuf(**settings).make().encode(replace(event, workload=workload)))

    assert told(logs.resource.attributes)["service.name"] == service


def test_resource_is_the_workload() -> None:
    node = Node("node-1", node_id="4c4c4544")

    assert m.resource_attributes(node, POD, labels=True) == {
        "service.name": "wordpress",
        "service.namespace": "wordpress-mysql",
        "service.instance.id": "wordpress-mysql.wordpress-787f45786f-2q9wf.wordpress",
        "k8s.cluster.name": "default",
        "k8s.node.name": "node-1",
        "k8s.namespace.name": "wordpress-mysql",
        "k8s.pod.name": "wordpress-787f45786f-2q9wf",
        "k8s.pod.uid": "0f6a2f2e-7d5b-4c0e-9a4b-2f1f2f0a9c11",
        "k8s.container.name": "wordpress",
        "k8s.deployment.name": "wordpress",
        "container.id": "72de193fc8d8",
        "container.image.name": "docker.io/library/wordpress",
        "container.image.tags": ("4.8-apache",),
        "container.image.repo_digests": ("docker.io/library/wordpress@sha256:6216",),
        "host.name": "node-1",
        "host.id": "4c4c4544",
        "k8s.pod.label.app": "wordpress",
    }


def test_resource_outside_of_kubernetes() -> None:
    """A container without a pod is in nothing of Kubernetes's, and the host's name is no machine ID."""
    workload = Workload("72de193fc8d8", "vault", namespace="container_namespace", labels={"app": "vault"})

    assert m.resource_attributes(Node("node-1", node_id="node-1"), workload, labels=True) == {
        "service.name": "vault",
        "service.namespace": "container_namespace",
        "kubearmor.namespace": "container_namespace",
        "container.name": "vault",
        "container.id": "72de193fc8d8",
        "host.name": "node-1",
        "container.label.app": "vault",
    }
    assert m.resource_attributes(Node("node-1", "production"), HOST)["k8s.cluster.name"] == "production"


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (Owner("CronJob", "nightly", "wordpress-mysql"), {"k8s.cronjob.name": "nightly"}),
        (Owner("Pod", "wordpress-787f45786f-2q9wf", "wordpress-mysql"), {}),
        (
            Owner("Rollout", "blue", "elsewhere"),
            {
                "kubearmor.owner.kind": "Rollout",
                "kubearmor.owner.name": "blue",
                "kubearmor.owner.namespace": "elsewhere",
            },
        ),
    ],
)
def test_owner(owner: Owner, expected: dict[str, str]) -> None:
    without = m.resource_attributes(Node("node-1"), replace(POD, owner=None))
    found = m.resource_attributes(Node("node-1"), replace(POD, owner=owner))
    found.pop("service.name")

    assert {key: value for key, value in found.items() if key not in without} == expected


def test_numbers_of_root_are_told(event: Event) -> None:
    attributes = told(record_of(replace(event, uid=0, host_ppid=0, ppid=0)).attributes)

    assert attributes["process.real_user.id"] == 0
    assert attributes["process.parent_pid"] == 0
    assert attributes["kubearmor.process.parent_vpid"] == 0


def test_everything_of_a_process_is_told(event: Event) -> None:
    """And once: a source that is the command line or the parent is not repeated."""
    attributes = told(
        record_of(
            replace(
                event,
                process=Process(42, 8, 2, "/memfd:x", "/bin/x -v", deleted=True),
                source="[x]",
                exec_session=ExecSession("7c", "kubectl"),
            )
        ).attributes
    )

    assert attributes["process.executable.path"] == "/memfd:x"
    assert attributes["process.executable.name"] == "memfd:x"
    assert attributes["process.command_line"] == "/bin/x -v"
    assert attributes["kubearmor.source"] == "[x]"
    assert attributes["kubearmor.process.executable.deleted"] is True
    assert attributes["process.working_directory"] == "/home/ada"
    assert attributes["process.interactive"] is True
    assert attributes["kubearmor.tty"] == "pts0"
    assert attributes["kubearmor.exec.id"] == "7c"
    assert attributes["kubearmor.exec.comm"] == "kubectl"


@pytest.mark.parametrize(
    ("cwd", "expected"), [("/", "/"), ("/home/", "/home"), ("/home", "/home"), ("", None)]
)
def test_working_directory(event: Event, cwd: str, expected: str | None) -> None:
    assert told(record_of(replace(event, cwd=cwd)).attributes).get("process.working_directory") == expected


@pytest.mark.parametrize(
    ("operation", "source", "resource", "expected"),
    [
        (Operation.PROCESS, "/bin/bash", "/bin/sleep 10", "/bin/sleep 10"),
        (Operation.FILE, "/bin/rm /sbin/raw", "/sbin/raw", "/bin/rm /sbin/raw"),
        (Operation.PROCESS, "/bin/bash", None, None),
    ],
)
def test_command_line_that_only_kubearmor_told(
    event: Event, operation: Operation, source: str, resource: str | None, expected: str | None
) -> None:
    told_by_others = replace(
        event,
        operation=operation,
        process=Process(42, 0, 0, "/bin/sleep", ""),
        parent_executable="/bin/bash",
        source=source,
        resource=resource,
    )

    assert told(record_of(told_by_others).attributes).get("process.command_line") == expected


def test_error_has_the_name_of_its_number(event: Event) -> None:
    assert "error.type" not in told(record_of(event).attributes)
    assert told(record_of(replace(event, error=13)).attributes)["error.type"] == "EACCES"
    assert told(record_of(replace(event, error=4000)).attributes)["error.type"] == "_OTHER"


def test_verdict(alert: Event) -> None:
    folded = replace(alert, folded=Folded(57, 1, 2))
    attributes = told(record_of(folded).attributes)

    assert attributes["kubearmor.action"] == "Block"
    assert attributes["kubearmor.enforcer"] == "BPFLSM"
    assert attributes["kubearmor.tags"] == ["MITRE", "T1003"]
    assert attributes["security_rule.name"] == "no-passwd"
    assert attributes["security_rule.description"] == "Hands off!"
    assert attributes["kubearmor.folded.count"] == 57
    assert attributes["kubearmor.folded.first_unix_nano"] == 1
    assert attributes["kubearmor.folded.last_unix_nano"] == 2
    assert attributes["log.record.uid"] == folded.id


def test_number_that_no_wire_can_hold(alert: Event) -> None:
    attributes = told(record_of(replace(alert, folded=Folded(1 << 70, 1, 2))).attributes)

    assert attributes["kubearmor.folded.count"] == (1 << 63) - 1


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({}, "File /etc/passwd by /usr/bin/bash: Passed"),
        ({"resource": None}, "File syscall=SYS_OPENAT fd=-100 flags=O_RDONLY by /usr/bin/bash: Passed"),
        ({"resource": "/tmp/a\nb\x1b"}, r"File /tmp/a\nb\x1b by /usr/bin/bash: Passed"),
        ({"resource": "/" + "x" * 200}, f"File /{'x' * 159}… by /usr/bin/bash: Passed"),
        ({"process": Process(42, 0, 0, "", "")}, "File /etc/passwd by process 42: Passed"),
    ],
)
def test_body_is_one_line(event: Event, change: dict[str, Any], body: str) -> None:
    assert record_of(replace(event, **change)).body.string_value == body


def test_body_of_an_alert(alert: Event) -> None:
    verdict = alert.verdict
    assert verdict
    silent = replace(alert, verdict=replace(verdict, message=""))

    assert record_of(alert).body.string_value == "Hands off!"
    assert record_of(silent).body.string_value == "Block File /etc/passwd by /usr/bin/bash: Permission denied"


@pytest.mark.parametrize("time_ns", [0, 1 << 64])
def test_event_without_a_time_has_none(event: Event, time_ns: int) -> None:
    """0 is OpenTelemetry's word for unknown: the receiver's clock stands in. So it is for a time after 2554."""
    record = record_of(replace(event, time_ns=time_ns))

    assert (record.time_unix_nano, record.observed_time_unix_nano) == (0, 0)


@pytest.mark.parametrize(
    ("operation", "name", "severity"),
    [
        ("Device", "kubearmor.device.alert", 15),
        ("AlertThreshold", "kubearmor.agent.throttled", 17),
        ("", "kubearmor.file.alert", 15),
    ],
)
def test_what_kubearmor_told(alert: Event, operation: str, name: str, severity: int) -> None:
    relayed = Relayed(
        type="SystemEvent", operation=operation, version="v1.7.4", resource_hash="b8", max_alerts_per_s=10
    )
    (logs,) = logs_of(OtelProtobuf().make().encode(replace(alert, relayed=relayed)))
    scope, record = logs.scope_logs[0].scope, logs.scope_logs[0].log_records[0]
    attributes = told(record.attributes)

    assert (scope.name, scope.version) == ("kubearmor", "v1.7.4")
    assert (record.event_name, record.severity_number) == (name, severity)
    assert attributes["kubearmor.type"] == "SystemEvent"
    assert attributes["kubearmor.resource.hash"] == "b8"
    assert attributes["kubearmor.throttle.max_per_second"] == 10
    assert "kubearmor.throttle.interval_s" not in attributes


def test_device_has_no_process(event: Event) -> None:
    attributes = told(record_of(replace(event, host_pid=0, pid=0)).attributes)

    assert {"process.pid", "process.vpid"}.isdisjoint(attributes)


# What KubeArmor's otel-adapter sends


def test_adapter_profile_has_its_shape(alert: Event) -> None:
    """Nothing but a body; numbers are floats, the time is of whole seconds, and some fields are not there."""
    told_more = replace(alert, node=Node("node-1", node_id="4c4c4544"), uid=0)
    (logs,) = logs_of(OtelProtobuf(profile="adapter").make().encode(told_more))
    record = logs.scope_logs[0].log_records[0]
    body = plain(record.body)

    assert not logs.resource.attributes
    assert not logs.scope_logs[0].scope.name
    assert not record.attributes
    assert (record.severity_number, record.severity_text, record.event_name) == (0, "", "")
    assert record.time_unix_nano == 1_687_868_507_000_000_000
    assert body == {
        "UpdatedTime": "2023-06-27T12:21:47.932526Z",
        "ClusterName": "default",
        "HostName": "node-1",
        "HostPPID": 7.0,
        "HostPID": 42.0,
        "PPID": 7.0,
        "PID": 42.0,
        "UID": 0.0,
        "ParentProcessName": "/usr/sbin/sshd",
        "ProcessName": "/usr/bin/bash",
        "PolicyName": "no-passwd",
        "Severity": "5",
        "Tags": "MITRE,T1003",
        "ATags": ["MITRE", "T1003"],
        "Message": "Hands off!",
        "Type": "MatchedHostPolicy",
        "Source": "/bin/bash",
        "Operation": "File",
        "Resource": "/etc/passwd",
        "Data": "syscall=SYS_OPENAT fd=-100 flags=O_RDONLY",
        "Enforcer": "BPFLSM",
        "Action": "Block",
        "Result": "Permission denied",
        "Cwd": "/home/ada/",
        "TTY": "pts0",
    }
    assert {type(value) for key, value in body.items() if re.search("PID$|UID", key)} == {float}


def test_both_profiles_are_both(alert: Event) -> None:
    both = record_of(alert, profile="both")
    semconv = record_of(alert)

    assert plain(both.body) == plain(record_of(alert, profile="adapter").body)
    assert both.attributes == semconv.attributes
    assert both.time_unix_nano == semconv.time_unix_nano
