"""What rules can ask about a record, and about an event that was written."""

import errno
import os
import struct
from typing import Any

import msgspec
import pytest

from hauberk.abi import VERDICT, Hook, ItemKind, LsmHook, RecordFlag, RuleClass
from hauberk.constants import SYSCALLS
from hauberk.decode.access import accesses_of, accesses_told
from hauberk.formats.kubearmor_reader import read_mapping
from hauberk.model.access import Access
from tests.unit.decode.raw import CWD, record

CAT = "/usr/bin/cat"
AT_FDCWD = -100
INET = struct.pack("<H", 2) + bytes(14)
ENOENT, EACCES, EPERM = -errno.ENOENT, -errno.EACCES, -errno.EPERM


def named(index: int, path: bytes) -> tuple[ItemKind, int, bytes]:
    return ItemKind.OBJECT, index, path


def written(index: int, path: bytes) -> tuple[ItemKind, int, bytes]:
    return ItemKind.ARGUMENT, index, path


def access(rule_class: int, path: bytes = b"", **others: Any) -> Access:
    return Access(rule_class=rule_class, path=path, source=CAT.encode(), **others)


def call(name: str, path: bytes = b"", **others: Any) -> Access:
    return access(RuleClass.SYSCALL + SYSCALLS[name], path, **others)


def asked(name: str, *items: tuple[ItemKind, int, bytes], **others: Any) -> list[Access]:
    return accesses_of(record(*items, syscall=SYSCALLS[name], **others), CAT)


@pytest.mark.parametrize(
    ("flags", "writes"),
    [
        (os.O_RDONLY, False),
        (os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY, False),
        (os.O_WRONLY, True),
        (os.O_RDWR, True),
        (os.O_RDONLY | os.O_TRUNC, True),
        (os.O_RDONLY | os.O_CREAT, True),
    ],
)
def test_open_writes_by_its_flags(flags: int, writes: bool) -> None:
    """An open is a write if its flags let it be; it is a system call besides, whatever the flags."""
    assert asked("openat", named(0, b"/f"), arguments=(AT_FDCWD, 0, flags)) == [
        access(RuleClass.FILE, b"/f", writes=writes),
        call("openat", b"/f"),
    ]


@pytest.mark.parametrize(("result", "count"), [(0, 2), (EPERM, 2), (EACCES, 2), (ENOENT, 0)])
def test_only_what_passed_or_was_denied(result: int, count: int) -> None:
    """What failed for another reason is nothing that rules were asked about."""
    assert len(asked("openat", named(0, b"/f"), arguments=(AT_FDCWD, 0, 0), result=result)) == count


@pytest.mark.parametrize(
    ("items", "directory", "path", "is_known"),
    [
        ((written(1, b"/etc/shadow"),), AT_FDCWD, b"/etc/shadow", True),
        ((written(1, b"shadow"), CWD), AT_FDCWD, b"/home/ada/shadow", True),
        ((written(1, b"./a//b"), CWD), AT_FDCWD, b"/home/ada/a/b", True),
        ((written(1, b"shadow"), (ItemKind.BASE, 1, b"/etc"), CWD), 3, b"/etc/shadow", True),
        ((written(1, b"shadow"), CWD), 3, b"shadow", False),
        ((written(1, b"/tmp/../etc/shadow"),), AT_FDCWD, b"/etc/shadow", False),
    ],
)
def test_written_path(
    items: tuple[tuple[ItemKind, int, bytes], ...], directory: int, path: bytes, is_known: bool
) -> None:
    """A path that only the caller wrote is made absolute; one that may lead elsewhere is not known."""
    found = asked("unlinkat", *items, arguments=(directory, 0, 0))

    assert found[0] == access(RuleClass.FILE, path, path_is_known=is_known, writes=True)


def test_cut_path_is_not_known() -> None:
    """Half of a path is none."""
    found = asked("unlink", named(0, b"/etc/sha"), flags=RecordFlag.CUT)

    assert [each.path_is_known for each in found] == [False, False]


def test_rename_is_of_both_names() -> None:
    """Both names are written to, and may be directories that take along what lies below."""
    assert asked("rename", named(0, b"/f"), named(1, b"/g")) == [
        access(RuleClass.FILE, b"/f", writes=True),
        access(RuleClass.MOVE, b"/f", writes=True),
        access(RuleClass.FILE, b"/g", writes=True),
        access(RuleClass.MOVE, b"/g", writes=True),
        call("rename", b"/f"),
        call("rename", b"/g"),
    ]


