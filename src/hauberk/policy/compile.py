"""A set of rules to the table that the kernel's matcher looks into (bpf/abi.h, enum table_kind).

A path can be meant by rules for itself, for the directories above it, for its name and by globs. For each
place in the tree of directories, the rules that may hold there are gathered here, in their order, as a
list; so the kernel has one list to try for the place, one for the name and one for the globs, whatever the
number of rules.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from hauberk.abi import (
    HASH_PRIME,
    LIST_SIZE,
    TABLE_KEY,
    TABLE_VALUE,
    Condition,
    NumberKind,
    RuleClass,
    TableFlag,
    TableKind,
)
from hauberk.decode.arguments import CAPABILITIES
from hauberk.errors import PolicyError
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
)
from hauberk.policy.decide import DECIDED, Numbered, Posture, RuleSet, rule_set
from hauberk.policy.globs import Automaton
from hauberk.policy.rules import ANY_PROTOCOL, PROTOCOLS, SOCKET_TYPES, rule_classes

Secrets: TypeAlias = tuple[int, int]

_ARGUMENT_SETS: Final = 65535


class Table(msgspec.Struct, frozen=True):
    """The rules of one set, as the kernel has them."""

    rules: RuleSet
    entries: dict[bytes, bytes]
    """`struct table_key` to `struct table_value`."""

    rows: tuple[tuple[tuple[int, ...], int], ...]
    """The automaton of the globs: next state by byte, and the list for a path that ends there."""

    classes: int
    """Bit set of the `RuleClass` that there are rules for; bit 16 stands for all system calls."""


def text_hash(text: bytes, secret: int) -> int:
    """The kernel's hash of a path, a name or an argument; `secret` is below HASH_PRIME."""
    number = 0
    for byte in text:
        number = (number * secret + byte + 1) % HASH_PRIME
    return number


class _Places:
    """Which of some things are meant at each place of the tree of directories."""

    def __init__(self, wanted: Iterable[tuple[Source, int]]) -> None:
        self._exact: dict[bytes, set[int]] = defaultdict(set)
        self._inside: dict[bytes, set[int]] = defaultdict(set)
        self._below: dict[bytes, set[int]] = defaultdict(set)
        for target, number in wanted:
            path = target.path.encode()
            if isinstance(target, Directory):
                self._inside[path].add(number)
                if target.recursive:
                    self._below[path].add(number)
                path = path[:-1] or b"/"
            self._exact[path].add(number)

    def directories(self) -> dict[bytes, tuple[frozenset[int], frozenset[int]]]:
        """By path with its slash: what is meant by what is in it, and by all that is below that."""
        found = {}
        for path in self._inside:
            above = self._recursive_above(path)
            found[path] = (frozenset(self._inside[path] | above), frozenset(self._below[path] | above))
        return found

    def exact(self) -> dict[bytes, frozenset[int]]:
        """By path: what is meant by it, for itself or for the directory it is in."""
        return {
            path: frozenset(
                numbers | self._inside.get(_directory_of(path), set()) | self._recursive_above(path)
            )
            for path, numbers in self._exact.items()
        }

    def _recursive_above(self, path: bytes) -> set[int]:
        found: set[int] = set()
        while path != b"/":
            path = _directory_of(path)
            found |= self._below.get(path, set())
        return found


def _directory_of(path: bytes) -> bytes:
    """With its slash; that of the root is the root."""
    return path.rstrip(b"/").rpartition(b"/")[0] + b"/"


