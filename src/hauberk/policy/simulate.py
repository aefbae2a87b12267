"""What rules would do: to one access, and why; to many, counted. By the very decision that is made for real."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from hauberk.abi import Decision as Decided
from hauberk.abi import RuleClass
from hauberk.decode.arguments import capability_name, effective_protocol
from hauberk.decode.syscalls import SLOTS
from hauberk.model.access import Access
from hauberk.model.policy import (
    Action,
    Calls,
    Capability,
    Directory,
    ExactPath,
    Glob,
    Name,
    Protocol,
    Rule,
)
from hauberk.model.workload import Workload
from hauberk.policy.decide import Decision, Numbered, Posture, RuleSet, decide
from hauberk.policy.rules import ANY_PROTOCOL, PROTOCOLS, SOCKET_TYPES, matches, rule_classes

_CONDITIONLESS: Final = {
    "owner_only": False,
    "read_only": False,
    "terminal_only": False,
    "allowed_args": None,
}
_ACTIONS: Final = {Decided.ALLOW: "Allow", Decided.AUDIT: "Audit", Decided.BLOCK: "Block"}


# One access


class Near(NamedTuple):
    """A rule that is about what was acted upon, and does not match nevertheless."""

    rule: Numbered
    reasons: tuple[str, ...]


class Explanation(NamedTuple):
    """What becomes of an access, and why."""

    decision: Decision
    why: str
    later: tuple[Numbered, ...]
    """Rules that match too, and come later in the order."""

    near: tuple[Near, ...]

    @property
    def action(self) -> str:
        """``Allow``, ``Audit``, ``Block``; or ``passes``, which is not told either."""
        return _ACTIONS.get(self.decision.decided, "passes")


def explain(rules: RuleSet, posture: Posture, access: Access) -> Explanation:
    """What these rules would do to an access, and which others have to do with it."""
    decision = decide(rules, posture, access)
    about = [each for each in rules if access.rule_class in rule_classes(each.rule)]
    by = decision.by
    matching = [each for each in about if matches(each.rule, access)]
    near = [
        Near(each, reasons)
        for each in about
        if each not in matching and (reasons := _why_not(each.rule, access))
    ]
    if by:
        why = f"it is about {target_text(by.rule)}{_conditions_text(by.rule)}"
        if by.rule.action is not Action.ALLOW and access.rule_class != RuleClass.MOVE:
            beyond = _unmet(msgspec.structs.replace(by.rule, action=Action.ALLOW), access)
            why += "".join(f"; {text}" for text in beyond)
    elif not about:
        why = "no rule is about such an access"
    elif decision.decided != Decided.NONE:
        why = "there are Allow rules for such accesses and none covers this one"
        if not access.path_is_known:
            why = "its path is not known whole, so no rule can be asked"
        why += f": the posture {_ACTIONS[decision.decided].lower()} acts"
    else:
        why = "no rule matches, and there is no Allow rule that would bring the posture in"
    return Explanation(decision, why, tuple(each for each in matching if each is not by), tuple(near))


def _is_about(rule: Rule, access: Access) -> bool:
    """Whether a rule would match if it named no source and no condition."""
    return matches(msgspec.structs.replace(rule, sources=(), **_CONDITIONLESS), access)


def _why_not(rule: Rule, access: Access) -> tuple[str, ...]:
    """What keeps a rule from matching, if it is about what was acted upon; else nothing."""
    if not _is_about(rule, access):
        return ()
    found = []
    if not matches(msgspec.structs.replace(rule, **_CONDITIONLESS), access):
        wanted = " or ".join(source.path for source in rule.sources)
        acting = access.source.decode(errors="replace") or "an unknown image"
        found.append(f"fromSource: it is for {wanted}, and {acting} acts")
    if rule.terminal_only and not access.has_terminal:
        found.append("pts: it is for processes with a terminal, and this one has none")
    if not matches(msgspec.structs.replace(rule, sources=(), terminal_only=False), access):
        found += _unmet(rule, access)
    return tuple(found)


def _unmet(rule: Rule, access: Access) -> list[str]:
    """The conditions of an Allow rule that do not hold; of another all, as all hold and it is about what goes beyond."""
    met = {
        "ownerOnly": access.is_owner if rule.owner_only else None,
        "readOnly": not access.writes if rule.read_only else None,
    }
    said = {
        ("ownerOnly", True): "the owner acts",
        ("ownerOnly", False): "the owner does not act",
        ("readOnly", True): "it is only read",
        ("readOnly", False): "it is written to",
    }
    found = []
    for name, holds in met.items():
        if holds is not None and holds != (rule.action is Action.ALLOW):
            found.append(f"{name}: {said[name, holds]}")
    if rule.allowed_args is not None:
        if access.arguments is None:
            extra = ["unknown arguments"]
        else:
            allowed = {text.encode() for text in rule.allowed_args}
            extra = [each.decode(errors="replace") for each in access.arguments if each not in allowed]
        if extra and rule.action is Action.ALLOW:
            found.append(f"allowedArgs: {' '.join(extra)} is not among them")
        elif not extra and rule.action is not Action.ALLOW:
            found.append("allowedArgs: all arguments are among them")
    return found


def target_text(rule: Rule) -> str:
    """What a rule is about, in a few words."""
    kind = rule.operation.name.lower()
    match rule.target:
        case ExactPath(path) | Glob(path):
            return f"{kind} {path}"
        case Directory(path, recursive):
            return f"{kind} {path}{' and all below' if recursive else ''}"
        case Name(name):
            return f"{kind} named {name}"
        case Protocol(name):
            return f"network {name}"
        case Capability(name):
            return f"capability {name}"
        case Calls(names, path):
            return f"syscall {', '.join(names)}{f' on {path.path}' if path else ''}"
        case preset:
            return f"preset {preset.name}"


def _conditions_text(rule: Rule) -> str:
    said = []
    if rule.sources:
        said.append(f"from {' or '.join(source.path for source in rule.sources)}")
    if rule.terminal_only:
        said.append("from a terminal")
    inner = [name for name, is_set in (("the owner", rule.owner_only), ("reading", rule.read_only)) if is_set]
    if rule.allowed_args is not None:
        inner.append(f"the arguments {' '.join(rule.allowed_args)}".rstrip())
    if inner:
        word = "for" if rule.action is Action.ALLOW else "for all but"
        said.append(f"{word} {', '.join(inner)}")
    return f", {', '.join(said)}" if said else ""


def access_text(access: Access) -> str:
    """What was acted upon, in a few words."""
    path = access.path.decode(errors="backslashreplace") or "?"
    match access.rule_class:
        case RuleClass.PROCESS:
            arguments = b" ".join(access.arguments or ()).decode(errors="backslashreplace")
            return f"execute {path} {arguments}".rstrip()
        case RuleClass.FILE:
            return f"{'write' if access.writes else 'read'} {path}"
        case RuleClass.MOVE:
            return f"move {path}"
        case RuleClass.NETWORK:
            names = {number: name for name, number in SOCKET_TYPES.items()}
            protocols = {number: name for name, number in PROTOCOLS.items()}
            number = effective_protocol(access.family, access.socket_type, access.protocol)
            kind = names.get(access.socket_type, "of unknown kind")
            return f"socket {kind} {protocols.get(number, number or '')}".rstrip()
        case RuleClass.CAPABILITIES:
            return f"use {capability_name(access.capability)}"
        case of if of >= RuleClass.SYSCALL:
            row = SLOTS.get(of - RuleClass.SYSCALL)
            return f"call {row.name if row else '?'} {'' if path == '?' else path}".rstrip()
        case of:
            return f"{RuleClass(of).name.lower().replace('_', ' ')} {'' if path == '?' else path}".rstrip()


# Many


class Outcome(msgspec.Struct, kw_only=True):
    """What one rule, or the posture, would have done in one workload."""

    workload: str
    rule: str
    """``FILE:LINE``; empty: the posture."""

    policy: str
    action: str
    count: int = 0
    record: int
    """The number of the first record among those that rules can ask about: `explain --record` takes it."""

    example: str
    """What it was."""


class Simulation(msgspec.Struct, kw_only=True):
    """What candidate policies would have done."""

    records: int = 0
    """That something could be asked about."""

    accesses: int = 0
    unjudged: int = 0
    """Accesses that rules ask more about than is recorded."""

    allowed: int = 0
    """Accesses that an Allow rule covers."""

    outcomes: list[Outcome] = []


class Recorded(NamedTuple):
    """An access of a recording."""

    record: int
    """Its number among those that rules can ask about, from 1."""

    access: Access
    workload: Workload
    who: str
    """The image that acted."""


def simulate(
    accesses: Iterable[Recorded],
    rules_of: Callable[[Workload], tuple[RuleSet, Posture]],
) -> Simulation:
    """Hold accesses against the rules that their workloads would have."""
    simulation = Simulation()
    outcomes: dict[tuple[str, int, str, str], Outcome] = {}
    for record, access, workload, who in accesses:
        rules, posture = rules_of(workload)
        simulation.accesses += 1
        if not can_be_judged(rules, access):
            simulation.unjudged += 1
            continue
        decided, by = decide(rules, posture, access)
        if decided == Decided.ALLOW:
            simulation.allowed += 1
        if decided not in (Decided.AUDIT, Decided.BLOCK):
            continue
        name = workload_name(workload)
        place = f"{by.policy.file}:{by.rule.line}" if by else ""
        key = name, by.number if by else 0, place, _ACTIONS[decided]
        if key not in outcomes:
            outcomes[key] = Outcome(
                workload=name,
                rule=place,
                policy=by.policy.name if by else "DefaultPosture",
                action=_ACTIONS[decided],
                record=record,
                example=f"{who}: {access_text(access)}" if who else access_text(access),
            )
        outcomes[key].count += 1
    simulation.outcomes = sorted(outcomes.values(), key=lambda each: (each.workload, -each.count, each.rule))
    return simulation


def can_be_judged(rules: RuleSet, access: Access) -> bool:
    """Whether all that these rules ask about an access is known.

    Not recorded is who owns a file, and of a socket that was made before, what kind it is.
    """
    for each in rules:
        rule = each.rule
        if access.rule_class not in rule_classes(rule):
            continue
        if not access.path_is_known:
            return False
        is_unknown = access.rule_class == RuleClass.NETWORK and not access.socket_type
        if is_unknown and rule.target != Protocol(ANY_PROTOCOL):
            return False
        is_without = access.rule_class == RuleClass.PROCESS and access.arguments is None
        if is_without and rule.allowed_args is not None and _is_about(rule, access):
            return False
        if matches(rule, access) != matches(rule, msgspec.structs.replace(access, is_owner=True)):
            return False
        if matches(rule, access):
            return True
    return True


def workload_name(workload: Workload) -> str:
    """What people call a workload."""
    if workload.is_host:
        return "host"
    name = workload.container_name or (workload.container_id or "")[:12]
    return f"{workload.namespace}/{workload.pod or ''}/{name}" if workload.namespace else name
