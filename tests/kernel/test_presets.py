"""Presets, enforced where the kernel takes LSM programs, and observed everywhere: the same acts, the same alerts."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hauberk.abi import Operation
from hauberk.errors import HauberkError
from hauberk.model.event import Event
from tests.kernel.guard import Act, Guard
from tests.kernel.test_enforcement import (
    CLONE_NEWPID,
    TRUE,
    assert_passed,
    call,
    execute,
    first,
    memfd_exec,
    read,
    there,
)

__all__ = ["there"]  # a fixture

NR_UNSHARE, NR_SETNS = 272, 308


@pytest.fixture(scope="module", params=["auto", "observe"])
def guard(request: pytest.FixtureRequest) -> Iterator[Guard]:
    """By the setting `enforce`."""
    if os.geteuid():
        pytest.skip("needs root")
    try:
        guarding = Guard(observe=request.param == "observe")
    except HauberkError as error:
        pytest.skip(str(error))
    with guarding:
        yield guarding
    assert guarding.ledger.differences() == {}


def assert_preset(guard: Guard, act: Act, action: str, name: str, operation: Operation) -> Event:
    """One alert of a preset, and what the kernel answered."""
    assert len(act.alerts) == 1, [(each.verdict, each.resource, each.data) for each in act.alerts]
    (event,) = act.alerts
    is_denied = action == "Block" and guard.denies
    assert event.verdict is not None
    assert event.verdict.enforcer == (f"PRESET-{name}Preset" if guard.denies else "eBPF Monitor")
    assert event.verdict.action == (action if guard.denies or action == "Audit" else "Audit (Block)")
    assert (event.operation, event.error) == (operation, errno.EACCES if is_denied else 0)
    assert act.error == (errno.EACCES if is_denied else 0)
    return event


@pytest.mark.parametrize("action", ["Audit", "Block"])
def test_fileless_execution(guard: Guard, there: Path, action: str) -> None:
    """Of a memfd, and of shared memory."""
    guard.rule(f"presets:\n- {{name: filelessExec, action: {action}}}")

    done = guard.act(memfd_exec(there))

    assert_preset(guard, done, action, "FilelessExecution", Operation.PROCESS)
    if str(there).startswith("/dev/shm/"):
        assert_preset(
            guard, guard.act(execute(there / "true")), action, "FilelessExecution", Operation.PROCESS
        )
    assert_passed(guard.act(execute(TRUE)))


@pytest.mark.parametrize("action", ["Audit", "Block"])
@pytest.mark.parametrize(("preset", "file"), [("ProtectEnv", "environ"), ("ProtectProc", "status")])
def test_procfs_of_others(guard: Guard, preset: str, file: str, action: str) -> None:
    """One's own is free to read, wherever procfs is mounted."""
    guard.rule(f"presets:\n- {{name: {preset[0].lower()}{preset[1:]}, action: {action}}}")
    path = Path(f"/proc/{os.getpid()}/{file}")

    event = assert_preset(guard, guard.act(read(path)), action, preset, Operation.FILE)

    assert event.resource == str(path)
    assert event.data.startswith("lsm=FILE_OPEN" if guard.denies else "syscall=SYS_OPENAT")
    assert_passed(guard.act(read(Path(f"/proc/self/{file}"))))


def test_environment_alone(guard: Guard) -> None:
    """What protects environments is not about what else there is of a process."""
    guard.rule("presets:\n- {name: protectEnv, action: Block}")

    assert_passed(guard.act(read(Path(f"/proc/{os.getpid()}/status"))))


@contextmanager
def children_of_a_container() -> Iterator[None]:
    """What is forked meanwhile comes into a PID namespace from outside, as with `kubectl exec`."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    call(NR_UNSHARE, CLONE_NEWPID)
    init = os.fork()
    if not init:
        signal.pause()
    try:
        yield
    finally:
        call(NR_SETNS, own, CLONE_NEWPID)
        os.close(own)
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)


def on_terminal(action: Callable[[], object]) -> Callable[[], object]:
    def act() -> None:
        _, terminal = os.openpty()
        os.setsid()
        os.open(os.ttyname(terminal), os.O_RDWR)
        action()

    return act


@pytest.mark.parametrize("action", ["Audit", "Block"])
def test_execution_from_outside(guard: Guard, action: str) -> None:
    """What is executed in a container from outside, on a terminal; without one, or from inside, it is free."""
    guard.rule(f"presets:\n- {{name: exec, action: {action}}}")

    with children_of_a_container():
        done = guard.act(on_terminal(execute(TRUE)))
        without_terminal = guard.act(first(os.setsid, execute(TRUE)))
    inside = guard.act(on_terminal(execute(TRUE)))

    assert assert_preset(guard, done, action, "Exec", Operation.PROCESS).resource == str(TRUE)
    assert_passed(without_terminal)
    assert_passed(inside)
