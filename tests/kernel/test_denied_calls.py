"""System calls that rules deny, where the kernel asks a hook of its own before it does what the call is for."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hauberk.errors import HauberkError
from hauberk.model.event import Event
from hauberk.model.policy import Action
from tests.kernel.acts import LIBC, assert_passed, call, fill, in_namespace, read
from tests.kernel.guard import Act, Guard

NR_PTRACE, NR_CAPGET, NR_CAPSET, NR_PIVOT_ROOT, NR_MOUNT, NR_UMOUNT2 = 101, 125, 126, 155, 165, 166
NR_INIT_MODULE, NR_READ_PROCESS, NR_WRITE_PROCESS, NR_FINIT_MODULE, NR_BPF = 175, 310, 311, 313, 321
PTRACE_TRACEME, PTRACE_SEIZE = 0, 0x4206
BPF_MAP_GET_NEXT_ID = 12
MS_REC_PRIVATE = 1 << 18 | 16384


@pytest.fixture(scope="module")
def lsm() -> Iterator[Guard]:
    if os.geteuid():
        pytest.skip("needs root")
    try:
        guarding = Guard()
    except HauberkError as error:
        pytest.skip(str(error))
    with guarding:
        if not guarding.denies:
            pytest.skip("this kernel takes no LSM programs; the guests' do")
        yield guarding
    assert guarding.ledger.differences() == {}


def of_another(number: int) -> Callable[[], object]:
    """Nothing is read or written; but whether it may be is asked."""

    def act() -> None:
        byte = ctypes.create_string_buffer(1)
        span = (ctypes.c_uint64 * 2)(ctypes.addressof(byte), 1)
        call(number, os.getppid(), span, 1, span, 1, 0)

    return act


def set_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    call(NR_CAPGET, header, sets)
    call(NR_CAPSET, header, sets)


def any_map() -> None:
    attributes = ctypes.create_string_buffer(16)
    call(NR_BPF, BPF_MAP_GET_NEXT_ID, attributes, len(attributes))


def file_as_module() -> None:
    call(NR_FINIT_MODULE, os.open("/proc/self/exe", os.O_RDONLY), b"", 0)


CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "ptrace": (lambda: call(NR_PTRACE, PTRACE_SEIZE, os.getppid(), 0, 0), "PTRACE_ACCESS_CHECK"),
    "process_vm_readv": (of_another(NR_READ_PROCESS), "PTRACE_ACCESS_CHECK"),
    "process_vm_writev": (of_another(NR_WRITE_PROCESS), "PTRACE_ACCESS_CHECK"),
    "bpf": (any_map, "BPF"),
    "init_module": (lambda: call(NR_INIT_MODULE, bytes(4096), 4096, b""), "KERNEL_LOAD_DATA"),
    "finit_module": (file_as_module, "KERNEL_READ_FILE"),
    "kill": (lambda: os.kill(os.getppid(), 0), "TASK_KILL"),
    "capset": (set_capabilities, "CAPSET"),
    "chroot": (lambda: os.chroot("/"), "PATH_CHROOT"),
    "mount": (in_namespace(lambda: call(NR_MOUNT, b"none", b"/", b"", MS_REC_PRIVATE, b"")), "SB_MOUNT"),
    "umount2": (in_namespace(lambda: call(NR_UMOUNT2, b"/dev/shm", 2)), "SB_UMOUNT"),
    "pivot_root": (in_namespace(lambda: call(NR_PIVOT_ROOT, b"/dev/shm", b"/dev/shm")), "SB_PIVOTROOT"),
}
FAIL_ANYWAY = {"init_module": errno.ENOEXEC, "finit_module": errno.ENOEXEC}


def rule(name: str, action: str) -> str:
    return f"syscalls:\n  matchSyscalls:\n  - {{syscall: [{name}], action: {action}}}"


def alerts(done: Act) -> list[Event]:
    """But for that of the call by which the guard's own process became one of the workload."""
    return [each for each in done.alerts if each.details.get("command") != "BPF_MAP_DELETE_ELEM"]


def only(done: Act) -> Event:
    assert len(alerts(done)) == 1, [(each.verdict, each.data) for each in done.alerts]
    return alerts(done)[0]


