"""Documents to policies, and every mistake on its line."""

import re

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hauberk.abi import Operation
from hauberk.model.policy import (
    Action,
    Calls,
    Capability,
    Directory,
    ExactPath,
    Expression,
    Glob,
    Kind,
    Name,
    Policy,
    Preset,
    Protocol,
    Rule,
    Selector,
    Target,
)
from hauberk.policy.document import Parsed, parse_documents, parse_object

BLOCK, AUDIT, ALLOW = Action.BLOCK, Action.AUDIT, Action.ALLOW


def document(spec: str, kind: str = "KubeArmorPolicy", selecting: str = "selector: {}") -> str:
    """The spec begins on line 6."""
    head = (
        f"apiVersion: security.kubearmor.com/v1\nkind: {kind}\nmetadata: {{name: p}}\nspec:\n  {selecting}\n"
    )
    return head + "".join(f"  {line}\n" for line in spec.splitlines())


def parse(spec: str, kind: str = "KubeArmorPolicy", selecting: str = "selector: {}") -> Parsed:
    return parse_documents(document(spec, kind, selecting), "p.yaml")


def policy(text: str) -> Policy:
    """The policy of a text in which nothing is wrong."""
    parsed = parse_documents(text, "p.yaml")
    assert parsed.problems == ()
    (found,) = parsed.policies
    return found


def rules(spec: str, kind: str = "KubeArmorPolicy", selecting: str = "selector: {}") -> tuple[Rule, ...]:
    return policy(document(spec, kind, selecting)).rules


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse_documents(text, "p.yaml").problems]


def test_a_whole_document() -> None:
    text = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata:
  name: ksp-1
  namespace: multiubuntu
spec:
  severity: 5
  tags: [a, b]
  message: of the policy
  selector:
    matchLabels: {group: group-1}
    matchExpressions:
    - {key: label, operator: NotIn, values: [container=ubuntu-3]}
  process:
    matchPaths:
    - path: /bin/ls
      fromSource:
      - path: /bin/dash
      - {dir: /usr/, recursive: true}
      ownerOnly: true
      pts: false
      allowedArgs: [-m, random]
  file:
    severity: 3
    matchDirectories:
    - dir: /etc/
      recursive: true
      readOnly: true
      action: Audit
      tags: [c]
      message: of the rule
