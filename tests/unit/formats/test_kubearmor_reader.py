import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.errors import DecodeError
from hauberk.formats.kubearmor import encode
from hauberk.formats.kubearmor_reader import read_line, read_mapping
from hauberk.model.event import Event, Relayed
from hauberk.model.process import ExecSession
from hauberk.model.workload import Owner
from tests.hostile import hostile_events

TESTS = Path(__file__).parents[2]
EXAMPLES = sorted(TESTS.glob("conformance/document/*.json"))
OURS = [
    line for path in sorted(TESTS.glob("golden/*/kubearmor*.out")) for line in path.read_bytes().splitlines()
]

FROM_A_LOG_FILE = (
    '{"timestamp":1700000000,"updatedTime":"2023-11-14T22:13:20.123456Z","hostName":"node-1","nodeID":"abc",'
    '"username":"root","namespaceName":"default","owner":{"ref":"Deployment","name":"web","namespace":"default"},'
    '"podName":"web-1","labels":"app=web","containerID":"c0ffee","containerName":"web","containerImage":"web:1",'
    '"hostPPid":7,"hostPid":42,"ppid":0,"pid":1,"uid":-2,"execEvent":{"ExecID":"99","ExecutableName":"sh"},'
    '"parentProcessName":"/usr/bin/runc","processName":"/usr/bin/cat","enforcer":"BPFLSM","policyName":"no-cat",'
    '"kubeArmorVersion":"v1.7.4","severity":"0","tags":"a,b","atags":null,"message":"no","type":"MatchedPolicy",'
    '"source":"/bin/cat /etc/shadow","operation":"File","resource":"/etc/shadow","cwd":"/","tty":"pts0","oid":0,'
    '"data":"lsm=FILE_OPEN","eventData":{"Lsm":"FILE_OPEN"},"processHash":"aa","hashAlgo":"sha256",'
    '"action":"Block","result":"Permission denied"}'
)
AS_WE_WRITE_IT = (
    '{"Timestamp":1700000000,"UpdatedTime":"2023-11-14T22:13:20.123456Z","HostName":"node-1",'
    '"NamespaceName":"default","Owner":{"Ref":"Deployment","Name":"web","Namespace":"default"},"PodName":"web-1",'
    '"Labels":"app=web","ContainerID":"c0ffee","ContainerName":"web","ContainerImage":"web:1","HostPPID":7,'
    '"HostPID":42,"PPID":0,"PID":1,"UID":4294967294,"ParentProcessName":"/usr/bin/runc",'
    '"ProcessName":"/usr/bin/cat","PolicyName":"no-cat","Tags":"a,b","ATags":["a","b"],"Message":"no",'
    '"Type":"MatchedPolicy","Source":"/bin/cat /etc/shadow","Operation":"File","Resource":"/etc/shadow",'
    '"Data":"lsm=FILE_OPEN","EventData":{"lsm":"file_open"},"Enforcer":"BPFLSM","Action":"Block",'
    '"Result":"Permission denied","Cwd":"/","TTY":"pts0","ExecEvent":{"ExecID":"99","ExecutableName":"sh"},'
    '"KubeArmorVersion":"v1.7.4","NodeID":"abc","ProcessHash":"aa","HashAlgo":"sha256","UserName":"root"}'
)


def line(**fields: Any) -> bytes:
    return json.dumps(
        {"Timestamp": 1, "Type": "HostLog", "Operation": "File", "Result": "Passed"} | fields
    ).encode()


@pytest.mark.parametrize("written", OURS, ids=range(len(OURS)))
def test_our_own_lines_stay_as_they_are(written: bytes) -> None:
    assert encode(read_line(written)) == written


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_of_the_document_are_the_events_they_tell_of(example: Path) -> None:
    """Those of the golden cases, as far as a line says it."""
    golden = TESTS / "golden" / example.stem
    told = msgspec.json.decode((golden / "event.json").read_bytes(), type=Event)
    found = read_line(json.dumps(json.loads(example.read_bytes())).encode(), told.time_ns)

    assert encode(replace(found, time_ns=told.time_ns)) == (golden / "kubearmor.out").read_bytes().strip()


