"""What waits in memory."""

from hypothesis import given
from hypothesis import strategies as st

from hauberk.delivery.queue import Batch, Dropped, Queue, Run, merge, remaining
from hauberk.sinks import Message

PLENTY = 1 << 30


def messages(text: str) -> list[Message]:
    """A message a letter: capitals are alerts."""
    return [Message(letter.encode(), letter.isupper(), letter, "") for letter in text]


def batch(together: list[Message], time_ns: int) -> Batch:
    size = sum(len(message.content) for message in together)
    return Batch(together, size, any(message.is_alert for message in together), time_ns)


def text(runs: list[Run]) -> str:
    return "".join(message.content.decode() for run in runs for message in run.messages)


def test_all_in_order_if_it_fits() -> None:
    """An alert does not overtake what leaves with it."""
    queue = Queue(100, PLENTY)
    queue.add(batch(messages("abCd"), 1))
    queue.add(batch(messages("Ef"), 2))

    assert "abCdEf" == text(queue.take(6, "alerts", "telemetry"))


def test_alerts_first_if_not() -> None:
    """When there is more than one write, alerts are in the first."""
    queue = Queue(100, PLENTY)
    queue.add(batch(messages("abCd"), 1))
    queue.add(batch(messages("Ef"), 2))

    assert "CEa" == text(queue.take(3, "alerts", "telemetry"))
    assert "bdf" == text(queue.take(3, "alerts", "telemetry"))


def test_full_of_telemetry() -> None:
    """New telemetry finds no room; an alert makes itself room."""
    queue = Queue(4, PLENTY)
    assert Dropped(telemetry=2) == queue.add(batch(messages("abcdef"), 1))
    assert queue.is_full
    assert Dropped(telemetry=4) == queue.add(batch(messages("X"), 2))
    assert Dropped() == queue.add(batch(messages("yz"), 3))
    assert Dropped(telemetry=2, alerts=0) == queue.add(batch(messages("QR"), 3))

    assert "XQR" == text(queue.take(9, "alerts", "telemetry"))


def test_full_of_alerts() -> None:
    """Then the newest have no room, and are told apart."""
    queue = Queue(3, PLENTY)
    queue.add(batch(messages("ABC"), 1))

    assert Dropped(telemetry=1, alerts=2) == queue.add(batch(messages("DxE"), 2))
    assert "ABC" == text(queue.take(9, "alerts", "telemetry"))


def test_bounded_in_bytes() -> None:
    """Few large messages fill it as well as many small ones."""
    queue = Queue(1_000, 10_000)
    large = [Message(b"x" * 4_000, False, "", "")] * 5

    assert Dropped(telemetry=3) == queue.add(batch(large, 1))
    assert 2 == queue.count
    assert queue.size_bytes <= 10_000


def test_what_is_taken_counts_until_it_is_settled() -> None:
    """And what was not done goes back to where it was."""
    queue = Queue(4, PLENTY)
    queue.add(batch(messages("abcd"), 1))
    taken = queue.take(3, "alerts", "telemetry")
    assert 4 == queue.count
    queue.settle(taken, remaining(taken, 1))

    assert 3 == queue.count
    assert "bcd" == text(queue.take(9, "alerts", "telemetry"))


def test_only_what_is_older() -> None:
    """What was given back may be older than what is on disk; what came later is not."""
    queue = Queue(100, PLENTY, first=10)
    queue.add(batch(messages("ab"), 1))
    queue.add(batch(messages("cd"), 1))

    assert "ab" == text(queue.take(9, "telemetry", before=12))
    assert "" == text(queue.take(9, "telemetry", before=12))
    assert "cd" == text(queue.take(9, "telemetry"))


def test_merge() -> None:
    """Small runs become rows of a sensible size; what others may come between stays apart."""
    queue = Queue(100, PLENTY)
    for letters in ("a", "b", "c", "d", "X", "eY", "f", "g"):
        queue.add(batch(messages(letters), ord(letters[0])))
    merged = merge(queue.take(100, "telemetry"), 3)

    assert ["abc", "d", "e", "fg"] == [text([run]) for run in merged]
    assert [0, 3, 5, 7] == [run.first for run in merged]
    assert [ord(letter) for letter in "adef"] == [run.time_ns for run in merged]


@given(
    st.lists(
        st.one_of(
            st.text("abcXYZ", max_size=6),
            st.tuples(st.integers(1, 5), st.integers(0, 5), st.booleans()),
        )
    ),
    st.integers(1, 12),
)
def test_nothing_is_lost(steps: list[str | tuple[int, int, bool]], limit: int) -> None:
    """Whatever happens: what came in left, was dropped, or is there; alerts only go for alerts; each in order."""
    queue = Queue(limit, PLENTY)
    came = left = dropped = 0
    number = 0
    told: dict[bool, list[int]] = {True: [], False: []}
    for step in steps:
        if isinstance(step, str):
            came_now = [
                Message(letter.encode(), letter.isupper(), str(number + at), "")
                for at, letter in enumerate(step)
            ]
            number += len(came_now)
            came += len(came_now)
            gone = queue.add(batch(came_now, 1))
            dropped += gone.telemetry + gone.alerts
            assert not gone.alerts or queue.count == queue.alerts == limit
        else:
            take, done, alerts_only = step
            kinds = ("alerts",) if alerts_only else ("alerts", "telemetry")
            taken = queue.take(take, *kinds)
            flat = [message for run in taken for message in run.messages]
            assert len(flat) <= take
            for message in flat[:done]:
                told[message.is_alert].append(int(message.id))
            left += len(flat[:done])
            queue.settle(taken, remaining(taken, done))
        assert came == left + dropped + queue.count
        assert queue.count <= limit
        assert queue.waiting("alerts") == queue.alerts
    for numbers in told.values():
        assert sorted(numbers) == numbers
    rest = queue.take(limit, "alerts", "telemetry")
    queue.settle(rest, [])
    assert (0, 0, 0) == (queue.count, queue.alerts, queue.size_bytes)