"""
    assert policy(text) == Policy(
        kind="KubeArmorPolicy",
        name="ksp-1",
        namespace="multiubuntu",
        selector=Selector({"group": "group-1"}, (Expression("label", "NotIn", ("container=ubuntu-3",)),)),
        rules=(
            Rule(
                operation=Operation.PROCESS,
                target=ExactPath("/bin/ls"),
                sources=(ExactPath("/bin/dash"), Directory("/usr/", True)),
                owner_only=True,
                terminal_only=True,
                allowed_args=("-m", "random"),
                action=BLOCK,
                severity=5,
                tags=("a", "b"),
                message="of the policy",
                line=16,
            ),
            Rule(
                operation=Operation.FILE,
                target=Directory("/etc/", True),
                read_only=True,
                action=AUDIT,
                severity=3,
                tags=("c",),
                message="of the rule",
                line=26,
            ),
        ),
        file="p.yaml",
    )


@pytest.mark.parametrize(
    ("spec", "operation", "targets"),
    [
        ("process: {matchPaths: [{path: /bin/ls}]}", Operation.PROCESS, [ExactPath("/bin/ls")]),
        ("process: {matchPaths: [{execname: apt}]}", Operation.PROCESS, [Name("apt")]),
        ("process: {matchDirectories: [{dir: /sbin/}]}", Operation.PROCESS, [Directory("/sbin/")]),
        ("process: {matchPatterns: [{pattern: /usr/bin/apt*}]}", Operation.PROCESS, [Glob("/usr/bin/apt*")]),
        ("file: {matchPaths: [{path: /}]}", Operation.FILE, [ExactPath("/")]),
        ("file: {matchDirectories: [{dir: /, recursive: true}]}", Operation.FILE, [Directory("/", True)]),
        ("file: {matchPatterns: [{pattern: '/etc/*hado?'}]}", Operation.FILE, [Glob("/etc/*hado?")]),
        (
            "network: {matchProtocols: [{protocol: 'tcp, UDP,raw'}, {protocol: all}]}",
            Operation.NETWORK,
            [Protocol("tcp"), Protocol("udp"), Protocol("raw"), Protocol("all")],
        ),
        (
            "capabilities: {matchCapabilities: [{capability: 'net_raw,CAP_CHOWN'}]}",
            Operation.CAPABILITIES,
            [Capability("net_raw"), Capability("chown")],
        ),
        (
            "syscalls: {matchSyscalls: [{syscall: [unlink, umount]}]}",
            Operation.SYSCALL,
            [Calls(("unlink", "umount"))],
        ),
        (
            "syscalls: {matchPaths: [{syscall: [unlink], path: /home/, recursive: true}]}",
            Operation.SYSCALL,
            [Calls(("unlink",), Directory("/home/", True))],
        ),
        (
            "syscalls: {matchPaths: [{syscall: [unlink], path: /dummy}]}",
            Operation.SYSCALL,
            [Calls(("unlink",), ExactPath("/dummy"))],
        ),
        ("presets: [{name: filelessExec}]", Operation.PROCESS, [Preset("filelessExec")]),
        ("presets: [{name: exec}]", Operation.PROCESS, [Preset("exec")]),
        ("presets: [{name: protectEnv}]", Operation.FILE, [Preset("protectEnv")]),
        ("presets: [{name: protectProc}]", Operation.FILE, [Preset("protectProc")]),
        ("presets: [{name: anonymousMapExec}]", Operation.FILE, [Preset("anonymousMapExec")]),
    ],
)
def test_what_rules_are_about(spec: str, operation: Operation, targets: list[Target]) -> None:
    found = rules(spec)

    assert [rule.target for rule in found] == targets
    assert {rule.operation for rule in found} == {operation}
    assert {rule.line for rule in found} == {6}


@pytest.mark.parametrize(
    ("spec", "section", "rule", "expected"),
    [
        ("", "", "", (BLOCK, 0, (), "")),
        ("severity: 5, tags: [s], message: s, action: Allow", "", "", (ALLOW, 5, ("s",), "s")),
        ("severity: 5, tags: [s], message: s, action: Allow", "severity: 3, action: Audit", "", (AUDIT, 3, ("s",), "s")),
        ("severity: 5, action: Allow", "tags: [t], message: t", "severity: 1, message: r", (ALLOW, 1, ("t",), "r")),
        ("severity: 5, tags: [s]", "", "severity: 0, tags: [], message: ''", (BLOCK, 5, ("s",), "")),
        ("action: Allow", "action: ''", "action: Block", (BLOCK, 0, (), "")),
        ("action: audit", "", "", (AUDIT, 0, (), "")),
        ("severity: 10", "", "", (BLOCK, 10, (), "")),
        ("severity: '7'", "", "", (BLOCK, 7, (), "")),
    ],
)  # fmt: skip
def test_each_field_is_of_the_rule_or_its_section_or_its_policy(
    spec: str, section: str, rule: str, expected: tuple[Action, int, tuple[str, ...], str]
) -> None:
    """Vector 74 among them."""
    of_section = f"{section}, " if section else ""
    of_spec = spec.replace(", ", "\n")
    (found,) = rules(f"{of_spec}\nfile: {{{of_section}matchPaths: [{{path: /a, {rule}}}]}}")

    assert (found.action, found.severity, found.tags, found.message) == expected


def test_system_calls_are_audited_but_for_what_a_rule_itself_asks() -> None:
    """KubeArmor has no action for them, so that of the policy is not about them."""
    parsed = parse("action: Block\nsyscalls: {matchSyscalls: [{syscall: [unlink]}]}")
    assert (parsed.policies[0].rules[0].action, parsed.problems) == (AUDIT, ())

    parsed = parse("syscalls:\n  matchSyscalls:\n  - syscall: [bpf]\n    action: block")
    assert (parsed.policies[0].rules[0].action, parsed.problems) == (Action.BLOCK, ())

    parsed = parse("syscalls:\n  matchSyscalls:\n  - syscall: [unlink]\n    action: allow")
    assert parsed.policies[0].rules[0].action is AUDIT
    (problem,) = parsed.problems
    assert str(problem) == "p.yaml:9: warning: system calls are audited or blocked: Allow means nothing here"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            "process: {matchDirectories: [{dir: /usr/bin}]}",
            "6: warning: a directory ends with a slash: `/usr/bin/` is meant",
        ),
        (
            "file:\n  matchPaths:\n  - path: /a\n  - path: /a",
            "9: warning: the same rule as in line 8; one of them is enough",
        ),
        (
            "apparmor: deny /a r,\nfile: {matchPaths: [{path: /a}]}",
            "6: warning: native AppArmor rules are not put into force: they could neither be audited nor explained",
        ),
    ],
)
def test_what_is_odd_is_warned_of(spec: str, expected: str) -> None:
    """And the policy holds."""
    parsed = parse(spec)

    assert [str(problem) for problem in parsed.problems] == [f"p.yaml:{expected}"]
    assert len(parsed.policies) == 1
    assert not parsed.has_errors


def file_path(text: str) -> str:
    return f"file:\n  matchPaths:\n  - {text}"


@pytest.mark.parametrize(
    ("spec", "line", "text"),
    [
        ("severty: 3\n" + file_path("path: /a"), 6, "spec has no field `severty`; did you mean `severity`?"),
        ("severity: 11\n" + file_path("path: /a"), 6, "severity is a number from 1 to 10, not `11`"),
        ("severity: 0001234\n" + file_path("path: /a"), 6, "severity is a number from 1 to 10, not `0001234`"),
        ("severity: -1\n" + file_path("path: /a"), 6, "severity is a number from 1 to 10, not `-1`"),
        ("severity: high\n" + file_path("path: /a"), 6, "severity is a number from 1 to 10, not `high`"),
        ("severity: [5]\n" + file_path("path: /a"), 6, "severity is a text"),
        ("action: Deny\n" + file_path("path: /a"), 6, "action is not `Deny`; it is one of Allow, Audit, Block"),
        ("tags: a\n" + file_path("path: /a"), 6, "tags is a list: begin its entries with a dash"),
        ("tags: [\"a\\nb\"]\n" + file_path("path: /a"), 6, "a tag has characters that cannot be printed"),
        ("message: {a: b}\n" + file_path("path: /a"), 6, "message is a text"),
        ("", 5, "the policy has no rules; give it one of process, file, network, capabilities, syscalls, presets"),
        ("process:", 5, "the policy has no rules; give it one of process, file, network, capabilities, syscalls, presets"),
        ("apparmor: deny /a r,", 6, "native AppArmor rules are not put into force: they could neither be audited nor explained"),
        ("file: 3", 6, "file is made of `name: value` lines"),
        ("file: {matchPaths: {path: /a}}", 6, "matchPaths is a list: begin its entries with a dash"),
        ("file: {? [a] : b}", 6, "file has a field without a name"),
        (file_path("path: /a\n    path: /b"), 9, "path stands here twice"),
        (file_path("path: /b\n    dir: /a/"), 9, "an entry of matchPaths has no field `dir`; there are path, readOnly, ownerOnly, fromSource, pts, severity, tags, message, action"),
        (file_path("readOnly: true"), 8, "an entry of matchPaths has a path"),
        (file_path(""), 8, "an entry of matchPaths has a path"),
        (file_path("path: etc/a"), 8, "`etc/a` is not absolute: begin it with a slash"),
        (file_path("path: ''"), 8, "`` is not absolute: begin it with a slash"),
        (file_path("path: /a/"), 8, "`/a/` is a directory; use matchDirectories, or leave the slash out"),
        (file_path("path: /a/../b"), 8, "`/a/../b` never matches: no path has //, . or .. in it"),
        (file_path("path: /a//b"), 8, "`/a//b` never matches: no path has //, . or .. in it"),
        (file_path('path: "/a\\0b"'), 8, "'/a\\x00b' has characters that cannot be printed"),
        (file_path("path: /" + "a" * 4095), 8, f"`/{'a' * 79}…` is longer than 4095 bytes, which no path is"),
        (file_path("{path: /a, readOnly: maybe}"), 8, "readOnly is true or false"),
        (file_path("{path: /a, ownerOnly: 1}"), 8, "ownerOnly is true or false"),
        (file_path("{path: /a, pts: [a]}"), 8, "pts is true or false"),
        (file_path("path: /a\n    fromSource:\n    - {path: /b, dir: /b/}"), 10, "a source has either a path or a dir"),
        (file_path("path: /a\n    fromSource: [{}]"), 9, "a source has either a path or a dir"),
        (file_path("path: /a\n    fromSource: /b"), 9, "fromSource is a list: begin its entries with a dash"),
        (file_path("path: /a\n    fromSource: [{path: /b, recursive: true}]"), 9, "recursive goes with dir, not with path"),
        (file_path("path: /a\n    fromSource: [{path: b}]"), 9, "`b` is not absolute: begin it with a slash"),
        ("file: {matchDirectories: [{recursive: true}]}", 6, "an entry of matchDirectories has a dir"),
        ("file: {matchDirectories: [{dir: ''}]}", 6, "`` is not absolute: begin it with a slash"),
        ("file: {matchDirectories: [{dir: //}]}", 6, "`//` never matches: no path has //, . or .. in it"),
        ("file: {matchDirectories: [{dir: /a//}]}", 6, "`/a//` never matches: no path has //, . or .. in it"),
        ("file: {matchPatterns: [{readOnly: true}]}", 6, "an entry of matchPatterns has a pattern"),
        ("file: {matchPatterns: [{pattern: etc/*}]}", 6, "`etc/*` matches no path: begin it with a slash or **"),
        ("file: {matchPatterns: [{pattern: '/[a'}]}", 6, "the glob '/[a' opens a bracket that it does not close"),
        ("file: {matchPatterns: [{pattern: '/a[/]'}]}", 6, "the glob '/a[/]' has brackets that nothing matches"),
        ("process: {matchPaths: [{ownerOnly: true}]}", 6, "an entry of matchPaths has a path or an execname"),
        ("process: {matchPaths: [{path: /a, execname: a}]}", 6, "an entry of matchPaths has a path or an execname"),
        ("process: {matchPaths: [{execname: bin/a}]}", 6, "execname is the last name of a path; with a slash, use path"),
        ("process: {matchPaths: [{path: /a, allowedArgs: -m}]}", 6, "allowedArgs is a list: begin its entries with a dash"),
        ("network: {matchProtocols: [{protocol: tcpp}]}", 6, "no protocol is called `tcpp`; did you mean `tcp`?"),
        ("network: {matchProtocols: [{protocol: ','}]}", 6, "protocol is missing"),
        ("network: {matchProtocols: [{protocol: 'tcp,udp', severity: 11}]}", 6, "severity is a number from 1 to 10, not `11`"),
        ("network: {matchDNSQueries: [{domain: a}]}", 6, "rules for DNS queries are not supported"),
        ("capabilities: {matchCapabilities: [{capability: net_row}]}", 6, "no capability is called `net_row`; did you mean `net_raw`?"),
        ("syscalls: {matchSyscalls: [{syscall: [unlinked]}]}", 6, "no call named `unlinked` is watched; did you mean `unlink`?"),
        ("syscalls: {matchSyscalls: [{fromSource: []}]}", 6, "syscall is missing: the names of the system calls"),
        ("syscalls: {matchSyscalls: [{syscall: []}, {syscall: [unlink]}]}", 6, "syscall is missing: the names of the system calls"),
        ("syscalls: {matchSyscalls: [{syscall: [unlink], severity: 99}]}", 6, "severity is a number from 1 to 10, not `99`"),
        ("syscalls: {matchPaths: [{syscall: [unlink]}]}", 6, "an entry of matchPaths has a path"),
        ("presets: [{action: Audit}]", 6, "a preset has a name: filelessExec, anonymousMapExec, protectEnv, protectProc, exec"),
        ("presets: [{name: fileless}]", 6, "the name of a preset is not `fileless`; did you mean `filelessExec`?"),
        ("presets:\n- name: exec\n  action: Allow", 8, "a preset is audited or blocked, not allowed"),
        ("action: Allow\npresets:\n- name: exec", 8, "a preset is audited or blocked, not allowed"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_spec_is_told_with_its_line(spec: str, line: int, text: str) -> None:
    """Once, and the document is no policy."""
    parsed = parse(spec)

    assert [str(problem) for problem in parsed.problems] == [f"p.yaml:{line}: error: {text}"]
    assert parsed.policies == ()
    assert parsed.has_errors


RULE = "file: {matchPaths: [{path: /a}]}"


@pytest.mark.parametrize(
    ("kind", "selecting", "text"),
    [
        ("KubeArmorPolicy", "severity: 3", "spec.selector is missing: it says which workloads the policy is for"),
        ("KubeArmorHostPolicy", "severity: 3", "spec.nodeSelector is missing: it says which workloads the policy is for"),
        ("KubeArmorPolicy", "selector: {matchLabel: {}}", "selector has no field `matchLabel`; did you mean `matchLabels`?"),
        ("KubeArmorPolicy", "selector: {matchLabels: {app: [a]}}", "the label app is a text"),
        ("KubeArmorPolicy", "selector: {matchLabels: {? [a] : b}}", "matchLabels has a field without a name"),
        ("KubeArmorClusterPolicy", "selector: {matchLabels: {}}", "the selector of a KubeArmorClusterPolicy has no field `matchLabels`; there is matchExpressions"),
        ("KubeArmorPolicy", "selector: {matchExpressions: [{key: label, values: [a=b]}]}", "the expression lacks operator"),
        ("KubeArmorPolicy", "selector: {matchExpressions: [{}]}", "the expression lacks key and operator and values"),
        ("KubeArmorPolicy", "selector: {matchExpressions: [{key: namespace, operator: In, values: [a]}]}", "key is not `namespace`; there is label"),
        ("KubeArmorClusterPolicy", "selector: {matchExpressions: [{key: label, operator: Is, values: [a=b]}]}", "operator is not `Is`; there are In, NotIn"),
        ("KubeArmorClusterPolicy", "selector: {matchExpressions: [{key: namespace, operator: In, values: []}]}", "values is empty: nothing could be compared"),
        ("KubeArmorClusterPolicy", "selector: {matchExpressions: [{key: label, operator: In, values: [app]}]}", "a label is written key=value, not `app`"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_selector_is_told_with_its_line(kind: str, selecting: str, text: str) -> None:
    parsed = parse(RULE, kind, selecting)

    assert [problem.text for problem in parsed.problems] == [text]
    assert [problem.line for problem in parsed.problems] == [5]
    assert parsed.policies == ()


def test_presets_are_not_for_hosts() -> None:
    parsed = parse("presets: [{name: exec}]", "KubeArmorHostPolicy", "nodeSelector: {}")

    assert "6: error: spec has no field `presets`" in str(parsed.problems[0])


HEAD = "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: p}\n"
SPEC = f"spec: {{selector: {{}}, {RULE}}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: error: there is no policy in it"),
        ("# nothing\n---\n", "1: error: there is no policy in it"),
        (HEAD, "1: error: spec is missing: it says what the policy is for"),
        (HEAD.replace("v1", "v2") + SPEC, "1: error: apiVersion is not `security.kubearmor.com/v2`; did you mean `security.kubearmor.com/v1`?"),
        (HEAD.partition("\n")[2] + SPEC, "1: error: apiVersion is missing; write `apiVersion: security.kubearmor.com/v1`"),
        (HEAD.replace("kind: KubeArmorPolicy\n", "") + SPEC, "1: error: kind is missing; it is one of KubeArmorPolicy, KubeArmorHostPolicy, KubeArmorClusterPolicy"),
        (HEAD.replace("KubeArmorPolicy", "KubearmorPolicy") + SPEC, "2: error: kind is not `KubearmorPolicy`; did you mean `KubeArmorPolicy`?"),
        (HEAD.replace("KubeArmorPolicy", "KubeArmorNetworkPolicy") + SPEC, "2: error: firewall policies (KubeArmorNetworkPolicy) are not supported"),
        (HEAD.replace("{name: p}", "{}") + SPEC, "1: error: metadata.name is missing: alerts name their policy by it"),
        (HEAD.replace("p}", "p" * 254 + "}") + SPEC, "3: error: metadata.name is longer than 253 characters"),
        (HEAD.replace("p}", '"p\\n"}') + SPEC, "3: error: metadata.name has characters that cannot be printed"),
        (HEAD + SPEC + "specs: {}\n", "5: error: a policy has no field `specs`; did you mean `spec`?"),
        (HEAD + SPEC + SPEC, "5: error: spec stands here twice"),
        ("a\n\tb: c\n: d", "2: error: not YAML: "),
        ("a: [\n", "2: error: not YAML: "),
        ("a: b\nc: 'd\n\ne: f\n", "5: error: not YAML: "),
        ("a:\n\t- b\n", "2: error: not YAML: "),
        ("a: b\nc: \0\n", "2: error: not YAML: control characters are not allowed (U+0000)"),
        ("é\ré\x85\u2028\r\n\x07", "5: error: not YAML: control characters are not allowed (U+0007)"),
        ("a: b\n\nc: \ud800\n", "3: error: not YAML: half a character, which is no letter"),
        ('a: b\nc: "\\ud800"\n', "2: error: not YAML: "),
        ("a: &b c\nd: &b e\n", "2: error: not YAML: "),
        ('a: "\\UFFFFFFFF"\n', "1: error: not YAML: "),
        ('a: "\\U00110000"\n', "1: error: not YAML: "),
        ("[" * 100_000, "1: error: not YAML: "),
        ("- " * 100_000, "1: error: not YAML: "),
        ("a: *b\n", "1: error: not YAML: "),
        ("%YAML 1." + "9" * 5000 + "\n---\na: b\n", "1: error: not YAML: "),
        (HEAD + "spec: " + "[" * 40 + "]" * 40, "4: error: nested more than 32 levels deep"),
        (HEAD + "spec: !!python/object/apply:os.system [id]\n", "4: error: tags such as `tag:yaml.org,2002:python/object/apply:os.system` are not taken in policies; leave it out"),
        (HEAD + "spec: {severity: !!binary NQ==}\n", "4: error: tags such as `tag:yaml.org,2002:binary` are not taken in policies; leave it out"),
        (HEAD + "x: &a [b]\ny: *a\n", "4: error: aliases are not taken in policies; write out what they stand for"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_with_its_line(text: str, expected: str) -> None:
    """Whatever it is, it is not raised."""
    (problem,) = problems(text)

    assert problem.startswith(f"p.yaml:{expected}")


def test_some_lines_that_stand_for_a_billion_are_not_expanded() -> None:
    laughs = "a0: &a0 [lol, lol]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )

    assert "aliases are not taken" in problems(laughs)[0]


def test_a_huge_number_is_no_severity() -> None:
    """Not even one that begins like one."""
    for number in ("9" * 10_000, "0001" + "9" * 10_000, "٣"):
        (problem,) = parse(f"severity: {number}\n{RULE}").problems
        assert problem.text.startswith("severity is a number from 1 to 10")
        assert len(problem.text) < 200


def test_empty_documents_are_none() -> None:
    """A line of dashes before and behind each is a habit."""
    parsed = parse_documents(f"---\n{document(RULE)}---\n---\n# the end\n", "p.yaml")

    assert (len(parsed.policies), parsed.problems) == (1, ())


def test_a_bad_document_does_not_spoil_the_others() -> None:
    good, bad = document(RULE), document("file: {matchPaths: [{path: a}]}")
    parsed = parse_documents("---\n".join([good, bad, good, "a: [\n"]), "p.yaml")

    assert len(parsed.policies) == 2
    assert [problem.line for problem in parsed.problems] == [13, 23]
    assert parsed.policies[1].rules[0].line == 20


@pytest.mark.parametrize("kind", ["KubeArmorHostPolicy", "KubeArmorClusterPolicy"])
def test_a_policy_of_the_cluster_has_no_namespace(kind: str) -> None:
    selecting = "nodeSelector: {}" if kind == "KubeArmorHostPolicy" else "selector: {}"
    text = document(RULE, kind, selecting).replace("{name: p}", "{name: p, namespace: n}")
    parsed = parse_documents(text, "p.yaml")

    assert parsed.policies[0].namespace is None
    assert [str(problem) for problem in parsed.problems] == [
        f"p.yaml:3: warning: a {kind} is of the whole cluster: its namespace means nothing"
    ]


# KubeArmor's gRPC form


@pytest.mark.parametrize("kind", ["KubeArmorPolicy", "KubeArmorHostPolicy"])
def test_an_object_needs_no_kind(kind: Kind) -> None:
    selecting = "nodeSelector" if kind == "KubeArmorHostPolicy" else "selector"
    parsed = parse_object(
        f'{{"metadata": {{"name": "p"}},\n"spec": {{"{selecting}": {{"matchLabels": {{"a": "b"}}}},\n'
        '"file": {"matchPaths": [{"path": "/a", "readOnly": true}]}}}',
        "grpc",
        kind,
    )

    assert parsed.problems == ()
    rule = Rule(operation=Operation.FILE, target=ExactPath("/a"), read_only=True, action=BLOCK, line=3)
    assert parsed.policies == (
        Policy(kind=kind, name="p", selector=Selector({"a": "b"}), rules=(rule,), file="grpc"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: error: there is no policy in it"),
        ('{"metadata":\n', "2: error: not JSON: "),
        (
            "{}\n---\n{}",
            "2: error: not JSON: expected a single document in the stream in line 1, but found another document",
        ),
        ("\n\0", "2: error: not JSON: control characters are not allowed (U+0000)"),
        (
            "[" * 10_000,
            "1: error: not JSON: while increasing flow level in line 1, exceeded maximum nesting depth",
        ),
        ('"\\UFFFFFFFF"', "1: error: not JSON: "),
        ('{"metadata": {"name": "p"}}', "1: error: spec is missing: it says what the policy is for"),
    ],
)
def test_what_is_wrong_in_an_object_is_told_with_its_line(text: str, expected: str) -> None:
    (problem,) = parse_object(text, "grpc", "KubeArmorPolicy").problems

    assert str(problem).startswith(f"grpc:{expected}")


# KubeArmor's own test policies: conformance.md 5.5

SHAPES = {
    "file-pts": "file: {matchPaths: [{path: /etc/hostname, pts: false}]}",
    "proc-path-from-source": "process: {matchPaths: [{path: /bin/ls, fromSource: [{path: /bin/dash}]}]}",
    "proc-pts": "process: {matchPaths: [{path: /bin/sleep, pts: false}]}",
    "allow-file-path-owner-from-source": """\
