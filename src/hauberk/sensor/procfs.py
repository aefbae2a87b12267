"""Processes and cgroups that were there before the agent, as the raw records the kernel would have sent.

The same code then reads both. What has gone in the meantime is left out; a field that cannot be read is empty.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hauberk.abi import ARGV_SIZE, ITEM, PATH_SIZE, RECORD, Hook, ItemKind, RecordFlag

_FRAME: Final = struct.Struct("<II")
_CLOCK_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_DELETED: Final = b" (deleted)"


def frame(record: bytes) -> bytes:
    """A raw record as an entry of a batch."""
    return _FRAME.pack(len(record), 0) + record + bytes(-len(record) % 8)


def _item(kind: ItemKind, content: bytes) -> bytes:
    return ITEM.pack(kind, 0, len(content)) + content


def _pack(hook: Hook, items: bytes, **fields: int) -> bytes:
    values = dict.fromkeys(("time_ns", "cgroup_id", "start_ns", "host_pid", "host_ppid", "pid", "ppid"), 0)
    values |= dict.fromkeys(("pid_ns", "mnt_ns", "uid", "flags"), 0) | fields
    return frame(
        RECORD.pack(
            values["time_ns"], 0, values["cgroup_id"], values["start_ns"], 0, *[0] * 6,
            values["host_pid"], values["host_pid"], values["host_ppid"], values["pid"], values["ppid"],
            values["pid_ns"], values["mnt_ns"], values["uid"], 0,
            hook, 0, 0, RecordFlag.STATE | values["flags"], RECORD.size + len(items),
        )
        + items
    )  # fmt: skip


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _read_link(path: Path) -> bytes:
    try:
        return os.fsencode(path.readlink())
    except OSError:
        return b""


def _namespace(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


class Procfs:
    """Asks one procfs and one cgroup hierarchy."""

    def __init__(self, cgroup_mount: Path, root: Path = Path("/proc")) -> None:
        self._root = root
        self._cgroup_mount = cgroup_mount

    @property
    def host_pid_ns(self) -> int:
        """Inode number of the initial PID namespace, which PID 1 is in."""
        return _namespace(self._root / "1/ns/pid")

    def process(self, host_pid: int) -> bytes:
        """The batch that tells of one process; empty if there is none (any more)."""
        directory = self._root / str(host_pid)
        stat = _read(directory / "stat").rpartition(b")")[2].split()
        if len(stat) < 20:
            return b""
        status = dict(
            line.split(b":\t", 1) for line in _read(directory / "status").splitlines() if b":\t" in line
        )
        executable = _read_link(directory / "exe")
        if not executable:  # a kernel thread, or it has just ended
            return b""
        flags = 0
        if executable.endswith(_DELETED) and not os.path.lexists(executable):
            executable = executable.removesuffix(_DELETED)
            flags = RecordFlag.DELETED
        argv = _read(directory / "cmdline")
        if len(argv) > ARGV_SIZE:
            argv = argv[:ARGV_SIZE]
            flags |= RecordFlag.CUT
        items = _item(ItemKind.EXECUTABLE, executable[:PATH_SIZE])
        items += _item(ItemKind.CWD, _read_link(directory / "cwd")[:PATH_SIZE])
        items += _item(ItemKind.ARGV, argv)
        return _pack(
            Hook.PROCESS,
            items,
            start_ns=int(stat[19]) * _CLOCK_TICK_NS,
            host_pid=host_pid,
            host_ppid=int(stat[1]),
            pid=int(status.get(b"NSpid", b"0").split()[-1]),
            pid_ns=_namespace(directory / "ns/pid"),
            mnt_ns=_namespace(directory / "ns/mnt"),
            uid=int(status.get(b"Uid", b"0").split()[0]),
            flags=flags,
        )

    def processes(self) -> Iterator[bytes]:
        """A batch for each live process."""
        for entry in self._root.iterdir():
            if entry.name.isdigit():
                batch = self.process(int(entry.name))
                if batch:
                    yield batch

    def cgroups(self) -> Iterator[bytes]:
        """A batch for each cgroup of the hierarchy. Its ID is the inode number of its directory."""
        for directory, _, _ in os.walk(self._cgroup_mount):
            try:
                inode = Path(directory).stat().st_ino
            except OSError:
                continue
            path = "/" + os.path.relpath(directory, self._cgroup_mount).removeprefix(".")
            yield _pack(Hook.CGROUP, _item(ItemKind.CGROUP, os.fsencode(path)), cgroup_id=inode)
