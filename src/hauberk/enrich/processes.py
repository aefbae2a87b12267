"""Who acted: the table of processes, kept by the records that tell of exec, fork and exit."""

from collections import deque
from typing import Final

from hauberk.abi import Hook, ItemKind, RecordFlag
from hauberk.decode.hooks import command_line
from hauberk.decode.text import decode_text
from hauberk.model.process import ExecSession, Process
from hauberk.model.record import Record

EXITED_KEPT: Final = 8192
"""How many ended processes stay known: the events of their children may still name them."""

CLOCK_TICK_NS: Final = 10_000_000
"""procfs tells the start of a process in ticks of 1/100 s."""


class Processes:
    """Every live process, by its PID on the host.

    A process that procfs told of has `exec_id` 0, which stands for any, and a start time in ticks.
    """

    def __init__(self) -> None:
        self._by_host_pid: dict[int, Process] = {}
        self._by_pid: dict[tuple[int, int], int] = {}
        self._exited: deque[tuple[int, int, int, int]] = deque()

    def __len__(self) -> int:
        return len(self._by_host_pid)

    def apply(self, record: Record, exec_session: ExecSession | None = None) -> None:
        """Learn from a record, and of the session its process is in; those of other hooks teach nothing."""
        hook = record.hook
        if hook in (Hook.EXEC, Hook.PROCESS):
            executable = record.find(ItemKind.EXECUTABLE)
            self._put(
                record,
                Process(
                    host_pid=record.host_pid,
                    start_ns=record.start_ns,
                    exec_id=record.exec_id,
                    executable=decode_text(executable) if executable else "",
                    command_line=command_line(record),
                    deleted=bool(record.flags & RecordFlag.DELETED),
                    exec_session=exec_session,
                ),
            )
        elif hook == Hook.FORK:
            forker = self._by_host_pid.get(record.arguments[0])
            if forker:
                self._put(
                    record,
                    Process(
                        record.host_pid,
                        record.start_ns,
                        record.exec_id,
                        forker.executable,
                        forker.command_line,
                        forker.deleted,
                        exec_session,
                    ),
                )
        elif hook == Hook.EXIT:
            self._exited.append((record.host_pid, record.start_ns, record.pid_ns, record.pid))
            if len(self._exited) > EXITED_KEPT:
                self._forget(*self._exited.popleft())

    def _put(self, record: Record, process: Process) -> None:
        self._by_host_pid[record.host_pid] = process
        self._by_pid[record.pid_ns, record.pid] = record.host_pid

    def _forget(self, host_pid: int, start_ns: int, pid_ns: int, pid: int) -> None:
        known = self._by_host_pid.get(host_pid)
        if known and is_same_start(known.start_ns, start_ns):  # else the PID has a new owner
            del self._by_host_pid[host_pid]
        if self._by_pid.get((pid_ns, pid)) == host_pid and host_pid not in self._by_host_pid:
            del self._by_pid[pid_ns, pid]

    def find(self, record: Record) -> Process | None:
        """The process that acted; None if it is unknown or known only as what it was before."""
        known = self._by_host_pid.get(record.host_pid)
        if known is None:
            return None
        if known.exec_id == record.exec_id and known.start_ns == record.start_ns:
            return known
        if known.exec_id == 0 and is_same_start(known.start_ns, record.start_ns):
            return known
        return None

    def executable(self, host_pid: int) -> str | None:
        """What the process of this PID runs, ended or not; for parents."""
        known = self._by_host_pid.get(host_pid)
        return known.executable if known else None

    def executable_of(self, pid_ns: int, pid: int) -> str | None:
        """The same for a PID as a PID namespace knows it."""
        host_pid = self._by_pid.get((pid_ns, pid))
        return None if host_pid is None else self.executable(host_pid)


def is_same_start(one_ns: int, other_ns: int) -> bool:
    """Whether two start times can be of the same process, if procfs may have told one of them."""
    return abs(one_ns - other_ns) <= CLOCK_TICK_NS