action: Allow
severity: 7
process: {matchDirectories: [{dir: /bin/, recursive: true}, {dir: /usr/bin/, recursive: true}]}
file:
  matchPaths:
  - {path: /home/user1/secret_data1.txt, ownerOnly: true, fromSource: [{path: /bin/cat}]}
  - path: /root/.bashrc
  matchDirectories:
  - {dir: /pts/, recursive: true}
  - {dir: /, recursive: true, fromSource: [{path: /runc}]}
""",
    "proc-execname": "process: {matchPaths: [{execname: apt}]}",
    "net-tcp-from-source": "network: {matchProtocols: [{protocol: tcp, fromSource: [{path: /usr/bin/curl}]}]}",
    "proc-args": "process: {matchPaths: [{path: /usr/bin/python3.6, allowedArgs: ['-m', random]}]}",
    "file-dir-owner-readonly": "file: {matchDirectories: [{dir: /home/user1/, ownerOnly: true, readOnly: true}]}",
    "net-icmp": "network: {matchProtocols: [{protocol: icmp}]}",
    "net-all": "network: {matchProtocols: [{protocol: all}]}",
    "file-pattern": "file: {matchPatterns: [{pattern: /home/user1/secret_data*, ownerOnly: true, readOnly: true}]}",
    "cap-from-source": "capabilities: {matchCapabilities: [{capability: net_raw, fromSource: [{path: /usr/sbin/arping}]}]}",
    "proc-path-owner": "process: {matchPaths: [{path: /home/user1/hello, ownerOnly: true}]}",
    "path-that-is-a-directory": "action: Allow\nfile: {matchPaths: [{path: /usr/bin}]}",
    "lenient-allow-sa": """\
