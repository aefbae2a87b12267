"""What processes of a workload do in tests, how rules are written about it, and what must come of it."""

import ctypes
import errno
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hauberk.formats.kubearmor import encode
from tests.kernel.guard import Act, Guard

ROOT = Path(__file__).parents[2]
TRUE = ROOT / "tests/actors/build/true"
PYTHON = Path("/proc/self/exe").readlink()
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 4096, 8192, 16384, 1 << 18


def fill(directory: Path) -> None:
    """The files that tests are about."""
    directory.chmod(0o755)
    (directory / "secret").write_text("s")
    (directory / "open").write_text("o")
    (directory / "below/deeper").mkdir(parents=True)
    (directory / "below/deeper/leaf").write_text("l")
    shutil.copy(TRUE, directory / "true")
    shutil.copy(TRUE, directory / "other")
    shutil.copy(TRUE, directory / "below/deeper/tool")


# Acts


def read(path: Path) -> Callable[[], object]:
    return lambda: os.close(os.open(path, os.O_RDONLY))


def write(path: Path) -> Callable[[], object]:
    return lambda: os.close(os.open(path, os.O_WRONLY))


def execute(path: Path, *arguments: str) -> Callable[[], object]:
    return lambda: os.execv(path, [str(path), *arguments])


def as_nobody(action: Callable[[], object]) -> Callable[[], object]:
    def act() -> None:
        os.setuid(65534)
        action()

    return act


def call(number: int, *arguments: Any) -> None:
    """A system call that Python has no function for."""
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")


def in_namespace(action: Callable[[], object]) -> Callable[[], object]:
    def act() -> None:
        if LIBC.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "")
        action()

    return act


def first(*steps: Callable[[], object]) -> Callable[[], object]:
    """One after the other, in one process."""

    def act() -> None:
        for step in steps:
            step()

    return act


def mount(source: Path | str, target: Path, flags: int = 0, kind: str = "", options: str = "") -> None:
    if LIBC.mount(str(source).encode(), bytes(target), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), "")


def in_own_mounts(action: Callable[[], object]) -> Callable[[], object]:
    """In a mount namespace that nobody else sees anything of."""
    return in_namespace(first(lambda: mount("none", Path("/"), MS_REC | MS_PRIVATE), action))


def sock(family: int, kind: int, protocol: int = 0) -> Callable[[Path], Callable[[], object]]:
    return lambda _: lambda: socket.socket(family, kind, protocol).close()


def memfd_exec(_: Path) -> Callable[[], object]:
    def act() -> None:
        fd = os.memfd_create("x", 0)
        os.write(fd, TRUE.read_bytes())
        os.execve(fd, ["x"], {})

    return act


# Rules


def file_rule(section: str, rule: str) -> str:
    return f"file:\n  {section}:\n  - {{{rule}}}"


def process_rule(section: str, rule: str) -> str:
    return f"process:\n  {section}:\n  - {{{rule}}}"


# What comes of it


def assert_passed(act: Act) -> None:
    assert (act.error, act.alerts) == (0, [])


def assert_told(
    guard: Guard,
    act: Act,
    action: str,
    *,
    policy: str = "under-test",
    resource: str | None = None,
    denial: int = errno.EACCES,
) -> None:
    """One alert of the policy, in KubeArmor's words, and what the kernel answered: `denial` if it denied."""
    assert len(act.alerts) == 1, [(each.verdict, each.resource, each.data) for each in act.alerts]
    told: dict[str, Any] = json.loads(encode(act.alerts[0]))
    is_denied = action == "Block" and guard.denies
    assert act.error == (denial if is_denied else 0)
    if action == "Block" and not guard.denies:
        action = "Audit (Block)"
    is_by_lsm = guard.denies and (action == "Block" or policy == "DefaultPosture")
    is_contained = guard.container_id is not None
    expected: dict[str, object] = {
        "HostName": "test",
        "HostPID": act.host_pid,
        "Type": "MatchedPolicy" if is_contained else "MatchedHostPolicy",
        "PolicyName": policy,
        "Action": action,
        "Enforcer": "BPFLSM" if is_by_lsm else "eBPF Monitor",
        "Result": "Permission denied" if is_denied else "Passed",
    }
    if is_contained:
        expected["ContainerID"] = guard.container_id
    if policy == "under-test":
        expected |= {"Severity": "7", "Tags": "a,b", "ATags": ["a", "b"], "Message": "says so"}
    if resource is not None:
        expected["Resource"] = resource
    assert {key: told.get(key) for key in expected} == expected
    assert ("ContainerID" in told) == is_contained
    assert (told["PID"] == told["HostPID"]) == (guard.place != "container")
    assert told["Data"].startswith(("lsm=", "syscall=", "kfunc=", "tracepoint="))
    assert all(told[key] for key in ("Timestamp", "UpdatedTime", "Operation", "ProcessName", "Source"))
