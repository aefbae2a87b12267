"""The catalogue of system calls that are told. To add one, add a row and run `make abi`.

The same rows drive the kernel programs: `kernel_rows` says which calls to look at, and what of their
arguments lies in user memory.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from hauberk.abi import (
    ARGUMENT_COUNT,
    COMPAT_SLOT,
    SOCKETCALL_SLOT,
    SYSCALL,
    ArgumentKind,
    LsmHook,
    ObjectKind,
    Operation,
)
from hauberk.constants import COMPAT_SYSCALLS, SOCKETCALLS, SYSCALLS, X32_SYSCALLS
from hauberk.decode.arguments import (
    ADDRESS,
    ARGV,
    AT_FLAGS,
    BPF_COMMAND,
    BUFFER,
    CHOWN_FLAGS,
    DESTINATION,
    DEVICE,
    DIRFD,
    DOMAIN,
    EXEC_FLAGS,
    FD,
    ID,
    ID16,
    MAP_FLAGS,
    MEMFD_FLAGS,
    MESSAGE,
    MESSAGES,
    MODE,
    MODULE_FLAGS,
    MOUNT_FLAGS,
    NAMESPACES,
    NODE_MODE,
    OPEN_FLAGS,
    OPEN_HOW,
    OTHER_PATH,
    PATH,
    PID,
    PROTECTION,
    PROTOCOL,
    PTRACE_REQUEST,
    RENAME_FLAGS,
    SIGNAL,
    SIZE,
    SIZE32,
    SIZE64,
    SOCKET_FLAGS,
    SOCKET_TYPE,
    STRING,
    TOLD_PATH,
    UMOUNT_FLAGS,
    UNLINK_FLAGS,
    UNLOAD_FLAGS,
    UNTOLD_DIRFD,
    UNUSED,
    Kind,
)

Argument: TypeAlias = tuple[str, Kind]
"""Its name in Data and EventData, and what it is."""

_IN_USER_MEMORY: Final = {ArgumentKind.PATH, ArgumentKind.STRING, ArgumentKind.ADDRESS, ArgumentKind.ARGV}
_AFTER_THE_CALL: Final = {ObjectKind.OPENED, ObjectKind.QUERY}


class Syscall(msgspec.Struct, frozen=True):
    """One row."""

    name: str
    operation: Operation
    arguments: tuple[Argument, ...] = ()
    """In the kernel's order; those at the end that are not told may be left out."""

    object: ObjectKind = ObjectKind.NONE
    hook: LsmHook = LsmHook.NONE
    """What the kernel asks before it does what the call is for (bpf/lsm_call.bpf.c): there, rules can deny it."""

    @property
    def is_event(self) -> bool:
        """Whether the call itself is told, and can be meant by rules; else it is looked at for something else."""
        return self.object not in (ObjectKind.QUERY, ObjectKind.MEMORY)

    @property
    def is_copied_at_entry(self) -> bool:
        """Whether strings are copied when the call begins.

        What open(2) gives is the file itself, and datagrams are still there after they were sent.
        """
        kinds = {kind.treatment for _, kind in self.arguments}
        return self.object not in _AFTER_THE_CALL and not kinds.isdisjoint(_IN_USER_MEMORY)


PROCESS, FILE, NETWORK, OTHER = Operation.PROCESS, Operation.FILE, Operation.NETWORK, Operation.SYSCALL
OPENED, FILE_OF, IMAGE, QUERY = ObjectKind.OPENED, ObjectKind.FILE, ObjectKind.IMAGE, ObjectKind.QUERY
PEER, LOCAL, ACCEPTED = ObjectKind.PEER, ObjectKind.LOCAL, ObjectKind.ACCEPTED
MEMORY = ObjectKind.MEMORY

# arguments that many calls have
_FD: Final = ("fd", FD)
_PATH: Final = ("path", PATH)
_NEW_PATH: Final = ("newpath", OTHER_PATH)
_DIR: Final = ("fd", DIRFD)
_AT: Final = ("", UNTOLD_DIRFD)
_USER: Final = ("userid", ID)
_GROUP: Final = ("group", ID)
_SKIP: Final = ("", UNUSED)

