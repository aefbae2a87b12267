"""Stage: every record is accounted for, and so is every one that never came."""

from collections.abc import Mapping

from hauberk.abi import RecordFlag
from hauberk.decode.records import Batch, in_order
from hauberk.metrics import ALERT_CPUS, Ledger
from hauberk.model.record import Record

_STATE = int(RecordFlag.STATE)
_ALERT = int(RecordFlag.ALERT)

BEFORE = 0
"""Time of the records that tell what was there before the agent: they are no part of the account."""


class Account:
    """Holds the sequence numbers of one kernel's records against each other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next_sequence: dict[int, int] = {}

    def enter(self, batch: Batch) -> list[Record]:
        """The records of a batch in the order of time, all counted."""
        ledger, next_sequence = self._ledger, self._next_sequence
        records = in_order(batch.records)
        state = before = 0
        for record in records:
            if record.time_ns == BEFORE:
                before += 1
                continue
            flags = record.flags
            cpu = record.cpu if not flags & _ALERT else record.cpu + ALERT_CPUS
            sequence = record.sequence
            expected = next_sequence.get(cpu, 0)
            if sequence != expected:
                ledger.gaps[cpu] = ledger.gaps.get(cpu, 0) + sequence - expected
            next_sequence[cpu] = sequence + 1
            if flags & _STATE:
                state += 1
        ledger.decoded += len(records) - before
        ledger.unknown += batch.unknown
        ledger.state += state
        return records

    def finish(self, sequences: Mapping[int, int]) -> None:
        """Account for what was lost after the last record that came: `sequences` are the kernel's own counts."""
        gaps = self._ledger.gaps
        for cpu, wanted in sequences.items():
            missing = wanted - self._next_sequence.get(cpu, 0)
            if missing:
                gaps[cpu] = gaps.get(cpu, 0) + missing
                self._next_sequence[cpu] = wanted
