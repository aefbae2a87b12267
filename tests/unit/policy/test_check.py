"""What is doubtful about policies that are well written."""

import pytest

from hauberk.abi import RuleClass
from hauberk.model.policy import Action, Policy
from hauberk.policy.check import check, check_kernel, check_name, check_node
from hauberk.policy.decide import Posture
from hauberk.policy.document import parse_documents

BLOCKING = Posture(Action.BLOCK, Action.BLOCK, Action.BLOCK)


def policy(
    rules: str, *, name: str = "one", kind: str = "KubeArmorPolicy", selector: str = "{}", namespace: str = ""
) -> Policy:
    """A policy whose rules begin in line 6 of a file of its name."""
    selecting = "nodeSelector" if kind == "KubeArmorHostPolicy" else "selector"
    metadata = f"{{name: {name}{f', namespace: {namespace}' if namespace else ''}}}"
    text = (
        f"apiVersion: security.kubearmor.com/v1\nkind: {kind}\nmetadata: {metadata}\nspec:\n"
        f"  {selecting}: {selector}\n{rules}"
    )
    parsed = parse_documents(text, f"{name}.yaml")
    assert parsed.problems == ()
    return parsed.policies[0]


def said(*policies: Policy, posture: Posture = BLOCKING) -> list[str]:
    return [str(each) for each in check(policies, posture, posture)]


BLOCK_SHADOW = "  file: {matchPaths: [{path: /etc/shadow}], action: Block}"
AUDIT_SHADOW = "  file: {matchPaths: [{path: /etc/shadow}], action: Audit}"
APP = "{matchLabels: {app: web}}"


def test_conflict_names_both_and_the_winner() -> None:
    """Two rules for the same that ask for different things: who wins, and why."""
    assert said(policy(AUDIT_SHADOW), policy(BLOCK_SHADOW, name="two")) == [
        "one.yaml:6: warning: conflicts with two.yaml:6, which is about the same: Block there, Audit here; "
        "Block wins, as Block comes before Audit and Audit before Allow"
    ]


@pytest.mark.parametrize(
    "other",
    [
        policy(BLOCK_SHADOW, name="two", kind="KubeArmorHostPolicy"),
        policy(BLOCK_SHADOW, name="two", namespace="red"),
        policy(BLOCK_SHADOW, name="two", selector="{matchLabels: {app: database}}"),
        policy(BLOCK_SHADOW, name="two", selector="{matchLabels: {kubearmor.io/container.name: db}}"),
        policy("  process: {matchPaths: [{path: /etc/shadow}], action: Block}", name="two"),
        policy("  file: {matchPaths: [{path: /etc/shadow, fromSource: [{path: /bin/x}]}]}", name="two"),
        policy("  file: {matchPaths: [{path: /etc/shadow, readOnly: true}]}", name="two"),
    ],
    ids=["kind", "namespace", "labels", "container", "operation", "source", "conditions"],
)
def test_no_conflict_where_rules_do_not_meet(other: Policy) -> None:
    """Rules for other workloads or other accesses are none of each other's business."""
    here = policy(
        AUDIT_SHADOW, namespace="blue", selector="{matchLabels: {app: web, kubearmor.io/container.name: web}}"
    )

    assert said(here, other) == []


