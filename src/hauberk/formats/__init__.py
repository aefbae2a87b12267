"""Formats: an event to bytes. To add one, add a module and a line here.

What stands on the shelf is a class: its fields are the settings of the format, its `make` gives the `Format`.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from hauberk.model.event import Event
from hauberk.plugins import Shelf


def join_lines(messages: Sequence[bytes]) -> bytes:
    """One message a line."""
    return b"\n".join(messages) + b"\n"


class Format(msgspec.Struct, frozen=True):
    """How events are written."""

    encode: Callable[[Event], bytes]
    """One event as one message that stands on its own."""

    media_type: str
    """Of several joined messages, for destinations that want to be told."""

    is_text: bool = True
    """Whatever the event holds, its message is one line of UTF-8 without a newline."""

    join: Callable[[Sequence[bytes]], bytes] = join_lines
    """Several messages as one body."""


class FormatSettings(Protocol):
    """The settings of a format, a `msgspec.Struct` whose fields all have defaults."""

    def make(self) -> Format: ...


FORMATS: Final = Shelf(
    "format",
    {
        "cef": "hauberk.formats.cef:Cef",
        "ecs": "hauberk.formats.ecs:Ecs",
        "kubearmor": "hauberk.formats.kubearmor:KubeArmor",
        "ocsf": "hauberk.formats.ocsf:Ocsf",
        "otel": "hauberk.formats.otel:Otel",
        "otel-protobuf": "hauberk.formats.otel:OtelProtobuf",
        "text": "hauberk.formats.text:Text",
    },
)