def test_socket() -> None:
    """A socket is what it is asked for as; flags are no part of its type."""
    assert asked("socket", arguments=(2, 3 | 0o2000000, 1))[0] == access(
        RuleClass.NETWORK, family=2, socket_type=3, protocol=1, writes=True
    )


@pytest.mark.parametrize("name", ["connect", "bind", "listen", "accept", "accept4"])
def test_use_of_a_socket(name: str) -> None:
    """Of a socket that was made before, only the family can be told."""
    found = asked(name, (ItemKind.ADDRESS, 0, INET), arguments=(3,))

    assert found[0] == access(RuleClass.NETWORK, family=2, writes=True)


def test_call_without_a_path() -> None:
    """What has no path can be meant by rules for calls."""
    assert asked("setuid", arguments=(0,)) == [call("setuid")]


def test_exec() -> None:
    """Rules see the image, its arguments without the name, the terminal, and the caller's image."""
    told = record(
        (ItemKind.EXECUTABLE, 0, b"/usr/bin/nc"),
        (ItemKind.ARGV, 0, b"nc\0-e\0\0"),
        (ItemKind.TTY, 0, b"pts/0"),
        hook=Hook.EXEC,
    )

    assert accesses_of(told, CAT) == [
        access(RuleClass.PROCESS, b"/usr/bin/nc", arguments=(b"-e", b""), has_terminal=True)
    ]


def test_script_is_asked_about_before_its_interpreter() -> None:
    """The arguments are those that the caller passed."""
    told = record(
        (ItemKind.EXECUTABLE, 0, b"/usr/bin/dash"),
        (ItemKind.FILENAME, 0, b"./run"),
        (ItemKind.ARGV, 0, b"/bin/sh\0-e\0./run\0now\0"),
        CWD,
        hook=Hook.EXEC,
        flags=RecordFlag.SCRIPT,
    )

    assert [(each.path, each.arguments) for each in accesses_of(told, CAT)] == [
        (b"/home/ada/run", (b"now",)),
        (b"/usr/bin/dash", (b"-e", b"./run", b"now")),
    ]


def test_denied_exec() -> None:
    """It has no record of an exec, only of a call."""
    found = asked(
        "execve", named(0, b"/dev/shm/x"), (ItemKind.ARGV, 1, b"x\0-v\0"), arguments=(0, 0), result=EACCES
    )

    assert found == [
        access(RuleClass.PROCESS, b"/dev/shm/x", arguments=(b"-v",)),
        access(RuleClass.FILELESS_EXEC, b"/dev/shm/x", arguments=(b"-v",)),
        call("execve", b"/dev/shm/x"),
    ]


@pytest.mark.parametrize(
    ("path", "classes"),
    [
        (b"/proc/1/environ", {RuleClass.FILE, RuleClass.PROTECT_PROC, RuleClass.PROTECT_ENV}),
        (b"/proc/1/maps", {RuleClass.FILE, RuleClass.PROTECT_PROC}),
        (b"/proc/2004/environ", {RuleClass.FILE}),
        (b"/proc/cpuinfo", {RuleClass.FILE}),
    ],
)
def test_procfs_of_others(path: bytes, classes: set[RuleClass]) -> None:
    """The presets ask whether it is another process; 2004 is the one that acts."""
    found = asked("openat", named(0, path), arguments=(AT_FDCWD, 0, 0))

    assert {each.rule_class for each in found} - {RuleClass.SYSCALL + SYSCALLS["openat"]} == classes


@pytest.mark.parametrize("name", ["mmap", "mprotect", "pkey_mprotect"])
def test_memory_that_becomes_code(name: str) -> None:
    """It is told only where a preset wants it, and no other rule can be about the call."""
    assert asked(name, arguments=(0, 4096, 5, 0x22)) == [access(RuleClass.ANONYMOUS_MAP_EXEC)]
    assert asked(name, named(0, b"/x"), arguments=(0, 4096, 5, 2)) == [access(RuleClass.MAP_EXEC, b"/x")]


