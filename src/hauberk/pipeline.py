"""The data's way: batches of raw records to events.

Pure: no clock, no I/O. What only the live machine can tell (a process that no record told of, the name
of a user, the kernel's filter) is asked through the functions of `Surroundings`.
"""

import errno
from collections.abc import Callable, Mapping
from operator import attrgetter

import msgspec

from hauberk.abi import VERDICT, Hook, ItemKind, LsmHook, Operation, RecordFlag, VerdictFields
from hauberk.config import Selection
from hauberk.decode.hooks import Description, describe, executed, rule_class_of
from hauberk.decode.records import decode_batch
from hauberk.decode.syscalls import SLOTS
from hauberk.decode.text import decode_text
from hauberk.enrich.processes import Processes
from hauberk.enrich.sessions import Sessions
from hauberk.enrich.workloads import Workloads
from hauberk.metrics import ALERT_CPUS, Ledger
from hauberk.model.event import Event, Node
from hauberk.model.policy import DEFAULT_POSTURE, Verdict
from hauberk.model.process import Process
from hauberk.model.record import Record
from hauberk.model.workload import Workload
from hauberk.policy.decide import OBSERVER, Numbered, verdict_of

_BEFORE = 0
"""Time of the records that tell what was there before the agent: they are no part of the account."""

_NAMELESS_KEPT = 4096
_CWDS_KEPT = 1024
# plain numbers: comparing members of an enum costs more than all else in a filter
_SYSCALL = int(Hook.SYSCALL)
_EXEC = int(Hook.EXEC)
_STATE = int(RecordFlag.STATE)
_ALERT = int(RecordFlag.ALERT)
_CGROUP = int(Hook.CGROUP)
_FORK = int(Hook.FORK)
_TELL_OF_PROCESSES = frozenset(map(int, (Hook.EXEC, Hook.FORK, Hook.EXIT, Hook.PROCESS)))
_DELETED = int(RecordFlag.DELETED)
_LSM = int(Hook.LSM)
_VERDICT = int(ItemKind.VERDICT)
_time_of = attrgetter("time_ns")
_CWD = int(ItemKind.CWD)
_TTY = int(ItemKind.TTY)


_REFUSALS = (-errno.EPERM, -errno.EACCES)
_IDENTITY_CALLS = frozenset(slot for slot, row in SLOTS.items() if row.name in ("setuid", "setgid"))
REFUSED_IDENTITY = Verdict(policy=DEFAULT_POSTURE, action="Block", enforcer=OBSERVER)
"""Of a process that the kernel did not let become another user or group, which no rule of ours has to do with."""


class Surroundings(msgspec.Struct, kw_only=True):
    """What the pipeline cannot know from records."""

    node: Node
    boot_time_ns: int
    """Unix time of the kernel's CLOCK_BOOTTIME 0."""

    host_pid_ns: int
    users: dict[int, str] = {}
    """Names of the host's users."""

    own_pid: int = 0
    """The agent's own process, whose reading of procfs is no news; 0: tell of everybody."""

    look_up_process: Callable[[int], bytes] | None = None
    """The batch that tells of a live process, by its PID on the host; empty if it is gone."""

    look_up_cgroups: Callable[[], bytes] | None = None
    """The batch that tells of all cgroups."""

    leave_out_group: Callable[[int], None] | None = None
    """Told of a cgroup whose events are not wanted, so that the kernel can leave them out."""

    hidden_of: Callable[[Workload], int] | None = None
    """The operations of a workload that are not visible, a bit for each; None: all are."""

    hide: Callable[[int, int], None] | None = None
    """Told of a cgroup and its operations that are not visible, so that the kernel can leave them out."""

    leave_out_image: Callable[[Record], None] | None = None
    """The same for an image of a process."""

    find_rule: Callable[[int, int], Numbered | None] | None = None
    """The rule that an alert names, by its set and number."""

    awaits: Callable[[str], bool] | None = None
    """Whether the name of this container is still to come: then nobody can say yet that it is not wanted."""

    on_workload: Callable[[int, Workload], None] | None = None
    """Told of a cgroup and its workload, as soon as both are known."""

    on_removed: Callable[[int], None] | None = None
    """Told of a cgroup that is gone."""


