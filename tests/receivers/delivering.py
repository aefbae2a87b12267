"""The agent's whole way from events to a receiver: what was put, what the ledger says, what has to arrive."""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hauberk.config import Config, check
from hauberk.delivery.outputs import open_outputs
from hauberk.metrics import Ledger, OutputCounts
from hauberk.model.event import Event
from hauberk.model.workload import HOST, Workload
from tests.events import ALERT, EVENT

SOON_S = 60.0
WORKLOADS = (HOST, Workload("a" * 64, "web"), Workload("b" * 64, "db"))
ALERT_EVERY = 10
NUMBER = re.compile(r"/events/(\d+)(?!\d)")


def number_of(text: str) -> int:
    """Which event a message tells of."""
    found = NUMBER.search(text)
    assert found, text
    return int(found[1])


def eventually(holds: Callable[[], bool], within_s: float = SOON_S) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Delivery:
    """One output, and events of three workloads: every tenth is an alert."""

    def __init__(self, directory: Path, sink: dict[str, Any], **settings: Any) -> None:
        self.ledger = Ledger()
        self.said: list[str] = []
        self.put_count = 0
        self.long = ""
        """What every event has besides."""

        config = check(
            {
                "outputs": [{"name": "it", "sink": sink, **settings}],
                "spool_directory": str(directory / "spool"),
            },
            Config,
        )
        self._outputs = open_outputs(config, self.ledger, self.said.append)

    @property
    def counts(self) -> OutputCounts:
        return self.ledger.outputs["it"]

    def event(self, number: int) -> Event:
        return replace(
            EVENT if number % ALERT_EVERY else ALERT,
            time_ns=EVENT.time_ns + number,
            sequence=number,
            workload=WORKLOADS[number % len(WORKLOADS)],
            resource=f"/events/{number}",
            source=EVENT.source + self.long,
        )

    def put(self, count: int) -> None:
        self._outputs.put([self.event(self.put_count + number) for number in range(count)])
        self.put_count += count

    def put_slowly(self, count: int, until: Callable[[], bool] = lambda: True, at_once: int = 20) -> None:
        """So many, and more until something holds."""
        end = time.monotonic() + SOON_S
        first = self.put_count
        while self.put_count < first + count or not until():
            assert time.monotonic() < end
            self.put(at_once)
            time.sleep(0.01)

    def settled(self) -> bool:
        """Whether nothing waits any more."""
        counts = self.counts
        return counts.delivered + sum(counts.dropped.values()) == counts.offered

    def reopen(self) -> None:
        self._outputs.reopen()

    def close(self) -> None:
        self._outputs.close(SOON_S)

    def hold_against(self, received: Sequence[int]) -> None:
        """Nothing is lost beyond what the ledger names, no alert is, and each workload's events are in order."""
        missing = set(range(self.put_count)) - set(received)
        counts = self.counts

        assert counts.difference == 0
        assert counts.offered == self.put_count
        assert len(missing) == sum(counts.dropped.values())
        assert not [number for number in missing if number % ALERT_EVERY == 0]
        seen = set[int]()
        last = Counter[tuple[int, bool]]()
        for number in received:
            if number not in seen:  # what comes again is known by its ID
                seen.add(number)
                stream = number % len(WORKLOADS), number % ALERT_EVERY == 0
                assert number >= last[stream]
                last[stream] = number
