"""What was told last, for readers of any speed.

Whoever tells never waits: everything gets the next position, and the oldest makes room. A reader is a place in
this. It goes from position to position as fast as it can, and what has made room meanwhile is dropped for it, and
counted. So there is one memory, of one size, however many readers there are and however slow they are.
"""

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Generic, TypeVar

from hauberk.metrics import OutputCounts

T = TypeVar("T")

_KEPT_S: Final = 300.0
"""For how long is kept what nobody reads any more: readers come back."""


class Recent(Generic[T]):
    """The last things that were told."""

    def __init__(
        self, size_of: Callable[[T], int], *, limit: int, limit_bytes: int, always: bool = True
    ) -> None:
        """With `always`, things are kept though nobody has asked for them yet."""
        self._size_of = size_of
        self._limit_bytes = limit_bytes
        self._things: list[T | None] = [None] * limit
        self._sizes = [0] * limit
        self._bytes = 0
        self._always = always
        self._kept_until = 0.0
        self._readers: set[Reader[T]] = set()
        self._lock = threading.Lock()
        self.first = 1
        """Position of the oldest that is kept; `next` if nothing is."""

        self.next = 1
        """The position that the next thing will have."""

    def put(self, things: Sequence[T]) -> None:
        """Take these; what is too much makes room, the oldest first."""
        waiting = []
        with self._lock:
            if not (self._always or self._readers or monotonic() < self._kept_until):
                self._clear()
                self.first = self.next = self.next + len(things)
                return
            for thing in things:
                self._add(thing)
            for reader in self._readers:
                reader.counts.offered += len(things)
                self._shed(reader)
                if reader.is_waiting:
                    reader.is_waiting = False
                    waiting.append(reader)
        for reader in waiting:
            reader.wake()

    def _add(self, thing: T) -> None:
        limit = len(self._things)
        if self.next - self.first == limit:
            self._make_room()
        size = self._size_of(thing)
        slot = self.next % limit
        self._things[slot] = thing
        self._sizes[slot] = size
        self._bytes += size
        self.next += 1
        while self._bytes > self._limit_bytes and self.next - self.first > 1:
            self._make_room()

    def _make_room(self) -> None:
        slot = self.first % len(self._things)
        self._things[slot] = None
        self._bytes -= self._sizes[slot]
        self.first += 1

    def _shed(self, reader: "Reader[T]") -> None:
        """What has made room before a reader took it is dropped for it."""
        if reader.position < self.first:
            reader.counts.drop("too late", self.first - reader.position)
            reader.position = self.first

    def _clear(self) -> None:
        while self.first < self.next:
            self._make_room()

    def join(self, wake: Callable[[], None], position: int | None = None) -> "Reader[T]":
        """A reader that begins at `position`, and without one at what comes next.

        `wake` is called from whatever thread tells, once for each time that the reader has found nothing.
        """
        with self._lock:
            begin = self.next if position is None else max(1, min(position, self.next))
            reader = Reader(self, begin, wake, OutputCounts(offered=self.next - begin))
            self._shed(reader)
            self._readers.add(reader)
            return reader

    def take(self, reader: "Reader[T]", count: int) -> list[tuple[int, T]]:
        """At most so many things from a reader's place on, with their positions; perhaps none."""
        with self._lock:
            end = min(self.next, reader.position + count)
            limit = len(self._things)
            positions = range(reader.position, end)
            things = [(position, self._things[position % limit]) for position in positions]
            reader.position = end
            reader.in_hand += len(things)
            reader.is_waiting = not things
            return things  # type: ignore[return-value]  # between `first` and `next` no slot is empty

    def leave(self, reader: "Reader[T]", reason: str) -> None:
        """What the reader has not had is dropped for it."""
        with self._lock:
            self._readers.discard(reader)
            if not self._readers:
                self._kept_until = monotonic() + _KEPT_S
            waiting = reader.in_hand + self.next - reader.position
            if waiting:
                reader.counts.drop(reason, waiting)
            reader.in_hand, reader.position = 0, self.next


class Reader(Generic[T]):
    """One reader's place."""

    def __init__(
        self, recent: Recent[T], position: int, wake: Callable[[], None], counts: OutputCounts
    ) -> None:
        self._recent = recent
        self.position = position
        """Of what it takes next; what is before it has, had or missed."""

        self.in_hand = 0
        """How many it has taken but not had yet."""

        self.wake = wake
        self.counts = counts
        self.is_waiting = False

    def take(self, count: int) -> list[tuple[int, T]]:
        """At most so many things from its place on, with their positions; perhaps none."""
        return self._recent.take(self, count)

    def deliver(self) -> None:
        """It has had one of those that it took."""
        self.in_hand -= 1
        self.counts.delivered += 1

    def leave(self, reason: str) -> None:
        """It reads no more."""
        self._recent.leave(self, reason)
