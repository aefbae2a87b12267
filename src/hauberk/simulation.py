"""Candidate policies held against a recording: what they would have done, had they been in force."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from hauberk.abi import Hook, ItemKind, RecordFlag, RuleClass
from hauberk.decode.access import accesses_of
from hauberk.decode.records import decode_batch
from hauberk.decode.syscalls import SLOTS
from hauberk.enrich.processes import Processes
from hauberk.enrich.workloads import Workloads
from hauberk.model.access import Access
from hauberk.model.policy import Policy
from hauberk.model.record import Record
from hauberk.model.workload import Workload
from hauberk.policy.decide import Posture, RuleSet, rule_set
from hauberk.policy.select import Identity, holds_for, holds_for_host
from hauberk.policy.simulate import Recorded, Simulation, simulate
from hauberk.sensor.recording import Recording

_ACTIONS_OF_THEIR_OWN: Final = (
    RuleClass.CAPABILITIES,
    RuleClass.ANONYMOUS_MAP_EXEC,
    RuleClass.PROTECT_ENV,
    RuleClass.PROTECT_PROC,
    RuleClass.MAP_EXEC,
)
"""What only an LSM program's alert tells of; of all else the call tells, too."""

_SOCKETS_KEPT: Final = 65536
_INHERITING: Final = ("accept", "accept4")


class RecordedAccesses:
    """The accesses of a recording, in order."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._processes = Processes()
        self._workloads = Workloads(recording.machine.host_pid_ns)
        self._sockets: dict[tuple[int, int], Access] = {}
        """Host PID and descriptor -> what was made. Who inherited one is not known."""

        self.records = 0
        """Those that rules can ask something about."""

    def __iter__(self) -> Iterator[Recorded]:
        for batch in self._recording.batches():
            for record in decode_batch(batch).records:
                yield from self._accesses(record)
            self._workloads.take_news()  # nobody here waits for it

    def _accesses(self, record: Record) -> Iterator[Recorded]:
        # of an exec, the image that is about to go: the table knows it until the record is applied
        before = self._processes.executable(record.host_pid) or self._processes.executable(record.host_ppid)
        self._processes.apply(record)
        self._workloads.apply(record)
        workload = self._workloads.find(record)
        if not record.time_ns or (record.flags & RecordFlag.STATE and record.hook != Hook.EXEC):
            return
        if record.flags & RecordFlag.ALERT and not _is_told_only_here(record):
            return
        if record.hook == Hook.EXEC:
            acting = before or ""
        else:
            process = self._processes.find(record)
            acting = process.executable if process else ""
        found = accesses_of(record, acting)
        self.records += bool(found)
        for access in found:
            known = access
            if access.rule_class == RuleClass.NETWORK and record.hook == Hook.SYSCALL:
                known = self._socket(record, access)
            yield Recorded(self.records, known, workload, acting)

    def _socket(self, record: Record, access: Access) -> Access:
        """The same with what is known of the socket since it was made."""
        row = SLOTS[record.syscall]
        if row.name == "socket":
            self._remember(record.host_pid, record.result, access)
            return access
        made = self._sockets.get((record.host_pid, record.arguments[0] & 0xFFFFFFFF))
        if made is None:
            return access
        if row.name in _INHERITING:
            self._remember(record.host_pid, record.result, made)
        return msgspec.structs.replace(made, source=access.source, has_terminal=access.has_terminal)

    def _remember(self, host_pid: int, descriptor: int, made: Access) -> None:
        if descriptor < 0:
            return
        if len(self._sockets) >= _SOCKETS_KEPT:
            self._sockets.clear()
        self._sockets[host_pid, descriptor] = made


def _is_told_only_here(record: Record) -> bool:
    """Whether no other record tells of what an alert tells."""
    if record.hook in (Hook.SYSCALL, Hook.CAPABLE):  # decided after the fact: told as an alert instead
        return True
    of = next((which for kind, which, _ in record.items if kind == ItemKind.VERDICT), None)
    return record.hook == Hook.LSM and of in _ACTIONS_OF_THEIR_OWN


class Candidates:
    """The rules that each workload would have."""

    def __init__(
        self, policies: Iterable[Policy], host_name: str, posture: Posture, host_posture: Posture
    ) -> None:
        self._policies = tuple(policies)
        self._posture = posture
        self._host = (
            rule_set(each for each in self._policies if holds_for_host(each, host_name, {})),
            host_posture,
        )
        self._sets: dict[tuple[int, ...], RuleSet] = {}
        """Which of the policies hold -> their rules."""

    def rules_of(self, workload: Workload) -> tuple[RuleSet, Posture]:
        """The rules and the posture of a workload."""
        if workload.is_host:
            return self._host
        identity = Identity(
            workload.namespace, workload.labels, workload.container_name or workload.container_id
        )
        held = tuple(i for i, each in enumerate(self._policies) if holds_for(each, identity))
        if held not in self._sets:
            self._sets[held] = rule_set(self._policies[i] for i in held)
        return self._sets[held], self._posture


def simulate_recording(
    path: Path, policies: Iterable[Policy], posture: Posture, host_posture: Posture
) -> tuple[Simulation, Recording]:
    """What these policies would have done to what was recorded; raises DecodeError if it is no recording."""
    recording = Recording(path)
    accesses = RecordedAccesses(recording)
    candidates = Candidates(policies, recording.machine.node.host, posture, host_posture)
    simulation = simulate(accesses, candidates.rules_of)
    simulation.records = accesses.records
    return simulation, recording
