"""What waits for a sink in memory: alerts ahead of telemetry, in bounds.

Messages move in runs of one kind, each with the number of its first message: numbers count all messages of
an output in the order in which they came. Nothing here is locked; an `Output` does that.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, Literal, TypeAlias

import msgspec

from hauberk.sinks import Message

_OVERHEAD_BYTES: Final = 256
"""What a message takes in memory beside its content."""

Kind: TypeAlias = Literal["alerts", "telemetry"]


class Run(msgspec.Struct, frozen=True):
    """Messages of one kind that came one after the other."""

    first: int
    """The number of the first message."""

    kind: Kind
    messages: Sequence[Message]
    size_bytes: int
    time_ns: int
    """Of an event in it: how old it is, about."""

    row: int = 0
    """Of the spool it was loaded from; 0 if it is in memory only."""

    def without(self, count: int) -> "Run":
        """What is left if so many are taken from the front."""
        return _run(self.first + count, self.kind, self.messages[count:], self.time_ns)


def _run(first: int, kind: Kind, messages: Sequence[Message], time_ns: int) -> Run:
    size = sum([len(message.content) for message in messages]) + _OVERHEAD_BYTES * len(messages)
    return Run(first, kind, messages, size, time_ns)


class Batch(msgspec.Struct, frozen=True):
    """Messages that come together."""

    messages: Sequence[Message]
    content_bytes: int
    has_alerts: bool
    time_ns: int
    """Of an event in it."""


class Dropped(msgspec.Struct, frozen=True):
    """How many messages found no room."""

    telemetry: int = 0
    alerts: int = 0


class Queue:
    """Runs in two lines."""

    def __init__(self, limit_messages: int, limit_bytes: int, first: int = 0) -> None:
        """`first` is the number that the first message gets."""
        self._limit_messages = limit_messages
        self._limit_bytes = limit_bytes
        self._next = first
        self._lines: dict[Kind, deque[Run]] = {"alerts": deque(), "telemetry": deque()}
        self._waiting: dict[Kind, int] = {"alerts": 0, "telemetry": 0}
        """Messages that are not taken."""

        self.count = 0
        """Of messages; `alerts` of them are alerts. What is taken counts until it is settled."""

        self.alerts = 0
        self.size_bytes = 0

    def waiting(self, *kinds: Kind) -> int:
        """How many messages of these kinds are there to be taken."""
        return sum(self._waiting[kind] for kind in kinds)

    @property
    def is_full(self) -> bool:
        return self.count >= self._limit_messages or self.size_bytes >= self._limit_bytes

    @property
    def fill(self) -> float:
        """How full it is: 1 is full."""
        return max(self.count / self._limit_messages, self.size_bytes / self._limit_bytes)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest event was."""
        return min((line[0].time_ns for line in self._lines.values() if line), default=None)

    def add(self, batch: Batch) -> Dropped:
        """Queue what there is room for. The newest telemetry finds none; an alert takes the place of telemetry."""
        telemetry = alerts = 0
        for run in self._runs(batch):
            is_alert = run.kind == "alerts"
            while is_alert and not self._has_room(run) and self._lines["telemetry"]:
                oldest = self._pop("telemetry")
                self._count(oldest, -1)
                telemetry += len(oldest.messages)
            fitting = run if self._has_room(run) else self._what_fits(run)
            dropped = len(run.messages) - len(fitting.messages)
            if is_alert:
                alerts += dropped
            else:
                telemetry += dropped
            if fitting.messages:
                self._lines[run.kind].append(fitting)
                self._waiting[run.kind] += len(fitting.messages)
                self._count(fitting, 1)
        return Dropped(telemetry, alerts)

    def _runs(self, batch: Batch) -> Iterator[Run]:
        """What stands together and is of one kind."""
        messages = batch.messages
        if not batch.has_alerts:  # as nearly always
            size = batch.content_bytes + _OVERHEAD_BYTES * len(messages)
            yield Run(self._next, "telemetry", messages, size, batch.time_ns)
            self._next += len(messages)
            return
        for is_alert, group in groupby(messages, attrgetter("is_alert")):
            run = _run(self._next, "alerts" if is_alert else "telemetry", list(group), batch.time_ns)
            self._next += len(run.messages)
            yield run

    def _has_room(self, run: Run) -> bool:
        return (
            self.count + len(run.messages) <= self._limit_messages
            and self.size_bytes + run.size_bytes <= self._limit_bytes
        )

    def _what_fits(self, run: Run) -> Run:
        room = self._limit_bytes - self.size_bytes
        fitting = []
        for message in run.messages[: max(0, self._limit_messages - self.count)]:
            room -= len(message.content) + _OVERHEAD_BYTES
            if room < 0:
                break
            fitting.append(message)
        return _run(run.first, run.kind, fitting, run.time_ns)

    def _count(self, run: Run, sign: int) -> None:
        self.count += sign * len(run.messages)
        self.size_bytes += sign * run.size_bytes
        if run.kind == "alerts":
            self.alerts += sign * len(run.messages)

    def take(self, limit: int, *kinds: Kind, before: int | None = None) -> list[Run]:
        """At most `limit` messages, oldest first; if that is not all there is, in the order of `kinds`.

        Only runs whose number is lower than `before`. What is taken is to be settled.
        """
        taken: list[Run] = []
        if before is None and self.waiting(*kinds) <= limit:
            for kind in kinds:
                taken += self._lines[kind]
                self._lines[kind].clear()
                self._waiting[kind] = 0
            taken.sort(key=lambda run: run.first)
            return taken
        for kind in kinds:
            while limit and (line := self._lines[kind]) and (before is None or line[0].first < before):
                run = self._pop(kind)
                if len(run.messages) > limit:
                    self._put_back(run.without(limit))
                    run = _run(run.first, kind, run.messages[:limit], run.time_ns)
                taken.append(run)
                limit -= len(run.messages)
        return taken

    def _pop(self, kind: Kind) -> Run:
        run = self._lines[kind].popleft()
        self._waiting[kind] -= len(run.messages)
        return run

    def _put_back(self, run: Run) -> None:
        self._lines[run.kind].appendleft(run)
        self._waiting[run.kind] += len(run.messages)

    def settle(self, taken: Sequence[Run], left: Sequence[Run]) -> None:
        """What was taken is done with, but for what is left: that goes back to where it was."""
        for run in taken:
            self._count(run, -1)
        for run in reversed(left):
            self._put_back(run)
            self._count(run, 1)


def remaining(runs: Sequence[Run], done: int) -> list[Run]:
    """What is left of runs without their first `done` messages."""
    left = []
    for run in runs:
        count = len(run.messages)
        if done < count:
            left.append(run.without(done) if done else run)
        done = max(0, done - count)
    return left


def merge(runs: Sequence[Run], limit: int) -> list[Run]:
    """Fewer runs of the same messages: those that follow one on the other become one, of at most `limit` messages."""
    merged: list[list[Run]] = []
    count = 0
    for run in runs:
        last = merged[-1][-1] if merged else None
        # what lies between two others may have gone another way, and comes between them again
        follows = last and last.kind == run.kind and last.first + len(last.messages) == run.first
        if follows and count + len(run.messages) <= limit:
            merged[-1].append(run)
            count += len(run.messages)
        else:
            merged.append([run])
            count = len(run.messages)
    return [_join(together) for together in merged]


def _join(runs: list[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    messages = [message for run in runs for message in run.messages]
    return Run(runs[0].first, runs[0].kind, messages, sum(run.size_bytes for run in runs), runs[0].time_ns)
