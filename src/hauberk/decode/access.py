"""What rules can ask about what was done: records, and events as they were written, to accesses.

This is how people try policies on what has happened. The kernel asks the same about what is happening
(bpf/lsm_*.bpf.c, bpf/lib/observe.bpf.h), and knows some things that nobody has written down: who owns a
file, and what kind of socket a descriptor stands for. Here, nobody is an owner, and an access to a socket
of unknown kind has the `socket_type` 0.
"""

import errno
import os
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from hauberk.abi import ArgumentKind, Hook, ItemKind, LsmHook, ObjectKind, Operation, RecordFlag, RuleClass
from hauberk.constants import FAMILIES, SYSCALLS
from hauberk.decode.arguments import CAPABILITIES
from hauberk.decode.paths import absolute
from hauberk.decode.syscalls import SLOTS, URING_SLOTS, Syscall
from hauberk.model.access import Access
from hauberk.model.event import Event
from hauberk.model.record import Record

_DENIED: Final = (-errno.EPERM, -errno.EACCES)
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT | os.O_APPEND
_WRITING_NAMES: Final = ("O_WRONLY", "O_RDWR", "O_TRUNC", "O_CREAT", "O_APPEND", "O_TMPFILE")
_TMPFILE: Final = os.O_TMPFILE & ~os.O_DIRECTORY
_SOCKET_TYPE_MASK: Final = 0xF
_AT_FDCWD: Final = 0xFFFFFF9C
_ON_SOCKETS: Final = ("connect", "bind", "listen", "accept", "accept4")
_RENAMES: Final = ("rename", "renameat", "renameat2")
_FILELESS: Final = (b"memfd:", b"/dev/shm/", b"/run/shm/")
_OF_A_PROCESS: Final = re.compile(rb"/proc/(\d+)(?:/.*)?")
_MEMORY_CALLS: Final = frozenset(row.name for row in SLOTS.values() if row.object == ObjectKind.MEMORY)
_CLASSES_OF_HOOKS: Final = {
    LsmHook.BPRM_CHECK_SECURITY: RuleClass.PROCESS,
    LsmHook.FILE_MPROTECT: RuleClass.ANONYMOUS_MAP_EXEC,
    LsmHook.CAPABLE: RuleClass.CAPABILITIES,
}


def accesses_of(record: Record, source: str) -> list[Access]:
    """What rules can ask about a record; nothing if the call failed for another reason than a denial.

    `source` is the image that acted: of an exec the caller's, which is there no more. Who owns a file is not
    recorded: `is_owner` is False, so what `ownerOnly` allows to the owner looks as if somebody else had it.
    """
    if record.hook in (Hook.SYSCALL, Hook.IO_URING, Hook.LSM) and not (
        record.result >= 0 or record.result in _DENIED
    ):
        return []
    acting = source.encode(errors="surrogateescape")
    match record.hook:
        case Hook.EXEC:
            found = _of_exec(record)
        case Hook.SYSCALL:
            found = _of_call(record, SLOTS.get(record.syscall))
        case Hook.IO_URING:
            found = _of_call(record, URING_SLOTS.get(record.syscall))
        case Hook.LSM:
            found = _of_lsm(record)
        case Hook.CAPABLE:
            found = iter([_capability(record.arguments[0])])
        case _:
            return []
    has_terminal = bool(record.find(ItemKind.TTY))
    return [msgspec.structs.replace(each, source=acting, has_terminal=has_terminal) for each in found]


# Executions


def _of_exec(record: Record) -> Iterator[Access]:
    executable = record.find(ItemKind.EXECUTABLE) or b""
    argv = None if record.flags & RecordFlag.CUT else _split(record.find(ItemKind.ARGV))
    arguments = None if argv is None else argv[1:]
    if record.flags & RecordFlag.SCRIPT:  # the kernel asks about the script first, then about its interpreter
        name = record.find(ItemKind.FILENAME) or b""
        path, is_known = _join(name, record.find(ItemKind.CWD))
        passed = None if arguments is None else _without_first_line(arguments, name)
        yield Access(rule_class=RuleClass.PROCESS, path=path, path_is_known=is_known, arguments=passed)
    yield from _execution(executable, bool(executable), arguments)
    yield from _execution_from_outside(record, executable, arguments)