# fmt: off
_ROWS: Final = (
    #       name                operation arguments in the kernel's order, object
    Syscall("execve",            PROCESS, (_PATH, ("argv", ARGV)), IMAGE),
    Syscall("execveat",          PROCESS, (_DIR, _PATH, ("argv", ARGV), _SKIP, ("flag", EXEC_FLAGS)), IMAGE),
    Syscall("ptrace",            PROCESS, (("request", PTRACE_REQUEST), ("pid", PID)),
                                          hook=LsmHook.PTRACE_ACCESS_CHECK),

    Syscall("open",              FILE,    (_PATH, ("flags", OPEN_FLAGS)), OPENED),
    Syscall("openat",            FILE,    (_DIR, _PATH, ("flags", OPEN_FLAGS)), OPENED),
    Syscall("openat2",           FILE,    (_DIR, _PATH, ("flags", OPEN_HOW)), OPENED),
    Syscall("creat",             FILE,    (_PATH, ("mode", MODE)), OPENED),
    Syscall("unlink",            FILE,    (_PATH,)),
    Syscall("unlinkat",          FILE,    (_AT, _PATH, ("flags", UNLINK_FLAGS))),
    Syscall("rmdir",             FILE,    (_PATH,)),
    Syscall("rename",            FILE,    (_PATH, _NEW_PATH)),
    Syscall("renameat",          FILE,    (_AT, _PATH, _AT, _NEW_PATH)),
    Syscall("renameat2",         FILE,    (_AT, _PATH, _AT, _NEW_PATH, ("flags", RENAME_FLAGS))),
    Syscall("link",              FILE,    (_PATH, _NEW_PATH)),
    Syscall("linkat",            FILE,    (_AT, _PATH, _AT, _NEW_PATH, ("flags", AT_FLAGS))),
    Syscall("symlink",           FILE,    (("target", STRING), _PATH)),
    Syscall("symlinkat",         FILE,    (("target", STRING), _AT, _PATH)),
    Syscall("mkdir",             FILE,    (_PATH, ("mode", MODE))),
    Syscall("mkdirat",           FILE,    (_AT, _PATH, ("mode", MODE))),
    Syscall("mknod",             FILE,    (_PATH, ("mode", NODE_MODE), ("dev", DEVICE))),
    Syscall("mknodat",           FILE,    (_AT, _PATH, ("mode", NODE_MODE), ("dev", DEVICE))),
    Syscall("chmod",             FILE,    (_PATH, ("mode", MODE))),
    Syscall("fchmod",            FILE,    (_FD, ("mode", MODE)), FILE_OF),
    Syscall("fchmodat",          FILE,    (_AT, _PATH, ("mode", MODE))),
    Syscall("fchmodat2",         FILE,    (_AT, _PATH, ("mode", MODE), ("flags", AT_FLAGS))),
    Syscall("chown",             FILE,    (_PATH, _USER, _GROUP)),
    Syscall("lchown",            FILE,    (_PATH, _USER, _GROUP)),
    Syscall("fchown",            FILE,    (_FD, _USER, _GROUP), FILE_OF),
    Syscall("fchownat",          FILE,    (_AT, _PATH, _USER, _GROUP, ("mode", CHOWN_FLAGS))),
    Syscall("truncate",          FILE,    (_PATH, ("length", SIZE))),
    Syscall("ftruncate",         FILE,    (_FD, ("length", SIZE)), FILE_OF),
    Syscall("mmap",              FILE,    (_SKIP, _SKIP, ("prot", PROTECTION), ("flags", MAP_FLAGS)), MEMORY),
    Syscall("mprotect",          FILE,    (_SKIP, _SKIP, ("prot", PROTECTION)), MEMORY),
    Syscall("pkey_mprotect",     FILE,    (_SKIP, _SKIP, ("prot", PROTECTION)), MEMORY),

    Syscall("socket",            NETWORK, (("domain", DOMAIN), ("type", SOCKET_TYPE),
                                           ("protocol", PROTOCOL))),
    Syscall("connect",           NETWORK, (_FD, ("address", ADDRESS), _SKIP), PEER),
    Syscall("bind",              NETWORK, (_FD, ("address", ADDRESS), _SKIP), LOCAL),
    Syscall("listen",            NETWORK, (_FD,), LOCAL),
    Syscall("accept",            NETWORK, (_FD,), ACCEPTED),
    Syscall("accept4",           NETWORK, (_FD, _SKIP, _SKIP, ("flags", SOCKET_FLAGS)), ACCEPTED),
    Syscall("sendto",            NETWORK, (_FD, ("", BUFFER), _SKIP, _SKIP, ("", DESTINATION), _SKIP), QUERY),
    Syscall("sendmsg",           NETWORK, (_FD, ("", MESSAGE)), QUERY),
    Syscall("sendmmsg",          NETWORK, (_FD, ("", MESSAGES)), QUERY),
    Syscall("write",             NETWORK, (_FD, ("", BUFFER)), QUERY),

    Syscall("setuid",            OTHER,   (_USER,)),
    Syscall("setgid",            OTHER,   (("userid", ID),)),  # KubeArmor's word for both
    Syscall("setreuid",          OTHER,   (("ruid", ID), ("euid", ID))),
    Syscall("setregid",          OTHER,   (("rgid", ID), ("egid", ID))),
    Syscall("setresuid",         OTHER,   (("ruid", ID), ("euid", ID), ("suid", ID))),
    Syscall("setresgid",         OTHER,   (("rgid", ID), ("egid", ID), ("sgid", ID))),
    Syscall("setfsuid",          OTHER,   (_USER,)),
    Syscall("setfsgid",          OTHER,   (_GROUP,)),
    Syscall("setns",             OTHER,   (_FD, ("nstype", NAMESPACES))),
    Syscall("unshare",           OTHER,   (("flags", NAMESPACES),)),
    Syscall("process_vm_readv",  OTHER,   (("pid", PID),), hook=LsmHook.PTRACE_ACCESS_CHECK),
    Syscall("process_vm_writev", OTHER,   (("pid", PID),), hook=LsmHook.PTRACE_ACCESS_CHECK),
    Syscall("init_module",       OTHER,   (_SKIP, ("size", SIZE), ("parameters", STRING)),
                                          hook=LsmHook.KERNEL_LOAD_DATA),
    Syscall("finit_module",      OTHER,   (_FD, ("parameters", STRING), ("flags", MODULE_FLAGS)), FILE_OF,
                                          hook=LsmHook.KERNEL_READ_FILE),
    Syscall("delete_module",     OTHER,   (("name", STRING), ("flags", UNLOAD_FLAGS))),
    Syscall("bpf",               OTHER,   (("command", BPF_COMMAND),), hook=LsmHook.BPF),
    Syscall("memfd_create",      OTHER,   (("name", STRING), ("flags", MEMFD_FLAGS))),
    Syscall("pivot_root",        OTHER,   (_PATH, ("put_old", OTHER_PATH)), hook=LsmHook.SB_PIVOTROOT),
    Syscall("chroot",            OTHER,   (_PATH,), hook=LsmHook.PATH_CHROOT),
    Syscall("kill",              OTHER,   (("pid", PID), ("signal", SIGNAL)), hook=LsmHook.TASK_KILL),
    Syscall("capset",            OTHER,   hook=LsmHook.CAPSET),
    Syscall("mount",             OTHER,   (("source", STRING), ("target", TOLD_PATH), ("filesystem", STRING),
                                           ("mountflag", MOUNT_FLAGS), ("data", STRING)), hook=LsmHook.SB_MOUNT),
    Syscall("umount2",           OTHER,   (("target", TOLD_PATH), ("flag", UMOUNT_FLAGS)), hook=LsmHook.SB_UMOUNT),
)

