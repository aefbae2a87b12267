"""An output: a sink and the queue before it.

`put` never waits. A slow sink costs its own events and a number, nobody else's.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from hauberk.delivery.encoder import Encoder
from hauberk.errors import SinkError
from hauberk.metrics import OutputCounts
from hauberk.model.event import Event
from hauberk.sinks import Message, Sink

_RETRY_S: Final = 1.0
_WRITE_LINES: Final = 4096
"""At most so many lines a write: the smaller, the less is written twice or lost with a failing one."""


class Output:
    """Encodes in the caller's thread, writes in its own."""

    def __init__(
        self,
        encoder: Encoder,
        sink: Sink,
        counts: OutputCounts,
        *,
        queue_events: int,
        complain: Callable[[str], None],
    ) -> None:
        self._encoder = encoder
        self._sink = sink
        self._counts = counts
        self._limit = queue_events
        self._complain = complain
        self._lines: list[Message] = []
        """What waits."""

        self._writing: list[Message] = []
        """What the sink has in hand."""

        self._changed = threading.Condition()
        self._must_reopen = False
        self._closing = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def put(self, events: Sequence[Event]) -> None:
        """Queue events; those that find the queue full are dropped and counted."""
        wanted = self._encoder.wanted(events)
        lines = self._encoder.messages(events)
        with self._changed:
            self._counts.offered += len(events)
            self._counts.filtered += len(events) - len(wanted)
            if len(lines) < len(wanted):
                self._counts.drop("cannot be encoded", len(wanted) - len(lines))
            room = self._limit - len(self._lines) - len(self._writing)
            if len(lines) > room:
                self._counts.drop("queue full", len(lines) - room)
                lines = lines[:room]
            self._lines.extend(lines)
            self._changed.notify()

    def reopen(self) -> None:
        """Have the sink begin anew before the next write."""
        with self._changed:
            self._must_reopen = True
            self._changed.notify()

    def begin_to_close(self) -> None:
        """End once what is queued is written."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Write what is queued, for at most `timeout_s`; the rest is dropped and counted."""
        self.begin_to_close()
        self._thread.join(timeout_s)
        with self._changed:
            self._give_up("closed")
        if not self._thread.is_alive():
            self._sink.close()

    def _give_up(self, reason: str) -> None:
        count = len(self._lines) + len(self._writing)
        if count:
            self._counts.drop(reason, count)
            self._lines, self._writing = [], []

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._lines or self._writing or self._closing or self._must_reopen):
                    self._changed.wait()
                reopen, self._must_reopen = self._must_reopen, False
                if not self._writing:
                    self._writing, self._lines = self._lines, []
                if not (self._writing or reopen):  # closing
                    return
            try:
                if reopen:
                    self._sink.reopen()
                while self._writing:
                    self._write_some()
            except SinkError as error:
                self._fail(str(error))
                continue
            if self._broken:
                self._broken = False
                self._complain("the output works again")

    def _write_some(self) -> None:
        part = self._writing[:_WRITE_LINES]
        self._sink.write(part)
        with self._changed:
            if self._writing:  # else the close has given up on it meanwhile
                del self._writing[: len(part)]
                self._counts.delivered += len(part)

    def _fail(self, problem: str) -> None:
        if not self._broken:
            self._broken = True
            self._complain(f"{problem}; events wait, and are dropped once {self._limit} do")
        with self._changed:
            if self._closing:
                self._give_up("sink failed")
            else:
                self._changed.wait(_RETRY_S)
