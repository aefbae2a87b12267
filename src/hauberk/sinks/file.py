"""A file to append to: one event a line, rotated by size, reopened on request.

Lines are written whole. Only a death in the middle of a write can leave a torn line at the end; whoever
opens the file next cuts it off, so that no broken line ever stands between good ones.
"""

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from hauberk.errors import SinkError
from hauberk.formats import Format
from hauberk.sinks import Message, only_text
from hauberk.sinks.rotation import Rotation
from hauberk.threads import supervised

_TAIL_BYTES: Final = 1 << 20
_SYNC_S: Final = 1.0

Fsync: TypeAlias = Literal["never", "interval", "always"]


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a file."""

    is_local: ClassVar = True
    path: str
    rotate_bytes: Annotated[int, Meta(ge=0)] = 0
    """Start a new file when this one has grown to so many bytes; 0 never."""

    rotate_keep: Annotated[int, Meta(ge=1)] = 5
    """How many old files are kept."""

    compress: bool = False
    """Old files become PATH.1.gz and so on."""

    fsync: Fsync = "never"
    """When what is written is on disk for sure: when the kernel likes; a second later; before it counts as delivered."""

    def wrap(self, form: Format) -> Format:
        return only_text(form)

    def open(self, form: Format, warn: Callable[[str], None]) -> "FileSink":
        path = Path(self.path)
        rotation = Rotation(path, self.rotate_keep, warn, compress=self.compress)
        try:
            sink = FileSink(path, form, rotation, warn, rotate_bytes=self.rotate_bytes, fsync=self.fsync)
        except SinkError:
            rotation.close()
            raise
        if sink.cut_bytes:
            warn(f"{self.path}: cut off {sink.cut_bytes} bytes of a line that was never finished")
        return sink


class FileSink:
    """Appends to `path`; `cut_bytes` tells what was left of a torn line when it was opened."""

    def __init__(
        self,
        path: Path,
        form: Format,
        rotation: Rotation,
        warn: Callable[[str], None],
        *,
        rotate_bytes: int = 0,
        fsync: Fsync = "never",
    ) -> None:
        self._path = path
        self._join = form.join
        self._rotation = rotation
        self._complain = warn
        self._rotate_bytes = rotate_bytes
        self._fsync = fsync
        self._fd = -1
        self.cut_bytes = 0
        self._open()
        self._written = threading.Event()
        """There may be something that is not on disk."""

        self._closing = threading.Event()
        self._descriptor = threading.Lock()
        """Held by whoever changes the descriptor, or wants it to stay."""

        self._syncer: threading.Thread | None = None
        if fsync == "interval":
            self._syncer = supervised("fsync", self._sync_now_and_then, self._complain, self._closing)
            self._syncer.start()

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
                self._tidy(size)
            elif size is not None:
                fcntl.flock(self._fd, fcntl.LOCK_SH)
                if self._fsync != "never":
                    self._sync_directory()
        except OSError as error:
            raise self._fail("open the output", error) from error

    def _tidy(self, size: int) -> None:
        """Cut off a torn line; unless somebody else writes here just now, whose line may not be finished yet."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._cut_torn_line(size)
        except BlockingIOError:
            pass
        with suppress(BlockingIOError):
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

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
        if self._fd < 0:  # it could not be reopened
            self._open()
        content = self._join([message.content for message in messages])
        before = self._end()  # others may have cut the file meanwhile, as logrotate's copytruncate does
        if self._rotate_bytes and before and before + len(content) > self._rotate_bytes:
            self._rotate()
            before = self._end()
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
            if self._fsync == "always":
                _fdatasync(self._fd)
        except OSError as error:
            if before is not None and len(view) != len(content):
                with suppress(OSError):  # the disk is full in the middle: take the torn part back
                    os.ftruncate(self._fd, before)
            raise self._fail("write to", error) from error
        self._written.set()

    def _end(self) -> int | None:
        """Where the next byte goes; None if this is no regular file."""
        status = os.fstat(self._fd)
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _rotate(self) -> None:
        try:
            self._rotation.rotate()
        except OSError as error:
            raise self._fail("rotate", error) from error
        self.reopen()

    def reopen(self) -> None:
        self._leave()
        self._open()

    def _leave(self) -> None:
        """Close the file; what was to be on disk is there."""
        with self._descriptor:
            descriptor, self._fd = self._fd, -1
        if descriptor < 0:
            return
        try:
            if self._fsync != "never":
                _fdatasync(descriptor)
        except OSError as error:
            self._complain(str(self._fail("sync", error)))
        finally:
            os.close(descriptor)

    def _sync_directory(self) -> None:
        """A new file is there only when its directory says so."""
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sync_now_and_then(self) -> None:
        while not self._closing.wait(_SYNC_S):
            if not self._written.is_set():
                continue
            self._written.clear()
            with self._descriptor:  # a sync may take long, and a rotation does not wait for it
                descriptor = os.dup(self._fd) if self._fd >= 0 else -1
            if descriptor < 0:
                continue
            try:
                _fdatasync(descriptor)
            except OSError as error:
                self._complain(str(self._fail("sync", error)))
            finally:
                os.close(descriptor)

    def close(self) -> None:
        self._closing.set()
        if self._syncer:
            self._syncer.join()
        self._leave()
        self._rotation.close()


def _fdatasync(descriptor: int) -> None:
    """Also of what cannot be synced, such as a pipe: that is on its way already."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fdatasync(descriptor)