def can_be_told(event: Event) -> bool:
    """Whether a line says all of the event: a few things look like others."""
    relayed, session = event.relayed or Relayed(), event.exec_session
    return not (
        "" in event.workload.labels
        or any("=" in key or "," in key for key in event.workload.labels)
        or next(iter(event.details), "A")[:1].isupper()
        or any(key.startswith("folded") for key in event.details)
        or (session and session.id in ("", "0"))
        or (relayed.type or relayed.operation or relayed.result)
        or event.workload.owner == Owner("", "", "")
        or (event.verdict and any(not tag or "," in tag for tag in event.verdict.tags))
    )


@given(st.from_type(Event).filter(can_be_told))
def test_any_line_of_ours_stays_as_it_is(event: Event) -> None:
    written = encode(event)

    assert encode(read_line(written)) == written


def test_hostile_lines_stay_as_they_are() -> None:
    events = [event for event in hostile_events(4000) if can_be_told(event)]

    assert len(events) > 1000
    for event in events:
        assert encode(read_line(encode(event))) == encode(event)


def test_log_file() -> None:
    """The dialect of `logPath`: other names, another order, more and less."""
    assert encode(read_line(FROM_A_LOG_FILE.encode())).decode() == AS_WE_WRITE_IT


def test_numbers_as_text() -> None:
    """As protobuf's mapping to JSON has those of 64 bits."""
    event = read_line(line(Timestamp="1700000000", HostPID="42", UID="0", Severity="5"))

    assert (event.time_ns, event.host_pid, event.uid) == (1_700_000_000 * 10**9, 42, 0)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2023-11-14T22:13:20.123456Z", 1_700_000_000_123_456_000),
        ("2023-11-14T22:13:20.123456", 1_700_000_000_123_456_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.5Z", 1_700_000_000_500_000_000),
        ("", 1_000_000_000),
    ],
)
def test_times(text: str, time_ns: int) -> None:
    assert read_line(line(UpdatedTime=text)).time_ns == time_ns


def test_line_without_a_time_is_given_one() -> None:
    assert read_line(line(Timestamp=0), fallback_ns=5).time_ns == 5


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        (
            {"Operation": "Network", "EventData": {"Fd": "10", "Sin_port": "53", "Syscall": "SYS_CONNECT"}},
            {"fd": "10", "port": "53", "syscall": "connect"},
        ),
        (
            {
                "Operation": "Network",
                "Data": "syscall=SYS_CONNECT fd=10",
                "Resource": "sin_addr=10.0.0.1 sa_family=AF_INET sin_port=53",
            },
            {"syscall": "connect", "fd": "10", "sa_family": "AF_INET", "port": "53", "addr": "10.0.0.1"},
        ),
        (
            {"Operation": "Network", "Data": "kprobe=tcp_connect domain=AF_INET", "Resource": "remoteip=::1 port=1 protocol=TCP"},
            {"kprobe": "tcp_connect", "domain": "AF_INET", "addr": "::1", "port": "1", "protocol": "TCP"},
        ),
        (
            {"Operation": "Network", "Data": "syscall=SYS_CONNECT", "Resource": "sa_family=AF_UNIX sun_path=/x sa_family=AF_INET sin_addr=1.2.3.4"},
            {"syscall": "connect", "sa_family": "AF_UNIX", "sun_path": "/x sa_family=AF_INET sin_addr=1.2.3.4"},
        ),
        (
            {"Operation": "Syscall", "Data": "syscall=SYS_MOUNT source=x syscall=SYS_OPEN target=/"},
            {"syscall": "mount", "source": "x", "target": "/"},
        ),
        (
            {"Operation": "Capabilities", "Data": "lsm=CAPABLE CAP_NET_RAW", "Resource": "CAP_NET_RAW"},
            {"lsm": "capable", "capability": "CAP_NET_RAW"},
        ),
        (
            {"Operation": "Process", "Data": "syscall=SYS_EXECVE", "Resource": "/bin/ls -l /"},
            {"syscall": "execve", "argv": "-l /"},
        ),
        (
            {"Operation": "Process", "EventData": {"Syscall": "SYS_EXECVE"}, "Resource": "/bin/ls"},
            {"syscall": "execve", "argv": "/bin/ls"},
        ),
    ],
)  # fmt: skip
def test_event_data_reads_like_ours(fields: dict[str, Any], details: dict[str, str]) -> None:
    assert read_line(line(**fields)).details == details