def _execution_from_outside(
    record: Record, path: bytes, arguments: tuple[bytes, ...] | None
) -> Iterator[Access]:
    """What the preset `exec` asks: the parent is not in the PID namespace, and the process is not its first."""
    if _is_from_outside(record, record.find(ItemKind.TTY)):
        yield Access(rule_class=RuleClass.EXEC, path=path, arguments=arguments)


def _is_from_outside(process: Record | Event, terminal: bytes | str | None) -> bool:
    return process.pid not in (1, process.host_pid) and not process.ppid and bool(terminal)


def _execution(path: bytes, is_known: bool, arguments: tuple[bytes, ...] | None) -> Iterator[Access]:
    yield Access(rule_class=RuleClass.PROCESS, path=path, path_is_known=is_known, arguments=arguments)
    if path.startswith(_FILELESS):
        yield Access(rule_class=RuleClass.FILELESS_EXEC, path=path, arguments=arguments)


def _without_first_line(arguments: tuple[bytes, ...], name: bytes) -> tuple[bytes, ...]:
    """What a script's caller passed, of the arguments that its interpreter was called with."""
    return arguments[arguments.index(name) + 1 :] if name in arguments else arguments


def _split(argv: bytes | None) -> tuple[bytes, ...] | None:
    return tuple(argv.removesuffix(b"\0").split(b"\0")) if argv else None


# Calls


def _of_call(record: Record, row: Syscall | None) -> Iterator[Access]:
    if row is None:  # damaged
        return
    if row.object == ObjectKind.MEMORY:
        yield _code(record.find(ItemKind.OBJECT) or b"")
    if not row.is_event:
        return
    paths = list(_paths(record, row))
    if row.object == ObjectKind.IMAGE:
        if record.result < 0:  # one that went on is told by its exec
            path, is_known = paths[0] if paths else (b"", False)
            argv = _split(next((content for kind, _, content in record.items if kind == ItemKind.ARGV), None))
            arguments = argv[1:] if argv else None
            yield from _execution(path, is_known, arguments)
            yield from _execution_from_outside(record, path, arguments)
    elif row.operation is Operation.FILE:
        writes = _writes(record, row)
        for path, is_known in paths:
            yield Access(rule_class=RuleClass.FILE, path=path, path_is_known=is_known, writes=writes)
            yield from _of_another(record, path, row)
            if row.name in _RENAMES and is_known:
                # whether it is a directory is not told; below any other there is nothing to be moved
                yield Access(rule_class=RuleClass.MOVE, path=path, writes=True)
    elif row.name == "socket":
        family, kind, protocol = (number & 0xFFFFFFFF for number in record.arguments[:3])
        yield _socket(family, kind & _SOCKET_TYPE_MASK, protocol)
    elif row.name in _ON_SOCKETS:
        address = next((content for kind, _, content in record.items if kind == ItemKind.ADDRESS), b"")
        yield _socket(int.from_bytes(address[:2], "little"), 0, 0)
    slot = RuleClass.SYSCALL + record.syscall
    for path, is_known in paths or [(b"", True)]:
        yield Access(rule_class=slot, path=path, path_is_known=is_known)


def _socket(family: int, kind: int, protocol: int) -> Access:
    return Access(
        rule_class=RuleClass.NETWORK, family=family, socket_type=kind, protocol=protocol, writes=True
    )


def _writes(record: Record, row: Syscall) -> bool:
    """Whether a call of operation FILE can change what it names: all do but an open to read."""
    if row.object != ObjectKind.OPENED or row.name == "creat":
        return True
    for i, (label, kind) in enumerate(row.arguments):
        if label == "flags":
            flags = record.arguments[i]
            if kind.treatment == ArgumentKind.HOW:
                flags = int.from_bytes((record.find(ItemKind.ARGUMENT, i) or b"")[:8], "little")
            return bool(flags & (_WRITING | _TMPFILE))
    return True


