"""Objects that lie in no directory: named as the kernel names them, and never by what others left in memory."""

import array
import ctypes
import errno
import json
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hauberk.abi import PATH_SIZE
from hauberk.model.policy import Action
from tests.kernel.acts import LIBC
from tests.kernel.conftest import Watch
from tests.kernel.guard import Guard

SYS_SIGNALFD4, SYS_TIMERFD_CREATE, SYS_INOTIFY_INIT1, SYS_USERFAULTFD = 289, 283, 294, 323
SYS_IO_URING_SETUP, SYS_BPF, SYS_PERF_EVENT_OPEN, SYS_FSOPEN, SYS_MEMFD_SECRET = 425, 321, 298, 430, 447
SYS_EPOLL_CREATE1, SYS_PIDFD_OPEN, SYS_FANOTIFY_INIT, SYS_LANDLOCK_CREATE_RULESET = 291, 434, 300, 444
O_RDONLY, O_TMPFILE = os.O_RDONLY, os.O_TMPFILE


def _call(number: int, *arguments: object) -> int:
    fd = LIBC.syscall(number, *arguments)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "")
    return int(fd)


def _deleted(directory: Path) -> int:
    path = directory / "soon gone"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    path.unlink()
    return fd


def _bpf_map(_: Path) -> int:
    attributes = array.array("I", [2, 4, 8, 1, *[0] * 28])  # an array of one number
    return _call(SYS_BPF, 0, ctypes.c_void_p(attributes.buffer_info()[0]), 128)


def _fifo(directory: Path) -> int:
    os.mkfifo(directory / "fifo")
    return os.open(directory / "fifo", os.O_RDWR)


def _socket_file(directory: Path) -> int:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(directory / "bound"))
    return os.open(directory / "bound", os.O_PATH)


def _open_namespace(name: str, _: Path) -> int:
    return os.open(f"/proc/self/ns/{name}", O_RDONLY)


KINDS: dict[str, Callable[[Path], int]] = {
    "pipe": lambda _: os.pipe()[0],
    "packet-pipe": lambda _: os.pipe2(os.O_DIRECT)[1],
    "tcp": lambda _: socket.socket().detach(),
    "udp6": lambda _: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).detach(),
    "unix": lambda _: socket.socketpair()[0].detach(),
    "netlink": lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).detach(),
    "eventfd": lambda _: os.eventfd(0),
    "epoll": lambda _: _call(SYS_EPOLL_CREATE1, 0),
    "signalfd": lambda _: _call(SYS_SIGNALFD4, -1, ctypes.byref(ctypes.c_ulong(0)), 8, 0),
    "timerfd": lambda _: _call(SYS_TIMERFD_CREATE, 0, 0),
    "inotify": lambda _: _call(SYS_INOTIFY_INIT1, 0),
    "fanotify": lambda _: _call(SYS_FANOTIFY_INIT, 0, 0),
    "userfaultfd": lambda _: _call(SYS_USERFAULTFD, 1),
    "io_uring": lambda _: _call(SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(120)),
    "bpf-map": _bpf_map,
    "perf": lambda _: _call(
        SYS_PERF_EVENT_OPEN, ctypes.create_string_buffer(b"\1\0\0\0\x40\0\0\0".ljust(64, b"\0"), 64), 0, -1, -1, 0
    ),
    "fscontext": lambda _: _call(SYS_FSOPEN, b"tmpfs", 0),
    "landlock": lambda _: _call(SYS_LANDLOCK_CREATE_RULESET, ctypes.byref(ctypes.c_ulong(1)), 8, 0),
    "pidfd": lambda _: _call(SYS_PIDFD_OPEN, os.getpid(), 0),
    "secretmem": lambda _: _call(SYS_MEMFD_SECRET, 0),
    "memfd": lambda _: os.memfd_create("name with [brackets]: and spaces"),
    "memfd-nameless": lambda _: os.memfd_create(""),
    "memfd-longest": lambda _: os.memfd_create("m" * 249),
    "memfd-like-a-path": lambda _: os.memfd_create("/../../etc/shadow"),
    "memfd-hugetlb": lambda _: os.memfd_create("huge", os.MFD_HUGETLB),
    "deleted": _deleted,
    "tmpfile": lambda directory: os.open(directory, os.O_RDWR | O_TMPFILE),
    "file": lambda directory: os.open(directory / "file", os.O_CREAT | os.O_RDWR),
    "directory": lambda directory: os.open(directory, O_RDONLY),
    "root": lambda _: os.open("/", O_RDONLY),
    "proc-root": lambda _: os.open("/proc", O_RDONLY),
    "fifo": _fifo,
    "socket-file": _socket_file,
    "device": lambda _: os.open("/dev/null", O_RDONLY),
    **{
        f"ns-{name}": partial(_open_namespace, name)
        for name in (
            "cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts",
        )
    },
}  # fmt: skip
"""How to get a descriptor of each kind of object that a task can have. What the kernel lacks is passed over."""

NEEDED = {
    "pipe",
    "tcp",
    "unix",
    "eventfd",
    "epoll",
    "pidfd",
    "memfd",
    "ns-net",
    "ns-mnt",
    "inotify",
    "timerfd",
}
"""Those that every kernel has."""


def _leave_long_paths(directory: Path) -> None:
    """Fill what programs on this processor work in: with paths of all sizes up to the longest there are."""
    os.chdir(directory)
    length, name = len(str(Path.cwd())), "LEFTOVER" * 25
    while PATH_SIZE - 1 - length > len(name) + 1:
        Path(name).mkdir()
        os.chdir(name)
        length += len(name) + 1
        os.close(os.open("f", os.O_CREAT | os.O_RDWR))
    os.close(os.open("L" * (PATH_SIZE - length - 1), os.O_CREAT | os.O_RDWR))