_COMPAT_ROWS: Final = {
    # 32-bit calls that are called otherwise, or that take something else: IDs of 16 bits, sizes of two words
    "setuid":      Syscall("setuid",    OTHER, (("userid", ID16),)),
    "setgid":      Syscall("setgid",    OTHER, (("userid", ID16),)),
    "setreuid":    Syscall("setreuid",  OTHER, (("ruid", ID16), ("euid", ID16))),
    "setregid":    Syscall("setregid",  OTHER, (("rgid", ID16), ("egid", ID16))),
    "setresuid":   Syscall("setresuid", OTHER, (("ruid", ID16), ("euid", ID16), ("suid", ID16))),
    "setresgid":   Syscall("setresgid", OTHER, (("rgid", ID16), ("egid", ID16), ("sgid", ID16))),
    "setfsuid":    Syscall("setfsuid",  OTHER, (("userid", ID16),)),
    "setfsgid":    Syscall("setfsgid",  OTHER, (("group", ID16),)),
    "chown":       Syscall("chown",     FILE,  (_PATH, ("userid", ID16), ("group", ID16))),
    "lchown":      Syscall("lchown",    FILE,  (_PATH, ("userid", ID16), ("group", ID16))),
    "fchown":      Syscall("fchown",    FILE,  (_FD, ("userid", ID16), ("group", ID16)), FILE_OF),
    "truncate":    Syscall("truncate",  FILE,  (_PATH, ("length", SIZE32))),
    "truncate64":  Syscall("truncate",  FILE,  (_PATH, ("length", SIZE64))),
    "ftruncate":   Syscall("ftruncate", FILE,  (_FD, ("length", SIZE32)), FILE_OF),
    "ftruncate64": Syscall("ftruncate", FILE,  (_FD, ("length", SIZE64)), FILE_OF),
    "mmap2":       Syscall("mmap",      FILE,  (_SKIP, _SKIP, ("prot", PROTECTION), ("flags", MAP_FLAGS)), MEMORY),
    "umount":      Syscall("umount2",   OTHER, (("target", TOLD_PATH),), hook=LsmHook.SB_UMOUNT),
}