def test_allow_and_block_share_conditions_without_conflict() -> None:
    """Allow is for those for whom the condition holds, Block for the others."""
    owner = "  file: {{matchPaths: [{{path: /f, ownerOnly: true}}], action: {}}}"
    problems = said(policy(owner.format("Allow")), policy(owner.format("Block"), name="two"))

    assert not any("conflict" in text or "never decides" in text for text in problems)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (BLOCK_SHADOW, BLOCK_SHADOW),
        ("  file: {matchPatterns: [{pattern: /etc/**}], action: Audit}",
         "  file: {matchDirectories: [{dir: /etc/ssl/, recursive: true}], action: Allow}"),
        ("  process: {matchPaths: [{path: /bin/x, fromSource: [{dir: /usr/, recursive: true}]}]}",
         "  process: {matchPaths: [{path: /bin/x, fromSource: [{path: /usr/bin/y}]}]}"),
        ("  syscalls: {matchSyscalls: [{syscall: [unlink, rmdir]}]}",
         "  syscalls: {matchSyscalls: [{syscall: [rmdir]}]}"),
        ("  network: {matchProtocols: [{protocol: tcp, pts: false}]}",
         "  network: {matchProtocols: [{protocol: tcp, pts: false}]}"),
    ],
    ids=["same", "glob", "source", "calls", "conditions"],
)  # fmt: skip
def test_shadowed(earlier: str, later: str) -> None:
    """A rule that can never decide is told with the one that always does; the policy of that one is for more."""
    problems = said(policy(earlier, name="a"), policy(later, name="b", selector=APP))

    assert [
        text for text in problems if "never decides: a.yaml:6 of a" in text and text.startswith("b.yaml:6:")
    ]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("  file: {matchPatterns: [{pattern: /etc/*}]}", "  file: {matchDirectories: [{dir: /etc/ssl/}]}"),
        # the directory itself is not meant by the glob
        ("  file: {matchPatterns: [{pattern: /etc/**}], action: Audit}",
         "  file: {matchDirectories: [{dir: /etc/}], action: Allow}"),
        # renaming a directory above is only forbidden by the directory
        ("  file: {matchPatterns: [{pattern: /etc/**}]}", "  file: {matchDirectories: [{dir: /etc/ssl/}]}"),
        ("  file: {matchPaths: [{path: /f, readOnly: true}]}", "  file: {matchPaths: [{path: /f}]}"),
        ("  file: {matchPaths: [{path: /f, fromSource: [{path: /bin/x}]}]}", "  file: {matchPaths: [{path: /f}]}"),
        ("  process: {matchPaths: [{path: /bin/x, fromSource: [{dir: /usr/}]}]}",
         "  process: {matchPaths: [{path: /bin/x, fromSource: [{path: /usr/bin/y}]}]}"),
    ],
)  # fmt: skip
def test_not_shadowed(earlier: str, later: str) -> None:
    """What can still decide is not complained about."""
    assert not any(
        "never decides" in text for text in said(policy(earlier, name="a"), policy(later, name="b"))
    )


def test_narrower_policy_shadows_nothing() -> None:
    """It does not hold for all that the other holds for."""
    assert said(policy(BLOCK_SHADOW, name="a", selector=APP), policy(BLOCK_SHADOW, name="b")) == []


def test_audit_below_a_block_passes() -> None:
    """The more specific rule wins, which for Audit is easily not what was meant."""
    rules = (
        "  file:\n    matchPaths: [{path: /etc/motd, action: Audit}]\n    matchDirectories: [{dir: /etc/}]"
    )

    assert said(policy(rules)) == [
        "one.yaml:7: warning: is audited, not blocked: this Audit rule is more specific than the Block rule of its directory in "
        "one.yaml:8, so it decides. To deny it, write Block here"
    ]


def test_audit_of_a_source_is_an_exception() -> None:
    """Who names a source has meant it so."""
    rules = (
        "  file:\n    matchPaths: [{path: /etc/motd, action: Audit, fromSource: [{path: /bin/x}]}]\n"
        "    matchDirectories: [{dir: /etc/}]"
    )

    assert said(policy(rules)) == []


ALLOW_LIST = "  process: {matchPaths: [{path: /bin/x}]}\n  file: {matchPaths: [{path: /f}]}\n  action: Allow"


@pytest.mark.parametrize(("kind", "prefix"), [("KubeArmorPolicy", ""), ("KubeArmorHostPolicy", "host_")])
def test_allow_list_that_denies_nothing(kind: str, prefix: str) -> None:
    """With the posture audit it only tells, which is said once for what one setting mends."""
    assert said(policy(ALLOW_LIST, kind=kind), posture=Posture()) == [
        "one.yaml:6: warning: one denies nothing: with the posture audit, what it does not allow is only audited. "
        f"To deny it, set {prefix}default_file_posture to block"
    ]
    assert said(policy(ALLOW_LIST, kind=kind)) == []


@pytest.mark.parametrize(("posture", "done"), [(Posture(), "told"), (BLOCKING, "denied")])
def test_allow_as_an_exception_brings_the_posture_in(posture: Posture, done: str) -> None:
    """An exception by Allow has an effect far beyond its path."""
    rules = "  file: {matchPaths: [{path: /f}, {path: /f, action: Allow, fromSource: [{path: /bin/x}]}]}"
    (problem,) = said(policy(rules), posture=posture)

    assert f"every access of this kind that no rule covers is {done}" in problem


