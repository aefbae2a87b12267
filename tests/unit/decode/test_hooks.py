"""What records say."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.abi import COMPAT_SLOT, SOCKETCALL_SLOT, CapableSource, Hook, ItemKind, Operation, RecordFlag
from hauberk.constants import COMPAT_SYSCALLS, SYSCALLS
from hauberk.decode.hooks import Description, command_line, describe
from hauberk.decode.syscalls import SLOTS
from hauberk.model.process import Process
from hauberk.model.record import Record
from tests.unit.decode.raw import CWD, record

AT_FDCWD = -100
MINUS_ONE = -1
SHELL = Process(2001, 1004, 2007, "/usr/bin/dash", "/bin/sh -ec vault status -tls-skip-verify")

INET = struct.pack("<H", 2) + struct.pack(">H", 53) + bytes([10, 0, 0, 10])


def nobody(pid_ns: int, pid: int) -> None:
    """Knows no process."""


def strace(pid_ns: int, pid: int) -> str | None:
    """Knows one process."""
    return "/usr/bin/top" if (pid_ns, pid) == (4026531836, 77) else None


def described(
    *items: tuple[ItemKind, int, bytes],
    hook: int = Hook.SYSCALL,
    syscall: int = 0,
    arguments: tuple[int, ...] = (),
    result: int = 0,
    flags: RecordFlag = RecordFlag(0),
) -> Description:
    told = record(*items, hook=hook, syscall=syscall, arguments=arguments, result=result, flags=flags)
    return describe(told, SHELL, strace)


def argument(index: int, content: bytes) -> tuple[ItemKind, int, bytes]:
    return (ItemKind.ARGUMENT, index, content)


def named(index: int, content: bytes) -> tuple[ItemKind, int, bytes]:
    """The kernel's own path."""
    return (ItemKind.OBJECT, index, content)


F = (named(0, b"/f"),)
FG = (named(0, b"/f"), named(1, b"/g"))
FG_AT = (named(1, b"/f"), named(3, b"/g"))
F_AT = (named(1, b"/f"),)
PEER = ((ItemKind.ADDRESS, 0, INET),)
PEER_TEXT = "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10"
PEER_DETAILS = {"sa_family": "AF_INET", "port": "53"}

