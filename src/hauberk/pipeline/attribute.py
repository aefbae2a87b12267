"""Stage: who acted, where, and on whom."""

from collections.abc import Iterable

import msgspec

from hauberk.abi import Hook, LsmHook, RecordFlag
from hauberk.decode.hooks import executed
from hauberk.decode.records import decode_batch
from hauberk.decode.syscalls import TARGETS
from hauberk.enrich.processes import Processes
from hauberk.enrich.sessions import Sessions
from hauberk.enrich.workloads import Workloads
from hauberk.model.process import Process
from hauberk.model.record import Record
from hauberk.model.workload import Workload
from hauberk.pipeline.account import BEFORE
from hauberk.pipeline.host import Host

# plain numbers: comparing members of an enum costs more than all else in a stage
_SYSCALL = int(Hook.SYSCALL)
_CGROUP = int(Hook.CGROUP)
_FORK = int(Hook.FORK)
_LSM = int(Hook.LSM)
_EXEC_CHECK = int(LsmHook.BPRM_CHECK_SECURITY)
_STATE = int(RecordFlag.STATE)
_DELETED = int(RecordFlag.DELETED)
_ABOUT_PROCESSES = frozenset(map(int, (Hook.EXEC, Hook.FORK, Hook.EXIT, Hook.PROCESS)))
_NAMELESS_KEPT = 4096


class Attributed(msgspec.Struct, frozen=True, gc=False):
    """A record, and who and where as they were at its time."""

    record: Record
    workload: Workload
    process: Process
    parent_executable: str | None
    """None if nobody knows, or the parent has none, such as PID 0."""

    target: str | None
    """Executable of the process that was acted upon, such as by kill(2); None if there is none, or nobody knows."""

    def target_of(self, _pid_ns: int, _pid: int) -> str | None:
        """The same for who asks by its PID: a record has one target at most."""
        return self.target


class Attribution:
    """Keeps who is who and where, on one kernel."""

    def __init__(self, host_pid_ns: int, host: Host) -> None:
        self._host = host
        self._processes = Processes()
        self._sessions = Sessions(host_pid_ns)
        self.workloads = Workloads(host_pid_ns)
        self._nameless: set[int] = set()
        """Parents that were looked up in vain; they are not asked for again."""

    def attribute(self, records: Iterable[Record]) -> list[Attributed]:
        """Those of the records that are of events. The others teach who is who, and end here."""
        attributed = []
        find_workload, processes = self.workloads.find, self._processes
        find_process, executable = processes.find, processes.executable
        for record in records:
            target = None
            if record.hook != _SYSCALL:
                self._apply(record)
            elif record.syscall in TARGETS:
                target = self._target_of(record)
            if record.flags & _STATE or record.time_ns == BEFORE:
                continue
            process = find_process(record) or self._look_up(record)
            if record.hook == _LSM and record.arguments[0] == _EXEC_CHECK:
                process = msgspec.structs.replace(executed(record), exec_session=process.exec_session)
            host_ppid = record.host_ppid
            parent = executable(host_ppid) or self._look_up_parent(host_ppid)
            attributed.append(Attributed(record, find_workload(record), process, parent, target))
        return attributed

    def knows(self, records: Iterable[Record]) -> bool:
        """Whether it is known who acted in each of these, so that no record from before them is needed."""
        find, is_known = self._processes.find, self.workloads.is_known
        return all(find(each) and is_known(each.cgroup_id) for each in records)

    # State

    def _apply(self, record: Record) -> None:
        """Take in who is who and where."""
        if record.hook == _CGROUP:
            self._apply_cgroup(record)
        elif record.hook in _ABOUT_PROCESSES:
            self.workloads.find(record)
            container_of = self.workloads.container_of
            forker = container_of(record.arguments[1]) if record.hook == _FORK else None
            session = self._sessions.apply(
                record, container_of(record.cgroup_id), forker, lambda: self._command_of(record)
            )
            self._processes.apply(record, session)

    def _apply_cgroup(self, record: Record) -> None:
        workloads = self.workloads
        workloads.apply(record)
        if not record.flags & _DELETED:
            workloads.find(record)
        container_id = workloads.container_of(record.cgroup_id)
        if container_id is None:
            return
        if record.time_ns == BEFORE:
            self._sessions.begin(container_id)
        elif workloads.is_containers_own(record.cgroup_id):
            self._sessions.forget(container_id)

    def _command_of(self, record: Record) -> str:
        """What the kernel calls the process that the session of this record began with."""
        host_pid = record.arguments[0] if record.hook == _FORK else record.host_pid
        return (self._processes.executable(host_pid) or "").rpartition("/")[2]

    # Whom no record has told of

    def _target_of(self, record: Record) -> str | None:
        pid = record.arguments[TARGETS[record.syscall]] & 0xFFFFFFFF
        return self._processes.executable_of(record.pid_ns, pid) if 0 < pid < 1 << 31 else None

    def _ask_for(self, host_pid: int) -> None:
        for record in decode_batch(self._host.process(host_pid)).records:
            self._apply(record)

    def _look_up_parent(self, host_pid: int) -> str | None:
        """The executable of a parent that no record told of. Some have none, such as kernel threads."""
        if not host_pid or host_pid in self._nameless:
            return None
        self._ask_for(host_pid)
        executable = self._processes.executable(host_pid) or None
        if executable is None:
            if len(self._nameless) >= _NAMELESS_KEPT:
                self._nameless.clear()
            self._nameless.add(host_pid)
        return executable

    def _look_up(self, record: Record) -> Process:
        """A process whose records were lost, or that never had any: asked of the live machine."""
        self._ask_for(record.host_pid)
        found = self._processes.find(record)
        if found:
            return found
        return Process(record.host_pid, record.start_ns, record.exec_id, "", "")
