"""Twelve lines that were verified with eleven parsers, in cef/lines.txt, each without a newline in it.

The first nine are the document's examples, in its order; the others are told below. What they say is what ours say,
but for what `_ours` names. We say it in another order: what was decided first, for lines that are cut.
"""

import json
import re
from pathlib import Path

import cefp
import msgspec
import pytest
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.formats.cef import Cef
from hauberk.model.event import Event, Node, Relayed
from hauberk.model.policy import Verdict

HERE = Path(__file__).parent
LINES = (HERE / "cef/lines.txt").read_text().splitlines()
SETTINGS = Cef(
    device_vendor="KubeArmor", device_product="KubeArmor", device_version="v1.7.4", event_id=False, pipes="keep"
)  # fmt: skip
EXAMPLES = [
    "container-process-log",
    "container-file-log",
    "container-network-log",
    "container-process-alert",
    "container-file-alert",
    "container-network-alert",
    "host-process-alert",
    "host-setgid-alert",
    "host-setuid-alert",
]


def _golden(name: str) -> Event:
    return msgspec.json.decode((HERE.parent / "golden" / name / "event.json").read_bytes(), type=Event)


def _capability() -> Event:
    """The container of the network alert: ping is denied a raw socket."""
    base = _golden("container-network-alert")
    assert base.verdict
    return replace(
        base,
        operation=Operation.CAPABILITIES,
        process=replace(base.process, executable="/bin/ping"),
        parent_executable="/bin/sh",
        uid=0,
        source="/bin/ping -c1 10.0.0.1",
        resource="CAP_NET_RAW",
        data="lsm=CAPABLE CAP_NET_RAW",
        details={"lsm": "capable", "capability": "CAP_NET_RAW"},
        error=13,
        verdict=replace(
            base.verdict,
            policy="ksp-vault-cap-net-raw",
            action="Block",
            enforcer="BPFLSM",
            severity=7,
            tags=("MITRE", "MITRE_T1040_network_sniffing"),
            message="raw sockets are not allowed",
        ),
        time_ns=1_692_814_100_100_000_000,
    )


def _hostile() -> Event:
    """The host's process alert, with arguments that want to be keys."""
    base = _golden("host-process-alert")
    return replace(
        base,
        node=Node(base.node.host, node_id="f39801455594d78b98b7816e37eed6e526c2342d945ba334f6ab6086b49426ee"),
        uid=0,
        user="root",
        source="/usr/bin/python3 -c cs1=fake PolicyName=none",
        resource='/bin/sh -c echo a|b \\ c=d act=Allow outcome=success "q"\nsecond\tline\x1b[0m\0 café \u2028x',
        cwd="/root/dir with space",
        tty="pts0",
        relayed=Relayed(process_hash="a" * 64),
    )


def _accept() -> Event:
    """The host takes a connection over IPv6."""
    return Event(
        time_ns=1_692_814_101_000_000_000,
        operation=Operation.NETWORK,
        node=_golden("host-process-alert").node,
        workload=_golden("host-process-alert").workload,
        process=replace(_golden("host-process-alert").process, executable="/usr/sbin/sshd"),
        parent_executable="/usr/lib/systemd/systemd",
        host_pid=812,
        host_ppid=1,
        pid=812,
        ppid=1,
        uid=0,
        user="root",
        source="/usr/sbin/sshd -D",
        resource="remoteip=2001:db8::7 port=51544 protocol=TCP",
        data="kprobe=tcp_accept domain=AF_INET6",
        details={"kprobe": "tcp_accept", "domain": "AF_INET6"},
        error=0,
        cwd="",
        tty=None,
    )


EVENTS = [*map(_golden, EXAMPLES), _capability(), _hostile(), _accept()]


def _ours(number: int, line: str) -> dict[str, str]:
    """What the line says as we say it.

    A UID is told even where the document's example leaves it out: it is 0 then. The port of what is accepted is that
    of this side, in KubeArmor's programs as on a running KubeArmor. What looks like a key of ours is none.
    """
    says: dict[str, str] = cefp.parse(line)["extension"]
    example = HERE / f"document/{EXAMPLES[number]}.json" if number < len(EXAMPLES) else None
    if example and "UID" not in json.loads(example.read_bytes()):
        says["suid"] = "0"
    if says.get("spt") == "51544":
        says["dpt"] = says.pop("spt")
    for key in ("cs6", "KubeArmorSource"):
        if key in says:
            says[key] = re.sub(r"\b(act|outcome|cs1)=", r"\1:", says[key])
    return says


@pytest.mark.parametrize("number", range(len(LINES)), ids=range(1, len(LINES) + 1))
def test_line(number: int) -> None:
    expected = _ours(number, LINES[number])
    event = replace(EVENTS[number], time_ns=int(expected["rt"]) * 1_000_000)
    line = SETTINGS.make().encode(event).decode()

    assert line.split("|")[:7] == LINES[number].split("|")[:7]
    assert cefp.parse(line)["extension"] == expected


@pytest.mark.parametrize("number", range(len(LINES)), ids=range(1, len(LINES) + 1))
def test_decision_is_in_the_first_kilobyte(number: int) -> None:
    """So much of a datagram every receiver takes (RFC 3164), whatever is cut behind it."""
    event = EVENTS[number]
    found = cefp.parse(SETTINGS.make().encode(event).decode()[:900] + " ")["extension"]

    assert found["outcome"] == ("failure" if event.error else "success")
    assert int(found["rt"]) == event.time_ns // 1_000_000
    if event.verdict:
        assert (found["act"], found["cs1"]) == (event.verdict.action, event.verdict.policy)


def test_there_are_twelve() -> None:
    assert len(LINES) == len(EVENTS) == 12


def test_colon_for_equals() -> None:
    """For receivers that do not know how to escape one."""
    line = replace(SETTINGS, equals="colon").make().encode(_hostile()).decode()

    assert " act:Allow outcome:success " in line
    assert "\\=" not in line


def test_minimal_is_much_shorter() -> None:
    """For datagrams: without what only people want to read."""
    for event in EVENTS:
        line = replace(SETTINGS, profile="minimal").make().encode(event).decode()

        assert "KubeArmor" not in line.partition("|v1.7.4|")[2]
        assert "flexString2" not in line
        assert not any(f" cn{number}=" in line for number in (1, 2, 3))


def test_version_1_names_techniques() -> None:
    line = replace(SETTINGS, version=1).make().encode(_capability()).decode()

    assert line.startswith("CEF:1|")
    assert " threatAttackID=T1040 frameworkName=MITRE ATT&CK " in line
    assert "threatAttackID" not in SETTINGS.make().encode(_capability()).decode()


def test_verdict_without_severity() -> None:
    base = _capability()
    for action, severity in (("Block", 5), ("Audit", 3), ("Audit (Block)", 3)):
        event = replace(base, verdict=Verdict(policy="p", action=action, enforcer="BPFLSM"))

        assert SETTINGS.make().encode(event).decode().split("|")[6] == str(severity)