def _of_another(record: Record, path: bytes, row: Syscall) -> Iterator[Access]:
    """What the presets for procfs ask about an open: whether it is of another process."""
    if row.object == ObjectKind.OPENED:
        yield from _procfs(path, (record.pid, record.tid))


def _procfs(path: bytes, own: tuple[int, ...]) -> Iterator[Access]:
    found = _OF_A_PROCESS.fullmatch(path)
    if not found or int(found[1]) in own:
        return
    yield Access(rule_class=RuleClass.PROTECT_PROC, path=path)
    if path.endswith(b"/environ"):
        yield Access(rule_class=RuleClass.PROTECT_ENV, path=path)


def _paths(record: Record, row: Syscall) -> Iterator[tuple[bytes, bool]]:
    """The paths that a call names, the kernel's own where it told them, and whether each is known whole."""
    is_whole = not record.flags & (RecordFlag.CUT | RecordFlag.UNREADABLE)
    if row.object in (ObjectKind.OPENED, ObjectKind.FILE):
        opened = record.find(ItemKind.OBJECT)
        if opened:
            yield opened, is_whole
            return
    for i, (_, kind) in enumerate(row.arguments):
        if kind.treatment != ArgumentKind.PATH:
            continue
        told = record.find(ItemKind.OBJECT, i)
        if told:
            yield told, is_whole
            continue
        written = record.find(ItemKind.ARGUMENT, i)
        directory = record.find(ItemKind.BASE, i)
        if not written:
            yield directory or b"", bool(directory) and is_whole
            continue
        of = i - 1 if i and row.arguments[i - 1][1].treatment == ArgumentKind.DIRFD else None
        if directory is None and (of is None or record.arguments[of] & 0xFFFFFFFF == _AT_FDCWD):
            directory = record.find(ItemKind.CWD)
        path, is_known = _join(written, directory)
        yield path, is_known and is_whole


def _join(written: bytes, directory: bytes | None) -> tuple[bytes, bool]:
    """What a caller wrote, seen from the root. Above a name that may be a link, nobody knows what ``..`` is."""
    path = absolute(os.fsdecode(written), os.fsdecode(directory) if directory else None)
    is_known = path.startswith("/") and ".." not in os.fsdecode(written).split("/")
    return os.fsencode(path), is_known


# Decisions


def _of_lsm(record: Record) -> Iterator[Access]:
    hook, *numbers = record.arguments
    if not LsmHook.NONE < hook < LsmHook.COUNT:  # damaged
        return
    of = next((which for kind, which, _ in record.items if kind == ItemKind.VERDICT), None)
    if of is None:
        is_socket = LsmHook.SOCKET_CREATE <= hook <= LsmHook.SOCKET_SENDMSG
        of = RuleClass.NETWORK if is_socket else _CLASSES_OF_HOOKS.get(LsmHook(hook), RuleClass.FILE)
    if of == RuleClass.NETWORK:
        yield _socket(numbers[0], numbers[1] & _SOCKET_TYPE_MASK, numbers[2])
    elif of == RuleClass.CAPABILITIES:
        yield _capability(numbers[0])
    elif of == RuleClass.SYSCALL:
        yield Access(rule_class=RuleClass.SYSCALL + numbers[0])
    else:
        path = record.find(ItemKind.OBJECT)
        is_whole = not record.flags & (RecordFlag.CUT | RecordFlag.UNREADABLE)
        argv = _split(record.find(ItemKind.ARGV, 1))
        yield Access(
            rule_class=of,
            path=path or b"",
            path_is_known=is_whole,
            writes=of == RuleClass.MOVE or (of == RuleClass.FILE and _lsm_writes(hook, numbers[0])),
            arguments=argv[1:] if argv else None,
        )


def _code(path: bytes) -> Access:
    """Memory that became code: of a file, or of none."""
    return Access(rule_class=RuleClass.MAP_EXEC if path else RuleClass.ANONYMOUS_MAP_EXEC, path=path)


