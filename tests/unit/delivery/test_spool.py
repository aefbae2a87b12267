"""What waits on disk."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hauberk.delivery.queue import Batch, Kind, Queue, Run
from hauberk.delivery.spool import Spool
from hauberk.errors import ConfigError, SpoolError
from hauberk.sinks import Message

PLENTY = 1 << 30


def messages(*numbers: int, alerts: bool = False, size: int = 8) -> list[Message]:
    """What cannot be compressed."""
    return [
        Message(f"{number}:{os.urandom(size // 2).hex()}".encode(), alerts, f"id-{number}", "host")
        for number in numbers
    ]


class Numbered:
    """Runs as a queue makes them, numbered on."""

    def __init__(self) -> None:
        self._queue = Queue(PLENTY, PLENTY)

    def run(self, *numbers: int, alerts: bool = False, size: int = 8) -> Run:
        self._queue.add(Batch(messages(*numbers, alerts=alerts, size=size), 0, alerts, numbers[0]))
        (run,) = self._queue.take(PLENTY, "alerts", "telemetry")
        return run


def told(runs: list[Run]) -> list[int]:
    return [int(message.content.partition(b":")[0]) for run in runs for message in run.messages]


def open_spool(
    tmp_path: Path, limit_bytes: int = PLENTY, purpose: str = "", said: list[str] | None = None
) -> Spool:
    return Spool(
        tmp_path / "spool" / "a.db", limit_bytes, purpose, said.append if said is not None else pytest.fail
    )


def drain(spool: Spool, kind: Kind) -> list[int]:
    found = []
    while runs := spool.load(kind, 3):
        found += told(runs)
        spool.settle(runs, PLENTY)
    return found


def test_survives_and_keeps_order(tmp_path: Path) -> None:
    """The next run finds everything, in order, whole; nobody else may read it."""
    make = Numbered()
    spool = open_spool(tmp_path)
    saved = make.run(1, 2)
    spool.save([saved, make.run(3, alerts=True)])
    spool.save([make.run(4), make.run(5, alerts=True)])
    spool.close()
    again = open_spool(tmp_path)

    assert (5, 5, 2) == (again.found, again.count, again.alerts)
    (first, *_) = again.load("telemetry", 1)
    assert saved.messages == first.messages
    again.settle([first], 0)
    assert [3, 5] == drain(again, "alerts")
    assert [1, 2, 4] == drain(again, "telemetry")
    assert (0, 0, 0) == (again.count, again.alerts, again.size_bytes)
    again.close()
    assert 0 == open_spool(tmp_path).found
    assert [0o600, 0o600] == [
        path.stat().st_mode & 0o777 for path in sorted((tmp_path / "spool").glob("a.??*"))[:2]
    ]
    assert 0o700 == (tmp_path / "spool").stat().st_mode & 0o777


def test_what_was_sent_of_a_run_is_not_sent_again(tmp_path: Path) -> None:
    """A row stays until all of it is done with, but what is done is done."""
    spool = open_spool(tmp_path)
    spool.save([Numbered().run(1, 2, 3, 4)])
    runs = spool.load("telemetry", 10)
    assert [] == spool.load("telemetry", 10)  # it is on its way
    spool.settle(runs, 3)

    assert 1 == spool.count
    runs = spool.load("telemetry", 10)
    assert [4] == told(runs)
    spool.settle(runs, 1)
    spool.save([Numbered().run(1, 2, 3, 4)])
    assert [1, 2, 3, 4] == told(spool.load("telemetry", 10))


def test_oldest_telemetry_goes_first(tmp_path: Path) -> None:
    """A full spool gives up its oldest telemetry, never an alert, and not what is on its way to the sink."""
    make = Numbered()
    spool = open_spool(tmp_path, 5_000)
    spool.save([make.run(1, alerts=True), make.run(2), make.run(3), make.run(4)])
    (loaded,) = spool.load("telemetry", 1)
    evicted = 0
    for number in range(5, 40):
        evicted += spool.save([make.run(number)]).evicted
        assert spool.size_bytes <= 5_000
    spool.settle([loaded], PLENTY)

    assert [2] == told([loaded])
    assert [1] == drain(spool, "alerts")
    left = drain(spool, "telemetry")
    assert left == list(range(40 - len(left), 40))
    assert 38 == evicted + len(left) + 1


def test_full_of_alerts(tmp_path: Path) -> None:
    """Alerts go for nothing: telemetry makes room for them, and when there is none they stay with the caller."""
    make = Numbered()
    spool = open_spool(tmp_path, 5_000)
    spool.save([make.run(number) for number in range(8)])
    left_out, evicted, number = list[Run](), 0, 100
    while not left_out:
        saved = spool.save([make.run(number, alerts=True)])
        left_out, evicted, number = saved.left_out, evicted + saved.evicted, number + 1

    assert 8 == evicted
    assert [number - 1] == told(left_out)
    assert 1 == spool.save([make.run(7)]).evicted
    assert list(range(100, number - 1)) == drain(spool, "alerts")


def test_larger_than_the_spool(tmp_path: Path) -> None:
    """What can never fit drives nothing out."""
    make = Numbered()
    spool = open_spool(tmp_path, 5_000)
    spool.save([make.run(1)])

    assert 1 == spool.save([make.run(2, size=20_000)]).evicted
    assert [1] == drain(spool, "telemetry")


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk(tmp_path: Path) -> None:
    """Nothing is half saved, and when there is room again it works as before."""
    make = Numbered()
    spool = open_spool(tmp_path)
    spool.save([make.run(1, alerts=True)])
    late = [make.run(*range(100, 200), size=500), make.run(2, alerts=True)]
    with (
        full_disk(),
        pytest.raises(SpoolError, match=r"cannot use the spool .*a\.db: (disk I/O|database or disk)"),
    ):
        spool.save(late)
    assert (1, 1) == (spool.count, spool.alerts)
    spool.save(late)
    spool.close()
    again = open_spool(tmp_path)

    assert [1, 2] == drain(again, "alerts")
    assert list(range(100, 200)) == drain(again, "telemetry")


def test_full_disk_when_rows_are_to_go(tmp_path: Path) -> None:
    """What was delivered is not delivered again in this run, even if it cannot be removed yet."""
    make = Numbered()
    spool = open_spool(tmp_path)
    spool.save([make.run(1), make.run(2)])
    runs = spool.load("telemetry", 1)
    with full_disk(), pytest.raises(SpoolError):
        spool.settle(runs, 1)

    assert 1 == spool.count
    assert [2] == drain(spool, "telemetry")
    spool.close()
    assert 0 == open_spool(tmp_path).found


@pytest.mark.parametrize("damage", [b"", b"This is no database. " * 500], ids=["zeros", "text"])
def test_damaged_before_start(tmp_path: Path, damage: bytes) -> None:
    """A file that is no spool any more is set aside, which is said; work goes on with a new one."""
    spool = open_spool(tmp_path)
    spool.save([Numbered().run(1)])
    spool.close()
    path = tmp_path / "spool" / "a.db"
    path.write_bytes(damage or bytes(path.stat().st_size))
    said: list[str] = []
    again = open_spool(tmp_path, said=said)
    again.save([Numbered().run(2)])

    assert 1 == len(said)
    assert "a.db is damaged (" in said[0]
    assert "), and set aside as" in said[0]
    assert 1 == len(list((tmp_path / "spool").glob("a.db.aside-*")))
    assert [2] == drain(again, "telemetry")


def test_damaged_meanwhile(tmp_path: Path) -> None:
    """The same while it runs; how many messages are lost with it is counted."""
    make = Numbered()
    spool = open_spool(tmp_path)
    for number in range(300):
        spool.save([make.run(number, size=5_000)])
    spool.close()
    spool = open_spool(tmp_path)
    path = tmp_path / "spool" / "a.db"
    with path.open("r+b") as file:  # all but the first pages
        file.seek(8_192)
        file.write(b"\xff" * (path.stat().st_size - 8_192))
    with pytest.raises(SpoolError, match=r"is damaged \(.*set aside as .*; 300 messages") as caught:
        spool.load("telemetry", 100)

    assert 300 == caught.value.lost
    spool.save([make.run(1)])
    assert [1] == drain(spool, "telemetry")


def test_damaged_row(tmp_path: Path) -> None:
    """A row that is not what was written goes alone."""
    make = Numbered()
    spool = open_spool(tmp_path)
    spool.save([make.run(1, 2), make.run(3)])
    spool.close()
    database = sqlite3.connect(tmp_path / "spool" / "a.db")
    database.execute("UPDATE runs SET content = x'00' WHERE first = 0")
    database.commit()
    database.close()
    again = open_spool(tmp_path)
    with pytest.raises(SpoolError, match=r"2 messages of the spool .* are damaged") as caught:
        again.load("telemetry", 10)

    assert 2 == caught.value.lost
    assert [3] == drain(again, "telemetry")
    assert 0 == again.count


def test_lost_while_on_its_way(tmp_path: Path) -> None:
    """What the sink has in hand when the file is set aside is told as lost, and not as delivered on top."""
    spool = open_spool(tmp_path)
    spool.save([Numbered().run(1, 2)])
    runs = spool.load("telemetry", 10)
    spool._set_aside()

    assert 2 == spool.settle(runs, 2)
    assert 0 == spool.count


def test_of_another_sort(tmp_path: Path) -> None:
    """Messages of another format are not sent to a destination that now gets this one."""
    spool = open_spool(tmp_path, purpose="cef")
    spool.save([Numbered().run(1)])
    spool.close()
    said: list[str] = []
    again = open_spool(tmp_path, purpose="otel", said=said)

    assert (0, 1) == (again.count, len(said))
    assert "holds 1 messages of another sort than this output now writes, and set aside as" in said[0]
    again.close()
    assert 0 == open_spool(tmp_path, purpose="ecs").found  # there is nothing to be sorry for


def test_one_owner(tmp_path: Path) -> None:
    """Two processes would deliver everything twice."""
    spool = open_spool(tmp_path)
    with pytest.raises(ConfigError, match=r"a\.db belongs to another hauberk"):
        open_spool(tmp_path)
    spool.close()
    open_spool(tmp_path).close()


def test_no_place_for_it(tmp_path: Path) -> None:
    """The error says what to do."""
    (tmp_path / "spool").touch()
    with pytest.raises(ConfigError, match=r"cannot make the spool .*a\.db: .*spool_directory"):
        open_spool(tmp_path)


def test_gives_the_disk_back(tmp_path: Path) -> None:
    """A long outage leaves no large file behind."""
    make = Numbered()
    spool = open_spool(tmp_path)
    for number in range(20):
        spool.save([make.run(*range(100 * number, 100 * number + 100), size=6_000)])
    path = tmp_path / "spool" / "a.db"
    while runs := spool.load("telemetry", 1_000):
        spool.settle(runs, PLENTY)
    spool.close()

    assert path.stat().st_size < 100_000
