"""What sets of rules say of accesses, and what alerts say of that."""

import pytest

from hauberk.abi import Decision as Decided
from hauberk.abi import Operation, RuleClass
from hauberk.decode.arguments import CAPABILITIES
from hauberk.model.access import Access
from hauberk.model.policy import (
    DEFAULT_POSTURE,
    Action,
    Capability,
    Directory,
    ExactPath,
    Policy,
    Preset,
    Protocol,
    Rule,
    Target,
    Verdict,
)
from hauberk.policy.decide import Numbered, Posture, RuleSet, decide, rule_set, verdict_of
from hauberk.policy.treatment import audited

ALLOW, AUDIT, BLOCK = Action.ALLOW, Action.AUDIT, Action.BLOCK
FILE, PROCESS = Operation.FILE, Operation.PROCESS
NETWORK, CAPABILITY = Operation.NETWORK, Operation.CAPABILITIES
STRICT = Posture(BLOCK, BLOCK, BLOCK)


def rule(target: Target, action: Action, operation: Operation = FILE, line: int = 0) -> Rule:
    return Rule(operation=operation, target=target, action=action, line=line)


def rules_of(*rules: Rule) -> RuleSet:
    return rule_set([Policy(kind="KubeArmorPolicy", name="p", rules=rules)])


def opening(path: bytes) -> Access:
    return Access(rule_class=RuleClass.FILE, path=path)


def test_rules_of_all_policies_are_numbered_in_their_order() -> None:
    wide, exact, twin = (
        rule(Directory("/"), BLOCK),
        rule(ExactPath("/a"), BLOCK),
        rule(ExactPath("/a"), ALLOW),
    )
    first = Policy(kind="KubeArmorPolicy", name="a", rules=(wide, twin))
    second = Policy(kind="KubeArmorPolicy", name="b", rules=(exact,))

    expected = (Numbered(1, second, exact), Numbered(2, first, twin), Numbered(3, first, wide))
    assert rule_set([first, second]) == rule_set([second, first]) == expected


def test_the_first_rule_that_matches_decides() -> None:
    rules = rules_of(rule(Directory("/etc/"), BLOCK), rule(ExactPath("/etc/a"), ALLOW))

    assert decide(rules, Posture(), opening(b"/etc/a")) == (Decided.ALLOW, rules[0])
    assert decide(rules, Posture(), opening(b"/etc/b")) == (Decided.BLOCK, rules[1])


def test_audit_wins_over_allow_on_the_same_path() -> None:
    """Vector 46."""
    rules = rules_of(rule(ExactPath("/a"), ALLOW, line=1), rule(ExactPath("/a"), AUDIT, line=2))

    assert decide(rules, STRICT, opening(b"/a")).decided == Decided.AUDIT


def test_the_order_in_the_file_does_not_hide_an_allow_rule() -> None:
    """Vector 38."""
    rules = rules_of(rule(ExactPath("/bin/ls"), ALLOW, PROCESS), rule(ExactPath("/bin/cat"), ALLOW, PROCESS))

    for path in (b"/bin/ls", b"/bin/cat"):
        assert decide(rules, STRICT, Access(rule_class=RuleClass.PROCESS, path=path)).decided == Decided.ALLOW


def test_a_later_allow_rule_does_not_hide_a_block() -> None:
    """Vector 83."""
    rules = rules_of(
        rule(Capability("net_raw"), BLOCK, CAPABILITY), rule(Capability("chown"), ALLOW, CAPABILITY)
    )
    access = Access(rule_class=RuleClass.CAPABILITIES, capability=CAPABILITIES.index("net_raw"))
    found = decide(rules, Posture(), access)

    assert (found.decided, found.by and found.by.rule.target) == (Decided.BLOCK, Capability("net_raw"))


def test_a_connection_of_an_allowed_protocol_is_allowed() -> None:
    """Vector 55."""
    rules = rules_of(rule(Protocol("tcp"), ALLOW, NETWORK))

    tcp = Access(rule_class=RuleClass.NETWORK, family=2, socket_type=1)
    udp = Access(rule_class=RuleClass.NETWORK, family=2, socket_type=2)
    assert decide(rules, Posture(), tcp).decided == Decided.ALLOW
    assert decide(rules, Posture(), udp) == (Decided.AUDIT, None)