@pytest.mark.parametrize(
    ("pids", "tty", "is_asked"),
    [
        ({"pid": 7, "ppid": 0}, b"pts0", True),
        ({"pid": 7, "ppid": 0}, None, False),
        ({"pid": 7, "ppid": 3}, b"pts0", False),
        ({"pid": 1, "ppid": 0}, b"pts0", False),
    ],
)
def test_execution_from_outside(pids: dict[str, int], tty: bytes | None, is_asked: bool) -> None:
    """Who is in a PID namespace without its parent, and is not its first, was executed there from outside."""
    items = [(ItemKind.EXECUTABLE, 0, b"/bin/sh"), *([(ItemKind.TTY, 0, tty)] if tty else [])]

    told = msgspec.structs.replace(record(*items, hook=Hook.EXEC), **pids)

    found = {each.rule_class for each in accesses_of(told, CAT)}

    assert found == {RuleClass.PROCESS} | ({RuleClass.EXEC} if is_asked else set())


def test_capability_that_was_used() -> None:
    """Where no LSM program is asked, a record of its own tells."""
    told = record(hook=Hook.CAPABLE, arguments=(13, 1))

    assert accesses_of(told, CAT) == [access(RuleClass.CAPABILITIES, capability=13, writes=True)]


def test_io_uring_has_its_own_arguments() -> None:
    """A request has the flags themselves where the call has a pointer to them."""
    told = record(
        named(0, b"/f"), hook=Hook.IO_URING, syscall=SYSCALLS["openat2"], arguments=(AT_FDCWD, 0, os.O_RDWR)
    )

    assert accesses_of(told, CAT)[0] == access(RuleClass.FILE, b"/f", writes=True)


def decided(of: int) -> tuple[ItemKind, int, bytes]:
    return ItemKind.VERDICT, of, bytes(VERDICT.size)


@pytest.mark.parametrize(
    ("hook", "of", "numbers", "items", "expected"),
    [
        (LsmHook.FILE_OPEN, RuleClass.FILE, (os.O_RDONLY,), (named(0, b"/f"),),
         access(RuleClass.FILE, b"/f")),
        (LsmHook.FILE_OPEN, RuleClass.FILE, (os.O_WRONLY,), (named(0, b"/f"),),
         access(RuleClass.FILE, b"/f", writes=True)),
        (LsmHook.PATH_CHMOD, RuleClass.FILE, (0,), (named(0, b"/f"),),
         access(RuleClass.FILE, b"/f", writes=True)),
        (LsmHook.PATH_RENAME, RuleClass.MOVE, (0,), (named(0, b"/etc"),),
         access(RuleClass.MOVE, b"/etc", writes=True)),
        (LsmHook.BPRM_CHECK_SECURITY, RuleClass.PROCESS, (0,),
         (named(0, b"/usr/bin/nc"), (ItemKind.ARGV, 1, b"nc\0-l\0")),
         access(RuleClass.PROCESS, b"/usr/bin/nc", arguments=(b"-l",))),
        (LsmHook.MMAP_FILE, RuleClass.MAP_EXEC, (5, 5, 2), (named(0, b"/tmp/x"),),
         access(RuleClass.MAP_EXEC, b"/tmp/x")),
        (LsmHook.SOCKET_BIND, RuleClass.NETWORK, (10, 1, 6), (),
         access(RuleClass.NETWORK, family=10, socket_type=1, protocol=6, writes=True)),
        (LsmHook.CAPABLE, RuleClass.CAPABILITIES, (16,), (),
         access(RuleClass.CAPABILITIES, capability=16, writes=True)),
    ],
)  # fmt: skip
def test_lsm(
    hook: LsmHook,
    of: RuleClass,
    numbers: tuple[int, ...],
    items: tuple[tuple[ItemKind, int, bytes], ...],
    expected: Access,
) -> None:
    """A decision says what it was about; without its verdict, the hook does."""
    arguments = (hook, *numbers)
    found = accesses_of(record(*items, decided(of), hook=Hook.LSM, arguments=arguments, result=EACCES), CAT)

    assert found == [expected]
    if of not in (RuleClass.MOVE, RuleClass.MAP_EXEC):
        assert accesses_of(record(*items, hook=Hook.LSM, arguments=arguments), CAT) == [expected]


@pytest.mark.parametrize("hook", [Hook.SYSCALL, Hook.IO_URING, Hook.LSM, Hook.FORK, Hook.EXIT, Hook.PROCESS])
def test_damaged_or_without_access(hook: int) -> None:
    """What no rule can ask about gives nothing, and does not raise."""
    assert accesses_of(record(hook=hook, syscall=2047, arguments=(9999,)), CAT) == []