def test_what_there_is_no_place_for_is_kept() -> None:
    notice = read_line(
        line(Type="SystemEvent", Operation="AlertThreshold", MaxAlertsPerSec=10, DroppingAlertsInterval=30)
    )
    removed = read_line(line(Operation="Device", Result="Removed", Resource="USB HID"))

    assert notice.relayed == Relayed(
        type="SystemEvent", operation="AlertThreshold", max_alerts_per_s=10, throttled_s=30
    )
    assert notice.is_alert
    assert removed.relayed == Relayed(operation="Device", result="Removed")
    assert removed.operation is Operation.SYSCALL
    assert removed.error
    for event in (notice, removed):
        assert encode(read_line(encode(event))) == encode(event)


def test_no_session_without_an_id() -> None:
    """KubeArmor always writes one."""
    assert read_line(line(ExecEvent={})).exec_session is None
    assert read_line(line(ExecEvent={"ExecID": "0", "ExecutableName": "ls"})).exec_session is None
    assert read_line(line(ExecEvent={"ExecID": "7", "ExecutableName": "sh"})).exec_session == ExecSession(
        "7", "sh"
    )


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ("", {}),
        ("a=1,b=2", {"a": "1", "b": "2"}),
        ("b=2,a=1", {"b": "2", "a": "1"}),
        ("a=x,y,b=2", {"a": "x,y", "b": "2"}),
        ("a=1,a=2", {"a": "1,a=2"}),
        ("a,b=1", {"a,b": "1"}),
        ("a=1=2", {"a": "1=2"}),
    ],
)
def test_labels(labels: str, read: dict[str, str]) -> None:
    found = read_line(line(Labels=labels, Type="ContainerLog", ContainerID="c")).workload

    assert found.labels == read
    assert list(found.labels) == list(read)


def test_same_line_has_the_same_id() -> None:
    one, other = line(Resource="/a"), line(Resource="/b")

    assert read_line(one).id == read_line(one).id
    assert read_line(one).id != read_line(other).id