CALLS: dict[str, tuple[tuple[Any, ...], tuple[int, ...], str | None, str, dict[str, str]]] = {
    # name: items, arguments; resource, Data after the name, EventData but for the name
    "execve": ((argument(0, b"/x"), (ItemKind.ARGV, 1, b"x\0-a\0b c\0")), (), "/x -a b c", "",
               {"argv": "-a b c", "path": "argument"}),
    "execveat": ((argument(1, b"x"), (ItemKind.BASE, 1, b"/d"), (ItemKind.ARGV, 2, b"x\0")), (5, 0, 0, 0, 0x1000),
                 "/d/x", " fd=5 flag=AT_EMPTY_PATH",
                 {"fd": "5", "flag": "AT_EMPTY_PATH", "argv": "/d/x", "path": "argument"}),
    "ptrace": ((), (0x4206, 77), "/usr/bin/top", " request=PTRACE_SEIZE pid=77 process=/usr/bin/top",
               {"request": "PTRACE_SEIZE", "pid": "77", "process": "/usr/bin/top"}),
    "open": (F, (0, 0o1101), "/f", " flags=O_WRONLY|O_CREAT|O_TRUNC", {"flags": "O_WRONLY|O_CREAT|O_TRUNC"}),
    "openat": (F, (AT_FDCWD, 0, 0o2000000), "/f", " fd=-100 flags=O_RDONLY|O_CLOEXEC",
               {"fd": "-100", "flags": "O_RDONLY|O_CLOEXEC"}),
    "openat2": ((*F, argument(2, struct.pack("<QQQ", 2, 0, 0))), (AT_FDCWD,), "/f", " fd=-100 flags=O_RDWR",
                {"fd": "-100", "flags": "O_RDWR"}),
    "creat": (F, (0, 0o644), "/f", " mode=0644", {"mode": "0644"}),
    "unlink": (F, (), "/f", "", {}),
    "unlinkat": (F_AT, (AT_FDCWD, 0, 0), "/f", " flags=", {"flags": ""}),
    "rmdir": (F, (), "/f", "", {}),
    "rename": (FG, (), "/f", " newpath=/g", {"newpath": "/g"}),
    "renameat": (FG_AT, (), "/f", " newpath=/g", {"newpath": "/g"}),
    "renameat2": (FG_AT, (0, 0, 0, 0, 1), "/f", " newpath=/g flags=RENAME_NOREPLACE",
                  {"newpath": "/g", "flags": "RENAME_NOREPLACE"}),
    "link": (FG, (), "/f", " newpath=/g", {"newpath": "/g"}),
    "linkat": (FG_AT, (0, 0, 0, 0, 0x400), "/f", " newpath=/g flags=AT_SYMLINK_FOLLOW",
               {"newpath": "/g", "flags": "AT_SYMLINK_FOLLOW"}),
    "symlink": ((argument(0, b"../t"), named(1, b"/f")), (), "/f", " target=../t", {"target": "../t"}),
    "symlinkat": ((argument(0, b"../t"), named(2, b"/f")), (), "/f", " target=../t", {"target": "../t"}),
    "mkdir": (F, (0, 0o755), "/f", " mode=0755", {"mode": "0755"}),
    "mkdirat": (F_AT, (0, 0, 0o755), "/f", " mode=0755", {"mode": "0755"}),
    "mknod": (F, (0, 0o020600, 0x103), "/f", " mode=S_IFCHR|0600 dev=1:3", {"mode": "S_IFCHR|0600", "dev": "1:3"}),
    "mknodat": (F_AT, (0, 0, 0o010600, 0), "/f", " mode=S_IFIFO|0600 dev=0:0",
                {"mode": "S_IFIFO|0600", "dev": "0:0"}),
    "chmod": (F, (0, 0o4755), "/f", " mode=4755", {"mode": "4755"}),
    "fchmod": (F, (3, 0o600), "/f", " fd=3 mode=0600", {"fd": "3", "mode": "0600"}),
    "fchmodat": (F_AT, (0, 0, 0o600), "/f", " mode=0600", {"mode": "0600"}),
    "fchmodat2": (F_AT, (0, 0, 0o600, 0x100), "/f", " mode=0600 flags=AT_SYMLINK_NOFOLLOW",
                  {"mode": "0600", "flags": "AT_SYMLINK_NOFOLLOW"}),
    "chown": (F, (0, 1, MINUS_ONE), "/f", " userid=1 group=-1", {"userid": "1", "group": "-1"}),
    "lchown": (F, (0, 1, 2), "/f", " userid=1 group=2", {"userid": "1", "group": "2"}),
    "fchown": (F, (3, 1, 2), "/f", " fd=3 userid=1 group=2", {"fd": "3", "userid": "1", "group": "2"}),
    "fchownat": (F_AT, (0, 0, 1, 2, 0x100), "/f", " userid=1 group=2 mode=256",
                 {"userid": "1", "group": "2", "mode": "256", "flags": "AT_SYMLINK_NOFOLLOW"}),
    "truncate": (F, (0, 1 << 33), "/f", " length=8589934592", {"length": "8589934592"}),
    "ftruncate": (F, (3, 10), "/f", " fd=3 length=10", {"fd": "3", "length": "10"}),
    "socket": ((), (1, 0o2004001, 0), "domain=AF_UNIX type=SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC protocol=0", "",
               {"domain": "AF_UNIX", "type": "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC", "protocol": "0"}),
    "connect": (PEER, (10,), PEER_TEXT, " fd=10", {"fd": "10"} | PEER_DETAILS),
    "bind": (PEER, (10,), PEER_TEXT, " fd=10", {"fd": "10"} | PEER_DETAILS),
    "listen": (PEER, (10,), PEER_TEXT, " fd=10", {"fd": "10"} | PEER_DETAILS),
    "accept": (PEER, (10,), PEER_TEXT, " fd=10", {"fd": "10"} | PEER_DETAILS),
    "accept4": (PEER, (10, 0, 0, 0o2000000), PEER_TEXT, " fd=10 flags=SOCK_CLOEXEC",
                {"fd": "10", "flags": "SOCK_CLOEXEC"} | PEER_DETAILS),
    "setuid": ((), (0,), None, " userid=0", {"userid": "0"}),
    "setgid": ((), (0,), None, " userid=0", {"userid": "0"}),
    "setreuid": ((), (1, MINUS_ONE), None, " ruid=1 euid=-1", {"ruid": "1", "euid": "-1"}),
    "setregid": ((), (1, 2), None, " rgid=1 egid=2", {"rgid": "1", "egid": "2"}),
    "setresuid": ((), (1, 2, 3), None, " ruid=1 euid=2 suid=3", {"ruid": "1", "euid": "2", "suid": "3"}),
    "setresgid": ((), (1, 2, 3), None, " rgid=1 egid=2 sgid=3", {"rgid": "1", "egid": "2", "sgid": "3"}),
    "setfsuid": ((), (4,), None, " userid=4", {"userid": "4"}),
    "setfsgid": ((), (4,), None, " group=4", {"group": "4"}),
    "setns": ((), (3, 0x40000000), None, " fd=3 nstype=CLONE_NEWNET", {"fd": "3", "nstype": "CLONE_NEWNET"}),
    "unshare": ((), (0x10020000,), None, " flags=CLONE_NEWNS|CLONE_NEWUSER", {"flags": "CLONE_NEWNS|CLONE_NEWUSER"}),
    "process_vm_readv": ((), (77,), "/usr/bin/top", " pid=77 process=/usr/bin/top",
                         {"pid": "77", "process": "/usr/bin/top"}),
    "process_vm_writev": ((), (78,), None, " pid=78", {"pid": "78"}),
    "init_module": ((argument(2, b"debug=1"),), (0, 4096), None, " size=4096 parameters=debug=1",
                    {"size": "4096", "parameters": "debug=1"}),
    "finit_module": ((named(0, b"/m.ko"), argument(1, b"a=1 b=2")), (3, 0, 4), "/m.ko",
                     " fd=3 parameters=a=1 b=2 flags=MODULE_INIT_COMPRESSED_FILE",
                     {"fd": "3", "parameters": "a=1 b=2", "flags": "MODULE_INIT_COMPRESSED_FILE"}),
    "delete_module": ((argument(0, b"dummy"),), (0, 0o4000), None, " name=dummy flags=O_NONBLOCK",
                      {"name": "dummy", "flags": "O_NONBLOCK"}),
    "bpf": ((), (5,), None, " command=BPF_PROG_LOAD", {"command": "BPF_PROG_LOAD"}),
    "memfd_create": ((argument(0, b"x y"),), (0, 3), None, " name=x y flags=MFD_CLOEXEC|MFD_ALLOW_SEALING",
                     {"name": "x y", "flags": "MFD_CLOEXEC|MFD_ALLOW_SEALING"}),
    "pivot_root": (FG, (), "/f", " put_old=/g", {"put_old": "/g"}),
    "chroot": (F, (), "/f", "", {}),
    "kill": ((), (77, 9), "/usr/bin/top", " pid=77 signal=SIGKILL process=/usr/bin/top",
             {"pid": "77", "signal": "SIGKILL", "process": "/usr/bin/top"}),
    "capset": ((), (), None, "", {}),
    "mmap": ((), (0, 4096, 5, 0x22, 2**64 - 1), None, " prot=PROT_READ|PROT_EXEC flags=MAP_PRIVATE|MAP_ANONYMOUS",
             {"prot": "PROT_READ|PROT_EXEC", "flags": "MAP_PRIVATE|MAP_ANONYMOUS"}),
    "mprotect": ((), (0x7F00, 4096, 5), None, " prot=PROT_READ|PROT_EXEC", {"prot": "PROT_READ|PROT_EXEC"}),
    "pkey_mprotect": ((), (0x7F00, 4096, 4), None, " prot=PROT_EXEC", {"prot": "PROT_EXEC"}),
    "mount": ((argument(0, b"tmpfs"), argument(2, b"tmpfs"), named(1, b"/mnt")), (0, 0, 0, 6), "/mnt",
              " source=tmpfs target=/mnt filesystem=tmpfs mountflag=6 data=",
              {"source": "tmpfs", "target": "/mnt", "filesystem": "tmpfs", "mountflag": "6", "data": "",
               "mountflags": "MS_NOSUID|MS_NODEV"}),
    "umount2": (F, (0, 2), "/f", " target=/f flag=2", {"target": "/f", "flag": "2", "flags": "MNT_DETACH"}),
}  # fmt: skip

