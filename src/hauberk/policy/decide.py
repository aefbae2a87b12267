"""The decision: what a set of rules says about one access. The kernel decides the same (bpf/lib/rules.bpf.h)."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from hauberk.abi import Decision as Decided
from hauberk.abi import RuleClass
from hauberk.model.access import Access
from hauberk.model.policy import DEFAULT_POSTURE, Action, Policy, Rule, Verdict
from hauberk.policy.rules import matches, order, rule_classes

DECIDED: Final = {Action.ALLOW: Decided.ALLOW, Action.AUDIT: Decided.AUDIT, Action.BLOCK: Decided.BLOCK}


class Posture(msgspec.Struct, frozen=True):
    """What happens to what no Allow rule covers, by operation; that of files holds for processes too.

    It acts only where there is an Allow rule for the operation, and on what has a path that is not known.
    """

    file: Action = Action.AUDIT
    network: Action = Action.AUDIT
    capabilities: Action = Action.AUDIT

    def of(self, rule_class: int) -> Decided:
        """For a class of access; presets and system calls have none."""
        actions: Mapping[int, Action] = {
            RuleClass.PROCESS: self.file,
            RuleClass.FILE: self.file,
            RuleClass.NETWORK: self.network,
            RuleClass.CAPABILITIES: self.capabilities,
        }
        action = actions.get(rule_class)
        return DECIDED[action] if action else Decided.NONE


class Numbered(NamedTuple):
    """A rule in a set; numbers begin with 1 and follow the order of rules."""

    number: int
    policy: Policy
    rule: Rule


RuleSet: TypeAlias = tuple[Numbered, ...]


class Decision(NamedTuple):
    """What was decided."""

    decided: Decided
    by: Numbered | None
    """None: the posture, or nobody."""


def rule_set(policies: Iterable[Policy]) -> RuleSet:
    """The rules of all these policies, in their order."""
    found = [(policy, rule) for policy in policies for rule in policy.rules]
    found.sort(key=lambda pair: order(*pair))
    return tuple(Numbered(number, *pair) for number, pair in enumerate(found, start=1))


def decide(rules: RuleSet, posture: Posture, access: Access) -> Decision:
    """The first rule that matches decides, else the posture if it acts."""
    if not access.path_is_known:
        is_asked = any(access.rule_class in rule_classes(each.rule) for each in rules)
        return Decision(posture.of(access.rule_class) if is_asked else Decided.NONE, None)
    has_allow = False
    for each in rules:
        if matches(each.rule, access):
            return Decision(DECIDED[each.rule.action], each)
        if each.rule.action is Action.ALLOW and access.rule_class in rule_classes(each.rule):
            has_allow = True
    return Decision(posture.of(access.rule_class) if has_allow else Decided.NONE, None)


_PRESET_ENFORCERS: Final = {
    RuleClass.FILELESS_EXEC: "PRESET-FilelessExecutionPreset",
    RuleClass.ANONYMOUS_MAP_EXEC: "PRESET-AnonMapExecutionPreset",
    RuleClass.PROTECT_ENV: "PRESET-ProtectEnvPreset",
    RuleClass.PROTECT_PROC: "PRESET-ProtectProcPreset",
    RuleClass.EXEC: "PRESET-ExecPreset",
}
OBSERVER: Final = "eBPF Monitor"
BPF_LSM: Final = "BPFLSM"


def verdict_of(decided: int, by: Numbered | None, rule_class: int, *, by_lsm: bool, denied: bool) -> Verdict:
    """What an alert says of a decision: Audit, or Block, which may not have been enforced.

    What a rule only wants to be told about is told by the monitor, as KubeArmor has it.
    """
    is_block = decided == Decided.BLOCK
    enforcer = BPF_LSM if by_lsm and (is_block or by is None) else OBSERVER
    action = "Audit" if not is_block else "Block" if denied else "Audit (Block)"
    if by and by.rule.is_held_back:
        action = "Audit (Block)"
    if by is None:
        return Verdict(policy=DEFAULT_POSTURE, action=action, enforcer=enforcer)
    if by_lsm:
        enforcer = _PRESET_ENFORCERS.get(RuleClass(min(rule_class, RuleClass.SYSCALL)), enforcer)
    return Verdict(
        policy=by.policy.name,
        action=action,
        enforcer=enforcer,
        severity=by.rule.severity,
        tags=by.rule.tags,
        message=by.rule.message,
        rule_id=by.number,
    )
