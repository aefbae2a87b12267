"""Events that wait for the name of their container.

The kernel knows a container from the birth of its cgroup; its runtime may tell who it is a moment later. What
happens in between waits, in the order in which it happened, and goes on under that name: but not for long, and
not in any number. The others are not held up.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from hauberk.metrics import Ledger
from hauberk.model.event import Event
from hauberk.model.workload import Workload

LOG_WAIT_S: Final = 2.0
ALERT_WAIT_S: Final = 0.5
WAITING_LIMIT: Final = 50_000
"""How many events may wait, of all containers together."""

_NANOSECONDS: Final = 1_000_000_000


class _Line:
    """What waits for one name."""

    __slots__ = ("deadline_ns", "events")

    def __init__(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        self.events: deque[Event] = deque()


class Waiting:
    """The lines before names that are expected. Times are those of one clock, whichever."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        is_wanted: Callable[[Workload], bool] = lambda _: True,
        is_hidden: Callable[[Event], bool] = lambda _: False,
        log_wait_s: float = LOG_WAIT_S,
        alert_wait_s: float = ALERT_WAIT_S,
        limit: int = WAITING_LIMIT,
    ) -> None:
        self._ledger = ledger
        self._is_wanted = is_wanted
        self._is_hidden = is_hidden
        self._log_wait_ns = int(log_wait_s * _NANOSECONDS)
        self._alert_wait_ns = int(alert_wait_s * _NANOSECONDS)
        self._limit = limit
        self._lines: dict[str, _Line] = {}
        """By container ID; the oldest first, as all wait equally long."""

        self._released: list[Event] = []

    def __bool__(self) -> bool:
        return bool(self._lines or self._released)

    def is_expected(self, container_id: str) -> bool:
        return container_id in self._lines

    def expect(self, container_id: str, now_ns: int) -> None:
        """Somebody was asked for the name of this container."""
        self._lines.setdefault(container_id, _Line(now_ns + self._log_wait_ns))

    def tell(self, workload: Workload) -> None:
        """The name is known."""
        if workload.container_id is not None and workload.container_id in self._lines:
            self._release(workload.container_id, workload)

    def pass_on(self, events: list[Event], now_ns: int) -> list[Event]:
        """Of these and of those that wait, all that can go on now, in order for each container."""
        if not self._lines and not self._released:
            return events
        passed, self._released = self._released, []
        for event in events:
            line = self._lines.get(event.workload.container_id or "")
            if line is None:
                passed.append(event)
                continue
            line.events.append(event)
            self._ledger.waited += 1
            self._ledger.waiting += 1
            if event.verdict is not None:
                line.deadline_ns = min(line.deadline_ns, now_ns + self._alert_wait_ns)
        self._give_up(now_ns)
        passed += self._released
        self._released = []
        return passed

    def flush(self) -> list[Event]:
        """All that wait, as they are: there is nobody any more who could tell."""
        for container_id in list(self._lines):
            self._release(container_id, None)
        passed, self._released = self._released, []
        return passed

    def _give_up(self, now_ns: int) -> None:
        late = [container_id for container_id, line in self._lines.items() if line.deadline_ns <= now_ns]
        for container_id in late:
            self._release(container_id, None)
        while self._ledger.waiting > self._limit:
            self._release(next(each for each, line in self._lines.items() if line.events), None)

    def _release(self, container_id: str, workload: Workload | None) -> None:
        for event in self._lines.pop(container_id).events:
            self._ledger.waiting -= 1
            if workload is None:
                self._ledger.unnamed += 1
            named = msgspec.structs.replace(event, workload=workload) if workload else event
            if named.verdict is None and not self._is_wanted(named.workload):
                self._ledger.filter("workload")
            elif named.verdict is None and self._is_hidden(named):
                self._ledger.filter("visibility")
            else:
                self._released.append(named)
