"""Logs that others wrote into any format: chunks of lines in, chunks of messages out."""

import gc
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec

from hauberk.errors import DecodeError
from hauberk.formats import Format
from hauberk.model.event import Event

_GC_THRESHOLD: Final = 50_000
"""Events make no cycles, so looking for some at every few of them is work for nothing."""

_CHUNK_BYTES: Final = 1 << 20
_LINE_BYTES: Final = 16 << 20
"""Longer lines are no events: whatever is read must end somewhere."""


class Readable(Protocol):
    """A file of bytes."""

    def read1(self, size: int, /) -> bytes:
        """What is there, at most `size`; nothing at its end."""


class Rejected(msgspec.Struct, frozen=True):
    """A line that is no event."""

    number: int
    """From 1."""

    line: bytes
    """Without its newline; of one that is too long, how it begins."""

    reason: str


class Conversion(msgspec.Struct):
    """How far it is."""

    events: int = 0
    rejected: int = 0
    damaged: int = 0
    """Of the events, those that have a field that could not be read."""


def convert(
    source: Readable,
    read: Callable[[bytes, int], Event],
    form: Format,
    write: Callable[[bytes], None],
    reject: Callable[[Rejected], None],
    warn: Callable[[Rejected], None],
    done: Conversion,
    *,
    fallback_ns: int,
) -> None:
    """Write every event of `source`, and count in `done`; empty lines are passed over.

    `read` makes an event of a line, given the time for one that says none, or raises DecodeError. Such a line
    happened when the line before it did; before the first that has a time, at `fallback_ns`. `warn` is called with
    a line that is an event but for some fields.
    """
    gc.set_threshold(_GC_THRESHOLD)
    encode, join = form.encode, form.join
    number, time_ns = 0, fallback_ns
    for lines in _chunks(source):
        messages = []
        for line in lines:
            number += 1
            try:
                event = read(line, time_ns)
            except DecodeError as error:
                if line and not line.isspace():
                    done.rejected += 1
                    reject(Rejected(number, line, str(error)))
                continue
            time_ns = event.time_ns
            if event.relayed and event.relayed.unread:
                done.damaged += 1
                warn(Rejected(number, line, "; ".join(event.relayed.unread)))
            messages.append(encode(event))
        if messages:
            write(join(messages))
            done.events += len(messages)


def _chunks(source: Readable) -> Iterator[list[bytes]]:
    """Whole lines, without their newlines, as many as come at once. A line that is too long is cut."""
    rest = b""
    skipping = False
    while chunk := source.read1(_CHUNK_BYTES):
        lines = chunk.split(b"\n")
        if skipping and len(lines) == 1:
            continue
        lines[0] = rest if skipping else rest + lines[0]
        skipping = False
        rest = lines.pop()
        if len(rest) > _LINE_BYTES:
            rest, skipping = rest[:_LINE_BYTES], True
        yield lines
    if rest:
        yield [rest]
