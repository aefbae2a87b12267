"""A file to append to: one event a line, rotated by size, reopened on request.

Lines are written whole. Only a death in the middle of a write can leave a torn line at the end; whoever
opens the file next cuts it off, so that no broken line ever stands between good ones.
"""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from hauberk.errors import SinkError
from hauberk.formats import Format
from hauberk.sinks import Message

_TAIL_BYTES: Final = 1 << 20


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a file."""

    is_local: ClassVar = True
    path: str
    rotate_bytes: Annotated[int, Meta(ge=0)] = 0
    """Start a new file when this one has grown to so many bytes; 0 never."""

    rotate_keep: Annotated[int, Meta(ge=1)] = 5
    """How many old files are kept."""

    def open(self, form: Format, complain: Callable[[str], None]) -> "FileSink":
        sink = FileSink(Path(self.path), form, rotate_bytes=self.rotate_bytes, keep=self.rotate_keep)
        if sink.cut_bytes:
            complain(f"{self.path}: cut off {sink.cut_bytes} bytes of a line that was never finished")
        return sink


class FileSink:
    """Appends to `path`; `cut_bytes` tells what was left of a torn line when it was opened."""

    def __init__(self, path: Path, form: Format, *, rotate_bytes: int = 0, keep: int = 5) -> None:
        self._path = path
        self._join = form.join
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._fd = -1
        self.cut_bytes = 0
        self._open()

    def _fail(self, what: str, error: OSError) -> SinkError:
        return SinkError(f"cannot {what} {self._path}: {error.strerror}")

    def _open(self) -> None:
        try:
            # 0600: command lines of every process of the machine are nobody else's business
            self._fd = os.open(
                self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o600
            )
            size = self._end()
            if size:
                self._cut_torn_line(size)
        except OSError as error:
            raise self._fail("open the output", error) from error

    def _cut_torn_line(self, size: int) -> None:
        """Drop what follows the last newline."""
        begin = max(0, size - _TAIL_BYTES)
        tail = os.pread(self._fd, size - begin, begin)
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn and torn < len(tail):
            self.cut_bytes = torn
            os.ftruncate(self._fd, size - torn)
        elif torn == len(tail):  # no line ends in all of the tail: not a file of ours, so leave it be
            os.write(self._fd, b"\n")

    def write(self, messages: Sequence[Message]) -> None:
        content = self._join([message.content for message in messages])
        size = self._end() or 0
        if self._rotate_bytes and size and size + len(content) > self._rotate_bytes:
            self._rotate()
        before = self._end()  # others may have cut the file meanwhile, as logrotate's copytruncate does
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            if before is not None and len(view) != len(content):
                os.ftruncate(self._fd, before)  # the disk is full in the middle: take the torn part back
            raise self._fail("write to", error) from error

    def _end(self) -> int | None:
        """Where the next byte goes; None if this is no regular file."""
        status = os.fstat(self._fd)
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _rotate(self) -> None:
        """PATH becomes PATH.1, PATH.1 becomes PATH.2, and so on; the oldest goes."""
        try:
            for number in range(self._keep - 1, 0, -1):
                older = Path(f"{self._path}.{number}")
                if older.exists():
                    older.rename(f"{self._path}.{number + 1}")
            self._path.rename(f"{self._path}.1")
        except OSError as error:
            raise self._fail("rotate", error) from error
        self.reopen()

    def reopen(self) -> None:
        os.close(self._fd)
        self._open()

    def close(self) -> None:
        os.close(self._fd)
