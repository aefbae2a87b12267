"""Reading a BPF ring buffer through its mapping, without a call a record.

The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with the
producer's, then the data, mapped twice in a row so that an entry never wraps. Each entry is
``<II`` (length with the two bits below, page offset) and its bytes, padded to 8.
"""

import mmap
import struct
from typing import Final

from hauberk.sensor.libbpf import Map

BUSY: Final = 1 << 31
DISCARDED: Final = 1 << 30
HEADER: Final = struct.Struct("<II")
BATCH_BYTES: Final = 32 << 10
"""Small enough for what becomes of a batch to stay in the processor's cache; no record is larger."""


class Ring:
    """The consumer's side. There may be one only."""

    def __init__(self, records: Map, size_bytes: int) -> None:
        page = mmap.PAGESIZE
        self.size_bytes = size_bytes
        self._consumer = mmap.mmap(
            records.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0
        )
        self._producer = mmap.mmap(
            records.fd, page + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._consumed = memoryview(self._consumer).cast("Q")
        self._produced = memoryview(self._producer)[:8].cast("Q")
        self._data_offset = page
        self.fd = records.fd
        """Can be read when something waits; but a sleeper wakes only if the programs wake it."""

    def used_bytes(self) -> int:
        """What waits to be read."""
        return self._produced[0] - self._consumed[0]

    def written(self) -> int:
        """How far the kernel has got: the bytes of all entries so far."""
        return self._produced[0]

    def is_read(self, position: int) -> bool:
        """Whether all that had been written at `position` has been read."""
        return self._consumed[0] >= position

    def read(self, limit_bytes: int = BATCH_BYTES) -> bytes:
        """The complete entries that wait, at most about `limit_bytes` of them: a batch, perhaps empty.

        Their room is given back to the kernel before this returns.
        """
        start = self._consumed[0]
        size = min(self._produced[0] - start, limit_bytes)
        if not size:
            return b""
        begin = self._data_offset + start % self.size_bytes
        batch = self._producer[begin : begin + size]
        end = self._complete(batch)
        if end != size:
            batch = batch[:end]
        self._consumed[0] = start + end
        return batch

    @staticmethod
    def _complete(batch: bytes) -> int:
        """How many bytes of the batch are whole entries that their writers have finished."""
        at, size, header = 0, len(batch), HEADER
        while at + 8 <= size:
            length, _ = header.unpack_from(batch, at)
            if length & BUSY:
                break
            after = at + ((length & ~DISCARDED) + 8 + 7 & ~7)
            if after > size:
                break
            at = after
        return at

    def close(self) -> None:
        self._consumed.release()
        self._produced.release()
        self._consumer.close()
        self._producer.close()
