"""A record: what the kernel saw, in numbers and bytes."""

from typing import TypeAlias

import msgspec

from hauberk.abi import ItemKind

Item: TypeAlias = tuple[int, int, bytes]
"""An `ItemKind`, the index of the argument it belongs to, and its bytes."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One decoded raw record (`struct record` of bpf/abi.h); no name is resolved yet."""

    time_ns: int
    """CLOCK_BOOTTIME."""

    sequence: int
    """Per CPU, without gaps unless records were lost."""

    cgroup_id: int
    start_ns: int
    """When the process was forked, CLOCK_BOOTTIME; with `host_pid` it names the process for good."""

    result: int
    """What the system call returned; the wait status for an exit."""

    arguments: tuple[int, int, int, int, int, int]
    """As the registers held them: unsigned, 64 bits."""

    host_pid: int
    tid: int
    host_ppid: int
    pid: int
    """The process ID inside the process's own PID namespace."""

    ppid: int
    """The parent's, in the same namespace; 0 if the parent is outside of it."""

    pid_ns: int
    mnt_ns: int
    uid: int
    exec_id: int
    """How many images this line of processes has run."""

    hook: int
    """A `Hook`."""

    syscall: int
    """A slot of the catalogue."""

    cpu: int
    flags: int
    """A `RecordFlag`."""

    items: tuple[Item, ...]

    def find(self, kind: ItemKind, index: int = 0) -> bytes | None:
        """The bytes of the first item of this kind that belongs to argument `index`."""
        for item_kind, item_index, content in self.items:
            if item_kind == kind and item_index == index:
                return content
        return None