_URING_ROWS: Final = (
    # what a request of io_uring holds otherwise: the flags themselves, and no descriptor of the socket
    Syscall("openat2",           FILE,    (_DIR, _PATH, ("flags", OPEN_FLAGS)), OPENED),
    Syscall("connect",           NETWORK, (_SKIP, ("address", ADDRESS)), PEER),
    Syscall("accept4",           NETWORK, (_SKIP, _SKIP, _SKIP, ("flags", SOCKET_FLAGS)), ACCEPTED),
    Syscall("ftruncate",         FILE,    (_SKIP, ("length", SIZE)), FILE_OF),
)
# fmt: on

_BY_NAME: Final = {row.name: row for row in _ROWS}
_WITH_32_BIT_IDS: Final = (
    "setuid32", "setgid32", "setreuid32", "setregid32", "setresuid32", "setresgid32",
    "setfsuid32", "setfsgid32", "chown32", "lchown32", "fchown32",
)  # fmt: skip
_BY_COMPAT_NAME: Final = (
    _BY_NAME | {name: _BY_NAME[name.removesuffix("32")] for name in _WITH_32_BIT_IDS} | _COMPAT_ROWS
)
_BY_SOCKETCALL: Final = _BY_NAME | {
    "send": Syscall("sendto", NETWORK, (("fd", FD), ("buffer", BUFFER)), ObjectKind.QUERY)
}

SLOTS: Final = (
    {number: _BY_NAME[name] for name, number in SYSCALLS.items()}
    | {number: _BY_NAME[name] for name, number in X32_SYSCALLS.items()}
    | {
        COMPAT_SLOT + number: _BY_COMPAT_NAME[name]
        for name, number in COMPAT_SYSCALLS.items()
        if name in _BY_COMPAT_NAME
    }
    | {
        SOCKETCALL_SLOT + number: _BY_SOCKETCALL[name]
        for name, number in SOCKETCALLS.items()
        if name in _BY_SOCKETCALL
    }
)
"""The row of each slot of the kernel's map, which is what a record has for its call."""

URING_SLOTS: Final = SLOTS | {SYSCALLS[row.name]: row for row in _URING_ROWS}
"""The same for requests of io_uring, which the kernel programs tell as the equivalent native call."""

TARGETS: Final = {
    slot: index for slot, row in SLOTS.items() for index, (_, kind) in enumerate(row.arguments) if kind is PID
}
"""Of the calls that act upon a process: which argument is its PID."""


def kernel_rows() -> Iterator[tuple[int, bytes]]:
    """What the kernel programs know of the catalogue: `struct syscall` by slot."""
    for slot, row in SLOTS.items():
        treatments = bytes(kind.treatment for _, kind in row.arguments).ljust(ARGUMENT_COUNT, b"\0")
        yield slot, SYSCALL.pack(1, row.operation, row.object, row.is_copied_at_entry, row.hook, treatments)
    # no event by itself: the arguments of the call it stands for lie in user memory, so it is read at entry
    yield (
        COMPAT_SLOT + COMPAT_SYSCALLS["socketcall"],
        SYSCALL.pack(1, NETWORK, ObjectKind.NONE, 1, 0, bytes(ARGUMENT_COUNT)),
    )
