"""Presets and capabilities, enforced where the kernel takes LSM programs, and observed everywhere: the same acts, the same alerts."""

import ctypes
import errno
import os
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hauberk.abi import Operation, RuleClass
from hauberk.config import Selection
from hauberk.errors import HauberkError
from hauberk.model.event import Event
from hauberk.model.policy import Action
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import probe
from tests.kernel.acts import (
    CLONE_NEWPID,
    LIBC,
    TRUE,
    as_nobody,
    assert_passed,
    call,
    execute,
    first,
    memfd_exec,
    process_rule,
    read,
)
from tests.kernel.guard import RING_BYTES, Act, Guard

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


PAGE = 4096
READ, WRITE, EXECUTE = 1, 2, 4  # PROT_…, linux/mman.h
PRIVATE, SHARED, FIXED, ANONYMOUS = 2, 1, 0x10, 0x20  # MAP_…
READ_IMPLIES_EXEC = 0x0400000  # linux/personality.h
NR_MPROTECT, NR_PKEY_MPROTECT = 10, 329


def map_memory(protection: int, flags: int, file: int = -1, address: int = 0, pages: int = 1) -> int:
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_size_t,
    )
    found: int = LIBC.mmap(address, pages * PAGE, protection, flags, file, 0)
    if found == 2**64 - 1:
        raise OSError(ctypes.get_errno(), "")
    return found


def protect(address: int, protection: int, pages: int = 1, number: int = NR_MPROTECT) -> None:
    call(number, ctypes.c_void_p(address), ctypes.c_size_t(pages * PAGE), protection, -1)


def file_then_anonymous(protection: int) -> int:
    """Two pages, the first of a file."""
    address = map_memory(protection, PRIVATE | ANONYMOUS, pages=2)
    with TRUE.open("rb") as file:
        return map_memory(protection, PRIVATE | FIXED, file.fileno(), address)


def of_file(protection: int) -> int:
    with TRUE.open("rb") as file:
        return map_memory(protection, PRIVATE, file.fileno())


def where_reading_implies_it(action: Callable[[], object]) -> Callable[[], object]:
    def act() -> None:
        LIBC.personality(READ_IMPLIES_EXEC)
        action()

    return act


CODE: dict[str, tuple[Callable[[], object], str]] = {
    "mapped": (
        lambda: map_memory(READ | EXECUTE, PRIVATE | ANONYMOUS),
        "syscall=SYS_MMAP prot=PROT_READ|PROT_EXEC flags=MAP_PRIVATE|MAP_ANONYMOUS",
    ),
    "mapped-to-be-shared": (
        lambda: map_memory(READ | WRITE | EXECUTE, SHARED | ANONYMOUS),
        "syscall=SYS_MMAP prot=PROT_READ|PROT_WRITE|PROT_EXEC flags=MAP_SHARED|MAP_ANONYMOUS",
    ),
    "turned-into": (
        lambda: protect(map_memory(READ | WRITE, PRIVATE | ANONYMOUS), READ | EXECUTE),
        "syscall=SYS_MPROTECT prot=PROT_READ|PROT_EXEC",
    ),
    "turned-into-with-a-key": (
        lambda: protect(map_memory(READ, PRIVATE | ANONYMOUS), READ | EXECUTE, number=NR_PKEY_MPROTECT),
        "syscall=SYS_PKEY_MPROTECT prot=PROT_READ|PROT_EXEC",
    ),
    "behind-a-file": (
        lambda: protect(file_then_anonymous(READ), READ | EXECUTE, pages=2),
        "syscall=SYS_MPROTECT prot=PROT_READ|PROT_EXEC",
    ),
    "by-reading": (
        where_reading_implies_it(lambda: map_memory(READ, PRIVATE | ANONYMOUS)),
        "syscall=SYS_MMAP prot=PROT_READ flags=MAP_PRIVATE|MAP_ANONYMOUS",
    ),
}


@pytest.mark.parametrize("action", ["Audit", "Block"])
@pytest.mark.parametrize("way", CODE)
def test_anonymous_code(guard: Guard, way: str, action: str) -> None:
    """Memory without a file that is code from the beginning, and memory that becomes it."""
    guard.rule(f"presets:\n- {{name: anonymousMapExec, action: {action}}}")
    act, data = CODE[way]

    event = assert_preset(guard, guard.act(act), action, "AnonMapExecution", Operation.FILE)

    assert event.resource is None
    if not guard.denies:
        assert event.data == data


I386_MMAP, I386_MMAP2, I386_MPROTECT = 90, 192, 125
LOW = 0x40  # MAP_32BIT


