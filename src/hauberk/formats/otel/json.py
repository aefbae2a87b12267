"""OTLP in JSON, as OpenTelemetry's file exporter writes it: one request a line.

That is protobuf's own mapping: names in lowerCamelCase, numbers of 64 bits as texts, enums as numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from hauberk.formats.otel.mapping import SCHEMA_URL, Attributes, Value
from hauberk.formats.otel.wire import Envelope
from hauberk.formats.printable import printable_json

_encode: Final = msgspec.json.Encoder().encode


def _text(text: str) -> str:
    """Half a pair of surrogates, which JSON can smuggle in, is shown as an escape."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _value(value: Value) -> dict[str, Any]:
    """An AnyValue."""
    if isinstance(value, str):
        return {"stringValue": _text(value)}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _key_values(value)}}
    return {"arrayValue": {"values": [_value(each) for each in value]}}


def _key_values(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": _text(key), "value": _value(value)} for key, value in values.items()]


class JSON:
    """The `Wire` of requests a line."""

    def attributes(self, attributes: Attributes) -> bytes:
        return _encode(_key_values(attributes))[1:-1]

    def body(self, body: Value) -> bytes:
        return b'"body":%b' % _encode(_value(body))

    def name(self, event_name: str) -> bytes:
        return b',"eventName":%b' % _encode(event_name) if event_name else b""

    def envelope(self, resource: Attributes | None, scope: tuple[str, str] | None) -> Envelope:
        told = {"attributes": _key_values(resource)} if resource is not None else {}
        told_scope = {"name": _text(scope[0]), "version": _text(scope[1])} if scope else {}
        return Envelope(
            b'{"resourceLogs":[{"resource":%b,"scopeLogs":[{' % _encode(told),
            b'"scope":%b,"logRecords":[{' % _encode(told_scope),
            b',"schemaUrl":%b' % _encode(SCHEMA_URL) if resource is not None else b"",
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
        return printable_json(
            b"".join(
                (
                    envelope.resource,
                    envelope.scope,
                    b'"timeUnixNano":"%d",' % time_ns if time_ns else b"",
                    b'"severityNumber":%d,' % severity if severity else b"",
                    b'"severityText":%b,' % _encode(severity_text) if severity_text else b"",
                    body,
                    b',"attributes":[%b]' % b",".join(filter(None, runs)) if runs else b"",
                    b',"observedTimeUnixNano":"%d"' % observed_ns if observed_ns else b"",
                    event_name,
                    b"}]",
                    envelope.schema,
                    b"}]",
                    envelope.schema,
                    b"}]}",
                )
            )
        )
