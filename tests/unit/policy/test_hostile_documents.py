"""Whatever a policy file holds: never a crash, always an error with its place; and what is taken can be used.

The texts are the examples and KubeArmor's own shapes, damaged where their structure is: fields gone, doubled, renamed,
moved elsewhere, given values of other kinds. Each goes the whole way of a file that `hauberk policy check` is given.
"""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hauberk.abi import RuleClass
from hauberk.enforcement.directory import PolicyDirectory
from hauberk.enforcement.kept import read_documents
from hauberk.model.access import Access
from hauberk.policy.check import check, check_node
from hauberk.policy.decide import Posture, rule_set
from hauberk.policy.document import Parsed, Problem, parse_documents, parse_object
from hauberk.policy.simulate import explain
from tests.unit.policy.test_document import VALID

EXAMPLES = [path.read_text() for path in sorted((Path(__file__).parents[3] / "examples/policies").iterdir())]
TEXTS = [*VALID, *EXAMPLES]
TREES = [yaml.load(text, yaml.CSafeLoader) for text in TEXTS]
ACCESSES = [
    Access(rule_class=of, path=b"/etc/shadow", source=b"/usr/bin/x", arguments=())
    for of in (*RuleClass, RuleClass.SYSCALL + 87)
]

slow = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


def resolve(path: str) -> str:
    """As a system call takes it: bytes, and no NUL among them."""
    assert b"\0" not in path.encode()
    return path


def hold(problems: list[Problem] | tuple[Problem, ...], text: str) -> None:
    """Each of them has its place in the text, and can be printed."""
    line_count = len(text.splitlines())
    for problem in problems:
        assert 1 <= problem.line <= line_count + 1, problem
        assert problem.text
        assert len(str(problem).encode()) < 2_000
        assert problem.file == "p.yaml"


def use(text: str, parsed: Parsed) -> None:
    """What the commands and the agent do with what was read."""
    assert parsed.policies or parsed.has_errors
    hold(parsed.problems, text)
    hold(check(parsed.policies), text)
    hold(check_node(parsed.policies, resolve), text)
    rules = rule_set(parsed.policies)
    for access in ACCESSES:
        assert explain(rules, Posture(), access).why


def take(text: str) -> None:
    use(text, parse_documents(text, "p.yaml"))
    use(text, parse_object(text, "p.yaml", "KubeArmorPolicy"))


# Damage to the structure

NAMES = sorted({name for text in TEXTS for name in re.findall(r"(\w[\w./]*):", text)})
HOSTILE: list[Any] = [
    None, True, 0, -1, 10**4000, 1.5, b"x", "", "/", "//", "/a/../b", "/" + "x" * 5000, "/{a,b", "/[", "/\0/*", "/\0", "/a\n",
    "**", "{/a,/b}", "/\u202ex", "In", "Allow", "exec", "all", "tcp,", ",", "a=b", "=", "true", "!!int 1", "*a", "/" + "*" * 300,
    "/" + "{a,b}" * 12, "/" + "[a-z]" * 200, "\U0001f600", "\u00e9" * 2000, [], {}, [None], [[]], [{}], {"": 1}, {"a": "b"},
    {1: 2}, ["/a", "/a"],
]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.binary(max_size=4), st.text(max_size=6),
    st.sampled_from([each for each in HOSTILE if not isinstance(each, list | dict)]),
)  # fmt: skip
DEEP: Any = "end"
for _ in range(60):
    DEEP = [DEEP]
VALUES = st.one_of(
    SCALARS,
    st.just(DEEP),
    st.just([]),
    st.just({}),
    st.lists(SCALARS, max_size=3),
    st.dictionaries(
        st.one_of(st.sampled_from(NAMES), st.text(max_size=3), st.integers()), SCALARS, max_size=3
    ),
)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree, with each of its keys."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    return [(tree, key) for key in keys] + [place for key in keys for place in places(tree[key])]


