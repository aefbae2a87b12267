"""Actors: tiny programs that do one thing and say what they did.

`Actors` keeps one `tests/actors/build/actor --serve` running in a scratch directory and has it play one
case after the other. Each case runs in a forked process of its own, which is gone, and whose files are
gone, when the answer is there::

    with Actors(tmp_path) as actors:
        done = actors.act("openat-symlinked")
        records = [r for r in seen if r.tid == done.tid and done.spans(r.time_ns)]

What a case prepares is done before `time_ns_before`; between the two times the thread makes the one call
that the answer tells of and no other of the catalogue. An exec, an exit and a call that kills its caller
are the exception: they cannot look at the clock again, so their `time_ns_after` is when the process had
ended, and its exit lies in between too.
"""

import errno
import os
import selectors
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

ROOT = Path(__file__).parents[2]
ACTOR = ROOT / "tests/actors/build/actor"


class ActorError(Exception):
    """The actor could not prepare a case, does not know it, has died or takes too long."""


class Address(msgspec.Struct, frozen=True):
    """A socket address."""

    family: int
    address: str | None = None
    port: int | None = None
    path: str | None = None
    """Of a UNIX socket that has one; None if it has no name at all."""

    abstract: str | None = None
    """Name of an abstract UNIX socket, without the NUL that it begins with."""


class Case(msgspec.Struct, frozen=True):
    """One line of `actor --list`."""

    case: str
    """`openat-symlinked`; made in another way than by a 64-bit system call, `compat/openat-symlinked`."""

    syscall: str
    way: str
    """`native`; `compat`: int $0x80; `compat-old`: the same by the older number (16-bit ids, 32-bit
    sizes, umount); `socketcall`: by socketcall(2); `io_uring`: as a request to a ring."""

    expected: int
    """0: it succeeds, with whatever result; negative: the result of a failure (-ENOENT)."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One system call, and who made it. Strings are written as `hauberk.decode.text` writes them."""

    syscall: str
    host_pid: int
    """The process, as the actor's PID namespace numbers it: the host's, unless the actor runs elsewhere."""

    tid: int
    """The thread, numbered likewise. The thread that makes an exec takes the process's number with it."""

    host_ppid: int
    """Its parent when the call began, numbered likewise."""

    pid: int
    """The process inside its own PID namespace."""

    ppid: int
    """Its parent there; 0 if that is outside."""

    uid: int
    """The real UID on the host when the call had returned (when it began, if it never did)."""

    comm: str
    """Name of the thread when the call began."""

    cwd: str
    """Working directory, from the root of the mount namespace; after a chroot too."""

    executable: str
    """The image that runs after the call: another one than `ACTOR` if an exec succeeded."""

    args: dict[str, Any]
    """The arguments by name, as passed: numbers as int (32-bit ones signed), paths and strings as str, argv
    and envp as list[str], socket addresses and struct open_how as dict. None is a null or bad pointer,
    or memory that is not told (buffers)."""

    image_argv: list[str] | None
    """The argv that the new image sees, if it is not `args["argv"]`: that of a script's interpreter."""

    path: str | None
    """What `path` (or the descriptor) of the arguments stands for, from the root of the mount namespace,
    links followed as the call does. If nothing is there: what would be. For an exec the file that was
    asked for, a script too. None if the call has no path or it leads nowhere."""

    new_path: str | None
    """The same for the second path of rename, link and pivot_root."""

    deleted: bool
    """The file (or image) has no name in a file system (any more); `path` is the one it had, or None."""

    address: Address | None
    """What the kernel knows after a socket call that succeeded: the near end for bind and listen, the
    far end for connect and accept, the server for a DNS query. What was passed is in `args`."""

    query: str | None
    """The domain that was asked for, if the call sent a DNS query."""

    query_types: str | None
    """`A`, `AAAA`, or `A AAAA` for two queries."""

    result: int
    """What the kernel returned, or -errno; 0 if the call never returned."""

    time_ns_before: int
    time_ns_after: int
    """CLOCK_BOOTTIME, as the records have it."""

    def spans(self, time_ns: int) -> bool:
        """True if the call was being made at that time."""
        return self.time_ns_before <= time_ns <= self.time_ns_after


class Done(Act, frozen=True, kw_only=True):
    """What a case has done: its last act, and what belongs to the case as a whole."""

    case: str
    way: str
    expected: int
    wait_status: int
    """How the process of the case ended, as wait(2) tells it."""

    child: int
    child_status: int
    """The last child that the process of the case waited for, and its wait status; 0: none."""

    done: int
    """How often a flood has done it, the first and the last time (`earlier[0]` and this act) included."""

    earlier: list[Act]
    """The acts before this one, if the case has several (`execve-without-fork`, `openat-pid-reused`)."""

    @property
    def as_expected(self) -> bool:
        """True also if the kernel lacks the call and says so (ENOSYS): that too is an event."""
        if self.result == -errno.ENOSYS:
            return True
        return self.result >= 0 if self.expected == 0 else self.result == self.expected


class Unsupported(msgspec.Struct, frozen=True):
    """The running kernel cannot do what the case wants; `why` says what is missing."""

    case: str
    why: str


def list_cases(actor: Path = ACTOR) -> list[Case]:
    """All cases that the actor can play, in all ways."""
    output = subprocess.run([actor, "--list"], check=True, capture_output=True).stdout
    return [msgspec.json.decode(line, type=Case) for line in output.splitlines()]


class Actors:
    """A running actor; a context manager. Needs root, and `make -C tests/actors` before."""

    def __init__(self, directory: Path, *, actor: Path = ACTOR, timeout_s: float = 60) -> None:
        """Cases play in `directory`, best on a tmpfs and with a path of less than 100 bytes."""
        self.directory = directory
        self.actor = actor
        self.timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self.actor, "--dir", self.directory, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._running, None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()  # it ends when there is nothing more to do
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    @property
    def pid(self) -> int:
        """The process that forks the cases."""
        return self._running.pid

    def act(self, case: str, *numbers: int, timeout_s: float | None = None) -> Done:
        """Play a case; a flood takes numbers. Raises `ActorError`, also if the kernel cannot do it."""
        answer = self.try_act(case, *numbers, timeout_s=timeout_s)
        if isinstance(answer, Unsupported):
            raise ActorError(f"{case}: {answer.why}")
        return answer

    def try_act(self, case: str, *numbers: int, timeout_s: float | None = None) -> Done | Unsupported:
        """The same, where a test wants to skip what the kernel cannot do."""
        stdin = self._running.stdin
        assert stdin is not None
        stdin.write(" ".join([case, *map(str, numbers)]).encode() + b"\n")
        answer = msgspec.json.decode(self._read_line(case, timeout_s or self.timeout_s))
        if "unsupported" in answer:
            return Unsupported(case, answer["unsupported"])
        if "error" in answer:
            raise ActorError(f"{case}: {answer['error']}")
        return msgspec.convert(answer, Done)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "use it as a context manager"
        return self._process

    def _read_line(self, case: str, timeout_s: float) -> bytes:
        stdout = self._running.stdout
        assert stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(deadline - time.monotonic()):
                    self._running.kill()
                    raise ActorError(f"{case}: no answer within {timeout_s} s")
                part = os.read(stdout.fileno(), 1 << 20)
                if not part:
                    raise ActorError(f"{case}: the actor has died")
                self._rest += part
        line, self._rest = self._rest.split(b"\n", 1)
        return line
