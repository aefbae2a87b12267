"""Sinks: where encoded events go. To add one, add a module and a line here."""

from typing import Final, Protocol

from hauberk.plugins import Shelf


class Sink(Protocol):
    """A destination for whole lines. It may block; an `Output` calls it from a thread of its own."""

    def write(self, lines: list[bytes]) -> None:
        """Deliver all lines, each without its newline, or raise SinkError."""

    def reopen(self) -> None:
        """Begin anew at the same place, as after a rotation by others."""

    def close(self) -> None: ...


SINKS: Final = Shelf(
    "sink",
    {
        "stdout": "hauberk.sinks.stdout:Stdout",
        "file": "hauberk.sinks.file:File",
    },
)
