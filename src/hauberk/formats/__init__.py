"""Formats: an event to bytes. To add one, add a module and a line here."""

from typing import Final, Protocol

from hauberk.model.event import Event
from hauberk.plugins import Shelf


class Format(Protocol):
    """Encodes one event as one line without its newline; whatever the event holds, it stays one line."""

    def __call__(self, event: Event, /) -> bytes: ...


FORMATS: Final = Shelf(
    "format",
    {
        "kubearmor": "hauberk.formats.kubearmor:encode",
        "text": "hauberk.formats.text:encode",
        "text-colour": "hauberk.formats.text:encode_colour",
    },
)
