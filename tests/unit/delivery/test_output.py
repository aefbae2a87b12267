"""Outputs: the queue before a sink."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from hauberk.config import OutputFilter
from hauberk.delivery.encoder import Encoder
from hauberk.delivery.output import Output
from hauberk.delivery.retry import Backoff
from hauberk.delivery.spool import Spool
from hauberk.errors import SinkBusy, SinkError, SinkRefused
from hauberk.formats import Format
from hauberk.metrics import OutputCounts
from hauberk.model.event import Event
from hauberk.sinks import Message
from tests.events import ALERT, EVENT

SOON_S = 60.0
PLENTY = 1 << 30
PIDS = Format(lambda event: str(event.host_pid).encode(), "text/plain")
ROOT = Path(__file__).parents[3]


def events(*numbers: int) -> list[Event]:
    """Of which nothing but their PID is looked at here. Those below 0 are alerts."""
    return [replace(EVENT if number >= 0 else ALERT, host_pid=number) for number in numbers]


def wait_until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SOON_S
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


class Memory:
    """A sink that waits at a gate, and answers as it is told to, then takes everything."""

    def __init__(self, *answers: Exception, is_open: bool = True, forever: Exception | None = None) -> None:
        self.numbers: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.answers: Iterator[Exception] = iter(answers)
        self.forever = forever
        self.asked: list[float] = []
        self.reopened = 0
        self.closed = 0
        if is_open:
            self.gate.set()

    def write(self, messages: Sequence[Message]) -> None:
        self.asked.append(time.monotonic())
        self.entered.set()
        assert self.gate.wait(SOON_S)
        numbers = [int(message.content) for message in messages]
        answer = next(self.answers, self.forever)
        if answer is None:
            self.numbers += numbers
            return
        if isinstance(answer, SinkRefused):
            self.numbers += numbers[: len(numbers) - answer.refused]
        elif isinstance(answer, SinkError):
            self.numbers += numbers[: answer.delivered]
        raise answer

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        self.closed += 1


class Trial:
    """An output before a sink of ours."""

    def __init__(
        self, sink: Memory, *, form: Format = PIDS, queue_events: int = PLENTY, spool: Spool | None = None
    ) -> None:
        self.said: list[str] = []
        self.counts = OutputCounts()
        self.output = Output(
            Encoder(form, OutputFilter(), self.said.append),
            sink,
            self.counts,
            queue_events=queue_events,
            queue_bytes=PLENTY,
            warn=self.said.append,
            spool=spool,
            backoff=Backoff(0.001, 0.01),
        )

    def put(self, *numbers: int) -> None:
        self.output.put(events(*numbers))

    def wait_for(self, **counts: int) -> None:
        for name, count in counts.items():
            wait_until(partial(self._is, name, count), f"{name} is {count}")

    def _is(self, name: str, count: int) -> bool:
        return bool(getattr(self.counts, name) == count)

    def close(self, timeout_s: float = SOON_S) -> OutputCounts:
        """The account, which adds up."""
        self.output.close(timeout_s)
        assert 0 == self.counts.difference, self.counts
        assert 0 == self.counts.queued
        return self.counts


def test_order_is_kept() -> None:
    """Messages arrive in the order in which events were put, and all are counted."""
    sink = Memory()
    trial = Trial(sink)
    for number in range(50):
        trial.put(number)
    counts = trial.close()

    assert sink.numbers == list(range(50))
    assert (counts.offered, counts.delivered, counts.dropped) == (50, 50, {})
    assert 1 == sink.closed


def test_full_queue_drops_and_counts() -> None:
    """A sink that does not move costs what does not fit, exactly, and `put` does not wait for it."""
    sink = Memory(is_open=False)
    trial = Trial(sink, queue_events=10)
    trial.put(0)
    assert sink.entered.wait(SOON_S)
    trial.put(*range(1, 31))
    trial.put(*range(31, 35))
    sink.gate.set()
    counts = trial.close()

    assert sink.numbers == list(range(10))
    assert (counts.offered, counts.delivered, counts.dropped) == (35, 10, {"queue full": 25})


def test_alerts_before_telemetry() -> None:
    """In a full queue an alert takes the place of telemetry, and is sent first; only alerts cost alerts."""
    sink = Memory(is_open=False)
    trial = Trial(sink, queue_events=6)
    trial.put(0)
    assert sink.entered.wait(SOON_S)
    trial.put(1, 2, 3, 4, 5)
    trial.put(-1, -2)
    trial.put(6)
    trial.put(-3, -4, -5, -6)
    sink.gate.set()
    counts = trial.close()

    assert sink.numbers == [0, -1, -2, -3, -4, -5]
    assert counts.dropped == {"queue full": 6, "queue full of alerts": 1}


def test_what_finds_no_room_is_not_encoded() -> None:
    """A dead sink costs no more than counting."""
    encoded: list[int] = []

    def encode(event: Event) -> bytes:
        encoded.append(event.host_pid)
        return b"0"

    sink = Memory(is_open=False)
    trial = Trial(sink, form=Format(encode, "text/plain"), queue_events=1)
    trial.put(0)
    trial.put(*range(1, 100), -1)
    sink.gate.set()
    trial.close()

    assert [0, -1] == encoded


def test_failing_sink_is_tried_again() -> None:
    """Nothing is lost to a failure that passes, and it is told once."""
    sink = Memory(SinkError("no"), SinkError("no"))
    trial = Trial(sink)
    trial.put(1, 2, 3)
    trial.wait_for(delivered=3)
    trial.close()

    assert sink.numbers == [1, 2, 3]
    assert [
        "no; it is tried again, and what comes meanwhile waits in memory as far as there is room",
        "the output works again",
    ] == trial.said


def test_alerts_overtake_what_failed() -> None:
    """Telemetry that failed goes back, so that an alert that comes meanwhile is first."""
    sink = Memory(SinkError("no"), is_open=False)
    trial = Trial(sink)
    trial.put(*range(5_000))
    assert sink.entered.wait(SOON_S)
    trial.put(-1)
    sink.gate.set()
    trial.wait_for(delivered=5_001)
    trial.close()

    assert sink.numbers == [-1, *range(5_000)]


def test_what_was_delivered_is_not_sent_again() -> None:
    """A write may fail in the middle."""
    sink = Memory(SinkError("no", delivered=2), SinkError("no", delivered=1, refused=1))
    trial = Trial(sink)
    trial.put(1, 2, 3, 4, 5)
    trial.wait_for(delivered=4)
    counts = trial.close()

    assert sink.numbers == [1, 2, 3, 5]
    assert counts.dropped == {"refused": 1}


def test_refused_is_not_sent_again() -> None:
    """It is dropped, counted and told."""
    sink = Memory(SinkRefused("too large", refused=2))
    trial = Trial(sink)
    trial.put(1, 2, 3)
    trial.wait_for(delivered=1)
    counts = trial.close()

    assert counts.dropped == {"refused": 2}
    assert ["too large; 2 messages were refused for good, and are dropped"] == trial.said


def test_busy_sink_is_left_alone() -> None:
    """For as long as it asks."""
    sink = Memory(SinkBusy("busy", retry_after_s=0.5))
    trial = Trial(sink)
    trial.put(1)
    trial.wait_for(delivered=1)
    trial.close()

    assert sink.asked[1] - sink.asked[0] >= 0.5


def test_bug_in_a_sink() -> None:
    """It is told with its traceback, costs what the sink had in hand, and not the output."""
    sink = Memory(ZeroDivisionError("oops"))
    trial = Trial(sink)
    trial.put(1, 2)
    trial.wait_for(queued=0)
    trial.put(3)
    counts = trial.close()

    assert sink.numbers == [3]
    assert counts.dropped == {"bug in the sink": 2}
    assert "ZeroDivisionError: oops" in trial.said[0]


def test_bug_in_a_format() -> None:
    """It costs the events that cannot be encoded, and no others."""

    def encode(event: Event) -> bytes:
        return str(event.host_pid // (event.host_pid != 2)).encode()

    sink = Memory()
    trial = Trial(sink, form=Format(encode, "text/plain"))
    trial.put(1, 2, 3)
    trial.put(2)
    counts = trial.close()

    assert sink.numbers == [1, 3]
    assert counts.dropped == {"cannot be encoded": 2}
    assert 1 == len(trial.said)


def test_dead_sink_at_close_is_counted() -> None:
    """What could not be written before the end is dropped with a reason."""
    trial = Trial(Memory(forever=SinkError("no")))
    trial.put(1, 2)
    counts = trial.close()

    assert counts.dropped == {"sink failed": 2}


def test_hanging_sink_at_close_is_counted() -> None:
    """One that never comes back does not keep the agent, and what it does later is not counted."""
    sink = Memory(is_open=False)
    trial = Trial(sink)
    trial.put(1, 2)
    assert sink.entered.wait(SOON_S)
    counts = trial.close(0.0)
    sink.gate.set()
    wait_until(lambda: sink.numbers, "the sink comes back")

    assert counts.dropped == {"closed": 2}
    assert 0 == sink.closed
    assert 0 == counts.delivered


def test_reopen_reaches_the_sink() -> None:
    """A request to reopen needs no event to be noticed, and does not wait for a sink that wants patience."""
    sink = Memory(SinkBusy("busy", retry_after_s=SOON_S))
    trial = Trial(sink)
    trial.output.reopen()
    wait_until(lambda: 1 == sink.reopened, "it is reopened")
    trial.put(1)
    wait_until(lambda: 1 == len(sink.asked), "it is asked")
    trial.output.reopen()
    trial.wait_for(delivered=1)
    trial.close()

    assert 2 == sink.reopened


# With a spool


def open_spool(tmp_path: Path, limit_bytes: int = PLENTY) -> Spool:
    return Spool(tmp_path / "a.db", limit_bytes, "", pytest.fail)


def test_restart(tmp_path: Path) -> None:
    """What a dead sink did not take is sent by the next run: alerts, then telemetry, each in order, then what is new."""
    first = Trial(Memory(forever=SinkError("no")), spool=open_spool(tmp_path))
    first.put(*range(5_000), -1)
    first.put(-2, 5_000)
    counts = first.close()
    assert (5_003, 0, 5_003, {}) == (counts.offered, counts.delivered, counts.spooled, counts.dropped)

    sink = Memory()
    second = Trial(sink, spool=open_spool(tmp_path))
    second.put(-3, 5_001)
    second.wait_for(delivered=5_005)
    counts = second.close()

    assert (5_003, 2, 5_005, 0) == (counts.replayed, counts.offered, counts.delivered, counts.spooled)
    assert [-1, -2] == [number for number in sink.numbers if number < 0][:2]
    assert list(range(5_002)) == [number for number in sink.numbers if number >= 0]


def test_alerts_are_on_disk_while_the_sink_hangs(tmp_path: Path) -> None:
    """Whatever the sink does: what it has in hand, and what comes meanwhile, is on disk."""
    sink = Memory(is_open=False)
    trial = Trial(sink, spool=open_spool(tmp_path))
    trial.put(-1)
    assert sink.entered.wait(SOON_S)
    trial.put(-2, 1)
    trial.put(-3)
    trial.wait_for(spooled=3)
    trial.output.refresh()
    assert ALERT.time_ns == trial.counts.oldest_ns
    counts = trial.close(0.0)

    assert (4, {}) == (counts.spooled, counts.dropped)
    sink.gate.set()


def test_telemetry_of_a_sink_that_keeps_up_needs_no_disk(tmp_path: Path) -> None:
    """Only alerts go there."""
    spool = open_spool(tmp_path)
    saved: list[str] = []
    save = spool.save
    spool.save = lambda runs: saved.extend(run.kind for run in runs) or save(runs)  # type: ignore[method-assign,func-returns-value]
    sink = Memory()
    trial = Trial(sink, spool=spool)
    for number in range(1, 20):
        trial.put(number, -number)
        trial.wait_for(delivered=2 * number)
    trial.close()

    assert {"alerts"} == set(saved)


def test_a_slow_sink_uses_the_disk(tmp_path: Path) -> None:
    """What does not fit into memory waits on disk, in order, and nothing is dropped."""
    sink = Memory(SinkError("no", delivered=7), is_open=False)
    trial = Trial(sink, queue_events=1_000, spool=open_spool(tmp_path))
    trial.put(*range(100))
    assert sink.entered.wait(SOON_S)
    for number in range(100, 20_000, 100):
        trial.put(*range(number, number + 100))
        wait_until(lambda: trial.counts.queued < 600, "the disk has it")
    sink.gate.set()
    trial.wait_for(delivered=20_000)
    counts = trial.close()

    assert sink.numbers == list(range(20_000))
    assert {} == counts.dropped


def test_a_full_spool(tmp_path: Path) -> None:
    """The oldest telemetry goes, and is counted; alerts stay."""
    first = Trial(Memory(forever=SinkError("no")), queue_events=200, spool=open_spool(tmp_path, 60_000))
    for number in range(1, 10_001, 100):
        first.put(*range(number, number + 100), -number)
        wait_until(lambda: first.counts.queued < 60, "the disk has it")
    counts = first.close()
    dropped = counts.dropped.pop("spool full")

    assert {} == counts.dropped
    assert counts.offered == 10_100 == counts.spooled + dropped
    assert dropped > 1_000
    sink = Memory()
    second = Trial(sink, spool=open_spool(tmp_path))
    second.wait_for(delivered=counts.spooled)
    second.close()
    assert [-number for number in range(1, 10_001, 100)] == [number for number in sink.numbers if number < 0]
    telemetry = [number for number in sink.numbers if number > 0]
    assert list(range(10_001 - len(telemetry), 10_001)) == telemetry


def test_a_spool_that_fails(tmp_path: Path) -> None:
    """Then alerts are sent from memory: later is better than never."""
    spool = open_spool(tmp_path)
    spool._path = tmp_path / "none" / "a.db"
    spool._set_aside()
    sink = Memory()
    trial = Trial(sink, spool=spool)
    trial.put(-1, 1)
    trial.wait_for(delivered=2)
    trial.close()

    assert {-1, 1} == set(sink.numbers)
    assert 1 == len(trial.said)
    assert "cannot use the spool" in trial.said[0]


CHILD = """
import sys
import time
from functools import partial
from pathlib import Path
from tests.unit.delivery.test_output import Memory, SinkError, Trial, open_spool
trial = Trial(Memory(forever=SinkError("no")), queue_events=2_000, spool=open_spool(Path(sys.argv[1]), 500_000))
number = 0
while True:
    number += 1
    trial.put(*range(number * 100, number * 100 + 100), -number)
    print(trial.output._spool.alerts, flush=True)
    while trial.counts.queued > 1_000:
        time.sleep(0.001)
"""


def test_killed(tmp_path: Path) -> None:
    """kill -9 with a full spool: every alert that was on disk arrives after the restart, in order, and once."""
    for life in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, tmp_path],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        )
        assert child.stdout
        accepted = 0
        while accepted < 100 + 37 * life:
            accepted = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        child.wait()
        lines = child.stdout.read().split(b"\n")[:-1]  # the last may be cut off
        child.stdout.close()
        accepted = max([accepted, *map(int, lines)])
        sink = Memory()
        trial = Trial(sink, spool=open_spool(tmp_path))
        trial.wait_for(delivered=trial.counts.replayed)
        counts = trial.close()
        alerts = [number for number in sink.numbers if number < 0]
        assert list(range(-1, -len(alerts) - 1, -1)) == alerts
        assert len(alerts) >= accepted >= 100
        telemetry = [number for number in sink.numbers if number >= 0]
        assert sorted(telemetry) == telemetry
        assert len(telemetry) > 0
        assert counts.delivered == counts.replayed
