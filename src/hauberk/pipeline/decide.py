"""Stage: what was decided about an action. The kernel has decided; here its numbers become a verdict."""

import errno
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from hauberk.abi import VERDICT, Hook, ItemKind, RecordFlag, VerdictFields
from hauberk.decode.hooks import Description, rule_class_of
from hauberk.decode.syscalls import SLOTS
from hauberk.metrics import Ledger
from hauberk.model.policy import DEFAULT_POSTURE, Verdict
from hauberk.model.record import Record
from hauberk.pipeline.attribute import Attributed
from hauberk.pipeline.describe import Described
from hauberk.pipeline.host import Host
from hauberk.policy.decide import OBSERVER, verdict_of

Decided: TypeAlias = tuple[Attributed, Description, Verdict | None]
"""What was done, by whom, and what was decided about it; None: nobody was asked."""

_SYSCALL = int(Hook.SYSCALL)
_LSM = int(Hook.LSM)
_ALERT = int(RecordFlag.ALERT)
_VERDICT = int(ItemKind.VERDICT)
_REFUSALS = (-errno.EPERM, -errno.EACCES)
_IDENTITY_CALLS = frozenset(slot for slot, row in SLOTS.items() if row.name in ("setuid", "setgid"))

REFUSED_IDENTITY = Verdict(policy=DEFAULT_POSTURE, action="Block", enforcer=OBSERVER)
"""Of a process that the kernel did not let become another user or group, which no rule of ours has to do with."""


def decide(described: Iterable[Described], host: Host, ledger: Ledger) -> list[Decided]:
    """All of them with their verdicts; an alert whose verdict is damaged is left out and counted."""
    decided: list[Decided] = []
    for who, action in described:
        record = who.record
        verdict = None
        if record.flags & _ALERT:
            verdict = _verdict(record, host)
            if verdict is None:
                ledger.filter("damaged")
                continue
        elif record.result in _REFUSALS and record.hook == _SYSCALL and record.syscall in _IDENTITY_CALLS:
            verdict = REFUSED_IDENTITY
        decided.append((who, action, verdict))
    return decided


def _verdict(record: Record, host: Host) -> Verdict | None:
    content = next((content for kind, _, content in record.items if kind == _VERDICT), b"")
    if len(content) != VERDICT.size:
        return None
    by = VerdictFields._make(VERDICT.unpack(content))
    rule = host.find_rule(by.set, by.rule) if by.rule else None
    verdict = verdict_of(
        by.decision, rule, rule_class_of(record), by_lsm=record.hook == _LSM, denied=bool(by.denied)
    )
    if by.rule and rule is None:
        verdict = msgspec.structs.replace(verdict, policy=f"rule {by.rule} of set {by.set}")
    return verdict
