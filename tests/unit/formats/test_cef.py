"""Thousands of hostile events, read back by parsers that others wrote: cefp, pycef, cefevent."""

import re
from collections.abc import Iterator
from functools import cache

import cefp
import msgspec
import pycef
import pytest
from cefevent import CEFEvent
from cefevent.extensions import extension_dictionary
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.formats.cef import Cef
from hauberk.formats.names import is_execution
from hauberk.formats.results import result_text
from hauberk.formats.severity import severity
from hauberk.model.event import Event, Folded, Relayed
from tests.hostile import hostile_events

COUNT = 4000
UNKNOWN_TO_CEFEVENT = {"sproc", "outcome"}
"""Of CEF 0.1, but it has them not."""

OURS = re.compile(r"KubeArmor[A-Z]\w*")


@cache
def lines() -> list[tuple[Event, str]]:
    encode = Cef(pipes="keep").make().encode
    return [(event, encode(event).decode()) for event in hostile_events(COUNT)]


def visible(text: str) -> str:
    """What cannot be printed as an escape; the ends of lines CEF can carry. Nothing looks like a header or a key of ours."""
    text = re.sub(r"(?<![A-Za-z])(act|outcome|cs1|cs1Label|rt|externalId)=", r"\1:", text)
    return "".join(
        c if c.isprintable() or c in "\n\r" else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"
        for c in text
    ).replace("CEF:", "CEF\\x3a")


def texts_of(event: Event) -> Iterator[tuple[str, str]]:
    """Keys and values of an event, by the table: what a workload or an operator wrote, and what was decided."""
    workload, verdict = event.workload, event.verdict
    yield "cs6", (event.resource or "")[:4000]
    yield "flexString1", event.data
    yield "deviceProcessName", event.process.executable
    yield "suser", event.user or ""
    yield "cs2", workload.namespace or ""
    yield "cs3", event.node.cluster
    yield "cs4", workload.container_name or ""
    yield "flexString2", workload.image or ""
    yield "shost", workload.pod or event.node.host
    yield "dvchost", event.node.host
    yield "KubeArmorSource", event.source if event.source != event.process.executable else ""
    yield "KubeArmorTTY", event.tty or ""
    yield "suid", str(event.uid)
    yield "outcome", "failure" if event.error else "success"
    yield "reason", result_text(event.error) if event.error else ""
    yield "rt", str(event.time_ns // 1_000_000)
    yield "msg", verdict.message if verdict else ""
    yield "cs1", verdict.policy if verdict else ""
    yield "act", verdict.action if verdict else ""
    yield "deviceFacility", verdict.enforcer if verdict else ""
    yield "sproc", (event.parent_executable or "" if is_execution(event) else event.process.executable)
    if event.operation is Operation.FILE:
        yield "filePath", event.resource or ""


def test_cefp_reads_what_was_written() -> None:
    """A parser that undoes escapes: every text comes back whole, and nothing else is there."""
    for event, line in lines():
        found = cefp.parse(line)
        wanted = {key: visible(value) for key, value in texts_of(event)}

        assert {key: found["extension"].get(key, "") for key in wanted} == wanted
        assert found["severity"] == str(6 if "AlertThreshold" in line[:60] else severity(event))
        assert found["device"]["vendor"] == "Hauberk"


def test_pycef_reads_what_was_written() -> None:
    """A parser of expressions, which undoes no escape and gives custom fields their label as a name."""
    names = {
        "cs1": "PolicyName", "cs2": "NamespaceName", "cs3": "ClusterName", "cs4": "ContainerName", "cs6": "Resource",
        "flexString1": "Data", "flexString2": "ContainerImage",
    }  # fmt: skip
    for event, line in lines():
        found = pycef.parse(line)
        assert found is not None
        wanted = {names.get(key, key): visible(value) for key, value in texts_of(event)}
        given = {key: unescaped(found.get(key, "")) for key in wanted}

        # it takes blanks at the ends of a value for what parts two of them
        assert {key: value.strip(" ") for key, value in given.items()} == {
            key: value.strip(" ") for key, value in wanted.items()
        }
        assert found["Severity"] == str(severity(event))


def unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), value)


def test_keys_are_known_and_hold_what_they_may() -> None:
    """By cefevent's dictionary: names, lengths, types. Our own keys are the only others."""
    for _, line in lines():
        extension = cefp.parse(line)["extension"]
        event = CEFEvent(strict=True)
        for key, value in extension.items():
            if OURS.fullmatch(key) or key in UNKNOWN_TO_CEFEVENT:
                continue
            name = extension_dictionary[key]["full_name"]  # by the short name it takes no 0
            assert event.set_field(name, int(value) if value.isdecimal() else value) is not False, (
                key,
                value,
            )


