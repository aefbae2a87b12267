"""The catalogue of system calls that we report. To add one, add a row.

The row also tells the kernel programs what to copy: which arguments are paths, strings, addresses or
descriptors, and which object of the kernel the call leaves behind.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hauberk.abi import COMPAT_SLOT, SOCKETCALL_SLOT, SYSCALL, ArgumentKind, ObjectKind, Operation
from hauberk.constants import COMPAT, NATIVE
from hauberk.decode.arguments import (
    ACCEPT_FLAGS,
    ADDRESS,
    ARGV,
    AT_FLAGS,
    BPF_COMMAND,
    BUFFER,
    CLONE_FLAGS,
    DELETE_FLAGS,
    DEVICE,
    DIRFD,
    EXEC_FLAGS,
    FD,
    FILE_FD,
    MEMFD_FLAGS,
    MESSAGE,
    MESSAGES,
    MODE,
    MODULE_FLAGS,
    MOUNT_FLAGS,
    NUMBER,
    OFFSET,
    OPEN_FLAGS,
    OPEN_HOW,
    PATH,
    PID,
    POINTER,
    PTRACE_REQUEST,
    RENAME_FLAGS,
    SIGNAL,
    SIZE,
    STRING,
    UID,
    UMOUNT_FLAGS,
    UNLINK_FLAGS,
    Kind,
)

PROCESS, FILE, NETWORK, OTHER = Operation.PROCESS, Operation.FILE, Operation.NETWORK, Operation.SYSCALL
NONE, OPENED, BEHIND, PEER = ObjectKind.NONE, ObjectKind.OPENED, ObjectKind.FILE, ObjectKind.PEER
LOCAL, ACCEPTED, IMAGE, QUERY = ObjectKind.LOCAL, ObjectKind.ACCEPTED, ObjectKind.IMAGE, ObjectKind.QUERY

_COPIED: Final = {ArgumentKind.PATH, ArgumentKind.STRING, ArgumentKind.ADDRESS, ArgumentKind.ARGV}


class Syscall(NamedTuple):
    """One system call."""

    name: str
    operation: Operation
    object: ObjectKind
    """What of the kernel's tells of it best."""

    arguments: tuple[tuple[str, Kind], ...]
    """Label and kind, in the kernel's order. What has no label is not shown in `Data`; what begins with a
    dash is not shown there either, but is what the event is about."""

    @property
    def at_entry(self) -> bool:
        """Whether what user memory holds must be copied when the call begins.

        Not where the kernel's own object tells it, or where nothing but a failure is told.
        """
        return self.object not in (OPENED, QUERY) and any(
            kind.treatment in _COPIED for _, kind in self.arguments
        )

    @property
    def path(self) -> int | None:
        """Index of the path that the event is about."""
        return next((i for i, (label, _) in enumerate(self.arguments) if label == "-path"), None)

    def pack(self) -> bytes:
        """The row as the kernel programs read it."""
        kinds = bytes(kind.treatment for _, kind in self.arguments)
        return SYSCALL.pack(True, self.operation, self.object, self.at_entry, kinds)


