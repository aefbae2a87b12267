"""The decision: what a set of rules says about one access. The kernel decides the same (bpf/lib/rules.bpf.h)."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from hauberk.abi import Decision as Decided
from hauberk.abi import Operation, RuleClass
from hauberk.model.access import Access
from hauberk.model.policy import Action, Policy, Rule
from hauberk.policy.rules import matches, order, rule_classes

DECIDED = {Action.ALLOW: Decided.ALLOW, Action.AUDIT: Decided.AUDIT, Action.BLOCK: Decided.BLOCK}


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


def operation_of(rule_class: int) -> Operation:
    """KubeArmor's operation of a class of access."""
    match rule_class:
        case RuleClass.PROCESS | RuleClass.FILELESS_EXEC | RuleClass.EXEC:
            return Operation.PROCESS
        case RuleClass.FILE | RuleClass.ANONYMOUS_MAP_EXEC | RuleClass.PROTECT_ENV | RuleClass.PROTECT_PROC:
            return Operation.FILE
        case RuleClass.NETWORK:
            return Operation.NETWORK
        case RuleClass.CAPABILITIES:
            return Operation.CAPABILITIES
        case _:
            return Operation.SYSCALL