EXEC: dict[str, object] = {
    "Operation": "Process",
    "ParentProcessName": "/usr/bin/bash",
    "ProcessName": "/usr/bin/nc",
    "Source": "/usr/bin/bash",
    "Resource": "/usr/bin/nc -l 80",
    "EventData": {"syscall": "execve", "argv": "-l 80"},
    "TTY": "pts/0",
}
OPEN: dict[str, object] = {
    "Operation": "File",
    "ProcessName": CAT,
    "Source": "/usr/bin/cat /f",
    "Resource": "/f",
    "EventData": {"syscall": "openat", "flags": "O_RDONLY|O_CLOEXEC"},
}
SOCKET: dict[str, object] = {
    "Operation": "Network",
    "ProcessName": CAT,
    "EventData": {"syscall": "socket", "domain": "AF_INET", "type": "SOCK_RAW", "protocol": "ICMP"},
}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (EXEC, Access(rule_class=RuleClass.PROCESS, path=b"/usr/bin/nc", source=b"/usr/bin/bash",
                      arguments=(b"-l", b"80"), has_terminal=True)),
        (OPEN, access(RuleClass.FILE, b"/f")),
        (OPEN | {"EventData": {"syscall": "openat", "flags": "O_RDWR"}},
         access(RuleClass.FILE, b"/f", writes=True)),
        (OPEN | {"EventData": {"syscall": "unlink"}}, access(RuleClass.FILE, b"/f", writes=True)),
        (OPEN | {"EventData": {"lsm": "file_open", "flags": "O_RDONLY"}}, access(RuleClass.FILE, b"/f")),
        (SOCKET, access(RuleClass.NETWORK, family=2, socket_type=3, protocol=1, writes=True)),
        (SOCKET | {"EventData": {"syscall": "connect", "sa_family": "AF_INET"}},
         access(RuleClass.NETWORK, family=2, writes=True)),
        ({"Operation": "Capabilities", "ProcessName": CAT, "EventData": {"capability": "CAP_SYS_MODULE"}},
         access(RuleClass.CAPABILITIES, capability=16, writes=True)),
        ({"Operation": "Syscall", "ProcessName": CAT, "EventData": {"syscall": "setuid"}}, call("setuid")),
    ],
)  # fmt: skip
def test_told(event: dict[str, object], expected: Access) -> None:
    """An event says the same as its record, as far as it goes."""
    assert accesses_told(read_mapping(event))[0] == expected


ENVIRON = OPEN | {"Resource": "/proc/7/environ", "PID": 7, "HostPID": 70, "PPID": 1}
OUTSIDE = EXEC | {"PID": 7, "HostPID": 70, "PPID": 0}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ENVIRON, []),
        (ENVIRON | {"PID": 8}, [RuleClass.PROTECT_PROC, RuleClass.PROTECT_ENV]),
        (ENVIRON | {"PID": 8, "Resource": "/proc/7/maps"}, [RuleClass.PROTECT_PROC]),
        (ENVIRON | {"PID": 8, "EventData": {"lsm": "file_open"}}, [RuleClass.PROTECT_PROC, RuleClass.PROTECT_ENV]),
        (ENVIRON | {"PID": 8, "EventData": {"syscall": "unlink"}}, []),
        (OUTSIDE, [RuleClass.EXEC]),
        (OUTSIDE | {"PPID": 3}, []),
        (OUTSIDE | {"HostPID": 7}, []),
        (OUTSIDE | {"TTY": ""}, []),
        (EXEC | {"ProcessName": "memfd:x"}, [RuleClass.FILELESS_EXEC]),
    ],
)  # fmt: skip
def test_told_to_presets(event: dict[str, object], expected: list[RuleClass]) -> None:
    """What presets ask, an alert of theirs tells."""
    found = [each.rule_class for each in accesses_told(read_mapping(event))]

    assert [each for each in found if RuleClass.FILELESS_EXEC <= each <= RuleClass.EXEC] == expected


@pytest.mark.parametrize(
    "event",
    [
        {"Operation": "Process", "EventData": {"tracepoint": "sched_process_exit", "code": "0"}},
        {"Operation": "Network", "EventData": {"kfunc": "udp_sendskb", "domain": "example.org"}},
        {"Operation": "Capabilities", "EventData": {"capability": "CAP_77"}},
        {"Operation": "Nothing"},
    ],
)
def test_told_too_little(event: dict[str, object]) -> None:
    """What rules cannot ask about gives nothing."""
    assert accesses_told(read_mapping(event)) == []