QUERIES = {"sendto", "sendmsg", "sendmmsg", "write"}


def test_every_row_is_tested() -> None:
    """Each call that can be an event has its case."""
    assert {row.name for row in SLOTS.values()} - QUERIES == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_call(name: str) -> None:
    """Each row of the catalogue says what KubeArmor says, or would say."""
    items, arguments, resource, data, details = CALLS[name]
    slot = SYSCALLS[name]
    expected = Description(
        SLOTS[slot].operation, resource, f"syscall=SYS_{name.upper()}{data}", {"syscall": name} | details
    )

    assert expected == described(CWD, *items, syscall=slot, arguments=arguments)


def exec_record(
    filename: bytes,
    argv: bytes,
    *,
    cwd: bytes = b"/home/ada",
    flags: RecordFlag = RecordFlag(0),
    executable: bytes = b"/usr/bin/dash",
    hook: Hook = Hook.EXEC,
) -> Record:
    return record(
        (ItemKind.EXECUTABLE, 0, executable),
        (ItemKind.CWD, 0, cwd),
        (ItemKind.FILENAME, 0, filename),
        (ItemKind.ARGV, 0, argv),
        hook=hook,
        syscall=SYSCALLS["execve"],
        flags=flags,
    )


def test_document_process_log() -> None:
    """The first example of KubeArmor's document."""
    told = exec_record(b"/bin/sh", b"sh\0-ec\0vault status -tls-skip-verify\0")
    expected = Description(
        Operation.PROCESS,
        "/bin/sh -ec vault status -tls-skip-verify",
        "syscall=SYS_EXECVE",
        {"syscall": "execve", "argv": "-ec vault status -tls-skip-verify"},
    )

    assert SHELL.command_line == command_line(told)
    assert expected == describe(told, SHELL, nobody)