# The posture

ACCESSES = {
    RuleClass.PROCESS: Access(rule_class=RuleClass.PROCESS, path=b"/z"),
    RuleClass.FILE: Access(rule_class=RuleClass.FILE, path=b"/z"),
    RuleClass.NETWORK: Access(rule_class=RuleClass.NETWORK, family=2, socket_type=2),
    RuleClass.CAPABILITIES: Access(rule_class=RuleClass.CAPABILITIES, capability=0),
    RuleClass.MAP_EXEC: Access(rule_class=RuleClass.MAP_EXEC, path=b"/z"),
    RuleClass.MOVE: Access(rule_class=RuleClass.MOVE, path=b"/z"),
    RuleClass.FILELESS_EXEC: Access(rule_class=RuleClass.FILELESS_EXEC, path=b"/z"),
    RuleClass.SYSCALL: Access(rule_class=RuleClass.SYSCALL, path=b"/z"),
}


@pytest.mark.parametrize(
    ("operation", "target", "judged"),
    [
        (PROCESS, ExactPath("/a"), RuleClass.PROCESS),
        (FILE, ExactPath("/a"), RuleClass.FILE),
        (NETWORK, Protocol("tcp"), RuleClass.NETWORK),
        (CAPABILITY, Capability("net_raw"), RuleClass.CAPABILITIES),
    ],
)
@pytest.mark.parametrize("action", list(Action))
def test_the_posture_acts_only_where_there_is_an_allow_rule_of_the_class(
    operation: Operation, target: Target, judged: RuleClass, action: Action
) -> None:
    """Vectors 43 and 44: an Allow rule for files says nothing of any exec."""
    rules = rules_of(rule(target, action, operation))
    found = {of: decide(rules, STRICT, access).decided for of, access in ACCESSES.items()}

    expected = dict.fromkeys(ACCESSES, Decided.NONE)
    if action is ALLOW:
        expected[judged] = Decided.BLOCK
    assert found == expected


@pytest.mark.parametrize(
    ("posture", "rule_class", "expected"),
    [
        (Posture(), RuleClass.FILE, Decided.AUDIT),
        (Posture(), RuleClass.NETWORK, Decided.AUDIT),
        (Posture(), RuleClass.CAPABILITIES, Decided.AUDIT),
        (Posture(file=BLOCK), RuleClass.FILE, Decided.BLOCK),
        (Posture(file=BLOCK), RuleClass.PROCESS, Decided.BLOCK),
        (Posture(file=BLOCK), RuleClass.NETWORK, Decided.AUDIT),
        (Posture(network=BLOCK), RuleClass.NETWORK, Decided.BLOCK),
        (Posture(network=BLOCK), RuleClass.PROCESS, Decided.AUDIT),
        (Posture(capabilities=BLOCK), RuleClass.CAPABILITIES, Decided.BLOCK),
        (Posture(file=ALLOW), RuleClass.FILE, Decided.ALLOW),
        (STRICT, RuleClass.EXEC, Decided.NONE),
        (STRICT, RuleClass.PROTECT_PROC, Decided.NONE),
        (STRICT, RuleClass.SYSCALL + 3, Decided.NONE),
        (STRICT, RuleClass.MAP_EXEC, Decided.NONE),
        (STRICT, RuleClass.MOVE, Decided.NONE),
    ],
)
def test_a_posture_is_by_operation(posture: Posture, rule_class: int, expected: Decided) -> None:
    assert posture.of(rule_class) == expected


def test_a_path_that_is_not_known_meets_the_posture() -> None:
    """No rule can be held against it, be there an Allow rule or not."""
    unknown = Access(rule_class=RuleClass.FILE, path=b"/a", path_is_known=False)

    for action in Action:
        assert decide(rules_of(rule(ExactPath("/a"), action)), STRICT, unknown) == (Decided.BLOCK, None)
    assert decide(rules_of(rule(ExactPath("/a"), BLOCK, PROCESS)), STRICT, unknown) == (Decided.NONE, None)


# What alerts say


def numbered(target: Target, action: Action, operation: Operation = FILE) -> Numbered:
    found = Rule(operation=operation, target=target, action=action, severity=7, tags=("a", "b"), message="m")
    return Numbered(3, Policy(kind="KubeArmorPolicy", name="p", rules=(found,)), found)


