"""Syslog: the header that goes before a message, by RFC 3164 or RFC 5424, and what parts messages on a stream.

`framed` puts the header into a format, because only there the event is known: time, host and severity. So a
message that comes to a syslog sink is whole but for `counted` or a newline. To add a way to frame, add a function.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from hauberk.errors import ConfigError
from hauberk.formats import Format
from hauberk.formats.names import class_name
from hauberk.formats.severity import severity
from hauberk.model.event import Event

Style: TypeAlias = Literal["rfc3164", "rfc5424"]
Facility: TypeAlias = Literal[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "security", "console", "solaris-cron",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip

_FACILITIES: Final = {name: number for number, name in enumerate(get_args(Facility))}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BOM: Final = b"\xef\xbb\xbf"
_NO_NAME: Final = re.compile(r"[^!-~]")
_HOST_LENGTH: Final = 255
_APP_LENGTH: Final = 48
_KIND_LENGTH: Final = 32
_CRITICAL, _ERROR, _WARNING, _INFORMATIONAL = 2, 3, 4, 6


class Header(msgspec.Struct, frozen=True, gc=False):
    """What a header tells of one message."""

    time_ns: int
    """Nanoseconds since the Unix epoch, UTC."""

    host: str
    severity: int
    """0 (emergency) to 7 (debug)."""

    kind: str = "-"
    """What sort of message it is, from a fixed vocabulary (RFC 5424's MSGID)."""


def framed(
    form: Format,
    style: Style = "rfc5424",
    *,
    facility: Facility = "local4",
    app_name: str = "hauberk",
    bom: bool = False,
) -> Format:
    """The same format with a syslog header before every message, still without a newline at its end.

    The time is the event's, in UTC, which RFC 3164 has no place to say. `bom` puts the mark before the message by
    which RFC 5424 tells UTF-8; without it, receivers that look for ``CEF:`` or ``{`` find it. Raises ConfigError
    for a format that is not text.
    """
    if not form.is_text:
        raise ConfigError("syslog carries lines of text: choose a format such as cef or kubearmor")
    name = _name(app_name, _APP_LENGTH)
    frame: Callable[[Header, bytes], bytes]
    if style == "rfc3164":
        frame = partial(rfc3164, facility=_FACILITIES[facility], app_name=name)
    else:
        frame = partial(rfc5424, facility=_FACILITIES[facility], app_name=name, bom=bom)
    encode = form.encode

    def encode_framed(event: Event) -> bytes:
        return frame(header(event), encode(event))

    return Format(encode_framed, "text/plain; charset=utf-8")


def header(event: Event) -> Header:
    """What there is to tell of an event."""
    return Header(
        event.time_ns, event.node.host, syslog_severity(severity(event)), class_name(event)[:_KIND_LENGTH]
    )


def syslog_severity(number: int) -> int:
    """Of a severity from 0 to 10: informational up to 3, warning up to 6, error up to 8, then critical."""
    if number <= 3:
        return _INFORMATIONAL
    if number <= 6:
        return _WARNING
    return _ERROR if number <= 8 else _CRITICAL


def rfc3164(header: Header, content: bytes, *, facility: int, app_name: bytes) -> bytes:
    """``<164>Aug 23 18:05:48 node-1 hauberk: …``; CEF stands where the tag does, so it is its own."""
    priority = 8 * facility + header.severity
    tag = b"" if content.startswith(b"CEF:") else app_name + b": "
    return b"<%d>%b %b %b%b" % (
        priority,
        _bsd_time(header.time_ns // 1_000_000_000),
        _name(header.host, _HOST_LENGTH),
        tag,
        content,
    )


def rfc5424(header: Header, content: bytes, *, facility: int, app_name: bytes, bom: bool = False) -> bytes:
    """``<164>1 2023-08-23T18:05:48.301798Z node-1 hauberk - MatchedPolicy.File - …``."""
    second, rest_ns = divmod(header.time_ns, 1_000_000_000)
    return b"<%d>1 %b.%06dZ %b %b - %b - %b%b" % (
        8 * facility + header.severity,
        _iso_time(second),
        rest_ns // 1000,
        _name(header.host, _HOST_LENGTH),
        app_name,
        header.kind.encode(),
        _BOM if bom else b"",
        content,
    )


def counted(message: bytes) -> bytes:
    """The message behind its length, as streams want it (RFC 6587 and RFC 5425: octet counting)."""
    return b"%d %b" % (len(message), message)


@lru_cache(maxsize=64)
def _name(text: str, length: int) -> bytes:
    """A name that cannot be taken for two fields: hosts and programs may be called anything."""
    return _NO_NAME.sub("_", text)[:length].encode() or b"-"


@lru_cache(maxsize=64)
def _iso_time(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19].encode()


@lru_cache(maxsize=64)
def _bsd_time(second: int) -> bytes:
    moment = datetime.fromtimestamp(second, UTC)
    return f"{_MONTHS[moment.month - 1]} {moment.day:2d} {moment:%H:%M:%S}".encode()