@st.composite
def some_damaged(draw: st.DrawFn) -> Any:
    tree = deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 3))):
        inside, key = draw(st.sampled_from(places(tree)))
        match draw(st.sampled_from(["value", "value", "gone", "name", "shared", "many"])):
            case "value":
                inside[key] = deepcopy(draw(VALUES))
            case "gone":
                del inside[key]
            case "name" if isinstance(inside, dict):
                inside[draw(st.sampled_from(NAMES))] = inside.pop(key)
            case "shared":  # is written as an alias
                other, where = draw(st.sampled_from(places(tree)))
                other[where] = deepcopy(inside[key]) if draw(st.booleans()) else inside[key]
                if _is_endless(tree):
                    other[where] = "endless"
            case "many" if isinstance(inside, list):
                inside += [deepcopy(inside[key])] * 3
        if not places(tree):
            break
    return tree


def _is_endless(tree: Any, above: tuple[int, ...] = ()) -> bool:
    if id(tree) in above:
        return True
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return any(_is_endless(each, (*above, id(tree))) for each in inner)


def shapes() -> dict[tuple[str, ...], tuple[Any, Any, Any]]:
    """Each field that a policy can have: by its way there, a tree that has it, and where."""
    found: dict[tuple[str, ...], tuple[Any, Any, Any]] = {}

    def walk(tree: Any, inside: Any, way: tuple[str, ...]) -> None:
        for key in (
            inside if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
        ):
            there = (*way, key if isinstance(key, str) else "-")
            found.setdefault(there, (tree, inside, key))
            walk(tree, inside[key], there)

    for tree in TREES:
        walk(tree, tree, (tree["kind"],))
    return found


SHAPES = shapes()


@pytest.mark.parametrize("way", SHAPES, ids="/".join)
def test_every_field_takes_every_hostile_value(way: tuple[str, ...]) -> None:
    """One after the other: chance would seldom put this one there."""
    tree, inside, key = SHAPES[way]
    before = inside[key]
    try:
        for value in HOSTILE:
            inside[key] = value
            take(yaml.dump(tree, Dumper=yaml.CSafeDumper, sort_keys=False))
    finally:
        inside[key] = before


@given(some_damaged(), st.booleans())
@slow
def test_damaged_structure(tree: Any, is_flow: bool) -> None:
    take(yaml.dump(tree, Dumper=yaml.SafeDumper, default_flow_style=is_flow, sort_keys=False))


@given(some_damaged())
@slow
def test_damaged_json(tree: Any) -> None:
    """As it comes by gRPC and from a cluster."""
    text = json.dumps(tree, indent=1, ensure_ascii=False, default=str)
    take(text.encode(errors="replace").decode())


# Where errors are


@given(st.sampled_from(TREES), st.data())
@slow
def test_error_is_where_the_damage_is(tree: Any, data: st.DataObject) -> None:
    """Of one value that is wrong: in its own line, or where one of those begins that it is in."""
    tree = deepcopy(tree)
    inside, key = data.draw(st.sampled_from(places(tree)))
    inside[key] = "MARK"
    text = yaml.safe_dump(tree, sort_keys=False, width=10_000)
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines, 1) if "MARK" in line)
    value = data.draw(
        st.sampled_from(
            ["[]", "{}", "{a: b}", "[a]", '"\\n"', "~", "nonsense", "-1", "[[[]]]", "!!binary eA=="]
        )
    )
    text = text.replace("MARK", value)
    above, indent = {at}, len(lines[at - 1]) - len(lines[at - 1].lstrip())
    for number in range(at, 0, -1):
        line = lines[number - 1]
        depth = len(line) - len(line.lstrip(" -"))
        if len(line) - len(line.lstrip()) <= indent:
            # siblings too: a mapping is said to be where its first field stands
            above.add(number)
            indent = min(indent, depth)
    problems = [
        problem for problem in parse_documents(text, "p.yaml").problems if problem.severity == "error"
    ]

    assert all(problem.line in above for problem in problems), (text, problems)