def call_as_32_bit(there: Path, number: int, *arguments: int) -> int:
    """A call by int $0x80, from code that has a file behind it."""
    registers = (0xB8, 0xBB, 0xB9, 0xBA, 0xBE, 0xBF, 0xBD)  # mov $…, %eax, %ebx, %ecx, %edx, %esi, %edi, %ebp
    values = (number, *arguments, 0, 0, 0, 0, 0, 0)
    moves = b"".join(struct.pack("<BI", *each) for each in zip(registers, values, strict=False))
    (there / "code").write_bytes(bytes([0x53, 0x55]) + moves + bytes([0xCD, 0x80, 0x5D, 0x5B, 0xC3]))
    with (there / "code").open("rb") as file:
        code = map_memory(READ | EXECUTE, PRIVATE, file.fileno())
    result: int = ctypes.CFUNCTYPE(ctypes.c_uint32)(code)()
    if result > 2**32 - 4096:
        raise OSError(2**32 - result, "")
    return result


def old_mmap(there: Path) -> None:
    """The one that has its arguments in memory."""
    address = map_memory(READ | WRITE, PRIVATE | ANONYMOUS | LOW)
    arguments = struct.pack("<6I", 0, PAGE, READ | EXECUTE, PRIVATE | ANONYMOUS, 2**32 - 1, 0)
    ctypes.memmove(address, arguments, len(arguments))
    call_as_32_bit(there, I386_MMAP, address)


CODE_OF_32_BIT: dict[str, Callable[[Path], object]] = {
    "mmap": old_mmap,
    "mmap2": lambda t: call_as_32_bit(t, I386_MMAP2, 0, PAGE, READ | EXECUTE, PRIVATE | ANONYMOUS, 2**32 - 1),
    "mprotect": lambda t: call_as_32_bit(
        t, I386_MPROTECT, map_memory(READ, PRIVATE | ANONYMOUS | LOW), PAGE, READ | EXECUTE
    ),
}


@pytest.mark.parametrize("way", CODE_OF_32_BIT)
def test_anonymous_code_of_32_bit_calls(guard: Guard, there: Path, way: str) -> None:
    """They have other numbers, and one has its arguments elsewhere."""
    guard.rule("presets:\n- {name: anonymousMapExec, action: Block}")

    done = guard.act(lambda: CODE_OF_32_BIT[way](there))

    event = assert_preset(guard, done, "Block", "AnonMapExecution", Operation.FILE)
    if not guard.denies:
        assert event.data.startswith(f"syscall=SYS_{way.removesuffix('2').upper()} prot=PROT_READ|PROT_EXEC")
        assert event.details["compat"] == "i386"


def test_code_of_files(guard: Guard) -> None:
    """What has a file behind it, and what is no code, is free; nobody is told of such calls without a rule."""
    guard.rule("presets:\n- {name: anonymousMapExec, action: Block}")

    for done in (
        guard.act(lambda: of_file(READ | EXECUTE)),
        guard.act(lambda: protect(of_file(READ), READ | EXECUTE)),
        guard.act(lambda: protect(file_then_anonymous(READ), READ | EXECUTE)),
        guard.act(lambda: map_memory(READ | WRITE, PRIVATE | ANONYMOUS)),
    ):
        assert_passed(done)
        assert not [event for event in done.logs if "SYS_M" in event.data]


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


# Code of files that are mapped instead of executed


@pytest.mark.parametrize("action", ["Audit", "Block"])
def test_loader_as_a_way_to_execute(guard: Guard, there: Path, action: str) -> None:
    """`ld.so FILE` asks nobody to execute the file; an execution of it is told once all the same."""
    program = there / "cat"
    shutil.copy(Path("/usr/bin/cat").resolve(), program)
    loader = next(Path("/lib64").glob("ld-linux*"))
    guard.rule(process_rule("matchPaths", f"path: {program}") + f"\naction: {action}")

    by_loader = guard.act(lambda: os.execv(loader, [str(loader), str(program), "/dev/null"]))
    executed = guard.act(execute(program, "/dev/null"))

    (event,) = by_loader.alerts
    assert event.verdict and event.verdict.policy == "under-test"
    assert (event.operation, event.resource) == (Operation.FILE, str(program))
    assert event.data.split(" ")[0] == ("lsm=MMAP_FILE" if guard.denies else "syscall=SYS_MMAP")
    assert (by_loader.code != 0) == (action == "Block" and guard.denies)
    assert [each.operation for each in executed.alerts] == [Operation.PROCESS]