def test_same_policy_twice() -> None:
    """Only the first would be in force."""
    again = policy(AUDIT_SHADOW)
    (problem,) = (text for text in said(policy(BLOCK_SHADOW), again) if "error" in text)

    assert (
        problem
        == "one.yaml:6: error: KubeArmorPolicy one is in one.yaml:6 too, which counts; give one another name"
    )


def crowded(name: str, first: int, count: int) -> Policy:
    rules = "".join(f"      - {{path: /f, allowedArgs: [a{i}]}}\n" for i in range(first, first + count))
    return policy(f"  process:\n    matchPaths:\n{rules}", name=name)


def test_too_much_for_the_kernel() -> None:
    """What one policy cannot have is an error; what several can only have apart is a warning."""
    alone = check([crowded("a", 0, 70)], BLOCKING, BLOCKING)
    apart = check([crowded("a", 0, 40), crowded("b", 40, 40)], BLOCKING, BLOCKING)

    assert [each.severity for each in alone] == ["error"]
    assert [each.severity for each in apart] == ["warning"]
    assert "more than 64 rules" in alone[0].text
    assert "more than 64 rules" in apart[0].text


LINKS = {"/bin": "/usr/bin", "/bin/x": "/usr/bin/x", "/lost": None}
LINKED = [
    ("  process: {matchPaths: [{path: /bin/x}]}", "`/bin/x` is `/usr/bin/x`"),
    ("  process: {matchDirectories: [{dir: /bin/}]}", "`/bin/` is `/usr/bin/`"),
    ('  process: {matchPatterns: [{pattern: "/bin/*sh"}]}', "`/bin/` is `/usr/bin/`"),
    (
        "  network: {matchProtocols: [{protocol: tcp, fromSource: [{path: /bin/x}]}]}",
        "`/bin/x` is `/usr/bin/x`",
    ),
    ("  syscalls: {matchPaths: [{path: /bin/x, syscall: [unlink]}]}", "`/bin/x` is `/usr/bin/x`"),
]


@pytest.mark.parametrize(("rules", "text"), LINKED)
@pytest.mark.parametrize(
    ("kind", "certainty"),
    [("KubeArmorHostPolicy", "never matches it here"), ("KubeArmorPolicy", "where images have")],
)
def test_symbolic_link(rules: str, text: str, kind: str, certainty: str) -> None:
    """The mend is the path that the kernel knows; what the images of containers have is not known."""
    (problem,) = check_node([policy(rules, kind=kind)], lambda path: LINKS.get(path, path))

    assert text in problem.text
    assert certainty in problem.text
    assert (problem.severity, problem.line) == ("warning", 6)


@pytest.mark.parametrize(
    "rules",
    [
        "  file: {matchPaths: [{path: /usr/bin/x}, {path: /lost}], matchDirectories: [{dir: /}]}",
        '  file: {matchPatterns: [{pattern: "/**/x"}, {pattern: "/*"}]}',
        "  process: {matchPaths: [{execname: x}]}\n  network: {matchProtocols: [{protocol: all}]}",
    ],
)
def test_no_symbolic_link(rules: str) -> None:
    """Real paths, and what is no path, are left alone; so is what nobody can resolve."""
    assert check_node([policy(rules)], lambda path: LINKS.get(path, path)) == []


def test_rules_that_the_kernel_tells_nobody_of() -> None:
    """They are said with their place; those that are decided, and kernels that tell all, say nothing."""
    capabilities = policy(
        "  capabilities:\n    matchCapabilities:\n    - {capability: chown}\n  action: Audit"
    )
    files = policy("  file:\n    matchPaths:\n    - {path: /x}", name="two")

    (problem,) = check_kernel([capabilities, files], {RuleClass.CAPABILITIES})

    assert (problem.severity, problem.file, problem.line) == ("warning", "one.yaml", 8)
    assert problem.text.startswith("never acts on this node")
    assert check_kernel([capabilities, files], ()) == []


