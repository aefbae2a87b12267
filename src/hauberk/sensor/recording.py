"""Recordings: raw records in a file, to be replayed through the real pipeline.

``HAUBERK\\n``, a `<III` of ABI version, size and CRC-32 of the header, the header (JSON: `Machine`, what the records alone do not tell),
then chunks: a `<II` of size and CRC-32, and a batch of that size. A recording that was cut off is good up to
its last whole chunk.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from hauberk.abi import ABI_VERSION
from hauberk.errors import DecodeError, SinkError
from hauberk.model.machine import Machine

MAGIC: Final = b"HAUBERK\n"
_START: Final = struct.Struct("<III")
_PAIR: Final = struct.Struct("<II")
_CHUNK_LIMIT: Final = 64 << 20


class Recorder:
    """Writes a recording. `write` raises SinkError, after which the file is good up to the last chunk."""

    def __init__(self, path: Path, machine: Machine) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("wb")
            content = msgspec.json.encode(machine)
            start = _START.pack(ABI_VERSION, len(content), zlib.crc32(content))
            self._file.write(MAGIC + start + content)
            self._file.flush()
        except OSError as error:
            raise SinkError(f"cannot write the recording {path}: {error.strerror}") from error

    def write(self, batch: bytes) -> None:
        """Append one batch."""
        try:
            self._file.write(_PAIR.pack(len(batch), zlib.crc32(batch)) + batch)
            self._file.flush()
        except OSError as error:
            raise SinkError(f"cannot write the recording {self._path}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Recording:
    """Reads a recording. Damage is counted, and what can be decoded still is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0
        """Chunks whose checksum is wrong."""

        self.cut_bytes = 0
        """What follows the last whole chunk."""

        try:
            self._content = path.read_bytes()
        except OSError as error:
            raise DecodeError(f"cannot read the recording {path}: {error.strerror}") from error
        if not self._content.startswith(MAGIC) or len(self._content) < len(MAGIC) + _START.size:
            raise DecodeError(f"{path} is not a recording; `hauberk record FILE` makes one")
        version, size, checksum = _START.unpack_from(self._content, len(MAGIC))
        if version != ABI_VERSION:
            raise DecodeError(
                f"{path} was recorded by a version with other records (ABI {version}, ours is {ABI_VERSION}); "
                "replay it with that version"
            )
        self._start = len(MAGIC) + _START.size + size
        content = self._content[self._start - size : self._start]
        if zlib.crc32(content) != checksum:
            raise DecodeError(f"{path}: the header is damaged: its checksum is wrong")
        try:
            self.machine = msgspec.json.decode(content, type=Machine)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"{path}: the header is damaged: {error}") from error

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    def batches(self) -> Iterator[bytes]:
        """The batches in order."""
        at, end = self._start, len(self._content)
        while at + _PAIR.size <= end:
            size, checksum = _PAIR.unpack_from(self._content, at)
            if size > min(_CHUNK_LIMIT, end - at - _PAIR.size):
                break
            batch = self._content[at + _PAIR.size : at + _PAIR.size + size]
            if zlib.crc32(batch) != checksum:
                self.damaged += 1
            at += _PAIR.size + size
            yield batch
        self.cut_bytes = end - at
