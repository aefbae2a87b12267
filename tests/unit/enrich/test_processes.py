"""The table of processes."""

from hauberk.abi import Hook, ItemKind
from hauberk.enrich.processes import EXITED_KEPT, Processes
from hauberk.model.record import Record

HOST_PID_NS = 4026531836


def record(
    hook: Hook,
    host_pid: int,
    *,
    start_ns: int = 1_000_000_000,
    exec_id: int = 1,
    executable: bytes = b"",
    forker: int = 0,
    pid: int = 0,
    pid_ns: int = HOST_PID_NS,
) -> Record:
    """A record of a process's life."""
    items = (
        ((int(ItemKind.EXECUTABLE), 0, executable), (int(ItemKind.FILENAME), 0, executable))
        if executable
        else ()
    )
    return Record(
        5, 0, 1, start_ns, 0, (forker, 0, 0, 0, 0, 0), host_pid, host_pid, 1, pid or host_pid, 1,
        pid_ns, 1, 0, exec_id, hook, 59, 0, 0, items,
    )  # fmt: skip


def test_exec_is_known() -> None:
    """After an exec the process is what it runs now."""
    table = Processes()
    table.apply(record(Hook.EXEC, 7, executable=b"/bin/sh"))
    found = table.find(record(Hook.SYSCALL, 7))

    assert found is not None
    assert "/bin/sh" == found.executable


def test_a_fork_runs_what_its_parent_runs() -> None:
    """A child that has not executed anything is its parent's image."""
    table = Processes()
    table.apply(record(Hook.EXEC, 7, executable=b"/bin/sh"))
    table.apply(record(Hook.FORK, 8, start_ns=2_000_000_000, forker=7))
    found = table.find(record(Hook.SYSCALL, 8, start_ns=2_000_000_000))

    assert found is not None
    assert "/bin/sh" == found.executable


def test_a_lost_exec_is_noticed() -> None:
    """A record of an image that nobody told of finds nothing rather than the image before."""
    table = Processes()
    table.apply(record(Hook.EXEC, 7, executable=b"/bin/sh"))

    assert table.find(record(Hook.SYSCALL, 7, exec_id=2)) is None


def test_a_reused_pid_is_somebody_else() -> None:
    """The same number with another start is another process."""
    table = Processes()
    table.apply(record(Hook.EXEC, 7, executable=b"/bin/sh"))
    table.apply(record(Hook.EXIT, 7))

    assert table.find(record(Hook.SYSCALL, 7, start_ns=9_000_000_000)) is None


def test_what_procfs_told_is_any_image() -> None:
    """procfs knows starts in ticks and no exec ID; what it told stands until an exec."""
    table = Processes()
    table.apply(record(Hook.PROCESS, 7, start_ns=1_000_000_000, exec_id=0, executable=b"/bin/sh"))
    found = table.find(record(Hook.SYSCALL, 7, start_ns=1_004_000_000, exec_id=5))

    assert found is not None
    assert "/bin/sh" == found.executable


def test_the_ended_are_remembered_for_a_while() -> None:
    """A child may still name its parent after that one's end; after many more ends it is forgotten."""
    table = Processes()
    table.apply(record(Hook.EXEC, 7, executable=b"/bin/sh"))
    table.apply(record(Hook.EXIT, 7))
    soon = table.executable(7)
    for host_pid in range(100, 100 + EXITED_KEPT):
        table.apply(record(Hook.EXIT, host_pid))

    assert "/bin/sh" == soon
    assert table.executable(7) is None


def test_pids_of_a_namespace() -> None:
    """A process is found by the number that its own PID namespace gives it."""
    table = Processes()
    table.apply(record(Hook.EXEC, 700, pid=7, pid_ns=99, executable=b"/bin/web"))

    assert "/bin/web" == table.executable_of(99, 7)
    assert table.executable_of(HOST_PID_NS, 7) is None


def test_memory_is_flat() -> None:
    """Very many short lives leave no more than the remembered ones."""
    table = Processes()
    table.apply(record(Hook.EXEC, 1, executable=b"/sbin/init"))
    for life in range(50_000):
        host_pid, start_ns = 2 + life % 30_000, life * 1_000_000_000
        table.apply(record(Hook.FORK, host_pid, start_ns=start_ns, forker=1))
        table.apply(record(Hook.EXEC, host_pid, start_ns=start_ns, exec_id=2, executable=b"/bin/true"))
        table.apply(record(Hook.EXIT, host_pid, start_ns=start_ns, exec_id=2))

    assert len(table) <= EXITED_KEPT + 1