@pytest.mark.parametrize("name", CALLS)
def test_blocked(lsm: Guard, name: str) -> None:
    """It is denied before anything is done, and told once, by the rule."""
    act, hook = CALLS[name]
    lsm.rule(rule(name, "Block"))

    done = lsm.act(act)

    # process_vm_readv(2) makes one of the other
    assert done.error == (errno.EPERM if name.startswith("process_vm") else errno.EACCES)
    alert = only(done)
    assert alert.verdict
    assert (alert.verdict.policy, alert.verdict.action, alert.verdict.enforcer) == (
        "under-test",
        "Block",
        "BPFLSM",
    )
    assert (alert.data, alert.error) == (f"lsm={hook} syscall=SYS_{name.upper()}", errno.EACCES)
    assert alert.operation.name == "SYSCALL"


@pytest.mark.parametrize("name", [name for name in CALLS if name not in FAIL_ANYWAY])
def test_audited(lsm: Guard, name: str) -> None:
    """It passes, and is told once: where it ends."""
    act, _ = CALLS[name]
    lsm.rule(rule(name, "Audit"))

    done = lsm.act(act)

    alert = only(done)
    assert alert.verdict
    assert (done.error, alert.verdict.action, alert.verdict.enforcer) == (0, "Audit", "eBPF Monitor")
    assert alert.data
    assert alert.data.startswith(f"syscall=SYS_{name.upper()}")


@pytest.mark.parametrize("name", CALLS)
def test_of_another_rule(lsm: Guard, name: str) -> None:
    """What another call's rule blocks is let pass, whatever hook they share."""
    act, _ = CALLS[name]
    other = next(each for each in CALLS if CALLS[each][1] != CALLS[name][1])
    lsm.rule(rule(other, "Block"))

    done = lsm.act(act)

    assert (done.error, alerts(done)) == (FAIL_ANYWAY.get(name, 0), [])


def test_source(lsm: Guard) -> None:
    """Only from the image that the rule names."""
    lsm.rule(
        "syscalls:\n  matchSyscalls:\n  - {syscall: [kill], fromSource: [{path: /nobody}], action: Block}"
    )

    assert_passed(lsm.act(CALLS["kill"][0]))


def test_traced_by_its_parent(lsm: Guard) -> None:
    """The other way to be traced, by which nobody is asked for."""
    lsm.rule(rule("ptrace", "Block"))

    done = lsm.act(lambda: call(NR_PTRACE, PTRACE_TRACEME, 0, 0, 0))

    assert done.error == errno.EACCES
    assert only(done).data == "lsm=PTRACE_ACCESS_CHECK syscall=SYS_PTRACE"


def test_the_same_hook_in_another_call(lsm: Guard, tmp_path: Path) -> None:
    """To open the memory of another process asks the hook of ptrace(2), but is no ptrace(2)."""
    lsm.rule(rule("ptrace", "Block"))

    assert_passed(lsm.act(lambda: os.close(os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY))))


def test_what_has_no_hook_is_told_as_not_enforced(lsm: Guard) -> None:
    lsm.rule(rule("unshare", "Block"))

    done = lsm.act(lambda: LIBC.unshare(0x4000000))

    alert = only(done)
    assert alert.verdict
    assert (done.error, alert.verdict.action) == (0, "Audit (Block)")


def test_host_and_agent(lsm: Guard) -> None:
    """On the host, bpf(2) passes and is told: the agent lives by it. Other calls are denied there too."""
    lsm.rule(rule("bpf", "Block"), kind="KubeArmorHostPolicy")
    passed = lsm.act(any_map, inside=False)
    lsm.rule(rule("capset", "Block"), kind="KubeArmorHostPolicy")
    denied = lsm.act(set_capabilities, inside=False)
    lsm.rule("file:\n  matchPaths:\n  - {path: /nowhere}\naction: Block")

    assert (passed.error, [each.verdict.action for each in passed.alerts if each.verdict]) == (
        0,
        ["Audit (Block)"],
    )
    assert (denied.error, len(denied.alerts)) == (errno.EACCES, 1)


def test_posture_is_not_about_calls(lsm: Guard, tmp_path: Path) -> None:
    """No other call is denied for want of a rule."""
    fill(tmp_path)
    lsm.rule(rule("kill", "Block"), Action.BLOCK)

    assert_passed(lsm.act(read(tmp_path / "open")))
    assert_passed(lsm.act(set_capabilities))