class _Compiler:
    def __init__(self, rules: RuleSet, posture: Posture, secrets: Secrets) -> None:
        self._rules = {each.number: each for each in rules}
        self._posture = posture
        self._secrets = secrets
        self._lists: dict[tuple[frozenset[int], bool], int] = {}
        self._argument_sets: dict[tuple[str, ...], int] = {}
        self._automaton = Automaton()
        self.entries: dict[bytes, bytes] = {}
        self.row_lists: dict[int, int] = {}
        self._source_numbers: dict[frozenset[int], int] = {}
        self._sources_of: dict[int, frozenset[int]] = {}
        """Number of a source -> the rules that name it."""

        self._put_sources()

    def put(
        self, kind: TableKind, of: int, *words: int, text: bytes = b"", key: tuple[int, int] | None = None
    ) -> None:
        """One entry: `text` or the two numbers of `key` to `words`."""
        one, other = key or (text_hash(text, self._secrets[0]), text_hash(text, self._secrets[1]))
        filled = (*words, 0, 0, 0)[:4]
        self.entries[TABLE_KEY.pack(kind, of, len(text), one, other)] = TABLE_VALUE.pack(*filled)

    # Sources

    def _put_sources(self) -> None:
        places = _Places(
            (source, each.number) for each in self._rules.values() for source in each.rule.sources
        )
        for path, rules in places.exact().items():
            self.put(TableKind.SOURCE_EXACT, 0, self._source(rules), text=path)
        for path, (inside, below) in places.directories().items():
            self.put(TableKind.SOURCE_DIRECTORY, 0, self._source(inside), self._source(below), text=path)

    def _source(self, rules: frozenset[int]) -> int:
        """The number of the images that all these rules name and no other; 0: no rule does."""
        if not rules:
            return 0
        number = self._source_numbers.setdefault(rules, len(self._source_numbers) + 1)
        self._sources_of[number] = rules
        return number

    # Lists

    def list_of(self, numbers: Iterable[int], *, with_conditions: bool = True) -> int:
        """The number of the list of these rules; 0 if there are none."""
        rules = frozenset(numbers)
        if not rules:
            return 0
        key = rules, with_conditions
        if key not in self._lists:
            self._lists[key] = len(self._lists) + 1
            self._put_list(self._lists[key], sorted(rules), with_conditions)
        return self._lists[key]

    def _put_list(self, number: int, rules: list[int], with_conditions: bool) -> None:
        for_any = [rule for rule in rules if not self._rules[rule].rule.sources]
        self._put_variant(number, 0, for_any, with_conditions)
        with_source = set(rules) - set(for_any)
        if not with_source:
            return
        for source, named_by in self._sources_of.items():
            if with_source & named_by:
                variant = sorted({*for_any, *(with_source & named_by)})
                self._put_variant(number, source, variant, with_conditions)

    def _put_variant(self, number: int, source: int, rules: list[int], with_conditions: bool) -> None:
        kept = []
        for rule in rules:
            kept.append(rule)
            if not with_conditions or not _conditions(self._rules[rule].rule):
                break  # it holds whatever else is so: those behind it never decide
        if len(kept) > LIST_SIZE:
            first, last = (self._rules[kept[i]] for i in (0, -1))
            raise PolicyError(
                f"{_where(first)} and {_where(last)}: more than {LIST_SIZE} rules with different conditions "
                "are for one and the same path; a rule without conditions, or fewer sets of allowedArgs, mends it"
            )
        for position, rule in enumerate(kept):
            each = self._rules[rule].rule
            conditions = _conditions(each) if with_conditions else Condition(0)
            arguments = self._argument_set(each.allowed_args) if each.allowed_args is not None else 0
            key = TABLE_KEY.pack(TableKind.LIST, position, source, number, 0)
            self.entries[key] = TABLE_VALUE.pack(rule, DECIDED[each.action], conditions, arguments)

    def _argument_set(self, allowed: tuple[str, ...]) -> int:
        if allowed not in self._argument_sets:
            number = self._argument_sets[allowed] = len(self._argument_sets) + 1
            if number > _ARGUMENT_SETS:
                raise PolicyError(f"more than {_ARGUMENT_SETS} different allowedArgs are for one workload")
            for text in allowed:
                self.put(TableKind.ARGUMENT, number, 1, text=text.encode())
        return self._argument_sets[allowed]

    # Classes of access

    def put_class(self, of: int, rules: list[Numbered]) -> None:
        """All that is looked up for one class."""
        if of == RuleClass.MOVE:
            self._put_move(rules)
            return
        by_place: list[tuple[Source, int]] = []
        by_name: dict[str, set[int]] = defaultdict(set)
        by_number: dict[tuple[int, int], set[int]] = defaultdict(set)
        globs: list[tuple[str, int]] = []
        for_any: set[int] = set()
        for number, _, rule in rules:
            match rule.target:
                case ExactPath() | Directory() as target:
                    by_place.append((target, number))
                case Calls(path=ExactPath() | Directory() as target):
                    by_place.append((target, number))
                case Name(name):
                    by_name[name].add(number)
                case Glob(pattern):
                    globs.append((pattern, number))
                case Protocol(name) if name in PROTOCOLS:
                    by_number[NumberKind.PROTOCOL, PROTOCOLS[name]].add(number)
                case Protocol(name) if name != ANY_PROTOCOL:
                    by_number[NumberKind.TYPE, SOCKET_TYPES[name]].add(number)
                case Capability(name):
                    by_number[NumberKind.CAPABILITY, CAPABILITIES.index(name)].add(number)
                case Protocol() | Calls() | Preset():
                    for_any.add(number)
        flags = TableFlag(0)
        if any(each.rule.action is Action.ALLOW for each in rules):
            flags |= TableFlag.HAS_ALLOW
        if any(each.rule.sources for each in rules):
            flags |= TableFlag.HAS_SOURCES
        if by_place:
            flags |= TableFlag.HAS_PATHS
            self._put_places(of, _Places(by_place))
        if by_name:
            flags |= TableFlag.HAS_NAMES
            for name, numbers in by_name.items():
                self.put(TableKind.NAME, of, self.list_of(numbers), text=name.encode())
        start = 0
        if globs:
            flags |= TableFlag.HAS_GLOBS
            begin = len(self._automaton.rows)
            start = self._automaton.add(globs)
            for state in range(begin, len(self._automaton.rows)):
                self.row_lists[state] = self.list_of(self._automaton.accepts[state])
        for key, numbers in by_number.items():
            self.put(TableKind.NUMBER, of, self.list_of(numbers), key=key)
        posture = self._posture.of(of)
        self.put(TableKind.CLASS, of, flags, posture, start, self.list_of(for_any), key=(0, 0))

    def _put_move(self, rules: list[Numbered]) -> None:
        """The directories above what rules are about."""
        above: dict[bytes, set[int]] = defaultdict(set)
        for number, _, rule in rules:
            if isinstance(rule.target, ExactPath | Directory):
                path = rule.target.path.encode()
                while path != b"/":
                    path = _directory_of(path)
                    above[path[:-1] or b"/"].add(number)
        for path, numbers in above.items():
            self.put(TableKind.EXACT, RuleClass.MOVE, self.list_of(numbers, with_conditions=False), text=path)
        flags = TableFlag.HAS_PATHS
        if any(each.rule.sources for each in rules):
            flags |= TableFlag.HAS_SOURCES
        self.put(TableKind.CLASS, RuleClass.MOVE, flags, key=(0, 0))

    def _put_places(self, of: int, places: _Places) -> None:
        for path, numbers in places.exact().items():
            self.put(TableKind.EXACT, of, self.list_of(numbers), text=path)
        for path, (inside, below) in places.directories().items():
            self.put(TableKind.DIRECTORY, of, self.list_of(inside), self.list_of(below), text=path)

    def rows(self) -> tuple[tuple[tuple[int, ...], int], ...]:
        """The finished automaton; empty if there are no globs."""
        if len(self._automaton.rows) == 1:
            return ()
        return tuple((tuple(row), self.row_lists.get(i, 0)) for i, row in enumerate(self._automaton.rows))


def _where(each: Numbered) -> str:
    return f"{each.policy.file or each.policy.name}:{each.rule.line}"


def _conditions(rule: Rule) -> Condition:
    conditions = Condition(0)
    if rule.owner_only:
        conditions |= Condition.OWNER
    if rule.read_only:
        conditions |= Condition.READ
    if rule.allowed_args is not None:
        conditions |= Condition.ARGUMENTS
    if rule.terminal_only:
        conditions |= Condition.TERMINAL
    return conditions


def compile_table(policies: Iterable[Policy], posture: Posture, secrets: Secrets) -> Table:
    """The table of these policies together; raises PolicyError if the kernel cannot hold them."""
    rules = rule_set(policies)
    by_class: dict[int, list[Numbered]] = defaultdict(list)
    for each in rules:
        for of in rule_classes(each.rule):
            by_class[of].append(each)
    compiler = _Compiler(rules, posture, secrets)
    for of, found in by_class.items():
        compiler.put_class(of, found)
    classes = sum({1 << min(of, RuleClass.SYSCALL) for of in by_class})
    return Table(rules, compiler.entries, compiler.rows(), classes)