def naive(line: str) -> dict[str, str]:
    """As a parser reads that knows no escapes, and takes the last value of a key that comes twice."""
    parts = re.split(r"(?:^|\s)(\w+)=", line.split("|", 7)[7].replace("\\=", "="))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_wins(line: str) -> dict[str, str]:
    """The same, but that the first value holds, and that a key may begin anywhere behind what is no letter."""
    parts = re.split(r"(?<![A-Za-z])([A-Za-z]\w*)=", line.split("|", 7)[7].replace("\\=", "="))
    return dict(reversed(list(zip(parts[1::2], parts[2::2], strict=True))))


def graylog(line: str) -> str:
    """What Graylog's parser takes for the beginning of the message: the last that looks like one."""
    found = re.search(
        r"^((?P<timestamp>.+)\s+(?P<host>\S+)\s+).*?(?P<cs0>CEF:\d+)|^.*?(?P<cs1>CEF:\d+)", line
    )
    assert found
    return line[found.start("cs0") if found["cs0"] else found.start("cs1") :]


def pourover_fields(line: str) -> list[str]:
    """All that pourover takes for parts of the header: what is before the last pipe."""
    return re.split(r"(?<!\\)\|", re.match(r"(.*(?<!\\)\|){,7}(.*)", line)[0])  # type: ignore[index]


@pytest.mark.parametrize("header", ["", "Aug 23 18:05:48 node-1 ", "<164>Aug 23 18:05:48 node-1 "])
def test_no_word_is_a_header(header: str) -> None:
    """Nothing but the beginning looks like one, to readers that look for the last."""
    encode = Cef().make().encode
    for event in hostile_events(1000):
        line = encode(event).decode()

        assert graylog(header + line) == line
        assert len(pourover_fields(line)) == 8
        assert line.count("CEF:") == 1


def test_no_word_forges_what_is_known() -> None:
    """Whichever value of two a reader takes, it takes ours."""
    for event, line in lines():
        for found in (naive(line), first_wins(line)):
            if event.verdict:
                assert found["act"].strip() == event.verdict.action
                assert found["cs1"].strip() == event.verdict.policy
                assert found["deviceFacility"].strip() == event.verdict.enforcer
            assert found["outcome"].strip() == ("failure" if event.error else "success")
            assert found["rt"].strip() == str(event.time_ns // 1_000_000)
            assert found["suid"].strip() == str(event.uid)
        assert line.split("|")[6] == str(severity(event))


@given(st.from_type(Event))
def test_any_event_is_one_line(event: Event) -> None:
    line = Cef().make().encode(event).decode()

    assert line.isprintable()
    assert cefp.parse(line)["extension"]["rt"] == str(event.time_ns // 1_000_000)
    assert max(map(len, cefp.parse(line)["extension"].values())) <= 8000


def test_long_values_are_cut(event: Event) -> None:
    """By what CEF lets a key hold, before anything is escaped: an escape is never torn."""
    long = replace(event, source="=" * 100_000, resource="\\" * 5000)
    found = cefp.parse(Cef().make().encode(long).decode())["extension"]

    assert found["cs6"] == "\\" * 3999 + "…"
    assert found["filePath"] == "\\" * 1022 + "…"
    assert found["KubeArmorSource"] == "=" * 3999 + "…"


def test_folded_alerts_have_ids_of_their_own(alert: Event) -> None:
    encode = Cef().make().encode
    ids = [cefp.parse(encode(replace(alert, sequence=n)).decode())["extension"]["externalId"] for n in (1, 2)]

    assert ids == [f"{alert.time_ns:x}-1", f"{alert.time_ns:x}-2"]


def test_folded_alerts_say_how_many(alert: Event) -> None:
    folded = replace(alert, folded=Folded(57, alert.time_ns - 3_000_000, alert.time_ns))

    assert (
        f" start={alert.time_ns // 10**6 - 3} end={alert.time_ns // 10**6} cnt=57 "
        in Cef().make().encode(folded).decode()
    )


def test_throttling_is_named(event: Event) -> None:
    notice = replace(
        event,
        relayed=Relayed(type="SystemEvent", operation="AlertThreshold", max_alerts_per_s=10, throttled_s=30),
    )
    line = Cef().make().encode(notice).decode()

    assert "|SystemEvent.AlertThreshold|Alert throttling|6|" in line
    assert " KubeArmorMaxAlertsPerSec=10 KubeArmorDroppingAlertsInterval=30 " in line


@pytest.mark.parametrize(
    "settings",
    [{"device_vendor": "a|b"}, {"device_product": ""}, {"equals": "drop"}, {"device_version": "x" * 32}],
)
def test_wrong_settings(settings: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, Cef)