def test_document_file_log() -> None:
    """The second example of KubeArmor's document."""
    path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    expected = Description(
        Operation.FILE,
        path,
        "syscall=SYS_OPENAT fd=-100 flags=O_RDONLY|O_CLOEXEC",
        {"syscall": "openat", "fd": "-100", "flags": "O_RDONLY|O_CLOEXEC"},
    )

    assert expected == described(
        CWD, named(0, path.encode()), syscall=257, arguments=(AT_FDCWD, 0, 0o2000000)
    )


def test_document_network_log() -> None:
    """The third example of KubeArmor's document."""
    expected = Description(
        Operation.NETWORK,
        "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10",
        "syscall=SYS_CONNECT fd=10",
        {"syscall": "connect", "fd": "10", "sa_family": "AF_INET", "port": "53"},
    )

    assert expected == described(CWD, (ItemKind.ADDRESS, 0, INET), syscall=42, arguments=(10,))


@pytest.mark.parametrize(
    ("items", "directory", "expected"),
    [
        ([argument(1, b"/etc/shadow"), CWD], AT_FDCWD, "/etc/shadow"),
        ([argument(1, b"../notes"), CWD], AT_FDCWD, "/home/notes"),
        ([argument(1, b"../notes"), CWD, (ItemKind.BASE, 1, b"/srv/a")], 5, "/srv/notes"),
        ([argument(1, b"notes"), CWD], 5, "notes"),
        ([argument(1, b"a//b/"), CWD], AT_FDCWD, "/home/ada/a/b"),
        ([argument(1, b"caf\xe9"), CWD], AT_FDCWD, "/home/ada/caf\\xe9"),
        ([argument(1, b""), CWD, (ItemKind.BASE, 1, b"/srv")], 5, "/srv"),
    ],
)
def test_path_of_the_argument(items: list[Any], directory: int, expected: str) -> None:
    """Where the kernel has no object, the path is what the caller wrote, and EventData says so."""
    told = described(*items, syscall=257, arguments=(directory, 0, 0), result=-2)

    assert (expected, "argument") == (told.resource, told.details["path"])


@pytest.mark.parametrize(
    ("items", "flags"),
    [
        ([CWD, argument(1, b"")], RecordFlag(0)),
        ([CWD, argument(1, b"")], RecordFlag.UNREADABLE),
        ([CWD], RecordFlag(0)),
        ([CWD, (ItemKind.BASE, 1, b"/srv"), argument(1, b"")], RecordFlag.UNREADABLE),
    ],
)
def test_no_path(items: list[Any], flags: RecordFlag) -> None:
    """No path, and none that could be read, is no resource."""
    told = described(*items, syscall=257, arguments=(AT_FDCWD, 0, 0), result=-14, flags=flags)

    assert told.resource is None
    assert "path" not in told.details