@pytest.mark.parametrize(
    ("entry", "kind", "text"),
    [
        ("{syscall: [unlink, bpf], action: Block}", "KubeArmorPolicy", "is audited only for unlink: "),
        ("{syscall: [bpf], action: Block}", "KubeArmorHostPolicy", "is audited only for bpf on a host: "),
        ("{syscall: [bpf, mount], action: Block}", "KubeArmorPolicy", None),
        ("{syscall: [unlink]}", "KubeArmorPolicy", None),
    ],
)
def test_calls_that_cannot_be_denied(entry: str, kind: str, text: str | None) -> None:
    """A Block that only tells is named as that."""
    found = said(policy(f"  syscalls: {{matchSyscalls: [{entry}]}}", kind=kind))

    assert (f"one.yaml:6: warning: {text}" in "".join(found)) if text else found == []


def test_calls_on_a_path_cannot_be_denied() -> None:
    (problem,) = said(policy("  syscalls: {matchPaths: [{syscall: [chroot], path: /x, action: Block}]}"))
    assert problem.startswith(
        "one.yaml:6: warning: is audited only: a system call on a path cannot be denied"
    )


IN, NOT_IN = "{{key: label, operator: In, values: [{}]}}", "{{key: label, operator: NotIn, values: [{}]}}"
SPACE_IN = "{{key: namespace, operator: In, values: [{}]}}"
SPACE_NOT_IN = "{{key: namespace, operator: NotIn, values: [{}]}}"


@pytest.mark.parametrize(
    ("expressions", "kind", "is_told"),
    [
        ((IN.format("a=1"), IN.format("a=2")), "KubeArmorPolicy", True),
        ((IN.format("a=1, a=2"), IN.format("a=2, a=3")), "KubeArmorPolicy", False),
        ((IN.format("a=1"), NOT_IN.format("a=1")), "KubeArmorPolicy", True),
        ((IN.format("a=1, b=1"), NOT_IN.format("a=1")), "KubeArmorPolicy", False),
        ((NOT_IN.format("app=web"),), "KubeArmorPolicy", True),
        ((IN.format("app=db"),), "KubeArmorPolicy", True),
        ((NOT_IN.format("app=db"),), "KubeArmorPolicy", False),
        ((SPACE_IN.format("red"), SPACE_IN.format("blue")), "KubeArmorClusterPolicy", True),
        ((SPACE_IN.format("red, blue"), SPACE_IN.format("blue")), "KubeArmorClusterPolicy", False),
        # KubeArmor does not look at NotIn there
        ((SPACE_IN.format("red"), SPACE_NOT_IN.format("red")), "KubeArmorClusterPolicy", False),
        ((SPACE_NOT_IN.format("red"),), "KubeArmorClusterPolicy", False),
        (tuple(IN.format(", ".join(f"k{i}={j}" for j in range(9))) for i in range(9)), "KubeArmorPolicy", False),
    ],
)  # fmt: skip
def test_selector_that_nothing_can_satisfy(expressions: tuple[str, ...], kind: str, is_told: bool) -> None:
    """Of an `app: web`; what takes too long to be said is not said."""
    labels = "matchLabels: {app: web}, " if kind == "KubeArmorPolicy" else ""
    selector = f"{{{labels}matchExpressions: [{', '.join(expressions)}]}}"
    found = said(policy(BLOCK_SHADOW, kind=kind, selector=selector))

    assert any("contradicts itself" in text for text in found) == is_told
    assert all(text.startswith("one.yaml:6: warning: never matches: ") for text in found)


@pytest.mark.parametrize(
    ("selector", "is_told"),
    [
        ("{}", False),
        ("{matchLabels: {kubernetes.io/hostname: 'here, there'}}", False),
        ("{matchLabels: {kubearmor.io/hostname: there}}", True),
        ("{matchLabels: {kubernetes.io/hostnamereg: 'he.*'}}", False),
        ("{matchLabels: {kubernetes.io/hostname: there, zone: a}}", False),
        ("{matchLabels: {zone: a}}", False),
    ],
)
def test_policy_for_other_nodes(selector: str, is_told: bool) -> None:
    """By name, which is known; what labels a node has only Kubernetes knows."""
    found = check_name([policy(BLOCK_SHADOW, kind="KubeArmorHostPolicy", selector=selector)], "here")

    assert [str(each) for each in found] == is_told * [
        "one.yaml:6: warning: never acts on this node: it is for others by name, and this one is called `here`"
    ]
