"""OTLP in protobuf's wire format (opentelemetry/proto/logs/v1/logs.proto), byte for byte as protobuf writes it.

A field is a tag (its number and the type of what follows), then a number, or a length and so many bytes. What is
nested is written first, as its length stands before it. Fields that repeat just follow each other: so requests
that stand one after the other are one, and attributes can be written in runs.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from hauberk.formats.otel.mapping import SCHEMA_URL, SCOPE_NAME, SCOPE_VERSION, Attributes, Value
from hauberk.formats.otel.wire import Envelope

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def _tag(number: int, kind: int) -> int:
    return number << 3 | kind


# ExportLogsServiceRequest, ResourceLogs, ScopeLogs
_RESOURCE_LOGS: Final = _tag(1, _BYTES)
_RESOURCE: Final = _tag(1, _BYTES)
_SCOPE_LOGS: Final = _tag(2, _BYTES)
_SCOPE: Final = _tag(1, _BYTES)
_LOG_RECORD: Final = _tag(2, _BYTES)
_SCHEMA: Final = _tag(3, _BYTES)

# Resource, InstrumentationScope
_RESOURCE_ATTRIBUTE: Final = _tag(1, _BYTES)
_SCOPE_NAME: Final = _tag(1, _BYTES)
_SCOPE_VERSION: Final = _tag(2, _BYTES)

# LogRecord
_TIME: Final = _tag(1, _FIXED64)
_SEVERITY: Final = _tag(2, _VARINT)
_SEVERITY_TEXT: Final = _tag(3, _BYTES)
_BODY: Final = _tag(5, _BYTES)
_ATTRIBUTE: Final = _tag(6, _BYTES)
_OBSERVED_TIME: Final = _tag(11, _FIXED64)
_EVENT_NAME: Final = _tag(12, _BYTES)

# KeyValue, AnyValue, ArrayValue, KeyValueList
_KEY: Final = _tag(1, _BYTES)
_VALUE: Final = _tag(2, _BYTES)
_STRING: Final = _tag(1, _BYTES)
_BOOL: Final = _tag(2, _VARINT)
_INT: Final = _tag(3, _VARINT)
_DOUBLE: Final = _tag(4, _FIXED64)
_ARRAY: Final = _tag(5, _BYTES)
_KVLIST: Final = _tag(6, _BYTES)
_ELEMENT: Final = _tag(1, _BYTES)

_double: Final = struct.Struct("<Bd").pack
_fixed: Final = struct.Struct("<BQ").pack


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the highest bit set."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _field(tag: int, content: bytes) -> bytes:
    """A text or a message."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    return b"%c%b%b" % (tag, _varint(size), content)


def _text(text: str) -> bytes:
    """Always UTF-8: half a pair of surrogates, which JSON can smuggle in, is shown as an escape."""
    return text.encode(errors="backslashreplace")


def _value(value: Value) -> bytes:
    """An AnyValue: one of several fields, which is there even if it is empty."""
    if isinstance(value, str):
        return _field(_STRING, _text(value))
    if isinstance(value, bool):
        return bytes((_BOOL, value))
    if isinstance(value, int):
        return bytes((_INT,)) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return _double(_DOUBLE, value)
    if isinstance(value, Mapping):
        return _field(_KVLIST, _key_values(_ELEMENT, value))
    return _field(_ARRAY, b"".join([_field(_ELEMENT, _value(each)) for each in value]))


def _key_values(tag: int, values: Mapping[str, Value]) -> bytes:
    return b"".join(
        [
            _field(tag, _field(_KEY, _text(key)) + _field(_VALUE, _value(value)))
            for key, value in values.items()
        ]
    )


_SCHEMA_URL: Final = _field(_SCHEMA, SCHEMA_URL.encode())
_OWN_SCOPE: Final = _field(
    _SCOPE, _field(_SCOPE_NAME, SCOPE_NAME.encode()) + _field(_SCOPE_VERSION, SCOPE_VERSION.encode())
)


class Protobuf:
    """The `Wire` of binary requests."""

    def attributes(self, attributes: Attributes) -> bytes:
        return _key_values(_ATTRIBUTE, attributes)

    def body(self, body: Value) -> bytes:
        return _field(_BODY, _value(body))

    def name(self, event_name: str) -> bytes:
        return _field(_EVENT_NAME, event_name.encode()) if event_name else b""

    def envelope(self, resource: Attributes | None) -> Envelope:
        if resource is None:
            return Envelope(_field(_RESOURCE, b""), _field(_SCOPE, b""), b"")
        return Envelope(
            _field(_RESOURCE, _key_values(_RESOURCE_ATTRIBUTE, resource)), _OWN_SCOPE, _SCHEMA_URL
        )

    def message(
        self,
        envelope: Envelope,
        time_ns: int,
        observed_ns: int,
        severity: int,
        severity_text: str,
        body: bytes,
        runs: Sequence[bytes],
        event_name: bytes,
    ) -> bytes:
        record = b"".join(
            (
                _fixed(_TIME, time_ns) if time_ns else b"",
                bytes((_SEVERITY, severity)) if severity else b"",
                _field(_SEVERITY_TEXT, severity_text.encode()) if severity_text else b"",
                body,
                *runs,
                _fixed(_OBSERVED_TIME, observed_ns) if observed_ns else b"",
                event_name,
            )
        )
        return _resource_logs(envelope, _field(_LOG_RECORD, record))


def _resource_logs(envelope: Envelope, records: bytes) -> bytes:
    """A request: the records of one scope of one resource."""
    scope_logs = _field(_SCOPE_LOGS, envelope.scope + records + envelope.schema)
    return _field(_RESOURCE_LOGS, envelope.resource + scope_logs + envelope.schema)


def join(messages: Sequence[bytes]) -> bytes:
    """One request with all records, those of the same workload under one resource.

    The messages may be of another version of this program: what stood in a spool meanwhile.
    """
    groups: dict[tuple[bytes, bytes, bytes], list[bytes]] = {}
    for message in messages:
        envelope, record = _take_apart(message)
        group = groups.get(envelope)
        if group is None:
            groups[envelope] = [record]
        else:
            group.append(record)
    return b"".join([_resource_logs(Envelope(*of), b"".join(records)) for of, records in groups.items()])


def _take_apart(message: bytes) -> tuple[tuple[bytes, bytes, bytes], bytes]:
    """The fields of an envelope and the one record of a message, each with its tag and length."""
    begin, _ = _inside(message, 0)  # resource logs
    _, resource_end = _inside(message, begin)
    scope_begin, scope_logs_end = _inside(message, resource_end)
    _, scope_end = _inside(message, scope_begin)
    _, record_end = _inside(message, scope_end)
    envelope = message[begin:resource_end], message[scope_begin:scope_end], message[scope_logs_end:]
    return envelope, message[scope_end:record_end]


def _inside(message: bytes, at: int) -> tuple[int, int]:
    """Where the content of the field that begins at `at` begins and ends."""
    at += 1
    size = message[at]
    if size >= 0x80:
        size &= 0x7F
        shift = 7
        while message[at := at + 1] >= 0x80:
            size |= (message[at] & 0x7F) << shift
            shift += 7
        size |= message[at] << shift
    at += 1
    return at, at + size