def test_both_paths_of_the_arguments() -> None:
    """Each path is seen from its own directory."""
    told = described(
        CWD, argument(1, b"a"), (ItemKind.BASE, 1, b"/one"), argument(3, b"b"), (ItemKind.BASE, 3, b"/two"),
        syscall=SYSCALLS["renameat"], arguments=(5, 0, 6, 0), result=-2,
    )  # fmt: skip

    assert ("/one/a", "/two/b") == (told.resource, told.details["newpath"])


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (RecordFlag.CUT, {"cut": "true"}),
        (RecordFlag.UNREADABLE, {"unreadable": "true"}),
        (RecordFlag.COMPAT, {"compat": "i386"}),
        (RecordFlag.DELETED, {"deleted": "true"}),
        (RecordFlag.LATE, {"late": "true"}),
        (RecordFlag.CUT | RecordFlag.DELETED, {"cut": "true", "deleted": "true"}),
        (RecordFlag.STATE | RecordFlag.SCRIPT, {}),
    ],
)
def test_flags(flag: RecordFlag, expected: dict[str, str]) -> None:
    """What is not quite known is said, and nothing else."""
    told = described(*F, syscall=SYSCALLS["rmdir"], flags=flag)

    assert {"syscall": "rmdir"} | expected == told.details


@pytest.mark.parametrize(
    ("slot", "arguments", "expected"),
    [
        (COMPAT_SLOT + COMPAT_SYSCALLS["setuid"], (0xFFFF,), "syscall=SYS_SETUID userid=-1"),
        (COMPAT_SLOT + COMPAT_SYSCALLS["setuid32"], (0xFFFF,), "syscall=SYS_SETUID userid=65535"),
        (
            COMPAT_SLOT + COMPAT_SYSCALLS["ftruncate64"],
            (3, 1, 1),
            "syscall=SYS_FTRUNCATE fd=3 length=4294967297",
        ),
        (COMPAT_SLOT + COMPAT_SYSCALLS["umount"], (0, 77), "syscall=SYS_UMOUNT2 target="),
        (SOCKETCALL_SLOT + 4, (3, 5), "syscall=SYS_LISTEN fd=3"),
    ],
)
def test_call_of_a_32_bit_program(slot: int, arguments: tuple[int, ...], expected: str) -> None:
    """32-bit calls have the name of the native one, and their own arguments."""
    assert expected == described(syscall=slot, arguments=arguments, flags=RecordFlag.COMPAT).data


def test_unix_socket() -> None:
    """The path that the kernel found wins over the one that was written."""
    told = described(
        CWD, (ItemKind.ADDRESS, 0, b"\1\0x.sock\0"), named(0, b"/run/x.sock"), syscall=42, arguments=(4,)
    )

    assert "sa_family=AF_UNIX sun_path=/run/x.sock" == told.resource
    assert {
        "syscall": "connect",
        "fd": "4",
        "sa_family": "AF_UNIX",
        "sun_path": "/run/x.sock",
    } == told.details


def test_address_that_is_not_there() -> None:
    """An accept that failed has no far end."""
    told = described(CWD, syscall=SYSCALLS["accept"], arguments=(4,), result=-11)

    assert (None, {"syscall": "accept", "fd": "4"}) == (told.resource, told.details)


@pytest.mark.parametrize("pid", [0, MINUS_ONE, -77])
def test_signal_to_a_group(pid: int) -> None:
    """A process group is no process."""
    told = described(syscall=SYSCALLS["kill"], arguments=(pid, 15))

    assert (None, f"syscall=SYS_KILL pid={pid} signal=SIGTERM") == (told.resource, told.data)


