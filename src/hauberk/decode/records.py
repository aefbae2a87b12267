"""Batches of raw records to records.

A batch is what the ring buffer holds (kernel/bpf/ringbuf.c): entries of ``<II`` (length with the two
bits below, page offset) and `length` bytes, padded to 8. The bytes may be anybody's: in a recording
with a flipped bit, the entry that has it is lost and no other that can still be found.
"""

from operator import attrgetter
from struct import Struct
from typing import Final, NamedTuple

from hauberk.abi import ITEM, RECORD, Hook, RecordFlag
from hauberk.model.record import Item, Record

_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_FRAME_SIZE: Final = 8
_ENTRY: Final = Struct("<I4x" + RECORD.format.removeprefix("<"))
_ENTRY_SIZE: Final = _ENTRY.size
_ITEM_SIZE: Final = ITEM.size
_HOOKS_END: Final = int(Hook.COUNT)
_ALERT: Final = int(RecordFlag.ALERT)
_time_of: Final = attrgetter("time_ns")


class Batch(NamedTuple):
    """What was read at once, and what it holds."""

    content: bytes
    records: list[Record]
    unknown: int
    """Entries that are no records of ours; what remains of a batch that was cut counts as one."""


NOTHING: Final = Batch(b"", [], 0)


def decode_batch(batch: bytes) -> Batch:
    """Decode every entry; one that makes no sense is counted and passed over."""
    records: list[Record] = []
    unknown = 0
    at, end = 0, len(batch)
    unpack_entry, unpack_item, append = _ENTRY.unpack_from, ITEM.unpack_from, records.append
    while at < end:
        if end - at < _ENTRY_SIZE:
            return Batch(batch, records, unknown + 1)
        (
            length, time_ns, sequence, cgroup_id, start_ns, result, a0, a1, a2, a3, a4, a5,
            tgid, tid, ppid, ns_tgid, ns_ppid, pid_ns, mnt_ns, uid, exec_id, hook, syscall, cpu, flags, size,
        ) = unpack_entry(batch, at)  # fmt: skip
        if length != size:  # among them all entries that have one of the two bits
            is_discarded = length & _DISCARDED
            length &= ~(_BUSY | _DISCARDED)
            at += _FRAME_SIZE + (length + 7 & ~7)
            if not is_discarded or at > end:
                unknown += 1
            continue
        item_at = at + _ENTRY_SIZE
        stop = at + _FRAME_SIZE + length
        if stop > end:
            return Batch(batch, records, unknown + 1)
        at += _FRAME_SIZE + (length + 7 & ~7)
        items: list[Item] = []
        last_item_at = stop - _ITEM_SIZE
        while item_at <= last_item_at:
            kind, index, size = unpack_item(batch, item_at)
            content_at = item_at + _ITEM_SIZE
            item_at = content_at + size
            items.append((kind, index, batch[content_at:item_at]))
        if item_at != stop or not 0 < hook < _HOOKS_END:
            unknown += 1
            continue
        append(
            Record(
                time_ns, sequence, cgroup_id, start_ns, result, (a0, a1, a2, a3, a4, a5),
                tgid, tid, ppid, ns_tgid, ns_ppid, pid_ns, mnt_ns, uid, exec_id, hook, syscall, cpu, flags,
                tuple(items),
            )
        )  # fmt: skip
    return Batch(batch, records, unknown)


def in_order(records: list[Record]) -> list[Record]:
    """The records in the order of time. Alerts stand behind those of their time, some of which tell of what came after."""
    if records and records[-1].flags & _ALERT:
        records.sort(key=_time_of)
    return records
