"""The ring of what happens and the ring of alerts, read as one."""

from hauberk.sensor.rings import Rings


class Memory:
    """A ring that gives one letter a batch."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content
        self._consumed = 0

    def read(self) -> bytes:
        batch = self.content[self._consumed : self._consumed + 1]
        self._consumed += len(batch)
        return batch

    def written(self) -> int:
        return len(self.content)

    def is_read(self, position: int) -> bool:
        return self._consumed >= position


def read_all(records: bytes, alerts: bytes | None, *, known: bool) -> list[bytes]:
    """What is read of both, batch by batch."""
    rings = Rings(Memory(records))
    rings.alerts = None if alerts is None else Memory(alerts)
    return list(iter(lambda: rings.read(lambda _: known).content, b""))


def test_nothing_is_decided() -> None:
    """There is one ring then."""
    assert read_all(b"abc", None, known=True) == [b"a", b"b", b"c"]


def test_alerts_take_turns_with_records() -> None:
    """Neither a flood of alerts nor one of telemetry keeps the other from being read; nothing is left over."""
    assert read_all(b"abc", b"123", known=True) == [b"1", b"a", b"2", b"b", b"3", b"c"]
    assert read_all(b"a", b"123", known=True) == [b"1", b"a", b"2", b"3"]
    assert read_all(b"abc", b"1", known=True) == [b"1", b"a", b"b", b"c"]


def test_alerts_of_strangers_come_behind_what_says_who_they_are() -> None:
    """All records that were there are in the same batch, before them."""
    assert read_all(b"abc", b"12", known=False) == [b"abc1", b"2"]
