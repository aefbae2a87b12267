"""What was told last, and readers of any speed."""

from hauberk.api.recent import Reader, Recent


def recent(limit: int = 10, limit_bytes: int = 1_000_000, always: bool = True) -> Recent[str]:
    return Recent(len, limit=limit, limit_bytes=limit_bytes, always=always)


def nothing() -> None:
    """Somebody who need not be woken."""


def read(reader: Reader[str], count: int = 100) -> list[str]:
    things = reader.take(count)
    for _ in things:
        reader.deliver()
    return [thing for _, thing in things]


def test_reader_gets_what_comes_after_it() -> None:
    """In order; what was before is not its business."""
    told = recent()
    told.put(["before"])
    reader = told.join(nothing)
    told.put(["a", "b"])
    told.put(["c"])

    assert read(reader) == ["a", "b", "c"]
    assert reader.counts.offered == reader.counts.delivered == 3


def test_slow_reader_loses_the_oldest() -> None:
    """Exactly as many as had to make room; the others nothing."""
    told = recent(limit=10)
    slow, quick = told.join(nothing), told.join(nothing)
    for number in range(25):
        told.put([str(number)])
        assert read(quick) == [str(number)]

    assert read(slow) == [str(number) for number in range(15, 25)]
    assert slow.counts.dropped == {"too late": 15}
    assert slow.counts.difference == 0
    assert (quick.counts.delivered, quick.counts.dropped) == (25, {})


def test_what_is_in_hand_is_not_shed() -> None:
    """A reader that is stuck with some loses what comes behind them, at once, and them when it goes."""
    told = recent(limit=10)
    reader = told.join(nothing)
    told.put(["a", "b", "c"])
    assert reader.take(2) == [(1, "a"), (2, "b")]
    reader.deliver()
    told.put([str(number) for number in range(25)])
    assert reader.counts.dropped == {"too late": 16}
    reader.leave("gone")

    assert reader.counts.dropped == {"too late": 16, "gone": 11}
    assert (reader.counts.delivered, reader.counts.difference) == (1, 0)


def test_long_things_make_room_for_each_other() -> None:
    """The memory is bounded by size, too; the last thing is kept however long it is."""
    told = recent(limit_bytes=100)
    reader = told.join(nothing)
    told.put(["x" * 60, "y" * 60, "z" * 1000])

    assert read(reader) == ["z" * 1000]
    assert reader.counts.dropped == {"too late": 2}


def test_reader_goes_on_where_it_was() -> None:
    """A position is enough to go on without a gap."""
    told = recent()
    reader = told.join(nothing)
    told.put(["a", "b"])
    assert read(reader, 1) == ["a"]
    position = reader.position
    reader.leave("gone")
    told.put(["c"])
    again = told.join(nothing, position)

    assert reader.counts.dropped == {"gone": 1}
    assert read(again) == ["b", "c"]
    assert (again.counts.offered, again.counts.difference) == (2, 0)


def test_gap_is_counted() -> None:
    """Who comes back too late is told how much it has missed."""
    told = recent(limit=3)
    told.put([str(number) for number in range(10)])
    reader = told.join(nothing, 2)

    assert read(reader) == ["7", "8", "9"]
    assert (reader.counts.offered, reader.counts.dropped) == (9, {"too late": 6})


def test_position_of_the_future_is_now() -> None:
    """A reader cannot ask for what is not there yet."""
    told = recent()
    told.put(["a"])
    reader = told.join(nothing, 1_000_000)
    told.put(["b"])

    assert read(reader) == ["b"]


def test_unread_things_are_not_kept() -> None:
    """Unless they are wanted always, only from the first reader on; positions go on all the same."""
    told = recent(always=False)
    told.put(["a", "b"])
    reader = told.join(nothing, 1)
    told.put(["c"])
    assert read(reader) == ["c"]
    assert reader.counts.dropped == {"too late": 2}
    reader.leave("gone")
    told.put(["d"])  # it may come back
    again = told.join(nothing, reader.position)

    assert read(again) == ["d"]


def test_sleeping_reader_is_woken_once() -> None:
    """Who has found nothing is told when there is something; who has something to do is left alone."""
    told, calls = recent(), list[str]()
    reader = told.join(lambda: calls.append("woken"))
    told.put(["a"])
    assert calls == []
    read(reader)
    assert read(reader) == []
    told.put(["b"])
    told.put(["c"])

    assert calls == ["woken"]
