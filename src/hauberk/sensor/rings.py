"""The ring of what happens and the ring of alerts, read as one."""

from collections.abc import Callable
from typing import Protocol


class Readable(Protocol):
    """What is needed of a `Ring`."""

    def read(self) -> bytes: ...
    def written(self) -> int: ...
    def is_read(self, position: int) -> bool: ...


class Rings:
    """Alerts come first, and neither keeps the other waiting for long."""

    def __init__(self, records: Readable, knows_who: Callable[[bytes], bool]) -> None:
        """`knows_who`: whether it is known who acted in a batch of alerts."""
        self._records = records
        self._knows_who = knows_who
        self.alerts: Readable | None = None
        """None as long as nothing is decided."""

        self._went_ahead = False

    def read(self) -> bytes:
        """One batch of what waits; empty if nothing does.

        Alerts go ahead of the records that were there before them, in turns with them; but behind those if they
        must say who acted.
        """
        if self._went_ahead:
            self._went_ahead = False
            if batch := self._records.read():
                return batch
        alerts = self.alerts.read() if self.alerts else b""
        if not alerts:
            return self._records.read()
        if self._knows_who(alerts):
            self._went_ahead = True
            return alerts
        batches = []
        written = self._records.written()
        while not self._records.is_read(written) and (batch := self._records.read()):
            batches.append(batch)
        return b"".join((*batches, alerts))
