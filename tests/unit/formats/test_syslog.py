"""Headers, read back by parsers that others wrote: syslog-rfc5424-parser and syslogmp."""

from datetime import UTC, datetime

import pytest
import syslogmp
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from syslog_rfc5424_parser import SyslogMessage

from hauberk.abi import Operation
from hauberk.errors import ConfigError
from hauberk.formats import FORMATS, Format
from hauberk.formats.names import class_name
from hauberk.formats.syslog import Style, counted, framed, syslog_severity
from hauberk.model.event import Event, Node

LINES = Format(lambda event: event.source.encode(), "text/plain")
CEF = Format(lambda _event: b"CEF:0|a|b", "text/plain")


def test_rfc5424(alert: Event) -> None:
    assert framed(CEF).encode(alert) == (
        b"<164>1 2023-06-27T12:21:47.932526Z node-1 hauberk - MatchedHostPolicy.File - CEF:0|a|b"
    )


def test_rfc3164(alert: Event) -> None:
    """The day is padded with a space; CEF stands in the tag's place, anything else behind a tag."""
    early = replace(alert, time_ns=alert.time_ns - 24 * 86_400 * 10**9)

    assert framed(CEF, "rfc3164").encode(early) == b"<164>Jun  3 12:21:47 node-1 CEF:0|a|b"
    assert framed(LINES, "rfc3164", facility="daemon").encode(early) == (
        b"<28>Jun  3 12:21:47 node-1 hauberk: /bin/bash"
    )


def test_byte_order_mark_only_if_wanted(event: Event) -> None:
    plain, marked = (framed(LINES, bom=bom).encode(event) for bom in (False, True))

    assert plain.endswith(b" - /bin/bash")
    assert marked.endswith(b" - \xef\xbb\xbf/bin/bash")


@pytest.mark.parametrize("style", ["rfc3164", "rfc5424"])
def test_a_name_stays_one_field(event: Event, style: Style) -> None:
    """Whatever a host calls itself, it is one word of ASCII."""
    hostile = replace(event, node=Node("a b\n<0>é]"))

    assert framed(LINES, style).encode(hostile).split(b" ")[3 if style == "rfc3164" else 2] == b"a_b_<0>_]"
    assert b" - hauberk" in framed(LINES, style).encode(replace(event, node=Node("")))


def test_only_lines_are_framed() -> None:
    with pytest.raises(ConfigError, match="lines of text"):
        framed(Format(lambda _event: b"\n", "application/x-protobuf", is_text=False))


def test_severities() -> None:
    assert [syslog_severity(number) for number in range(11)] == [6, 6, 6, 6, 4, 4, 4, 3, 3, 2, 2]


def test_logs_are_informational(event: Event) -> None:
    for error in (0, 13):
        assert framed(LINES).encode(replace(event, error=error)).startswith(b"<166>1 ")


def test_octets_are_counted() -> None:
    assert counted("é".encode()) == b"2 \xc3\xa9"


@given(st.from_type(Event))
def test_any_event_is_read_back_from_rfc5424(event: Event) -> None:
    kubearmor = FORMATS.load("kubearmor")().make()
    message = framed(kubearmor).encode(event)
    found = SyslogMessage.parse(message.decode())

    assert found.msg == kubearmor.encode(event).decode()
    assert found.appname == "hauberk"
    assert found.msgid == class_name(event)[:32]
    assert found.timestamp == f"{datetime.fromtimestamp(event.time_ns // 10**9, UTC):%FT%T}.%06dZ" % (
        event.time_ns // 1000 % 10**6
    )
    assert int(found.facility) == 20


@given(st.from_type(Event))
def test_any_event_is_read_back_from_rfc3164(event: Event) -> None:
    """As far as the parser reads: 1024 bytes, and it takes the time for one of this year."""
    event = replace(event, time_ns=1_687_868_507_932_526_417)
    kubearmor = FORMATS.load("kubearmor")().make()
    message = framed(kubearmor, "rfc3164").encode(event)
    found = syslogmp.parse(message[:1024])

    assert found.message == (b"hauberk: " + kubearmor.encode(event))[: len(found.message)]
    assert len(found.message) > 100
    assert f"{found.timestamp:%m-%d %T}" == "06-27 12:21:47"


def test_kinds_fit_the_header(alert: Event) -> None:
    """RFC 5424 gives a message ID 32 characters."""
    names = [class_name(replace(alert, operation=each)) for each in Operation if each is not Operation.COUNT]

    assert max(map(len, names)) <= 32
