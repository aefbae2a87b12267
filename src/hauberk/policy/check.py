"""What is doubtful about policies that are well written: rules that never decide, or not what one may think.

Only rules that can meet are compared: those of policies of which one holds wherever the other does.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import product
from math import prod
from typing import Final

import msgspec

from hauberk.decode.syscalls import SLOTS
from hauberk.errors import PolicyError
from hauberk.model.policy import (
    Action,
    Calls,
    Directory,
    ExactPath,
    Glob,
    Policy,
    Rule,
    Source,
    Target,
)
from hauberk.policy.compile import compile_table
from hauberk.policy.decide import DECIDED, Numbered, Posture, rule_set
from hauberk.policy.document import Problem
from hauberk.policy.rules import condition_count, matches_path, rule_classes
from hauberk.policy.select import Identity, holds_for, holds_for_host, is_selected_by_name

_SECRETS: Final = (65_537, 1_000_003)
"""Nothing is looked up in the tables that are made here."""

_WAYS: Final = 1_000
"""To satisfy a selector: nobody writes so many."""

_POSTURE_SETTINGS: Final = ("default_file_posture", "default_file_posture", "default_network_posture",
                            "default_capabilities_posture")  # fmt: skip
"""By class of access."""


def check(
    policies: Sequence[Policy], posture: Posture | None = None, host_posture: Posture | None = None
) -> list[Problem]:
    """What is doubtful about these policies together, by file and line.

    The postures are those of the node that they are for.
    """
    postures = posture or Posture(), host_posture or Posture()
    found = list(_repeated(policies))
    found += _uncompilable(policies, postures)
    rules = rule_set(policies)
    found += _meeting(rules)
    found += _passing_audits(rules)
    found += _calls_let_pass(policies)
    found += _selecting_nothing(policies)
    for policy in policies:
        is_host = policy.kind == "KubeArmorHostPolicy"
        found += _bringing_posture(policy, postures[is_host], "host_" * is_host)
    return sorted(found, key=lambda problem: (problem.file, problem.line))


def check_node(policies: Sequence[Policy], resolve: Callable[[str], str | None]) -> list[Problem]:
    """Paths of rules that are symbolic links on this node, or lie below one: no access has such a path.

    `resolve` gives the path that the kernel knows a file by; None if it cannot be said.
    """
    found: dict[Problem, None] = {}
    for policy in policies:
        for rule in policy.rules:
            for text in _paths_of(rule):
                real = resolve(text.rstrip("/") or "/")
                if real is None or real == (text.rstrip("/") or "/"):
                    continue
                mended = real.rstrip("/") + "/" if text.endswith("/") else real
                if policy.kind == "KubeArmorHostPolicy":
                    said = f"`{text}` is `{mended}` by a symbolic link, and the kernel knows it only as that: the rule never matches it here; write `{mended}`"
                else:
                    said = f"`{text}` is `{mended}` by a symbolic link on this node, and the kernel knows it only as that: where images have the same link, the rule never matches it; write `{mended}`"
                found[_warning(policy, rule, said)] = None
    return list(found)


def check_name(policies: Sequence[Policy], host_name: str) -> list[Problem]:
    """Host policies for nodes of other names."""
    text = f"never acts on this node: it is for others by name, and this one is called `{host_name}`"
    return [
        Problem("warning", policy.file, _line_of(policy), text)
        for policy in policies
        if is_selected_by_name(policy) and not holds_for_host(policy, host_name, {})
    ]


def check_kernel(policies: Sequence[Policy], unseen: Collection[int]) -> list[Problem]:
    """Rules that never act on this node; `unseen` are the classes of access that its kernel tells nobody of."""
    text = "never acts on this node: its kernel has no hook that tells of this; `hauberk probe` says what it would take"
    found = {
        _warning(policy, rule, text): None
        for policy in policies
        for rule in policy.rules
        if unseen and set(rule_classes(rule)) <= set(unseen)
    }
    return list(found)


def _paths_of(rule: Rule) -> Iterator[str]:
    match rule.target:
        case ExactPath(path) | Directory(path) | Calls(path=ExactPath(path) | Directory(path)):
            yield path
        case Glob(pattern):
            literal = pattern
            for special in "*?[{\\":
                literal = literal.partition(special)[0]
            if directory := literal.rpartition("/")[0]:
                yield directory + "/"
    for source in rule.sources:
        yield source.path


def _warning(policy: Policy, rule: Rule, text: str) -> Problem:
    return Problem("warning", policy.file, rule.line, text)


def _line_of(policy: Policy) -> int:
    """Where a policy begins to say something."""
    return policy.rules[0].line if policy.rules else 1


def _where(each: Numbered) -> str:
    return f"{each.policy.file or each.policy.name}:{each.rule.line}"


# All of them together


def _repeated(policies: Sequence[Policy]) -> Iterator[Problem]:
    first: dict[tuple[str, str, str], Policy] = {}
    for policy in policies:
        known = first.setdefault(policy.identity, policy)
        if known is not policy:
            place = f"{known.file}:{_line_of(known)}"
            text = f"{policy.kind} {policy.name} is in {place} too, which counts; give one another name"
            yield Problem("error", policy.file, _line_of(policy), text)


def _uncompilable(policies: Sequence[Policy], postures: tuple[Posture, Posture]) -> Iterator[Problem]:
    is_sound = True
    for policy in policies:
        try:
            compile_table([policy], postures[policy.kind == "KubeArmorHostPolicy"], _SECRETS)
        except PolicyError as error:
            is_sound = False
            yield Problem("error", policy.file, _line_of(policy), str(error))
    for is_host in (False, True) if is_sound else ():
        group = [policy for policy in policies if (policy.kind == "KubeArmorHostPolicy") == is_host]
        try:
            compile_table(group, postures[is_host], _SECRETS)
        except PolicyError as error:
            text = f"a workload that all these policies hold for cannot have them: {error}"
            yield Problem("warning", group[-1].file, _line_of(group[-1]), text)


def _holds_wherever(wider: Policy, narrower: Policy) -> bool:
    """Whether every workload that the second holds for is one that the first holds for."""
    if wider is narrower:
        return True
    if (wider.kind == "KubeArmorHostPolicy") != (narrower.kind == "KubeArmorHostPolicy"):
        return False
    if wider.kind == "KubeArmorPolicy" and wider.namespace not in (None, narrower.namespace):
        return False
    here, there = wider.selector, narrower.selector
    return (
        here.labels.items() <= there.labels.items()
        and (not here.expressions or here.expressions == there.expressions)
        and (
            not here.containers or (bool(there.containers) and set(there.containers) <= set(here.containers))
        )
    )


# Two of them


def _meeting(rules: Sequence[Numbered]) -> Iterator[Problem]:
    """What each rule has to do with those before it; one problem a rule is enough."""
    alike: dict[object, list[Numbered]] = defaultdict(list)
    """By target, and those that can take in others by kind: to compare each with each would take too long."""

    for later in rules:
        target = later.rule.target
        candidates = list(alike[target])
        if isinstance(target, Directory):
            candidates += alike[Glob]
        elif isinstance(target, Calls):
            candidates += alike[Calls]
        for earlier in sorted(candidates, key=lambda each: each.number):
            problem = _conflict(earlier, later) or _shadow(earlier, later)
            if problem:
                yield problem
                break
        alike[target].append(later)
        if isinstance(target, Glob | Calls):
            alike[type(target)].append(later)


def _conflict(earlier: Numbered, later: Numbered) -> Problem | None:
    """Two rules for the same that ask for different things."""
    one, other = earlier.rule, later.rule
    if (
        one.action == other.action
        or one.target != other.target
        or one.operation != other.operation
        or set(one.sources) != set(other.sources)
        or not _is_alike(one, other)
        or not (
            _holds_wherever(earlier.policy, later.policy) or _holds_wherever(later.policy, earlier.policy)
        )
    ):
        return None
    text = f"conflicts with {_where(earlier)}, which is about the same: {one.action} there, {other.action} here; {one.action} wins, as Block comes before Audit and Audit before Allow"
    return _warning(later.policy, other, text)


def _shadow(earlier: Numbered, later: Numbered) -> Problem | None:
    """A rule that never decides: an earlier one matches all that it matches."""
    one, other = earlier.rule, later.rule
    if (
        not _takes_in(one.target, other.target)
        or not _holds_wherever(earlier.policy, later.policy)
        or not set(rule_classes(other)) <= set(rule_classes(one))
        or not _takes_in_sources(one.sources, other.sources)
        or not (condition_count(one) == 0 or _is_alike(one, other))
    ):
        return None
    if earlier.policy is later.policy and msgspec.structs.replace(one, line=0) == msgspec.structs.replace(
        other, line=0
    ):
        return None  # told where the document is read
    if one.action == other.action and one.target == other.target:
        text = f"never decides: {_where(earlier)} of {earlier.policy.name} says the same, and comes first in the order of rules"
    else:
        text = f"never decides: {_where(earlier)} of {earlier.policy.name} ({one.action}) matches all that it matches, and comes first in the order of rules"
    return _warning(later.policy, other, text)


def _is_alike(one: Rule, other: Rule) -> bool:
    """Whether the conditions of both hold for the same accesses: those of Allow are for what the others leave."""
    same = (one.owner_only, one.read_only, one.terminal_only, one.allowed_args) == (
        other.owner_only, other.read_only, other.terminal_only, other.allowed_args
    )  # fmt: skip
    turns = one.owner_only or one.read_only or one.allowed_args is not None
    return same and (not turns or (one.action is Action.ALLOW) == (other.action is Action.ALLOW))


def _takes_in(wide: Target, narrow: Target) -> bool:
    """Whether the first target means everything that the second means; False if that cannot be said.

    Of what comes first in the order of rules only a few kinds can: the order goes by how little a target means.
    """
    if wide == narrow:
        return True
    match wide, narrow:
        case Calls(names, path), Calls(others, other):
            return set(others) <= set(names) and (
                path is None or (other is not None and _takes_in(path, other))
            )
        case Directory(), ExactPath(path):
            return matches_path(wide, path.encode())
        case Directory(path, recursive), Directory(other, others_too):
            return other.startswith(path) and (recursive or (other == path and not others_too))
        case Glob(pattern), Directory(path):
            # `/etc/**` means all that is in /etc, though not the directory itself
            head = pattern.removesuffix("**")
            is_directory = head != pattern and head.endswith("/") and _is_literal(head)
            return is_directory and path != head and path.startswith(head)
        case _:
            return False


def _is_literal(pattern: str) -> bool:
    return not any(special in pattern for special in "*?[{\\")


def _takes_in_sources(wide: tuple[Source, ...], narrow: tuple[Source, ...]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(any(_takes_in(each, other) for each in wide) for other in narrow)


def _passing_audits(rules: Sequence[Numbered]) -> Iterator[Problem]:
    """Audit rules for what lies in a directory that is blocked."""
    blocks = [
        each for each in rules if each.rule.action is Action.BLOCK and isinstance(each.rule.target, Directory)
    ]
    for audit in rules:
        if audit.rule.action is not Action.AUDIT or not isinstance(audit.rule.target, ExactPath | Directory):
            continue
        for block in blocks:
            if (
                block.number > audit.number
                and block.rule.operation is audit.rule.operation
                and block.rule.target != audit.rule.target
                and _takes_in(block.rule.target, audit.rule.target)
                and block.rule.sources
                == audit.rule.sources  # one that names a source is an exception on purpose
                and _holds_wherever(block.policy, audit.policy)
            ):
                text = f"is audited, not blocked: this Audit rule is more specific than the Block rule of its directory in {_where(block)}, so it decides. To deny it, write Block here"
                yield _warning(audit.policy, audit.rule, text)
                break


# One alone


def _selecting_nothing(policies: Sequence[Policy]) -> Iterator[Problem]:
    """Policies for containers whose selectors ask for what no container can have."""
    text = "never matches: its selector contradicts itself, so it selects no container. Leave out one of its conditions"
    for policy in policies:
        candidates = None if policy.kind == "KubeArmorHostPolicy" else _least_selected(policy)
        if candidates is not None and not any(holds_for(policy, each) for each in candidates):
            yield Problem("warning", policy.file, _line_of(policy), text)


def _least_selected(policy: Policy) -> list[Identity] | None:
    """Containers with just what a selector asks for, by each way to have it; None: there are too many to try.

    With more labels than these, none is selected that is not selected without them: only NotIn asks about them.
    """
    selector = policy.selector
    wanted = [each for each in selector.expressions if each.operator == "In"]
    ways = [each.values for each in wanted if each.key == "label"]
    spaces = next((each.values for each in wanted if each.key == "namespace"), (policy.namespace or "",))
    if prod(map(len, (*ways, spaces))) > _WAYS:
        return None
    container = next(iter(selector.containers), None)
    return [
        Identity(space, {**dict(text.split("=", 1) for text in chosen), **selector.labels}, container)
        for space in spaces
        for chosen in product(*ways)
    ]


def _calls_let_pass(policies: Sequence[Policy]) -> Iterator[Problem]:
    """Block rules for system calls that cannot be denied."""
    hooked = {row.name for row in SLOTS.values() if row.hook}
    for policy in policies:
        for rule in policy.rules:
            if not isinstance(rule.target, Calls) or rule.action is not Action.BLOCK:
                continue
            passing = sorted(set(rule.target.names) - hooked)
            if rule.target.path:
                text = "is audited only: a system call on a path cannot be denied as a call. To deny it, write a rule for files"
            elif passing:
                text = f"is audited only for {', '.join(passing)}: the kernel has no hook where it could be denied. To deny what it does, write rules for files, network or capabilities"
            elif policy.kind == "KubeArmorHostPolicy" and "bpf" in rule.target.names:
                text = "is audited only for bpf on a host: the agent itself needs that call. To limit who may use it, write a rule for the capability bpf"
            else:
                continue
            yield _warning(policy, rule, text)


def _bringing_posture(policy: Policy, posture: Posture, prefix: str) -> Iterator[Problem]:
    """Allow rules, which bring the posture in for all that no rule covers.

    That can be less than a list of what is allowed wants, and it is more than an exception wants.
    """
    told = set()
    for of, setting in enumerate(_POSTURE_SETTINGS):
        rules = [rule for rule in policy.rules if of in rule_classes(rule)]
        allowed = [rule for rule in rules if rule.action is Action.ALLOW]
        is_audit = posture.of(of) == DECIDED[Action.AUDIT]
        if not allowed or setting in told:
            continue
        told.add(setting)
        if any(rule.action is Action.BLOCK for rule in rules):
            done = "told" if is_audit else "denied"
            text = f"an Allow rule brings the posture in: every access of this kind that no rule covers is {done}, wherever it is; for an exception from the Block rules of {policy.name} write Audit"
        elif is_audit:
            text = f"{policy.name} denies nothing: with the posture audit, what it does not allow is only audited. To deny it, set {prefix}{setting} to block"
        else:
            continue
        yield _warning(policy, allowed[0], text)