def _named(fd: int) -> str:
    """What /proc says of a descriptor, as events say it: without the words that are a detail of theirs."""
    name = str(Path(f"/proc/self/fd/{fd}").readlink()).removesuffix(" (deleted)")
    # a pseudo file has no directory, whatever the kernel puts before the name it was given
    return name.removeprefix("/") if _is_pseudo(fd) else name


def _is_pseudo(fd: int) -> bool:
    """True for what lies on a mount of the kernel's own."""
    mount = next(
        line.split()[1]
        for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        if "mnt_id" in line
    )
    return all(line.split()[0] != mount for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _play(kinds: list[str], directory: Path, report: Callable[[object], None]) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    here = os.open("/", O_RDONLY)
    for i, kind in enumerate(kinds):
        scratch = directory / str(i)
        scratch.mkdir()
        try:
            fd = KINDS[kind](scratch)
        except OSError as error:
            report((kind, "missing", errno.errorcode[error.errno or 0]))
            continue
        name = _named(fd)
        (scratch / "deep").mkdir()
        for what in ("fchmod", "fchown", "ftruncate", "reopen"):
            _leave_long_paths(Path(tempfile.mkdtemp(dir=scratch / "deep")))
            os.fchdir(here)
            try:
                if what == "fchmod":  # to what it is: some are the machine's own
                    os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode))
                elif what == "fchown":
                    os.fchown(fd, -1, -1)
                elif what == "ftruncate":
                    os.ftruncate(fd, 0)
                else:
                    flags = O_RDONLY | os.O_NONBLOCK
                    os.close(os.open(f"/proc/self/fd/{fd}", flags))
                report((kind, what, fd, name, True))
            except OSError:
                report((kind, what, fd, name, False))
        os.close(fd)


@pytest.fixture
def apart() -> Iterator[Path]:
    tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
    with tempfile.TemporaryDirectory(prefix="hauberk-", dir=tmpfs) as directory:
        yield Path(directory).resolve()


def _in_child(action: Callable[[Callable[[object], None]], None]) -> tuple[int, list[list[Any]]]:
    """Do something in a process of its own: its PID, and what it reported."""
    with tempfile.TemporaryFile("w+") as reports:
        child = os.fork()
        if not child:
            status = 1
            try:
                action(lambda line: print(json.dumps(line), file=reports))
                status = 0
            except BaseException as error:
                print(f"the child: {error!r}", file=sys.stderr)
            finally:
                reports.flush()
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        reports.seek(0)
        return child, [json.loads(line) for line in reports]


def test_every_kind_of_object(watch: Watch, apart: Path) -> None:
    """Each call about each object says its name, and nothing of the paths that others had just before."""
    watch.read()
    pid, reports = _in_child(lambda report: _play(list(KINDS), apart, report))
    events = [event for event in watch.read() if event.host_pid == pid]
    missing = {report[0] for report in reports if report[1] == "missing"}
    played = [report for report in reports if report[1] != "missing"]

    assert not missing & NEEDED
    for event in events:
        resource = event.resource or ""
        assert "\0" not in resource
        assert "\0" not in (event.cwd or "")
    at = 0
    for kind, what, fd, name, passed in played:
        if what == "reopen":
            if not passed:  # what cannot be opened leaves no object
                continue
            found = [
                event
                for event in events[at:]
                if event.details.get("syscall") == "openat" and event.resource == name and not event.error
            ]
            assert found, f"{kind}: no open of {name!r}"
            continue
        at = next(
            (
                i
                for i, event in enumerate(events[at:], at)
                if event.details.get("syscall") == what and event.details.get("fd") == str(fd)
            ),
            -1,
        )
        assert at >= 0, f"{kind}: {what}({fd}) was not seen"
        assert events[at].resource == name, f"{kind}: {what}"
        gone = kind.startswith(("memfd", "deleted", "tmpfile", "secretmem"))
        assert ("deleted" in events[at].details) == gone, f"{kind}: {what}"


@pytest.mark.parametrize("kind", ["pipe", "memfd", "ns-net", "bpf-map"])
def test_an_open_of_a_nameless_object_is_not_what_a_policy_is_about(
    guard: Guard, apart: Path, kind: str
) -> None:
    """Neither by a path of a protected directory that was left behind, nor by a list of what is allowed."""
    protected = apart / "protected"
    protected.mkdir()

    def plant() -> None:
        os.sched_setaffinity(0, {0})
        _leave_long_paths(protected)

    def act() -> None:
        os.sched_setaffinity(0, {0})
        fd = KINDS[kind](apart)
        os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode))
        os.close(os.open(f"/proc/self/fd/{fd}", O_RDONLY | os.O_NONBLOCK))

    rule = f"file: {{matchDirectories: [{{dir: {protected}/, recursive: true}}]}}\naction: "
    guard.rule(rule + "Audit")
    planted = guard.act(plant)
    done = guard.act(act)

    assert planted.error == 0
    assert planted.alerts
    assert done.alerts == []
    if (
        kind == "pipe"
    ):  # a list of files allows nothing else, but a pipe is no file; python needs more of them
        guard.rule(rule + "Allow", Action.BLOCK)
        reading, _ = os.pipe()
        done = guard.act(lambda: os.close(os.open(f"/proc/self/fd/{reading}", O_RDONLY)))
        assert (done.error, [each for each in done.alerts if "pipe" in (each.resource or "")]) == (0, [])
