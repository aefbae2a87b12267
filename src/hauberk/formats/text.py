r"""One line an event, for people at a terminal.

What a workload says of itself goes to a terminal here, so whatever could move its cursor, change its
colours or turn its text round is shown as an escape: ``\x1b``, ``\n``, ``\u202e``.
"""

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from hauberk.abi import Operation
from hauberk.formats import Format
from hauberk.formats.printable import printable_text
from hauberk.formats.results import result_text
from hauberk.model.event import Event
from hauberk.model.policy import Action

_CONTAINER_ID_LENGTH: Final = 12
"""As container tools shorten it."""

_VALUE_LENGTH: Final = 160
"""Longest resource, list of arguments, verdict or message that is shown in colour; plain text is never cut."""

_DIM, _RED, _YELLOW, _CYAN, _RESET = "\x1b[2m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[36m", "\x1b[0m"
_OPERATION_COLOURS: Final = {
    Operation.PROCESS: "\x1b[32m",
    Operation.FILE: "\x1b[34m",
    Operation.NETWORK: "\x1b[35m",
    Operation.SYSCALL: "\x1b[33m",
    Operation.CAPABILITIES: "\x1b[36m",
}


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of this format."""

    colour: bool = False
    """For a terminal: long values are cut, what matters less is dim, what failed is red."""

    def make(self) -> Format:
        return Format(encode_colour if self.colour else encode, "text/plain; charset=utf-8")


class _Columns(NamedTuple):
    """The parts of a line, from left to right; each is safe to print."""

    time: str
    """Local, of the day."""

    operation: str
    workload: str
    user: str
    process: str
    """Name of the executable and PID on the host."""

    call: str
    verdict: str
    """Empty in a log."""

    resource: str
    arguments: str
    result: str
    message: str
    """Of the policy."""


def encode(event: Event) -> bytes:
    """The line, uncut and without colours."""
    columns = _columns(event)
    free = filter(None, columns[6:])
    return f"{' '.join(columns[:6])} {'  '.join(free)}".encode()


def encode_colour(event: Event) -> bytes:
    """The line for a terminal: long values are cut, what matters less is dim, what failed is red.

    A verdict is red if it was Block, else yellow.
    """
    c = _columns(event)
    blocked = event.verdict is not None and event.verdict.action == Action.BLOCK
    free = [
        _paint(_RED if blocked else _YELLOW, _shorten(c.verdict)),
        _shorten(c.resource),
        _paint(_DIM, _shorten(c.arguments)),
        _paint(_RED if event.error else _DIM, c.result),
        _shorten(c.message),
    ]
    fixed = [
        _paint(_DIM, c.time),
        _paint(_OPERATION_COLOURS[event.operation], c.operation),
        _paint(_CYAN, c.workload) if not event.workload.is_host else c.workload,
        c.user,
        c.process,
        c.call,
    ]
    return f"{' '.join(fixed)} {'  '.join(filter(None, free))}".encode()


def _columns(event: Event) -> _Columns:
    workload, process = event.workload, event.process
    local = datetime.fromtimestamp(event.time_ns // 1_000_000_000).time()
    where = workload.container_name or (workload.container_id or "host")[:_CONTAINER_ID_LENGTH]
    call, _, arguments = event.data.partition(" ")
    call = call.removeprefix("syscall=SYS_").removeprefix("tracepoint=sched_process_").lower()
    name = process.executable.rpartition("/")[2] or "?"
    return _Columns(
        f"{local}.{event.time_ns // 1_000_000 % 1000:03d}",
        f"{event.operation.name.capitalize():<7}",
        f"{printable_text(where):<16}",
        f"{printable_text(event.user or str(event.uid)):<8}",
        f"{printable_text(name)}:{event.host_pid}".ljust(22),
        f"{printable_text(call):<10}",
        _verdict(event),
        printable_text(event.resource or ""),
        printable_text(arguments),
        result_text(event.error),
        printable_text(event.verdict.message) if event.verdict else "",
    )


def _verdict(event: Event) -> str:
    """``Block sleep-deny (severity 5)``; with ``×57``, the line stands for so many alerts."""
    verdict = event.verdict
    if verdict is None:
        return ""
    severity = f" (severity {verdict.severity})" if verdict.severity else ""
    count = f" ×{event.folded.count}" if event.folded else ""
    return printable_text(f"{verdict.action} {verdict.policy}{severity}{count}")


def _shorten(text: str) -> str:
    """Beginning and end: of a path both matter."""
    if len(text) <= _VALUE_LENGTH:
        return text
    half = _VALUE_LENGTH // 2
    return f"{text[:half]}…{text[1 - half :]}"


def _paint(colour: str, text: str) -> str:
    return f"{colour}{text}{_RESET}" if text else ""