# fmt: off
_ROWS: Final = (
    #       name                 operation object    arguments, in the kernel's order
    Syscall("execve",            PROCESS,  IMAGE,    (("-path", PATH), ("", ARGV))),
    Syscall("execveat",          PROCESS,  IMAGE,    (("fd", DIRFD), ("-path", PATH), ("", ARGV), ("", POINTER), ("flag", EXEC_FLAGS))),
    Syscall("ptrace",            PROCESS,  NONE,     (("request", PTRACE_REQUEST), ("pid", PID))),

    Syscall("open",              FILE,     OPENED,   (("-path", PATH), ("flags", OPEN_FLAGS), ("", MODE))),
    Syscall("openat",            FILE,     OPENED,   (("fd", DIRFD), ("-path", PATH), ("flags", OPEN_FLAGS), ("", MODE))),
    Syscall("openat2",           FILE,     OPENED,   (("fd", DIRFD), ("-path", PATH), ("flags", OPEN_HOW))),
    Syscall("creat",             FILE,     OPENED,   (("-path", PATH), ("mode", MODE))),
    Syscall("unlink",            FILE,     NONE,     (("-path", PATH),)),
    Syscall("unlinkat",          FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("flags", UNLINK_FLAGS))),
    Syscall("rmdir",             FILE,     NONE,     (("-path", PATH),)),
    Syscall("rename",            FILE,     NONE,     (("-path", PATH), ("newpath", PATH))),
    Syscall("renameat",          FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("", DIRFD), ("newpath", PATH))),
    Syscall("renameat2",         FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("", DIRFD), ("newpath", PATH), ("flags", RENAME_FLAGS))),
    Syscall("link",              FILE,     NONE,     (("-path", PATH), ("newpath", PATH))),
    Syscall("linkat",            FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("", DIRFD), ("newpath", PATH), ("flags", AT_FLAGS))),
    Syscall("symlink",           FILE,     NONE,     (("target", STRING), ("-path", PATH))),
    Syscall("symlinkat",         FILE,     NONE,     (("target", STRING), ("", DIRFD), ("-path", PATH))),
    Syscall("mkdir",             FILE,     NONE,     (("-path", PATH), ("mode", MODE))),
    Syscall("mkdirat",           FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("mode", MODE))),
    Syscall("mknod",             FILE,     NONE,     (("-path", PATH), ("mode", MODE), ("dev", DEVICE))),
    Syscall("mknodat",           FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("mode", MODE), ("dev", DEVICE))),
    Syscall("chmod",             FILE,     NONE,     (("-path", PATH), ("mode", MODE))),
    Syscall("fchmod",            FILE,     BEHIND,   (("fd", FILE_FD), ("mode", MODE))),
    Syscall("fchmodat",          FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("mode", MODE))),
    Syscall("fchmodat2",         FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("mode", MODE), ("flags", AT_FLAGS))),
    Syscall("chown",             FILE,     NONE,     (("-path", PATH), ("userid", UID), ("group", UID))),
    Syscall("lchown",            FILE,     NONE,     (("-path", PATH), ("userid", UID), ("group", UID))),
    Syscall("fchown",            FILE,     BEHIND,   (("fd", FILE_FD), ("userid", UID), ("group", UID))),
    Syscall("fchownat",          FILE,     NONE,     (("", DIRFD), ("-path", PATH), ("userid", UID), ("group", UID), ("mode", NUMBER))),
    Syscall("truncate",          FILE,     NONE,     (("-path", PATH), ("length", OFFSET))),
    Syscall("ftruncate",         FILE,     BEHIND,   (("fd", FILE_FD), ("length", OFFSET))),

    Syscall("socket",            NETWORK,  NONE,     (("", NUMBER), ("", NUMBER), ("", NUMBER))),
    Syscall("connect",           NETWORK,  PEER,     (("fd", FD), ("", ADDRESS))),
    Syscall("bind",              NETWORK,  LOCAL,    (("fd", FD), ("", ADDRESS))),
    Syscall("listen",            NETWORK,  LOCAL,    (("fd", FD), ("backlog", NUMBER))),
    Syscall("accept",            NETWORK,  ACCEPTED, (("fd", FD),)),
    Syscall("accept4",           NETWORK,  ACCEPTED, (("fd", FD), ("", POINTER), ("", POINTER), ("flags", ACCEPT_FLAGS))),
    Syscall("sendto",            NETWORK,  QUERY,    (("fd", FD), ("", BUFFER), ("", SIZE), ("", NUMBER), ("", ADDRESS))),
    Syscall("sendmsg",           NETWORK,  QUERY,    (("fd", FD), ("", MESSAGE))),
    Syscall("sendmmsg",          NETWORK,  QUERY,    (("fd", FD), ("", MESSAGES))),
    Syscall("write",             NETWORK,  QUERY,    (("fd", FD), ("", BUFFER))),

    Syscall("setuid",            OTHER,    NONE,     (("userid", UID),)),
    Syscall("setgid",            OTHER,    NONE,     (("userid", UID),)),
    Syscall("setreuid",          OTHER,    NONE,     (("ruid", UID), ("euid", UID))),
    Syscall("setregid",          OTHER,    NONE,     (("rgid", UID), ("egid", UID))),
    Syscall("setresuid",         OTHER,    NONE,     (("ruid", UID), ("euid", UID), ("suid", UID))),
    Syscall("setresgid",         OTHER,    NONE,     (("rgid", UID), ("egid", UID), ("sgid", UID))),
    Syscall("setfsuid",          OTHER,    NONE,     (("userid", UID),)),
    Syscall("setfsgid",          OTHER,    NONE,     (("userid", UID),)),
    Syscall("capset",            OTHER,    NONE,     (("", POINTER), ("", POINTER))),
    Syscall("setns",             OTHER,    NONE,     (("fd", FD), ("nstype", CLONE_FLAGS))),
    Syscall("unshare",           OTHER,    NONE,     (("flags", CLONE_FLAGS),)),
    Syscall("kill",              OTHER,    NONE,     (("pid", PID), ("signal", SIGNAL))),
    Syscall("process_vm_readv",  OTHER,    NONE,     (("pid", PID),)),
    Syscall("process_vm_writev", OTHER,    NONE,     (("pid", PID),)),
    Syscall("init_module",       OTHER,    NONE,     (("", POINTER), ("size", SIZE), ("params", STRING))),
    Syscall("finit_module",      OTHER,    BEHIND,   (("fd", FILE_FD), ("params", STRING), ("flags", MODULE_FLAGS))),
    Syscall("delete_module",     OTHER,    NONE,     (("name", STRING), ("flags", DELETE_FLAGS))),
    Syscall("bpf",               OTHER,    NONE,     (("cmd", BPF_COMMAND), ("", POINTER), ("size", SIZE))),
    Syscall("memfd_create",      OTHER,    NONE,     (("name", STRING), ("flags", MEMFD_FLAGS))),
    Syscall("chroot",            OTHER,    NONE,     (("-path", PATH),)),
    Syscall("pivot_root",        OTHER,    NONE,     (("-path", PATH), ("putold", PATH))),
    Syscall("mount",             OTHER,    NONE,     (("source", STRING), ("target", PATH), ("filesystem", STRING), ("mountflag", MOUNT_FLAGS), ("data", STRING))),
    Syscall("umount2",           OTHER,    NONE,     (("target", PATH), ("flag", UMOUNT_FLAGS))),
)
# fmt: on

