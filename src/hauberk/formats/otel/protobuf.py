"""OTLP in protobuf's wire format (opentelemetry/proto/logs/v1/logs.proto), byte for byte as protobuf writes it.

A field is a tag (its number and the type of what follows), then a number, or a length and so many bytes. What is
nested is written first, as its length stands before it. Fields that repeat just follow each other: so requests
that stand one after the other are one, and attributes can be written in runs.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from hauberk.formats.otel.mapping import SCHEMA_URL, Attributes, Value
from hauberk.formats.otel.wire import Envelope

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def _tag(number: int, kind: int) -> bytes:
    return bytes((number << 3 | kind,))


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

_double: Final = struct.Struct("<d").pack
_moment: Final = struct.Struct("<Q").pack

_KEPT_VARINTS: Final = 0x4000
_KEPT_KEYS: Final = 1024
_KEPT_KEY_LENGTH: Final = 128


class _Varints(dict[int, bytes]):
    """Numbers as they are written: seven bits a byte, the lowest first; all but the last have the highest bit set.

    Nearly all are lengths below 16,384, of which those that occurred are kept.
    """

    def __missing__(self, number: int) -> bytes:
        rest, written = number, bytearray()
        while rest >= 0x80:
            written.append(rest & 0x7F | 0x80)
            rest >>= 7
        written.append(rest)
        found = bytes(written)
        if number < _KEPT_VARINTS:
            self[number] = found
        return found


_varints: Final = _Varints()


def _field(tag: bytes, content: bytes) -> bytes:
    """A text or a message."""
    return b"".join((tag, _varints[len(content)], content))


def _text(text: str) -> bytes:
    """Always UTF-8: half a pair of surrogates, which JSON can smuggle in, is shown as an escape."""
    return text.encode(errors="backslashreplace")


class _Keys(dict[str, bytes]):
    """The names of attributes as they are written, and the tag of the value behind: few, and always the same."""

    def __missing__(self, key: str) -> bytes:
        found = _field(_KEY, _text(key)) + _VALUE
        if len(self) < _KEPT_KEYS and len(key) <= _KEPT_KEY_LENGTH:
            self[key] = found
        return found


_keys: Final = _Keys()


def _value(value: Value) -> bytes:
    """An AnyValue: one of several fields, which is there even if it is empty."""
    if isinstance(value, str):
        return _field(_STRING, _text(value))
    if isinstance(value, bool):
        return _BOOL + _varints[value]
    if isinstance(value, int):
        return _INT + _varints[value & 0xFFFF_FFFF_FFFF_FFFF]
    if isinstance(value, float):
        return _DOUBLE + _double(value)
    if isinstance(value, Mapping):
        return _field(_KVLIST, _key_values(_ELEMENT, value))
    return _field(_ARRAY, b"".join([_field(_ELEMENT, _value(each)) for each in value]))


def _key_values(tag: bytes, values: Mapping[str, Value]) -> bytes:
    found: list[bytes] = []
    for key, value in values.items():
        name = _keys[key]
        if isinstance(value, str):  # as below, in half the time: nearly all are texts
            text = _text(value)
            text_size = _varints[len(text)]
            size = len(text_size) + len(text) + 1
            value_size = _varints[size]
            size += len(name) + len(value_size)
            found.append(b"".join((tag, _varints[size], name, value_size, _STRING, text_size, text)))
        else:
            found.append(_field(tag, name + _field(b"", _value(value))))
    return b"".join(found)


_SCHEMA_URL: Final = _field(_SCHEMA, SCHEMA_URL.encode())


def _scope(name: str, version: str) -> bytes:
    return _field(_SCOPE_NAME, _text(name)) + _field(_SCOPE_VERSION, _text(version))


class Protobuf:
    """The `Wire` of binary requests."""

    def attributes(self, attributes: Attributes) -> bytes:
        return _key_values(_ATTRIBUTE, attributes)

    def body(self, body: Value) -> bytes:
        return _field(_BODY, _value(body))

    def name(self, event_name: str) -> bytes:
        return _field(_EVENT_NAME, event_name.encode()) if event_name else b""

    def envelope(self, resource: Attributes | None, scope: tuple[str, str] | None) -> Envelope:
        told = _key_values(_RESOURCE_ATTRIBUTE, resource) if resource is not None else b""
        return Envelope(
            _field(_RESOURCE, told),
            _field(_SCOPE, _scope(*scope) if scope else b""),
            _SCHEMA_URL if resource is not None else b"",
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
                _TIME + _moment(time_ns) if time_ns else b"",
                _SEVERITY + _varints[severity] if severity else b"",
                _field(_SEVERITY_TEXT, severity_text.encode()) if severity_text else b"",
                body,
                *runs,
                _OBSERVED_TIME + _moment(observed_ns) if observed_ns else b"",
                event_name,
            )
        )
        return _request(envelope, _field(_LOG_RECORD, record))


def _request(envelope: Envelope, records: bytes) -> bytes:
    """A request: the records of one scope of one resource, each with its tag and length."""
    resource, scope, schema = envelope
    size = len(scope) + len(records) + len(schema)
    scope_size = _varints[size]
    size += len(resource) + 1 + len(scope_size) + len(schema)
    return b"".join(
        (_RESOURCE_LOGS, _varints[size], resource, _SCOPE_LOGS, scope_size, scope, records, schema, schema)
    )


def join(messages: Sequence[bytes]) -> bytes:
    """One request with all records, those of the same workload under one resource.

    The messages may be of another version of this program: what stood in a spool meanwhile.
    """
    groups: dict[tuple[bytes, bytes, bytes], list[bytes]] = {}
    for message in messages:
        parts, record = _take_apart(message)
        group = groups.get(parts)
        if group is None:
            groups[parts] = [record]
        else:
            group.append(record)
    return b"".join([_request(Envelope(*parts), b"".join(records)) for parts, records in groups.items()])


def _take_apart(message: bytes) -> tuple[tuple[bytes, bytes, bytes], bytes]:
    """The parts of the envelope and the one record of a message, each with its tag and length."""
    begin, _ = _inside(message, 0)  # resource logs
    _, resource_end = _inside(message, begin)
    scope_begin, scope_logs_end = _inside(message, resource_end)
    _, scope_end = _inside(message, scope_begin)
    _, record_end = _inside(message, scope_end)
    parts = message[begin:resource_end], message[scope_begin:scope_end], message[scope_logs_end:]
    return parts, message[scope_end:record_end]


def _inside(message: bytes, at: int) -> tuple[int, int]:
    """Where the content of the field that begins at `at` begins and ends."""
    size = message[at + 1]
    if size < 0x80:
        return at + 2, at + 2 + size
    size, shift, at = size & 0x7F, 7, at + 2
    while message[at] >= 0x80:
        size |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return at + 1, at + 1 + (size | message[at] << shift)
