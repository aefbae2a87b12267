"""Where a reader of the feed is: kept in a file, so that its next run goes on there."""

import time
from pathlib import Path
from typing import Final

import msgspec

from hauberk.enforcement.directory import write_atomically
from hauberk.errors import ConfigError

_SAVE_S: Final = 1.0


class Bookmarks:
    """The cursor of the last of each stream that was dealt with."""

    def __init__(self, path: Path | None) -> None:
        """Without a path, they are forgotten at the end. Raises ConfigError if the file is something else."""
        self._path = path
        self._cursors: dict[str, str] = {}
        self._is_saved = True
        self._save_at = 0.0
        if path is None:
            return
        try:
            self._cursors = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            self._is_saved = False  # so that a file that cannot be written is told of now
            self.save()
        except OSError as error:
            raise ConfigError(f"cannot read the cursors in {path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} holds no cursors: {error}; give --cursor-file another name") from error

    def find(self, stream: str) -> str | None:
        return self._cursors.get(stream)

    def note(self, stream: str, cursor: str) -> None:
        """What stands at this cursor has been dealt with."""
        if not cursor:  # KubeArmor's own agent has none
            return
        self._cursors[stream] = cursor
        self._is_saved = False
        if time.monotonic() >= self._save_at:
            self.save()

    def save(self) -> None:
        """Write what has not been written; raises ConfigError."""
        if self._path is None or self._is_saved:
            return
        try:
            write_atomically(self._path, msgspec.json.encode(self._cursors).decode() + "\n")
        except OSError as error:
            raise ConfigError(f"cannot write the cursors to {self._path}: {error.strerror}") from error
        self._is_saved = True
        self._save_at = time.monotonic() + _SAVE_S