@pytest.mark.parametrize(
    ("name", "items", "arguments", "expected"),
    [
        (
            "openat2",
            (CWD, *F),
            (AT_FDCWD, 0, 0o2000000),
            Description(
                Operation.FILE,
                "/f",
                "io_uring=OPENAT2 fd=-100 flags=O_RDONLY|O_CLOEXEC",
                {"io_uring": "openat2", "fd": "-100", "flags": "O_RDONLY|O_CLOEXEC"},
            ),
        ),
        (
            "unlinkat",
            (CWD, argument(1, b"x")),
            (AT_FDCWD, 0, 0x200),
            Description(
                Operation.FILE,
                "/home/ada/x",
                "io_uring=UNLINKAT flags=AT_REMOVEDIR",
                {"io_uring": "unlinkat", "flags": "AT_REMOVEDIR", "path": "argument"},
            ),
        ),
        (
            "connect",
            (CWD, (ItemKind.ADDRESS, 1, INET)),
            (MINUS_ONE,),
            Description(
                Operation.NETWORK,
                "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10",
                "io_uring=CONNECT",
                {"io_uring": "connect", "sa_family": "AF_INET", "port": "53"},
            ),
        ),
        (
            "ftruncate",
            (CWD, *F),
            (MINUS_ONE, 7),
            Description(
                Operation.FILE,
                "/f",
                "io_uring=FTRUNCATE length=7",
                {"io_uring": "ftruncate", "length": "7"},
            ),
        ),
    ],
)
def test_io_uring(name: str, items: Any, arguments: tuple[int, ...], expected: Description) -> None:
    """A request says what the call would, and that it was none; it does not tell a descriptor it has not."""
    assert expected == described(*items, hook=Hook.IO_URING, syscall=SYSCALLS[name], arguments=arguments)


def test_execveat() -> None:
    """The descriptor and the flags of an exec are those its call began with."""
    told = described(
        CWD, (ItemKind.FILENAME, 0, b"/dev/fd/5"), (ItemKind.ARGV, 0, b"x\0"),
        hook=Hook.EXEC, syscall=SYSCALLS["execveat"], arguments=(5, 0, 0, 0, 0x1000),
    )  # fmt: skip

    assert "syscall=SYS_EXECVEAT fd=5 flag=AT_EMPTY_PATH" == told.data
    assert {
        "syscall": "execveat", "fd": "5", "flag": "AT_EMPTY_PATH", "argv": SHELL.command_line,
    } == told.details  # fmt: skip


@pytest.mark.parametrize("slot", [0, SYSCALLS["openat"], 65535])
def test_exec_whose_call_was_not_seen(slot: int) -> None:
    """It is an execve then, as nearly all are."""
    told = described(CWD, (ItemKind.ARGV, 0, b"x\0-a\0"), hook=Hook.EXEC, syscall=slot)

    assert ("syscall=SYS_EXECVE", {"syscall": "execve", "argv": "-a"}) == (told.data, told.details)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(exec_record(b"/bin/ls", b"ls\0-l\0"), "/bin/ls -l", id="absolute"),
        pytest.param(exec_record(b"./main", b"main\0"), "/home/ada/main", id="relative"),
        pytest.param(exec_record(b"../main", b"../main\0", cwd=b"/"), "/main", id="above the root"),
        pytest.param(exec_record(b"/bin/ls", b""), "/bin/ls", id="no argv"),
        pytest.param(exec_record(b"/bin/ls", b"\0"), "/bin/ls", id="empty argv[0]"),
        pytest.param(exec_record(b"/bin/echo", b"echo\0\0a b\0"), "/bin/echo  a b", id="empty argument"),
        pytest.param(exec_record(b"/bin/echo", b"echo\0aaa\0bb"), "/bin/echo aaa bb", id="cut"),
        pytest.param(
            exec_record(b"./run", b"/bin/sh\0./run\0a\0b\0", flags=RecordFlag.SCRIPT),
            "/home/ada/run a b",
            id="script",
        ),
        pytest.param(
            exec_record(b"/x/run", b"/bin/sh\0-e\0/x/run\0", flags=RecordFlag.SCRIPT),
            "/x/run",
            id="script with an option",
        ),
        pytest.param(
            exec_record(b"/x/run", b"/bin/sh\0-e\0/x/wrap\0-v\0/x/run\0a\0/x/run\0", flags=RecordFlag.SCRIPT),
            "/x/run a /x/run",
            id="script of a script",
        ),
        pytest.param(
            exec_record(b"/x/run", b"/bin/sh\0-e", flags=RecordFlag.SCRIPT | RecordFlag.CUT),
            "/x/run -e",
            id="script that was cut off",
        ),
        pytest.param(exec_record(b"", b"a\0b\0"), "/usr/bin/dash b", id="no name"),
        pytest.param(exec_record(b"/x/caf\xe9", b"x\0\xff\0"), "/x/caf\\xe9 \\xff", id="not UTF-8"),
    ],
)
def test_command_line_of_an_exec(told: Record, expected: str) -> None:
    """What was asked to be run, made absolute, and its own arguments."""
    assert expected == command_line(told)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (b"/bin/sh\0-e\0", "/bin/sh -e"),
        (b"sh\0-e\0", "/usr/bin/dash -e"),
        (b"-bash\0", "/usr/bin/dash"),
        (b"", "/usr/bin/dash"),
        (b"nginx: master process\0\0\0\0", "/usr/bin/dash"),
    ],
)
def test_command_line_of_a_process_that_was_there(argv: bytes, expected: str) -> None:
    """procfs does not tell what was asked for: argv[0] if it is a path, else the image."""
    assert expected == command_line(exec_record(b"", argv, hook=Hook.PROCESS))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, {"code": "0"}),
        (256 * 3, {"code": "3"}),
        (9, {"signal": "SIGKILL"}),
        (11 | 0x80, {"signal": "SIGSEGV", "core": "true"}),
        (40, {"signal": "40"}),
    ],
)
def test_exit(status: int, expected: dict[str, str]) -> None:
    """The wait status is an exit code or a signal."""
    told = described(CWD, hook=Hook.EXIT, result=status)

    assert {"tracepoint": "sched_process_exit"} | expected == told.details
    assert " ".join(f"{key}={value}" for key, value in told.details.items()) == told.data
    assert (Operation.PROCESS, SHELL.command_line) == (told.operation, told.resource)