@pytest.mark.parametrize(
    ("decided", "by_lsm", "denied", "action", "enforcer"),
    [
        (Decided.AUDIT, True, False, "Audit", "eBPF Monitor"),
        (Decided.AUDIT, False, False, "Audit", "eBPF Monitor"),
        (Decided.BLOCK, True, True, "Block", "BPFLSM"),
        # vector 35
        (Decided.BLOCK, False, False, "Audit (Block)", "eBPF Monitor"),
    ],
)
def test_an_alert_of_a_rule(decided: Decided, by_lsm: bool, denied: bool, action: str, enforcer: str) -> None:
    by = numbered(ExactPath("/a"), BLOCK if decided == Decided.BLOCK else AUDIT)
    found = verdict_of(decided, by, RuleClass.FILE, by_lsm=by_lsm, denied=denied)

    assert found == Verdict(
        policy="p", action=action, enforcer=enforcer, severity=7, tags=("a", "b"), message="m", rule_id=3
    )


@pytest.mark.parametrize(
    ("decided", "by_lsm", "denied", "action", "enforcer"),
    [
        (Decided.AUDIT, True, False, "Audit", "BPFLSM"),
        (Decided.AUDIT, False, False, "Audit", "eBPF Monitor"),
        # vector 40
        (Decided.BLOCK, True, True, "Block", "BPFLSM"),
        (Decided.BLOCK, False, False, "Audit (Block)", "eBPF Monitor"),
    ],
)
def test_an_alert_of_the_posture(
    decided: Decided, by_lsm: bool, denied: bool, action: str, enforcer: str
) -> None:
    found = verdict_of(decided, None, RuleClass.FILE, by_lsm=by_lsm, denied=denied)

    assert found == Verdict(policy=DEFAULT_POSTURE, action=action, enforcer=enforcer)


@pytest.mark.parametrize(
    ("target", "rule_class", "enforcer"),
    [
        (Preset("filelessExec"), RuleClass.FILELESS_EXEC, "PRESET-FilelessExecutionPreset"),
        (Preset("anonymousMapExec"), RuleClass.ANONYMOUS_MAP_EXEC, "PRESET-AnonMapExecutionPreset"),
        (Preset("protectEnv"), RuleClass.PROTECT_ENV, "PRESET-ProtectEnvPreset"),
        (Preset("protectProc"), RuleClass.PROTECT_PROC, "PRESET-ProtectProcPreset"),
        (Preset("exec"), RuleClass.EXEC, "PRESET-ExecPreset"),
    ],
)
def test_a_preset_is_its_own_enforcer(target: Target, rule_class: RuleClass, enforcer: str) -> None:
    """Audited or blocked; where there are no LSM programs it only observes, as all do."""
    audited = verdict_of(Decided.AUDIT, numbered(target, AUDIT), rule_class, by_lsm=True, denied=False)
    blocked = verdict_of(Decided.BLOCK, numbered(target, BLOCK), rule_class, by_lsm=True, denied=True)
    observed = verdict_of(Decided.BLOCK, numbered(target, BLOCK), rule_class, by_lsm=False, denied=False)

    assert (audited.action, audited.enforcer) == ("Audit", enforcer)
    assert (blocked.action, blocked.enforcer) == ("Block", enforcer)
    assert (observed.action, observed.enforcer) == ("Audit (Block)", "eBPF Monitor")


def test_an_alert_of_a_system_call_is_the_monitors() -> None:
    found = verdict_of(
        Decided.AUDIT, numbered(ExactPath("/a"), AUDIT), RuleClass.SYSCALL + 5, by_lsm=False, denied=False
    )

    assert (found.action, found.enforcer) == ("Audit", "eBPF Monitor")


def test_a_rule_that_is_held_back_says_that_it_would_block() -> None:
    (told,) = rule_set(
        [audited(Policy(kind="KubeArmorPolicy", name="p", rules=(rule(ExactPath("/a"), BLOCK),)))]
    )
    found = verdict_of(Decided.AUDIT, told, RuleClass.FILE, by_lsm=True, denied=False)

    assert (found.action, found.enforcer) == ("Audit (Block)", "eBPF Monitor")
