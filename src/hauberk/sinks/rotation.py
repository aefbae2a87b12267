"""Old files: PATH.1 is the newest, then PATH.2, and so on; compressed, if wanted, by a thread of its own.

Renaming is all that a writer waits for. A file that is being compressed may get another number meanwhile, so it
is known by its inode; one that was left half done is begun again with the next rotation.
"""

import gzip
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hauberk.threads import supervised

_CHUNK_BYTES: Final = 1 << 20
_LEVEL: Final = 6
_NICE: Final = 10


class Rotation:
    """The old files of one path."""

    def __init__(self, path: Path, keep: int, warn: Callable[[str], None], *, compress: bool) -> None:
        self._path = path
        self._keep = keep
        self._complain = warn
        self._half = path.with_name(f"{path.name}.gz.part")
        self._changed = threading.Condition()
        """Held by whoever renames."""

        self._compress = compress
        self._must_look = False
        self._closing = False
        self._thread: threading.Thread | None = None

    def rotate(self) -> None:
        """PATH becomes PATH.1, PATH.1 becomes PATH.2, and so on; the oldest goes. Raises OSError."""
        with self._changed:
            for suffix in ("", ".gz"):
                self._old(self._keep, suffix).unlink(missing_ok=True)
                for number in range(self._keep - 1, 0, -1):
                    with suppress(FileNotFoundError):
                        self._old(number, suffix).rename(self._old(number + 1, suffix))
            self._path.rename(self._old(1))
            self._must_look = True
            self._changed.notify()
        if (
            self._compress and not self._thread
        ):  # not before: who only looks in has no business with old files
            self._thread = supervised("compress", self._compress_all, self._complain, threading.Event())
            self._thread.start()

    def close(self) -> None:
        """What is not compressed yet is left to the next rotation."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def _old(self, number: int, suffix: str = "") -> Path:
        return self._path.with_name(f"{self._path.name}.{number}{suffix}")

    def _compress_all(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            with self._changed:
                while not (self._must_look or self._closing):
                    self._changed.wait()
                self._must_look = False
                if self._closing:
                    return
            try:
                while not self._closing and self._compress_one():
                    pass
            except OSError as error:
                self._half.unlink(missing_ok=True)
                self._complain(f"cannot compress an old file of {self._path}: {error.strerror}")

    def _compress_one(self) -> bool:
        """Compress the oldest that is not yet; whether there was one."""
        with self._changed:
            plain = next((path for n in range(self._keep, 0, -1) if (path := self._old(n)).is_file()), None)
            if not plain:
                return False
            source = plain.open("rb")
        with source:
            # 0600, as all that tells of other people's processes
            target = os.open(self._half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(target, "wb") as file, gzip.GzipFile(plain.name, "wb", _LEVEL, file) as packed:
                while not self._closing and (chunk := source.read(_CHUNK_BYTES)):
                    packed.write(chunk)
                packed.flush()
            if not self._closing:
                self._take_its_place(os.fstat(source.fileno()).st_ino)
        self._half.unlink(missing_ok=True)
        return True

    def _take_its_place(self, inode: int) -> None:
        """The compressed file for the plain one, whatever number that has now; if it has gone, so be it."""
        descriptor = os.open(self._half, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)  # the original is about to go
        finally:
            os.close(descriptor)
        with self._changed:
            for number in range(1, self._keep + 1):
                plain = self._old(number)
                with suppress(FileNotFoundError):
                    if plain.stat().st_ino == inode:
                        self._half.rename(self._old(number, ".gz"))
                        plain.unlink()
                        return
