"""Tables: looked into as the kernel does, they say what `decide` says."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.abi import (
    HASH_PRIME,
    LIST_SIZE,
    TABLE_KEY,
    TABLE_VALUE,
    Condition,
    NumberKind,
    Operation,
    RuleClass,
    TableFlag,
    TableKind,
)
from hauberk.abi import Decision as Decided
from hauberk.decode.arguments import CAPABILITIES, effective_protocol
from hauberk.decode.syscalls import SLOTS
from hauberk.errors import PolicyError
from hauberk.model.access import Access
from hauberk.model.policy import (
    Action,
    Calls,
    Capability,
    Directory,
    ExactPath,
    Glob,
    Name,
    Policy,
    Preset,
    Protocol,
    Rule,
    Source,
    Target,
)
from hauberk.policy.compile import Table, compile_table, text_hash
from hauberk.policy.decide import Posture, decide
from hauberk.policy.rules import PROTOCOLS, SOCKET_TYPES

SECRETS = (1234567891, 1987654321)
FILE, PROCESS = Operation.FILE, Operation.PROCESS
UNLINK = RuleClass.SYSCALL + next(slot for slot, row in SLOTS.items() if row.name == "unlink")


class Lookup:
    """bpf/lib/rules.bpf.h in Python: knows the entries of a table and nothing of rules."""

    def __init__(self, table: Table) -> None:
        self._entries: Mapping[bytes, bytes] = table.entries
        self._rows = table.rows

    def decide(self, access: Access) -> tuple[int, int]:
        """Number of the rule, and the decision: `decide_by`."""
        of = access.rule_class
        row = self._words(TableKind.CLASS, of, 0, 0, 0)
        if row is None:
            return 0, Decided.NONE
        flags, posture, globs, anything = row
        if not access.path_is_known:
            return 0, posture
        source = 0
        if flags & TableFlag.HAS_SOURCES:
            source, _ = self._walk(access.source, TableKind.SOURCE_DIRECTORY, TableKind.SOURCE_EXACT, 0)
        lists = [anything]
        if access.path and flags & (TableFlag.HAS_PATHS | TableFlag.HAS_NAMES | TableFlag.HAS_GLOBS):
            by_path, name_at = self._walk(access.path, TableKind.DIRECTORY, TableKind.EXACT, of)
            lists += [by_path, self._glob_list(globs, access.path)]
            if flags & TableFlag.HAS_NAMES:
                lists.append(self._walk(access.path[name_at:], TableKind.NAME, TableKind.NAME, of)[0])
        for kind, number in self._numbers(access):
            found = self._words(TableKind.NUMBER, of, 0, kind, number)
            lists.append(found[0] if found else 0)
        answers = [answer for each in lists if each and (answer := self._first(each, source, access))]
        if answers:
            return min(answers)
        return 0, posture if flags & TableFlag.HAS_ALLOW else Decided.NONE

    def _words(self, kind: int, of: int, length: int, one: int, other: int) -> tuple[int, ...] | None:
        value = self._entries.get(TABLE_KEY.pack(kind, of, length, one, other))
        return TABLE_VALUE.unpack(value) if value else None

    def _text(self, kind: int, of: int, text: bytes) -> tuple[int, ...] | None:
        return self._words(kind, of, len(text), text_hash(text, SECRETS[0]), text_hash(text, SECRETS[1]))

    def _walk(self, path: bytes, directory: int, exact: int, of: int) -> tuple[int, int]:
        """`walk_path`: the list that a path leads to, and where its last name begins."""
        name_at = deepest_at = inside = below = 0
        for at, byte in enumerate(path, start=1):
            if byte == ord("/"):
                name_at = at
                if found := self._text(directory, of, path[:at]):
                    deepest_at, inside, below = at, found[0], found[1]
        if found := self._text(exact, of, path):
            return found[0], name_at
        return (inside if deepest_at == name_at else below), name_at

    def _glob_list(self, state: int, path: bytes) -> int:
        if not state:
            return 0
        for byte in path:
            state = self._rows[state][0][byte]
        return self._rows[state][1]

    def _numbers(self, access: Access) -> list[tuple[int, int]]:
        if access.rule_class == RuleClass.NETWORK:
            protocol = effective_protocol(access.family, access.socket_type, access.protocol)
            return [(NumberKind.PROTOCOL, protocol), (NumberKind.TYPE, access.socket_type)]
        if access.rule_class == RuleClass.CAPABILITIES:
            return [(NumberKind.CAPABILITY, access.capability)]
        return []

    def _first(self, number: int, source: int, access: Access) -> tuple[int, int] | None:
        """`try_list`: the first rule of a list that holds."""
        if source and not self._words(TableKind.LIST, 0, source, number, 0):
            source = 0
        met = Condition(0)
        if access.is_owner:
            met |= Condition.OWNER
        if not access.writes:
            met |= Condition.READ
        for position in range(LIST_SIZE):
            entry = self._words(TableKind.LIST, position, source, number, 0)
            if entry is None:
                return None
            rule, decided, asked, arguments = entry
            if asked & Condition.TERMINAL and not access.has_terminal:
                continue
            asked &= ~Condition.TERMINAL
            has = met
            if asked & Condition.ARGUMENTS and self._are_allowed(arguments, access.arguments):
                has |= Condition.ARGUMENTS
            if not asked or (has & asked == asked) == (decided == Decided.ALLOW):
                return rule, decided
        return None

    def _are_allowed(self, of: int, arguments: tuple[bytes, ...] | None) -> bool:
        if arguments is None:
            return False
        return all(self._text(TableKind.ARGUMENT, of, text) for text in arguments)


# The same twins as tests/kernel/test_rules.py has, without a kernel

NAMES = ("etc", "a", "b", "ab", "x y", "é")
PARTS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
PATHS = PARTS.map(lambda parts: "/" + "/".join(parts))
PLACES: st.SearchStrategy[Source] = st.one_of(
    st.builds(ExactPath, st.one_of(PATHS, st.just("/"))),
    st.builds(Directory, st.one_of(PATHS.map(lambda path: path + "/"), st.just("/")), st.booleans()),
)
GLOBS = st.lists(
    st.sampled_from((*NAMES, "*", "**", "?", "a*", "[a-c]*", "[^a]?", "{etc,b*}")), min_size=1, max_size=4
).map(lambda parts: "/" + "/".join(parts))
TARGETS: dict[Operation, st.SearchStrategy[Target]] = {
    FILE: st.one_of(PLACES, PLACES, st.builds(Glob, GLOBS)),
    PROCESS: st.one_of(
        PLACES,
        st.builds(Glob, GLOBS),
        st.builds(Name, st.sampled_from(NAMES)),
        st.just(Preset("filelessExec")),
    ),
    Operation.NETWORK: st.builds(Protocol, st.sampled_from([*PROTOCOLS, *SOCKET_TYPES, "all"])),
    Operation.CAPABILITIES: st.builds(Capability, st.sampled_from(CAPABILITIES[:3])),
    Operation.SYSCALL: st.builds(Calls, st.just(("unlink",)), st.one_of(st.none(), PLACES)),
}
ARGUMENTS = ("-a", "-b", "")


@st.composite
def some_rules(draw: st.DrawFn) -> Rule:
    operation = draw(st.sampled_from([FILE, FILE, FILE, PROCESS, PROCESS, *TARGETS]))
    target = draw(TARGETS[operation])
    has_path = operation in (FILE, PROCESS) and not isinstance(target, Preset)
    rarely = st.sampled_from([False, False, False, True])
    return Rule(
        operation=operation,
        target=target,
        sources=() if isinstance(target, Preset) else tuple(draw(st.lists(PLACES, max_size=2))),
        owner_only=has_path and draw(rarely),
        read_only=has_path and operation is FILE and draw(rarely),
        terminal_only=draw(rarely),
        allowed_args=tuple(draw(st.lists(st.sampled_from(ARGUMENTS), unique=True)))
        if has_path and operation is PROCESS and draw(rarely)
        else None,
        action=Action.AUDIT if operation is Operation.SYSCALL else draw(st.sampled_from(Action)),
        line=draw(st.integers(1, 30)),
    )


ACCESSES = st.builds(
    Access,
    rule_class=st.sampled_from(
        [RuleClass.FILE] * 4
        + [RuleClass.PROCESS] * 3
        + [RuleClass.MOVE, RuleClass.MAP_EXEC, RuleClass.NETWORK, RuleClass.CAPABILITIES]
        + [RuleClass.FILELESS_EXEC, UNLINK]
    ),
    path=st.one_of(PATHS, PATHS, PATHS, st.sampled_from(["/", ""])).map(str.encode),
    path_is_known=st.sampled_from([True] * 9 + [False]),
    source=PATHS.map(str.encode),
    is_owner=st.booleans(),
    writes=st.booleans(),
    has_terminal=st.booleans(),
    arguments=st.one_of(st.none(), st.lists(st.sampled_from([b"-a", b"-b", b"", b"-c"]), max_size=3).map(tuple)),
    family=st.sampled_from([1, 2, 10]),
    socket_type=st.sampled_from([1, 2, 3]),
    protocol=st.sampled_from([0, 1, 6, 17, 58, 132]),
    capability=st.integers(0, 3),
)  # fmt: skip
POSTURES = st.builds(Posture, *[st.sampled_from(Action)] * 3)


@given(
    st.lists(st.lists(some_rules(), min_size=1, max_size=6), min_size=1, max_size=2),
    POSTURES,
    st.lists(ACCESSES, min_size=10, max_size=40),
)
@settings(deadline=None, max_examples=400)
def test_a_table_says_what_its_rules_say(
    rules: list[list[Rule]], posture: Posture, accesses: list[Access]
) -> None:
    policies = [
        Policy(kind="KubeArmorPolicy", name=f"p{number}", rules=tuple(each))
        for number, each in enumerate(rules)
    ]
    table = compile_table(policies, posture, SECRETS)
    lookup = Lookup(table)

    for access in accesses:
        if access.rule_class == RuleClass.MOVE and not access.path:
            continue  # what is renamed has a path
        decided, by = decide(table.rules, posture, access)
        assert lookup.decide(access) == (by.number if by else 0, decided), (access, by)


# What a table is made of


def compiled(*rules: Rule, file: str = "p.yaml") -> Table:
    policy = Policy(kind="KubeArmorPolicy", name="p", rules=rules, file=file)
    return compile_table([policy], Posture(), SECRETS)


def file_rule(target: Target, action: Action = Action.BLOCK, line: int = 0) -> Rule:
    return Rule(operation=FILE, target=target, action=action, line=line)


def test_what_no_rule_is_about_is_not_in_the_classes() -> None:
    """The kernel asks nothing of a table about them."""
    unlink = Rule(operation=Operation.SYSCALL, target=Calls(("unlink", "rmdir")), action=Action.AUDIT)

    assert compiled(file_rule(Glob("/a*"))).classes == 1 << RuleClass.FILE
    assert compiled(file_rule(ExactPath("/a"))).classes == 1 << RuleClass.FILE | 1 << RuleClass.MOVE
    assert compiled(unlink).classes == 1 << RuleClass.SYSCALL


def test_no_globs_need_no_automaton() -> None:
    assert compiled(file_rule(ExactPath("/a"))).rows == ()
    assert compiled(file_rule(Glob("/a*"))).rows


def test_the_order_of_policies_makes_no_other_table() -> None:
    policies = [
        Policy(kind="KubeArmorPolicy", name=name, rules=(file_rule(Directory(f"/{name}/"), action),))
        for name, action in (("a", Action.BLOCK), ("b", Action.ALLOW), ("c", Action.AUDIT))
    ]

    assert compile_table(policies, Posture(), SECRETS) == compile_table(policies[::-1], Posture(), SECRETS)


def command(arguments: int, line: int) -> Rule:
    return Rule(
        operation=PROCESS,
        target=ExactPath("/bin/a"),
        action=Action.ALLOW,
        allowed_args=(str(arguments),),
        line=line,
    )


def test_as_many_conditions_as_the_kernel_tries_fit() -> None:
    table = compiled(*(command(number, number + 1) for number in range(LIST_SIZE)))
    access = Access(rule_class=RuleClass.PROCESS, path=b"/bin/a", arguments=(str(LIST_SIZE - 1).encode(),))

    assert Lookup(table).decide(access) == (LIST_SIZE, Decided.ALLOW)


def test_more_conditions_than_the_kernel_tries_are_refused() -> None:
    """With where the first and the last of them stand."""
    rules = [command(number, number + 1) for number in range(LIST_SIZE + 1)]

    with pytest.raises(
        PolicyError, match=rf"^p\.yaml:1 and p\.yaml:{LIST_SIZE + 1}: more than {LIST_SIZE} rules"
    ):
        compiled(*rules)
    with pytest.raises(PolicyError, match=r"^p:1 and p:65: "):
        compiled(*rules, file="")


def test_what_lies_behind_a_rule_without_conditions_takes_no_place() -> None:
    rules = [file_rule(ExactPath("/a"), line=line) for line in range(1, 200)]
    lists = [key for key in compiled(*rules).entries if TABLE_KEY.unpack(key)[0] == TableKind.LIST]

    assert len(lists) == 2  # one for the path, one for the directory that takes it along


def test_a_table_grows_with_its_rules_and_no_faster() -> None:
    """Deep directories above each other included."""

    def entry_count(rules: int) -> int:
        targets = [
            (Directory if number % 2 else ExactPath)(f"/srv/{number % 100}/{number}" + "/" * (number % 2))
            for number in range(rules)
        ]
        nested = [Directory("/srv/", True), *(Directory(f"/srv/{number}/", True) for number in range(100))]
        return len(compiled(*(file_rule(target) for target in (*nested, *targets))).entries)

    small, large = entry_count(1_000), entry_count(10_000)
    assert large / small < 11
    assert large / 10_000 < 6


# The hash


@given(st.binary(max_size=40), st.integers(256, HASH_PRIME - 1))
def test_a_hash_is_taken_step_by_step(text: bytes, secret: int) -> None:
    """As the kernel does, which reduces by shifts and hashes each directory on its way."""
    number = 0
    for byte in text:
        total = number * secret + byte + 1
        assert total < 1 << 64
        for _ in range(2):
            total = (total & HASH_PRIME) + (total >> 31)
        number = total - HASH_PRIME if total >= HASH_PRIME else total
    assert number == text_hash(text, secret) < HASH_PRIME
