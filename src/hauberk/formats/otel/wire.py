"""What the encoder asks of a way to write OTLP down: `protobuf.py` and `json.py` are two."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from hauberk.formats.otel.mapping import Attributes, Value


class Envelope(NamedTuple):
    """What encloses a record, written down."""

    resource: bytes
    scope: bytes
    schema: bytes


class Wire(Protocol):
    """Each part is written on its own, so that it can be kept."""

    def attributes(self, attributes: Attributes) -> bytes:
        """A run of attributes of a record."""

    def body(self, body: Value) -> bytes: ...

    def name(self, event_name: str) -> bytes:
        """Empty: the record has none."""

    def envelope(self, resource: Attributes | None, scope: tuple[str, str] | None) -> Envelope:
        """A resource, and a scope of this name and version; None: empty, as KubeArmor's otel-adapter has them."""

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
        """A whole request of one record. What is 0 or empty is left out."""
