"""Follows the runtimes, each in two threads: one hears what changes, one answers what we ask.

What they tell waits for `news`, so that one thread alone keeps what is known.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import msgspec

from hauberk.errors import RuntimeUnreachable
from hauberk.runtimes import Container, Runtime, Source, Unreadable, described
from hauberk.threads import supervised

_RECONNECT_S: Final = 0.1
_RECONNECT_MOST_S: Final = 1.0
"""How long to wait before a lost runtime is looked for again: from the first up to the second, doubling."""

_ASK_AGAIN_S: Final = 0.005
"""How soon a runtime that does not know a container yet is asked again, doubling each time."""

_ASKED_KEPT: Final = 10_000
"""Questions for a runtime that does not answer."""

_SETTLED_S: Final = 1.0
_LIST_AGAIN_S: Final = 600.0
"""When all is listed once more: soon after the connection, as a stream of changes may begin late; and then rarely, as
nothing else is answered meanwhile."""

_CLOSE_S: Final = 5.0


class News(msgspec.Struct, frozen=True):
    """What a runtime says of a container."""

    container_id: str
    container: Container | None
    """None: it is gone."""


class Watcher:
    """Follows one runtime."""

    def __init__(
        self,
        source: Source,
        tell: Callable[[News], None],
        warn: Callable[[str], None],
        patience_s: float,
    ) -> None:
        self.source = source
        self._tell_news = tell
        self._complain = warn
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._asking = threading.Lock()
        """Held from a question to the telling of its answer: an older answer never comes after a newer one."""

        self._runtime: Runtime | None = None
        self._told: dict[str, Container] = {}
        self._asked: list[tuple[float, float, float, str]] = []
        """What to ask, the most urgent first: when, since when, after which delay, the ID."""

        self._list_at = 0.0
        self._closing = threading.Event()
        self._is_broken = False
        self._unread: dict[str, str] = {}
        """Of containers of which nobody can read what the runtime says: why."""

        self._threads = [
            supervised(f"{source.kind} {name}", run, warn, self._closing)
            for name, run in (("changes", self._follow), ("answers", self._answer))
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, container_id: str) -> None:
        """Have the runtime tell of this container as soon as it knows it."""
        now = time.monotonic()
        with self._changed:
            if len(self._asked) < _ASKED_KEPT:
                heappush(self._asked, (now, now, _ASK_AGAIN_S, container_id))
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
            if self._runtime:
                self._runtime.close()
        for thread in self._threads:
            thread.join(_CLOSE_S)

    def _follow(self) -> None:
        delay_s = _RECONNECT_S
        while not self._closing.is_set():
            runtime = None
            try:
                runtime = self.source.connect()
                changes = runtime.changes()  # before the list: nothing falls in between
                self._list(runtime)
                with self._changed:
                    if self._closing.is_set():
                        break
                    self._runtime = runtime
                    self._list_at = time.monotonic() + _SETTLED_S
                    self._changed.notify_all()
                self._say(f"{self.source.name} tells of {len(self._told)} containers", is_broken=False)
                delay_s = _RECONNECT_S
                for container_id in changes:
                    if container_id:
                        with self._asking:
                            self._tell(container_id, self._find(runtime, container_id))
                    else:
                        self._list_soon()
                problem = f"{self.source.path}: it has ended the connection"
            except RuntimeUnreachable as error:
                problem = str(error)
            finally:
                with self._changed:
                    self._runtime = None
                if runtime:
                    runtime.close()
            if self._closing.is_set():
                return
            self._say(
                f"{problem}; new containers of {self.source.kind} have no names until it answers",
                is_broken=True,
            )
            self._closing.wait(delay_s)
            delay_s = min(2 * delay_s, _RECONNECT_MOST_S)

    def _list_soon(self) -> None:
        """An event could not be read: what it was about is found by looking at all."""
        with self._changed:
            if self._list_at > time.monotonic() + _SETTLED_S:
                self._complain(
                    f"{self.source.name} sends an event that cannot be read; its containers are listed again"
                )
                self._list_at = time.monotonic() + _SETTLED_S
                self._changed.notify_all()

    def _find(self, runtime: Runtime, container_id: str) -> Container | None:
        return self._readable(container_id, described(container_id, lambda: runtime.find(container_id)))

    def _readable(self, container_id: str, found: Container | Unreadable | None) -> Container | None:
        """What is known of a container now: what was known before, with a warning, if it cannot be read."""
        if not isinstance(found, Unreadable):
            self._unread.pop(container_id, None)
            return found
        if self._unread.get(container_id) != found.reason:
            if len(self._unread) >= _ASKED_KEPT:
                self._unread.clear()
            self._unread[container_id] = found.reason
            self._complain(
                f"{self.source.name} says of container {container_id[:12]} what cannot be read, so what was known "
                f"of it stays: {found.reason}"
            )
        return self._told.get(container_id)

    def _say(self, text: str, *, is_broken: bool) -> None:
        """Once, until it is otherwise."""
        if is_broken != self._is_broken or not is_broken:
            self._complain(text)
        self._is_broken = is_broken

    def _list(self, runtime: Runtime) -> None:
        """Tell of all there are, and of those that went unnoticed."""
        with self._asking:
            readable = (self._readable(each.id, each) for each in runtime.containers())
            found = {container.id: container for container in readable if container}
            for container_id in self._told.keys() - found.keys():
                self._tell(container_id, None)
            for container_id, container in found.items():
                self._tell(container_id, container)

    def _tell(self, container_id: str, container: Container | None) -> None:
        """What is new."""
        if self._told.get(container_id) == container:
            return
        if container:
            self._told[container_id] = container
        else:
            self._told.pop(container_id, None)
        self._tell_news(News(container_id, container))

    def _answer(self) -> None:
        while True:
            with self._changed:
                runtime = self._runtime
                now = time.monotonic()
                if self._closing.is_set():
                    return
                due = min(self._list_at, self._asked[0][0]) if self._asked else self._list_at
                if runtime is None or due > now:
                    self._changed.wait(due - now if runtime else None)
                    continue
                question = heappop(self._asked) if self._asked and self._asked[0][0] <= now else None
                if not question:
                    self._list_at = now + _LIST_AGAIN_S
            try:
                if question:
                    self._ask(runtime, question)
                else:
                    self._list(runtime)
            except RuntimeUnreachable:  # the other thread says so, and connects anew
                with self._changed:
                    if question:
                        heappush(self._asked, question)
                    self._changed.wait(_RECONNECT_S)

    def _ask(self, runtime: Runtime, question: tuple[float, float, float, str]) -> None:
        _, since, delay_s, container_id = question
        with self._asking:
            container = self._told.get(container_id) or self._find(runtime, container_id)
            if container:  # told again too: who asks may have forgotten it
                self._told[container_id] = container
                self._tell_news(News(container_id, container))
        if not container and time.monotonic() - since < self._patience_s:
            with self._changed:
                heappush(self._asked, (time.monotonic() + delay_s, since, 2 * delay_s, container_id))


class Runtimes:
    """All runtimes of this machine that were found, and that come later."""

    def __init__(
        self,
        sources: Iterable[Source],
        warn: Callable[[str], None],
        *,
        patience_s: float,
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called, by any thread, when there is news."""
        self._sources = tuple(sources)
        self._complain = warn
        self._patience_s = patience_s
        self._watchers: dict[Path, Watcher] = {}
        self._news: deque[News] = deque()
        self._wake = wake

    def look(self) -> None:
        """Begin to follow what has come."""
        for source in self._sources:
            real = source.path.resolve()  # Docker's socket may be a link to Podman's
            if real not in self._watchers and source.is_there:
                self._watchers[real] = Watcher(source, self._take, self._complain, self._patience_s)

    @property
    def are_found(self) -> bool:
        return bool(self._watchers)

    def _take(self, news: News) -> None:
        self._news.append(news)
        self._wake()

    def ask(self, container_id: str) -> bool:
        """Ask all for the name of a container; False if there is nobody to ask."""
        for watcher in self._watchers.values():
            watcher.ask(container_id)
        return bool(self._watchers)

    def news(self) -> list[News]:
        """What was told since the last call, in that order."""
        found = []
        while self._news:
            found.append(self._news.popleft())
        return found

    def close(self) -> None:
        for watcher in self._watchers.values():
            watcher.close()
