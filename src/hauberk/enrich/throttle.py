"""Alerts that repeat too fast are folded into one: never silently, and never another rule's.

Time comes in with the events and with `Throttle.due`; nothing here waits or reads a clock.
"""

from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.metrics import Ledger
from hauberk.model.event import Event, Folded
from hauberk.model.policy import Action

_SECOND_NS: Final = 1_000_000_000

_Key: TypeAlias = tuple[str, int, Operation, str | None]
"""Whose alerts are counted together: policy, rule, operation, container.

A rule has one operation; but the posture is no rule, and its verdicts on files must not hide those on sockets.
"""


class _Repeats(msgspec.Struct):
    """The alerts of one key that are folded."""

    first_ns: int
    last_ns: int
    last: Event
    """The one that came last; of different CPUs, that need not be the one of `last_ns`."""

    count: int = 0

    def add(self, event: Event) -> None:
        self.first_ns = min(self.first_ns, event.time_ns)
        self.last_ns = max(self.last_ns, event.time_ns)
        self.last = event
        self.count += 1

    def summary(self) -> Event:
        return replace(self.last, folded=Folded(self.count, self.first_ns, self.last_ns))


class _Window(msgspec.Struct):
    """Alerts of one key: of a second, or of the hold once some are folded."""

    start_ns: int
    delivered: int = 0
    repeats: _Repeats | None = None


class Throttle:
    """Lets `per_second` alerts of a rule and workload through, then folds the rest until `hold_s` have passed.

    Both times begin with the first alert of such a second. Folded alerts are told by one summary when the
    hold is over: the last of them, with `Event.folded`. Every alert is either delivered or in one summary.
    """

    def __init__(
        self, *, per_second: int = 10, hold_s: float = 30, blocks: bool = False, keys: int = 4096
    ) -> None:
        """Alerts whose action was Block are let through, unless `blocks`.

        `keys` bounds how many rules and workloads are counted at a time.
        """
        if per_second < 1 or keys < 1:
            raise ValueError("the first alert of a rule must pass: per_second and keys are at least 1")
        self._per_second = per_second
        self._hold_ns = int(hold_s * _SECOND_NS)
        self._blocks = blocks
        self._keys = keys
        self._windows: dict[_Key, _Window] = {}
        """Ordered by the last alert."""

        self._untold: list[_Repeats] = []
        """Of holds that were over before anybody asked."""

        self._held = 0
        self._folded_count = 0

    @property
    def held(self) -> int:
        """How many alerts are folded, and not yet told by a summary."""
        return self._held

    @property
    def folded_count(self) -> int:
        """How many alerts were folded, ever."""
        return self._folded_count

    def offer(self, event: Event) -> Event | None:
        """The event, if it is to be delivered now; None, if it is folded. A log is always delivered."""
        verdict = event.verdict
        if verdict is None or (verdict.action == Action.BLOCK and not self._blocks):
            return event

        key = (verdict.policy, verdict.rule_id, event.operation, event.workload.container_id)
        window = self._windows.pop(key, None)
        if window is not None and self._is_over(window, event.time_ns):
            self._close(window)
            window = None
        if window is None:
            window = _Window(event.time_ns)
        self._windows[key] = window
        if len(self._windows) > self._keys:
            self._close(self._windows.pop(next(iter(self._windows))))

        if window.delivered < self._per_second:
            window.delivered += 1
            return event
        self._fold(window, event)
        return None

    def fold(self, events: list[Event], now_ns: int, ledger: Ledger) -> list[Event]:
        """The events without repeated alerts, and the summaries that are due."""
        delivered = [event for event in events if event.verdict is None or self.offer(event)]
        ledger.folded += len(events) - len(delivered)
        summaries = self.due(now_ns)
        ledger.summaries += len(summaries)
        return delivered + summaries if summaries else delivered

    def due(self, now_ns: int) -> list[Event]:
        """The summaries of all holds that are over by now; each is told once."""
        for key in [key for key, window in self._windows.items() if self._is_over(window, now_ns)]:
            self._close(self._windows.pop(key))
        return self._tell()

    def flush(self) -> list[Event]:
        """The summaries of all that is still held, at the end."""
        for window in self._windows.values():
            self._close(window)
        self._windows.clear()
        return self._tell()

    def _is_over(self, window: _Window, now_ns: int) -> bool:
        length_ns = _SECOND_NS if window.repeats is None else self._hold_ns
        # Both ways: after a step back of the clock, a hold must not last until the old time comes again.
        return abs(now_ns - window.start_ns) >= length_ns

    def _fold(self, window: _Window, event: Event) -> None:
        if window.repeats is None:
            window.repeats = _Repeats(event.time_ns, event.time_ns, event)
        window.repeats.add(event)
        self._held += 1
        self._folded_count += 1

    def _close(self, window: _Window) -> None:
        if window.repeats is not None:
            self._untold.append(window.repeats)

    def _tell(self) -> list[Event]:
        told, self._untold = self._untold, []
        self._held -= sum(repeats.count for repeats in told)
        return [repeats.summary() for repeats in told]