# Capabilities


def asks_to_know(pid: int) -> Callable[[], object]:
    """The kernel asks whether the reader may trace the process, and shows less of it if not."""
    return lambda: Path(f"/proc/{pid}/stat").read_text()


def assert_used(guard: Guard, done: Act, action: str, name: str) -> None:
    (event,) = done.alerts
    assert event.verdict and event.verdict.enforcer == (
        "BPFLSM" if guard.denies and action == "Block" else "eBPF Monitor"
    )
    assert event.verdict.action == (action if guard.denies or action == "Audit" else "Audit (Block)")
    ways = ("lsm=CAPABLE",) if guard.denies else ("kfunc=SECURITY_CAPABLE", "tracepoint=CAP_CAPABLE")
    assert (event.operation, event.resource) == (Operation.CAPABILITIES, name)
    assert event.data in {f"{way} {name}" for way in ways}
    assert done.error == (errno.EPERM if action == "Block" and guard.denies else 0)


@pytest.mark.parametrize("action", list(Action))
def test_capability(guard: Guard, there: Path, action: Action) -> None:
    """A capability that is used is let pass, told or denied."""
    guard.rule(
        f"capabilities:\n  matchCapabilities:\n  - {{capability: chown}}\naction: {action}", Action.BLOCK
    )

    done = guard.act(lambda: os.chown(there / "open", 1, 1))

    if action is Action.ALLOW:
        assert_passed(done)
    else:
        assert_used(
            guard, done, action, "CAP_CHOWN"
        )  # though the kernel asks for the user and again for the group


@pytest.mark.parametrize("posture", [Action.AUDIT, Action.BLOCK])
def test_capability_that_no_rule_allows(guard: Guard, there: Path, posture: Action) -> None:
    """It is the posture's."""
    guard.rule("capabilities:\n  matchCapabilities:\n  - {capability: chown}\naction: Allow", posture)

    done = guard.act(lambda: os.setpriority(os.PRIO_PROCESS, 0, -1))

    (event,) = done.alerts
    assert event.verdict and event.verdict.policy == "DefaultPosture"
    assert event.resource == "CAP_SYS_NICE"


def test_each_use_of_a_capability_is_told(guard: Guard, there: Path) -> None:
    """Once a call, not once a process."""
    guard.rule("capabilities:\n  matchCapabilities:\n  - {capability: chown}\naction: Audit")

    def act() -> None:
        for _ in range(3):
            os.chown(there / "open", 1, 1)
            os.chown(there / "open", 0, 0)

    assert len(guard.act(act).alerts) == 6


def test_what_is_not_granted_is_no_use(guard: Guard, there: Path) -> None:
    """Who has not the capability gets the kernel's own no."""
    guard.rule("capabilities:\n  matchCapabilities:\n  - {capability: chown}\naction: Audit")

    done = guard.act(as_nobody(lambda: os.chown(there / "open", 1, 1)))

    assert (done.error, done.alerts) == (errno.EPERM, [])


def test_asking_to_know_is_no_use(guard: Guard, there: Path) -> None:
    """The kernel asks again and again what a process may, and nothing hangs on the answer."""
    guard.rule(
        "capabilities:\n  matchCapabilities:\n  - {capability: sys_ptrace}\n  - {capability: sys_admin}\naction: Audit"
    )
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.setuid(65534)
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    try:
        asked = guard.act(asks_to_know(pid))
        grown = guard.act(lambda: map_memory(READ | WRITE, PRIVATE | ANONYMOUS, pages=1000))
        used = guard.act(read(Path(f"/proc/{pid}/environ")))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)

    assert_passed(asked)
    assert_passed(grown)
    assert_used(guard, used, "Audit", "CAP_SYS_PTRACE")


def test_a_kernel_that_hides_where_its_functions_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them the tracepoint does not say enough, and that is said; the function needs none of them."""
    if os.geteuid():
        pytest.skip("needs root")
    monkeypatch.setattr("hauberk.sensor.loader.find_functions", lambda _: {})
    kernel = Kernel(probe().cgroups, RING_BYTES)
    with ExitStack() as stack:
        stack.callback(kernel.close)
        try:
            stack.callback(kernel.load(Selection()).close)
            stack.callback(kernel.load_deciding(by_lsm=False).close)
        except HauberkError as error:
            pytest.skip(str(error))
        traces_functions = "named" not in kernel.missing

        assert kernel.unseen == (frozenset() if traces_functions else {RuleClass.CAPABILITIES})
        assert ("capability" in kernel.missing) == (not traces_functions)
