"""Stage: all that is known as one event."""

from collections.abc import Iterable
from functools import lru_cache

from hauberk.abi import Hook, ItemKind, LsmHook, RecordFlag
from hauberk.decode.text import decode_text
from hauberk.metrics import ALERT_CPUS
from hauberk.model.event import Event
from hauberk.model.machine import Machine
from hauberk.model.record import Record
from hauberk.pipeline.decide import Decided

_CWDS_KEPT = 1024
_EXEC = int(Hook.EXEC)
_LSM = int(Hook.LSM)
_EXEC_CHECK = int(LsmHook.BPRM_CHECK_SECURITY)
_ALERT = int(RecordFlag.ALERT)
_CWD = int(ItemKind.CWD)
_TTY = int(ItemKind.TTY)

_cwd_text = lru_cache(_CWDS_KEPT)(decode_text)
"""Working directories as text: few, and on every record."""


def complete(decided: Iterable[Decided], machine: Machine) -> list[Event]:
    """The events, in the same order."""
    node, boot_time_ns, name_of = machine.node, machine.boot_time_ns, machine.users.get
    events = []
    for who, action, verdict in decided:
        record, workload, process = who.record, who.workload, who.process
        cwd = tty = None
        for kind, _, content in record.items:
            if kind == _CWD:
                cwd = content
            elif kind == _TTY:
                tty = content
        command_line, parent = process.command_line, who.parent_executable
        result = record.result
        events.append(
            Event(
                boot_time_ns + record.time_ns,
                action.operation,
                node,
                workload,
                process,
                parent,
                record.host_pid,
                record.host_ppid,
                record.pid,
                record.ppid,
                record.uid,
                name_of(record.uid) if workload.container_id is None else None,
                (parent or command_line) if _is_exec(record) else command_line,
                action.resource,
                action.data,
                action.details,
                -result if result < 0 else 0,
                _cwd_text(cwd) if cwd else "/",
                decode_text(tty) if tty else None,
                (record.cpu if not record.flags & _ALERT else record.cpu + ALERT_CPUS) << 32
                | record.sequence,
                verdict,
                process.exec_session,
            )
        )
    return events


def _is_exec(record: Record) -> bool:
    """Whether KubeArmor's `Source` is the parent: of what is executed, not of what acts."""
    return record.hook == _EXEC or (record.hook == _LSM and record.arguments[0] == _EXEC_CHECK)
