"""Outputs: the queue between a format and a sink."""

import threading
from collections.abc import Sequence

from msgspec.structs import replace

from hauberk.config import OutputFilter
from hauberk.delivery.encoder import Encoder
from hauberk.delivery.output import Output
from hauberk.errors import SinkError
from hauberk.formats import Format
from hauberk.metrics import OutputCounts
from hauberk.model.event import Event
from hauberk.sinks import Message
from tests.events import EVENT

SOON_S = 60.0
PIDS = Format(lambda event: str(event.host_pid).encode(), "text/plain")


def events(*numbers: int) -> list[Event]:
    """Of which nothing but their PID is looked at here."""
    return [replace(EVENT, host_pid=number) for number in numbers]


class Memory:
    """A sink that waits at a gate, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.lines: list[bytes] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.failures = failures
        self.reopened = 0

    def write(self, messages: Sequence[Message]) -> None:
        self.entered.set()
        assert self.gate.wait(SOON_S)
        if self.failures:
            self.failures -= 1
            raise SinkError("no")
        self.lines += [message.content for message in messages]

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        pass


def make(sink: Memory, queue_events: int, said: list[str]) -> tuple[Output, OutputCounts]:
    counts = OutputCounts()
    encoder = Encoder(PIDS, OutputFilter(), said.append)
    return Output(encoder, sink, counts, queue_events=queue_events, complain=said.append), counts


def test_order_is_kept() -> None:
    """Lines arrive in the order in which events were put, and all are counted."""
    sink = Memory()
    sink.gate.set()
    output, counts = make(sink, 100, [])
    for number in range(50):
        output.put(events(number))
    output.close(SOON_S)

    assert sink.lines == [str(number).encode() for number in range(50)]
    assert (counts.offered, counts.delivered, counts.dropped) == (50, 50, {})


def test_full_queue_drops_and_counts() -> None:
    """A sink that does not move costs what does not fit, exactly, and `put` does not wait for it."""
    sink = Memory()
    output, counts = make(sink, 10, [])
    output.put(events(0))
    assert sink.entered.wait(SOON_S)
    output.put(events(*range(1, 31)))
    sink.gate.set()
    output.close(SOON_S)

    assert sink.lines == [str(number).encode() for number in range(10)]
    assert (counts.offered, counts.delivered, counts.dropped) == (31, 10, {"queue full": 21})
    assert counts.difference == 0


def test_failing_sink_is_tried_again() -> None:
    """Nothing is lost to a failure that passes, and it is told once."""
    sink, said = Memory(failures=2), list[str]()
    sink.gate.set()
    output, counts = make(sink, 100, said)
    output.put(events(1, 2, 3))
    while counts.delivered < 3:
        threading.Event().wait(0.01)
    output.close(SOON_S)

    assert sink.lines == [b"1", b"2", b"3"]
    assert len(said) == 2
    assert "no; events wait" in said[0]


def test_dead_sink_at_close_is_counted() -> None:
    """What could not be written before the end is dropped with a reason."""
    sink = Memory(failures=1_000_000)
    sink.gate.set()
    output, counts = make(sink, 100, [])
    output.put(events(1, 2))
    output.close(SOON_S)

    assert counts.dropped == {"sink failed": 2}
    assert counts.difference == 0


def test_reopen_reaches_the_sink() -> None:
    """A request to reopen needs no event to be noticed."""
    sink = Memory()
    sink.gate.set()
    output, _ = make(sink, 100, [])
    output.reopen()
    while not sink.reopened:
        threading.Event().wait(0.01)
    output.close(SOON_S)

    assert sink.reopened == 1
