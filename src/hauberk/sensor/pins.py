"""What outlives the agent: the attached LSM programs, which hold their maps, pinned in a bpffs.

Each agent pins its own in a directory of its own, and takes those of its predecessors away when its rules are
in force: two may decide at once, but never nobody.
"""

import time
from pathlib import Path
from typing import Final

MOUNT: Final = Path("/sys/fs/bpf")
_NAME: Final = "hauberk"


class Pins:
    """The pinned programs of all agents that ran since the machine started."""

    def __init__(self, mount: Path = MOUNT) -> None:
        self._root = mount / _NAME
        self._mount = mount

    @property
    def is_possible(self) -> bool:
        """Whether there is a bpffs to pin in."""
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        return any(line.split()[1:3] == [str(self._mount), "bpf"] for line in mounts)

    @property
    def are_there(self) -> bool:
        """Whether an agent that is gone left programs behind."""
        return any(self._root.glob("*/*"))

    def make(self) -> Path:
        """A new directory to pin in."""
        directory = self._root / str(time.time_ns())
        directory.mkdir(parents=True, mode=0o700)
        return directory

    def remove(self, but: Path | None = None) -> int:
        """Take away what is pinned in all directories, or all but one; how many programs that were."""
        count = 0
        for directory in self._root.glob("*"):
            if directory == but:
                continue
            for pin in directory.iterdir():
                pin.unlink()
                count += 1
            directory.rmdir()
        if not but and self._root.exists():
            self._root.rmdir()
        return count