action: Allow
process: {matchDirectories: [{dir: /, recursive: true}]}
file:
  matchDirectories:
  - {dir: /run/secrets/kubernetes.io/serviceaccount/, recursive: true, action: Block}
  - {dir: /, recursive: true}
  - {dir: /run/secrets/kubernetes.io/serviceaccount/, recursive: true, fromSource: [{path: /bin/cat}]}
""",
    "calls-local-information": """\
syscalls:
  severity: 8
  message: Local message
  tags: [Local tag]
  matchPaths: [{syscall: [unlink], path: /home/, recursive: true}]
""",
    "calls-from-source": "syscalls: {matchSyscalls: [{syscall: [unlink], fromSource: [{dir: /foo/, recursive: true}]}]}",
    "calls-path-from-source": """\
syscalls: {matchPaths: [{syscall: [unlink], path: /home/, recursive: true, fromSource: [{dir: /bin/}]}]}
""",
    "preset": "severity: 8\npresets: [{name: filelessExec, action: Audit}]",
    "section-information": "file: {severity: 4, tags: [fs-monitor], message: file event, matchPatterns: [{pattern: /tmp/*}]}",
}  # fmt: skip
SELECTORS = {
    "KubeArmorPolicy": [
        "selector: {matchLabels: {container: ubuntu-1}}",
        "selector: {matchLabels: {kubearmor.io/container.name: wordpress-mysql}}",
        "selector: {matchExpressions: [{key: label, operator: In, values: [container=ubuntu-1]},"
        " {key: label, operator: NotIn, values: [container=ubuntu-3]}]}",
    ],
    "KubeArmorClusterPolicy": [
        "selector: {matchExpressions: [{key: namespace, operator: In, values: [nginx1]},"
        " {key: label, operator: In, values: [app=nginx, app=nginx-dev]}]}",
    ],
    "KubeArmorHostPolicy": ["nodeSelector: {matchLabels: {'kubearmor.io/hostname': '*'}}"],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_kubearmors_own_test_policies_are_understood(shape: str) -> None:
    for kind, selectors in SELECTORS.items():
        if kind == "KubeArmorHostPolicy" and shape == "preset":
            continue
        for selecting in selectors:
            assert rules(SHAPES[shape], kind, selecting)


# Whatever the text is

VALID = [
    document(spec, kind, selectors[-1])
    for kind, selectors in SELECTORS.items()
    for shape, spec in SHAPES.items()
    if (kind, shape) != ("KubeArmorHostPolicy", "preset")
]
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What YAML counts as one."""