def _capability(number: int) -> Access:
    return Access(rule_class=RuleClass.CAPABILITIES, capability=number, writes=True)


def _lsm_writes(hook: int, flags: int) -> bool:
    return hook != LsmHook.FILE_OPEN or bool(flags & (_WRITING | _TMPFILE))


# Events


_FAMILY_NUMBERS: Final = {name: number for number, name in FAMILIES.items()}
_TYPE_NUMBERS: Final = {
    "SOCK_STREAM": 1, "SOCK_DGRAM": 2, "SOCK_RAW": 3, "SOCK_RDM": 4, "SOCK_SEQPACKET": 5, "SOCK_DCCP": 6,
    "SOCK_PACKET": 10,
}  # fmt: skip
_PROTOCOL_NUMBERS: Final = {"ICMP": 1, "TCP": 6, "UDP": 17, "IPv6-ICMP": 58, "ICMPv6": 58, "SCTP": 132}


def accesses_told(event: Event) -> list[Access]:
    """What rules can ask about an event; nothing if it tells too little.

    Of what was executed, the image is told, and the parent's for who executed it. Arguments are told as one
    text: one that holds a space looks like two.
    """
    data, resource = event.details, event.resource or ""
    acting = event.process.executable or event.source.partition(" ")[0]
    found: list[Access] = []
    match event.operation:
        case Operation.PROCESS if "sched_process" not in data.get("tracepoint", ""):
            path = event.process.executable or resource.partition(" ")[0]
            acting = event.parent_executable or event.source.partition(" ")[0]
            argv = data.get("argv", "")
            arguments = () if not argv or argv == resource else tuple(argv.encode().split(b" "))
            found += _execution(path.encode(), path.startswith(("/", "memfd:")), arguments)
            if _is_from_outside(event, event.tty):
                found.append(Access(rule_class=RuleClass.EXEC, path=path.encode(), arguments=arguments))
        case Operation.FILE if data.get("syscall") not in _MEMORY_CALLS:
            writes = _told_writes(data)
            for text in filter(None, (resource, data.get("newpath", ""))):
                is_known = text.startswith("/") and "cut" not in data
                found.append(
                    Access(
                        rule_class=RuleClass.FILE, path=text.encode(), path_is_known=is_known, writes=writes
                    )
                )
            if _told_opens(data):
                found += _procfs(resource.encode(), (event.pid,))
        case Operation.NETWORK if "kfunc" not in data and ("domain" in data or "sa_family" in data):
            found.append(
                _socket(
                    _FAMILY_NUMBERS.get(data.get("sa_family") or data.get("domain", ""), 0),
                    _TYPE_NUMBERS.get(data.get("type", "").partition("|")[0], 0),
                    _PROTOCOL_NUMBERS.get(data.get("protocol", ""), 0),
                )
            )
        case Operation.CAPABILITIES if (name := data.get("capability", "")[4:].lower()) in CAPABILITIES:
            found.append(_capability(CAPABILITIES.index(name)))
    name = data.get("syscall", "")
    if name in _MEMORY_CALLS:
        found.append(_code(resource.encode()))
    elif name in SYSCALLS:
        path = resource if event.operation in (Operation.FILE, Operation.SYSCALL) else ""
        path = path if path.startswith("/") else ""
        found.append(Access(rule_class=RuleClass.SYSCALL + SYSCALLS[name], path=path.encode()))
    return [
        msgspec.structs.replace(each, source=acting.encode(), has_terminal=event.tty is not None)
        for each in found
    ]


def _told_writes(data: dict[str, str]) -> bool:
    """Of an open its flags say so; any other call on a file can change it."""
    return not _told_opens(data) or any(name in data.get("flags", "").split("|") for name in _WRITING_NAMES)


def _told_opens(data: dict[str, str]) -> bool:
    return data.get("syscall", data.get("io_uring", "")).startswith("open") or data.get("lsm") == "file_open"
