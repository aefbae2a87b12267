"""When to try again."""

import pytest

from hauberk.delivery.retry import Backoff


def longest(least_s: float, most_s: float) -> float:
    """The dice always show the most."""
    return most_s


def test_longer_and_longer() -> None:
    """Doubling up to a limit, and from the beginning once it works again."""
    backoff = Backoff(1.0, 10.0, longest)

    assert [1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == [backoff.next_s() for _ in range(6)]
    backoff.reset()
    assert 1.0 == backoff.next_s()


def test_not_all_at_once() -> None:
    """Those that failed together do not come again together."""
    waits = [Backoff(1.0).next_s() for _ in range(100)]

    assert len(set(waits)) > 50
    assert all(0.5 <= wait_s <= 1.0 for wait_s in waits)


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"), [(20.0, 20.0, 22.0), (0.0, 0.0, 1.0), (-5.0, 0.0, 1.0)]
)
def test_a_destination_asks_for_patience(asked_s: float, least_s: float, most_s: float) -> None:
    """It gets at least what it asks for."""
    assert least_s <= Backoff().next_s(asked_s) <= most_s


def test_a_destination_cannot_silence_us() -> None:
    """Not even by asking for a year."""
    assert Backoff().next_s(365 * 86_400.0) < 700
    assert Backoff().next_s(float("inf")) < 700