PIECES = st.one_of(
    st.text(max_size=3),
    st.sampled_from(
        ["\n", "\t", "  ", "- ", ": ", "{", "}", "[", "]", "'", '"', "&a ", "*a", "!", "!!int ", "|", ">", "%", "~",
         "? ", "<<: ", "---\n", "...\n", "\\", "\0", "\ufeff", "\x85", "\u2028", "\ud800", '"\\ud800"', "/", "*"]
    ),
)  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from(["", "~", "[]", "{}", "[a]", "{a: b}", "0", "-1", "1e9", "true", "//", "/../", "/[", "/{", "2001-01-01"]),
    st.text(max_size=5).map(lambda text: yaml.safe_dump(text, width=1000).removesuffix("\n...\n").strip()),
    st.sampled_from(['"\\ud800"', '"\\0"', '"\\n"', '"\\U00110000"', '"\\UFFFFFFFF"', "9" * 5000]),
)  # fmt: skip


@st.composite
def some_mutants(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            values = [match.span(1) for match in re.finditer(r"[:\[,-] ?([^\s:,{}\[\]]+)(?=[\s,}\]])", text)]
            if values:
                start, end = draw(st.sampled_from(values))
                text = text[:start] + draw(SCALARS) + text[end:]
            continue
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        put = draw(st.sampled_from([text[start:end] * 2, "", *[draw(PIECES)] * 2]))
        text = text[:start] + put + text[end:]
    return text


def check(text: str, parsed: Parsed) -> None:
    line_count = len(_LINE_BREAK.split(text))
    for problem in parsed.problems:
        assert 1 <= problem.line <= line_count + 1, problem
        assert problem.file == "p.yaml"
        problem.text.encode()
        assert len(problem.text) < 2000
    for found in parsed.policies:
        assert found.name
        assert found.rules
    assert parsed.policies or parsed.has_errors


@given(some_mutants())
@settings(deadline=None, max_examples=500)
def test_a_mutant_is_told_of_and_not_raised(text: str) -> None:
    check(text, parse_documents(text, "p.yaml"))
    check(text, parse_object(text, "p.yaml", "KubeArmorPolicy"))


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
@settings(deadline=None, max_examples=300)
@example("\r\r\r\0")
@example("&a [*a]")
@example("%TAG ! tag:\n---\n!%FF a")
@example("? ? ?")
@example("a: \ud800")
def test_any_text_is_told_of_and_not_raised(text: str) -> None:
    check(text, parse_documents(text, "p.yaml"))
    check(text, parse_object(text, "p.yaml", "KubeArmorHostPolicy"))
