"""The ring of what happens and the ring of alerts, read as one."""

from collections.abc import Callable, Iterable
from typing import Protocol

from hauberk.decode.records import Batch, decode_batch
from hauberk.model.record import Record


class Readable(Protocol):
    """What is needed of a `Ring`."""

    def read(self) -> bytes: ...
    def written(self) -> int: ...
    def is_read(self, position: int) -> bool: ...


class Rings:
    """Alerts come first, and neither keeps the other waiting for long."""

    def __init__(self, records: Readable) -> None:
        self._records = records
        self.alerts: Readable | None = None
        """None as long as nothing is decided."""

        self._went_ahead = False

    def read(self, knows_who: Callable[[Iterable[Record]], bool]) -> Batch:
        """One batch of what waits, decoded; empty if nothing does.

        Alerts go ahead of the records that were there before them, in turns with them; but behind those if they
        must say who acted. `knows_who`: whether it is known who acted in some alerts.
        """
        if self._went_ahead:
            self._went_ahead = False
            if content := self._records.read():
                return decode_batch(content)
        content = self.alerts.read() if self.alerts else b""
        if not content:
            return decode_batch(self._records.read())
        alerts = decode_batch(content)
        if knows_who(alerts.records):
            self._went_ahead = True
            return alerts
        before = self._catch_up()
        return Batch(
            before.content + content, before.records + alerts.records, before.unknown + alerts.unknown
        )

    def _catch_up(self) -> Batch:
        """All records that are there now."""
        contents = []
        written = self._records.written()
        while not self._records.is_read(written) and (content := self._records.read()):
            contents.append(content)
        return decode_batch(b"".join(contents))