SYSCALLS: Final = {row.name: row for row in _ROWS}

_ALIASES: Final = {
    "umount": "umount2",
    "truncate64": "truncate",
    "ftruncate64": "ftruncate",
    **{name + "32": name for name in SYSCALLS if name.startswith(("set", "chown", "lchown", "fchown"))},
}
"""How the 32-bit table calls what we report under one name."""

_SOCKETCALL: Final = {
    1: "socket", 2: "bind", 3: "connect", 4: "listen", 5: "accept", 9: "sendto", 11: "sendto", 16: "sendmsg",
    18: "accept4", 20: "sendmmsg",
}  # fmt: skip
"""What socketcall(2) multiplexes, linux/net.h; 9 is send(2), which is sendto(2) without an address."""

_SEND: Final = 9


def _slots() -> Iterator[tuple[int, Syscall]]:
    for name, number in NATIVE.items():
        if name in SYSCALLS:
            yield number, SYSCALLS[name]
    for name, number in COMPAT.items():
        row = SYSCALLS.get(_ALIASES.get(name, name))
        if row:
            yield COMPAT_SLOT + number, row
    for number, name in _SOCKETCALL.items():
        row = SYSCALLS[name]
        yield SOCKETCALL_SLOT + number, row._replace(arguments=row.arguments[:4]) if number == _SEND else row


BY_SLOT: Final = dict(_slots())
"""What the kernel's slot numbers stand for: native, 32-bit, and those of socketcall(2)."""


def kernel_rows() -> Iterator[tuple[int, bytes]]:
    """Slot and row of each call, for the map `syscalls`."""
    for slot, row in BY_SLOT.items():
        yield slot, row.pack()
    # the vector of socketcall(2) is read when the call begins; which call it is decides the rest
    multiplexer = Syscall("socketcall", NETWORK, NONE, (("", NUMBER), ("", ADDRESS)))
    yield COMPAT_SLOT + COMPAT["socketcall"], multiplexer.pack()