class Pipeline:
    """Turns batches into events, in the same order."""

    def __init__(self, surroundings: Surroundings, selection: Selection, ledger: Ledger) -> None:
        self.surroundings = surroundings
        self.ledger = ledger
        self._selection = selection
        self._processes = Processes()
        self._sessions = Sessions(surroundings.host_pid_ns)
        self.workloads = Workloads(surroundings.host_pid_ns, self._learn_workload)
        self._next_sequence: dict[int, int] = {}
        self._cwds: dict[bytes, str] = {}
        """Working directories as text: few, and on every record."""

        self._selects_workloads = selection.selects_workloads
        self._selects_processes = bool(selection.processes)
        self._selects_paths = bool(selection.paths)
        self._hidden: dict[tuple[int, bool], int] = {}
        """By cgroup, and whether the host's: the operations that are not visible."""

        self._nameless: set[int] = set()
        """Parents that were looked up in vain; they are not asked for again."""

    def learn(self, batch: bytes) -> None:
        """Take in what was there before: records that are no part of the account."""
        for record in decode_batch(batch).records:
            self._apply(record)

    def events(self, batch: bytes) -> list[Event]:
        """The events of one batch that are wanted; everything else is counted."""
        decoded = decode_batch(batch)
        ledger = self.ledger
        ledger.decoded += len(decoded.records)
        ledger.unknown += decoded.unknown
        found = []
        records = decoded.records
        if records and records[-1].flags & _ALERT:
            # they stand behind the records of their time, some of which tell of what happened after them
            records.sort(key=_time_of)
        for record in records:
            if record.time_ns == _BEFORE:
                ledger.decoded -= 1
                self._apply(record)
                continue
            cpu = record.cpu if not record.flags & _ALERT else record.cpu + ALERT_CPUS
            expected = self._next_sequence.get(cpu, 0)
            if record.sequence != expected:
                ledger.gaps[cpu] = ledger.gaps.get(cpu, 0) + record.sequence - expected
            self._next_sequence[cpu] = record.sequence + 1
            if record.hook != _SYSCALL:
                self._apply(record)
            if record.flags & _STATE:
                ledger.state += 1
                continue
            event = self._alert(record) if record.flags & _ALERT else self._event(record)
            if event is not None:
                found.append(event)
        return found

    def knows_who(self, alerts: bytes) -> bool:
        """Whether it is known who acted in each of a batch of alerts, so that no record from before them is needed."""
        find, is_known = self._processes.find, self.workloads.is_known
        return all(find(each) and is_known(each.cgroup_id) for each in decode_batch(alerts).records)

    def finish(self, sequences: Mapping[int, int]) -> None:
        """Account for what was lost after the last record that came: `sequences` are the kernel's own counts."""
        gaps = self.ledger.gaps
        for cpu, wanted in sequences.items():
            missing = wanted - self._next_sequence.get(cpu, 0)
            if missing:
                gaps[cpu] = gaps.get(cpu, 0) + missing
                self._next_sequence[cpu] = wanted

    def review_visibility(self) -> None:
        """Ask anew what is visible of whom."""
        self._hidden.clear()

    def _is_hidden(self, operation: Operation, cgroup_id: int, workload: Workload) -> bool:
        around = self.surroundings
        if around.hidden_of is None:
            return False
        key = cgroup_id, workload.is_host
        hidden = self._hidden.get(key)
        if hidden is None:
            hidden = self._hidden[key] = around.hidden_of(workload)
        if not hidden >> operation & 1:
            return False
        # a runtime's own process may be in the cgroup of a container for a moment: it does not speak for it
        if around.hide and not (workload.is_host and self.workloads.is_containers(cgroup_id)):
            around.hide(cgroup_id, hidden)
        return True

    def _learn_workload(self, cgroup_id: int, workload: Workload) -> None:
        self._hidden.pop((cgroup_id, workload.is_host), None)  # what is visible may depend on the name
        if self.surroundings.on_workload:
            self.surroundings.on_workload(cgroup_id, workload)

    def _apply(self, record: Record) -> None:
        """Take in who is who and where."""
        if record.hook == _CGROUP:
            self._apply_cgroup(record)
        elif record.hook in _TELL_OF_PROCESSES:
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
        is_gone = bool(record.flags & _DELETED)
        if is_gone:
            for is_host in (True, False):
                self._hidden.pop((record.cgroup_id, is_host), None)
            if self.surroundings.on_removed:
                self.surroundings.on_removed(record.cgroup_id)
        else:
            workloads.find(record)
        container_id = workloads.container_of(record.cgroup_id)
        if container_id is None:
            return
        if record.time_ns == _BEFORE:
            self._sessions.begin(container_id)
        elif workloads.is_containers_own(record.cgroup_id):
            self._sessions.forget(container_id)

    def _command_of(self, record: Record) -> str:
        """What the kernel calls the process that the session of this record began with."""
        host_pid = record.arguments[0] if record.hook == _FORK else record.host_pid
        return (self._processes.executable(host_pid) or "").rpartition("/")[2]

    def _event(self, record: Record) -> Event | None:
        surroundings = self.surroundings
        workload = self.workloads.find(record)
        if (
            self._selects_workloads
            and not self._selection.wants_workload(workload.container_id, workload.container_name)
            and not self._is_awaited(workload)
        ):
            self.ledger.filter("workload")
            if surroundings.leave_out_group:
                surroundings.leave_out_group(record.cgroup_id)
            return None
        if record.host_pid == surroundings.own_pid:
            self.ledger.filter("agent")
            if surroundings.leave_out_image:
                surroundings.leave_out_image(record)
            return None
        processes = self._processes
        process = processes.find(record) or self._look_up(record)
        if self._selects_processes and not self._selection.wants_process(process.executable):
            self.ledger.filter("process")
            if surroundings.leave_out_image:
                surroundings.leave_out_image(record)
            return None
        described = describe(record, process, processes.executable_of)
        if self._selects_paths and not self._selection.wants_path(described.resource):
            self.ledger.filter("path")
            return None
        verdict = REFUSED_IDENTITY if record.result in _REFUSALS and _changes_identity(record) else None
        if verdict is None and self._is_hidden(described.operation, record.cgroup_id, workload):
            self.ledger.filter("visibility")
            return None
        return self._make_event(record, workload, process, described, verdict)

    def _is_awaited(self, workload: Workload) -> bool:
        awaits = self.surroundings.awaits
        return bool(
            self._selection.containers and workload.container_id and awaits and awaits(workload.container_id)
        )

    def _alert(self, record: Record) -> Event | None:
        """The event of a verdict: told whatever the operator selects to see."""
        content = next((content for kind, _, content in record.items if kind == _VERDICT), b"")
        if len(content) != VERDICT.size:
            self.ledger.filter("damaged")
            return None
        told = VerdictFields._make(VERDICT.unpack(content))
        by_lsm = record.hook == _LSM
        process = self._processes.find(record) or self._look_up(record)
        if by_lsm and record.arguments[0] == LsmHook.BPRM_CHECK_SECURITY:
            process = msgspec.structs.replace(executed(record), exec_session=process.exec_session)
        rule = None
        if told.rule:
            rule = self.surroundings.find_rule(told.set, told.rule) if self.surroundings.find_rule else None
        verdict = verdict_of(
            told.decision, rule, rule_class_of(record), by_lsm=by_lsm, denied=bool(told.denied)
        )
        if told.rule and rule is None:
            verdict = msgspec.structs.replace(verdict, policy=f"rule {told.rule} of set {told.set}")
        described = describe(record, process, self._processes.executable_of)
        return self._make_event(record, self.workloads.find(record), process, described, verdict)

    def _make_event(
        self,
        record: Record,
        workload: Workload,
        process: Process,
        described: Description,
        verdict: Verdict | None,
    ) -> Event:
        surroundings = self.surroundings
        cpu = record.cpu if not record.flags & _ALERT else record.cpu + ALERT_CPUS
        cwd = tty = None
        for kind, _, content in record.items:
            if kind == _CWD:
                cwd = content
            elif kind == _TTY:
                tty = content
        parent = self._processes.executable(record.host_ppid) or self._look_up_parent(record.host_ppid)
        return Event(
            surroundings.boot_time_ns + record.time_ns,
            described.operation,
            surroundings.node,
            workload,
            process,
            parent,
            record.host_pid,
            record.host_ppid,
            record.pid,
            record.ppid,
            record.uid,
            surroundings.users.get(record.uid) if workload.container_id is None else None,
            (parent or process.command_line) if _is_exec(record) else process.command_line,
            described.resource,
            described.data,
            described.details,
            -record.result if record.result < 0 else 0,
            (self._cwds.get(cwd) or self._cwd_text(cwd)) if cwd else "/",
            decode_text(tty) if tty else None,
            cpu << 32 | record.sequence,
            verdict,
            process.exec_session,
        )

    def _cwd_text(self, cwd: bytes) -> str:
        if len(self._cwds) >= _CWDS_KEPT:
            self._cwds.clear()
        text = self._cwds[cwd] = decode_text(cwd)
        return text

    def _learn_process(self, host_pid: int) -> None:
        if self.surroundings.look_up_process:
            self.learn(self.surroundings.look_up_process(host_pid))

    def _look_up_parent(self, host_pid: int) -> str | None:
        """The executable of a parent that no record told of. Some have none, such as kernel threads."""
        if not host_pid or host_pid in self._nameless:
            return None
        self._learn_process(host_pid)
        executable = self._processes.executable(host_pid) or None
        if executable is None:
            if len(self._nameless) >= _NAMELESS_KEPT:
                self._nameless.clear()
            self._nameless.add(host_pid)
        return executable

    def _look_up(self, record: Record) -> Process:
        """A process whose records were lost, or that never had any: asked of the live machine."""
        self._learn_process(record.host_pid)
        found = self._processes.find(record)
        if found:
            return found
        return Process(record.host_pid, record.start_ns, record.exec_id, "", "")


def _changes_identity(record: Record) -> bool:
    return record.hook == _SYSCALL and record.syscall in _IDENTITY_CALLS


def _is_exec(record: Record) -> bool:
    """Whether KubeArmor's `Source` is the parent: of what is executed, not of what acts."""
    return record.hook == _EXEC or (
        record.hook == _LSM and record.arguments[0] == LsmHook.BPRM_CHECK_SECURITY
    )