# Texts that are no texts


@given(st.sampled_from(TEXTS), st.data())
@slow
def test_damaged_bytes(tmp_path_factory: pytest.TempPathFactory, text: str, data: st.DataObject) -> None:
    """Files are read by the commands and by the agent; both tell the same, or nothing is wrong."""
    content = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [b"\0", b"\xff", b"\xed\xa0\x80", b"\r", b"\xef\xbb\xbf", b"\xc2\x85", b"\n---\n"]
                ),
            )
        )
    directory = tmp_path_factory.mktemp("policies")
    path = directory / "p.yaml"
    path.write_bytes(content)
    documents, problems = read_documents(path)
    watched = PolicyDirectory(directory)
    found = watched.read()

    errors = [problem for problem in problems if problem.severity == "error"]
    assert all(1 <= problem.line <= len(content) + 1 for problem in problems)
    assert documents or errors
    if not errors:
        assert {each.policy.identity for each in documents} == {each.identity for each in found or ()}
    if [problem for problem in watched.problems if problem.severity == "error"]:
        assert errors


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"\xff", 1), (b"a: b\nc:\n  d: \xff\n", 3), ("a: b\r\nc: é\r\n".encode() + b"\xed\xa0\x80", 3)],
)
def test_what_is_not_utf_8_is_told_with_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    watched = PolicyDirectory(tmp_path)
    watched.read()
    expected = f"{path}:{line}: error: is not UTF-8 text"

    assert [str(problem) for problem in read_documents(path)[1]] == [expected]
    assert [str(problem) for problem in watched.problems] == [expected]


# What others have tried on parsers

HEAD = "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: p}\n"


@given(
    st.integers(1, 100_000),
    st.sampled_from(
        ["[", "{a: ", "- ", "? ", "{? ", "- - ? ", "!!map {a: ", "&a [", '"', "'", "|\n ", "#\n"]
    ),
)
@settings(deadline=None, max_examples=100)
@example(100_000, "[")
def test_deep_nesting(depth: int, piece: str) -> None:
    """Costs no stack, and no more time than its length is worth."""
    take(HEAD + "spec: " + piece * depth)
    take(HEAD + "spec:\n" + piece * depth)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "spec: &a\n  selector: *a\n",
        HEAD + "spec: {selector: {}, <<: {file: {matchPaths: [{path: /a}]}}}\n",
        HEAD + "spec: {selector: {}, file: {matchPaths: [{path: /a}], matchPaths: [{path: /b}]}}\n",
        HEAD + "spec: {selector: {}, severity: " + "9" * 100_000 + ", file: {matchPaths: [{path: /a}]}}\n",
        HEAD + "spec: {selector: {}, severity: 0x5, file: {matchPaths: [{path: /a}]}}\n",
        HEAD + "spec: {selector: {}, severity: 1:30, file: {matchPaths: [{path: /a}]}}\n",
        HEAD + "? [a, b]\n: c\n",
        HEAD + "? {a: b}\n: c\n",
        HEAD + "!!set {a, b}: c\n",
        "%YAML 9.9\n---\n" + HEAD,
        "%TAG !! tag:example.com,2000:\n---\n!!x {}\n",
        HEAD + "spec: !<tag:yaml.org,2002:python/object/new:os.system> [id]\n",
        "--- |\n" + HEAD,
        "--- >-\n  folded\n...\n" + HEAD + "...\n---\n...\n",
        "\ufeff" + HEAD,
        "---\n" * 10_000,
        "...\n" * 10_000,
        "- &a x\n" * 10_000,
        HEAD + "spec: {selector: {matchLabels: {" + ", ".join(f"k{i}: v" for i in range(20_000)) + "}}}\n",
    ],
)  # fmt: skip
def test_known_trick(text: str) -> None:
    """Told, with its place; nothing of it becomes a policy."""
    parsed = parse_documents(text, "p.yaml")

    assert parsed.policies == ()
    use(text, parsed)