def test_mapping_says_the_same() -> None:
    """But for the ID, which is that of the mapping."""
    written = AS_WE_WRITE_IT.encode()

    assert encode(read_mapping(json.loads(written))) == written
    assert read_mapping(json.loads(written)).id == read_mapping(json.loads(written)).id


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (b"", "no event of KubeArmor's: ."),
        (b"{", "no event of KubeArmor's: ."),
        (b"[]", "no event of KubeArmor's: ."),
        (b"{}", "no Operation"),
        (b"hello", "no event of KubeArmor's: ."),
        (b'{"Operation":"File","Resource":"\xff"}', "no event of KubeArmor's: ."),
        (json.dumps({"Type": "Message", "Message": "started"}).encode(), "message of the daemon"),
    ],
)
def test_what_is_no_event(wrong: bytes, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        read_line(wrong)


@pytest.mark.parametrize(
    ("fields", "unread"),
    [
        ({"HostPID": "many"}, "HostPID: "),
        ({"HostPID": 1 << 40}, "HostPID: "),
        ({"Timestamp": -1}, "Timestamp: "),
        ({"UpdatedTime": "yesterday"}, "UpdatedTime: 'yesterday' is no time"),
        ({"UpdatedTime": "1900-01-01T00:00:00Z"}, "UpdatedTime: 1900-01-01T00:00:00Z is before 1970"),
        (
            {"Severity": "11", "PolicyName": "p", "Type": "MatchedPolicy"},
            "Severity: '11' is no number from 1 to 10",
        ),
        ({"Severity": "high", "PolicyName": "p", "Type": "MatchedPolicy"}, "Severity: 'high' is no number"),
        ({"PodName": {"a": 1}}, "PodName: dict is no text"),
        ({"EventData": {"a": ["b"], "syscall": "openat"}}, "EventData.a: list is no text"),
        ({"EventData": 7}, "EventData: int is no object"),
        ({"ATags": 7, "Type": "MatchedPolicy"}, "ATags: "),
        ({"Operation": 7.5e300}, None),
        ({"Operation": ["File"]}, "Operation: "),
    ],
)
def test_wrong_field_costs_itself_only(fields: dict[str, Any], unread: str | None) -> None:
    event = read_line(line(**{"Resource": "/etc/passwd", "Data": "syscall=SYS_OPENAT"} | fields))

    assert event.resource == "/etc/passwd"
    assert (event.time_ns > 0) == ("Timestamp" not in fields)
    assert unread is None or (event.relayed and event.relayed.unread[0].startswith(unread))


@pytest.mark.parametrize(
    "name", ["PodName", "EventData", "Severity", "Owner", "HostPID", "ATags", "TTY", "UpdatedTime"]
)
def test_null_is_as_good_as_nothing(name: str) -> None:
    fields = {"Type": "MatchedPolicy", "PolicyName": "p", "Resource": "/a"}
    whole, with_null = read_line(line(**fields)), read_line(line(**fields | {name: None}))

    assert encode(with_null) == encode(whole)
    assert not (with_null.relayed and with_null.relayed.unread)


def test_numbers_in_event_data_are_texts() -> None:
    event = read_line(
        line(Operation="Network", EventData={"syscall": "connect", "port": 443, "ok": True, "no": None})
    )

    assert event.details == {"syscall": "connect", "port": "443", "ok": "true"}
    assert not (event.relayed and event.relayed.unread)


@pytest.mark.parametrize("kind", ["MatchedFuturePolicy", "PolicyMatched", "matchedPolicy", ""])
def test_decision_of_an_unknown_type_is_kept(kind: str) -> None:
    event = read_line(
        line(Type=kind, PolicyName="p", Severity="7", Action="Block", Enforcer="BPFLSM", ContainerID="c")
    )

    assert event.verdict
    assert (event.verdict.policy, event.verdict.severity, event.verdict.action) == ("p", 7, "Block")
    assert json.loads(encode(event))["Type"] == (kind or "MatchedPolicy")


@pytest.mark.parametrize("key", ["syscall", "Syscall"])
def test_call_is_read_however_it_is_spelled(key: str) -> None:
    for name in ("SYS_OPENAT", "openat", "SYS_openat"):
        assert read_line(line(EventData={key: name})).details == {"syscall": "openat"}


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=3),
)  # fmt: skip
NAMES = sorted(
    json.loads(encode(next(iter(hostile_events(1)))))
    | {"Owner": 0, "Severity": 0, "ATags": 0, "ExecEvent": 0}
)


@given(st.dictionaries(st.sampled_from([name for name in NAMES if name not in ("Type", "Operation")]), ODD))
def test_any_value_of_any_field_costs_at_most_that_field(odd: dict[str, Any]) -> None:
    """Whatever stands in some fields, the others are read as without them."""
    good = {
        "HostName": "node-1",
        "Resource": "/etc/passwd",
        "PolicyName": "p",
        "HostPID": 7,
        "ProcessName": "/bin/a",
    }
    event = read_line(line(**good | {"Type": "MatchedPolicy"} | odd))
    told = json.loads(encode(event))

    assert {key: told[key] for key in good if key not in odd} == {
        key: good[key] for key in good if key not in odd
    }


@given(st.binary())
def test_any_bytes_are_an_event_or_an_error(content: bytes) -> None:
    with suppress(DecodeError):
        read_line(content)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda some: (
            st.lists(some)
            | st.dictionaries(
                st.sampled_from(
                    ["Operation", "UID", "Owner", "EventData", "ATags", "ExecEvent", "UpdatedTime"]
                ),
                some,
            )
        ),
    )
)
def test_any_json_is_an_event_or_an_error(content: object) -> None:
    with suppress(DecodeError):
        read_line(json.dumps(content).encode())