def test_fork() -> None:
    """A fork tells of the new process."""
    told = described(CWD, hook=Hook.FORK)

    assert "tracepoint=sched_process_fork pid=2004" == told.data
    assert {"tracepoint": "sched_process_fork", "pid": "2004"} == told.details


QUERY = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + b"\6google\3com\0" + struct.pack(">HH", 1, 1)


def test_dns() -> None:
    """A query has KubeArmor's words, whichever call sent it."""
    expected = Description(
        Operation.NETWORK,
        "sa_family=AF_INET sin_port=53",
        "kfunc=UDP_SENDSKB domain=google.com daddr=10.0.0.10 qtype=A",
        {
            "kfunc": "udp_sendskb", "domain": "google.com", "daddr": "10.0.0.10", "qtype": "A",
            "sa_family": "AF_INET", "port": "53",
        },
    )  # fmt: skip

    assert expected == described(
        CWD, (ItemKind.ADDRESS, 0, INET), (ItemKind.DNS, 0, QUERY), hook=Hook.DNS, syscall=SYSCALLS["sendto"]
    )


def test_malformed_query() -> None:
    """What is no query is visible as such."""
    told = described(CWD, (ItemKind.ADDRESS, 0, INET), (ItemKind.DNS, 0, QUERY[:20]), hook=Hook.DNS)

    assert "kfunc=UDP_SENDSKB domain=(malformed) daddr=10.0.0.10 qtype=" == told.data
    assert "true" == told.details["malformed"]


@given(
    st.lists(st.tuples(st.sampled_from(ItemKind), st.integers(0, 5), st.binary(max_size=30)), max_size=6),
    st.sampled_from([*Hook][1:-1]),
    st.one_of(st.sampled_from(list(SLOTS)), st.integers(0, 65535)),
    st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 0xFFFF),
)
def test_any_record(items: Any, hook: int, slot: int, arguments: list[int], result: int, flags: int) -> None:
    """Whatever a damaged recording holds is described, never refused."""
    told = record(
        *items, hook=hook, syscall=slot, arguments=tuple(arguments), result=result, flags=RecordFlag(flags)
    )
    said = describe(told, SHELL, strace)

    assert said.data.partition("=")[0] in said.details
    assert all(isinstance(value, str) for value in said.details.values())
    assert isinstance(command_line(told), str)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        (CapableSource.BY_FUNCTION, {"kfunc": "security_capable"}),
        (CapableSource.BY_TRACEPOINT, {"tracepoint": "cap_capable"}),
    ],
)
def test_use_of_a_capability(source: int, data: dict[str, str]) -> None:
    """As an LSM program's alert tells it, but for who has told."""
    told = described(hook=Hook.CAPABLE, arguments=(13, source))

    ((key, value),) = data.items()
    assert told == Description(
        Operation.CAPABILITIES,
        "CAP_NET_RAW",
        f"{key}={value.upper()} CAP_NET_RAW",
        data | {"capability": "CAP_NET_RAW"},
    )
