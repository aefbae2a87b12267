"""Globs, as AppArmor writes them, over bytes: their meaning, and one automaton for many of them.

``?``        any byte but a slash
``*``        any number of them
``**``       any number of any bytes
``[a-z]``    one byte of these; ``[^a-z]`` any other but a slash
``{a,b}``    either
``\\x``       that byte
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from hauberk.abi import GLOB_STATES
from hauberk.errors import PolicyError

_SLASH: Final = ord("/")
_ALL: Final = frozenset(range(1, 256))
"""No path holds a NUL."""

_NAME: Final = _ALL - {_SLASH}

_BRACE_DEPTH: Final = 16
"""Nobody nests deeper, and whoever writes thousands of braces shall not exhaust our stack."""

_One: TypeAlias = frozenset[int]
"""One byte of these."""

_Token: TypeAlias = "_One | tuple[str, _One] | tuple[str, list[list[_Token]]]"
"""One byte; ``("*", bytes)`` any number of them; ``("{", alternatives)`` one of these."""


def _parse(pattern: bytes) -> list["_Token"]:
    tokens, end = _parse_until(pattern, 0, depth=0)
    assert end == len(pattern)
    return tokens


def _parse_until(pattern: bytes, at: int, *, depth: int) -> tuple[list["_Token"], int]:
    """Tokens up to the end, or up to the comma or brace that ends an alternative."""
    tokens: list[_Token] = []
    while at < len(pattern):
        byte = pattern[at]
        if depth and byte in b",}":
            return tokens, at
        at += 1
        if byte == ord("*"):
            is_double = pattern[at : at + 1] == b"*"
            at += is_double
            tokens.append(("*", _ALL if is_double else _NAME))
        elif byte == ord("?"):
            tokens.append(_NAME)
        elif byte == ord("["):
            members, at = _parse_class(pattern, at)
            tokens.append(members)
        elif byte == ord("{"):
            if depth == _BRACE_DEPTH:
                raise PolicyError(f"the glob {_quote(pattern)} nests braces more than {_BRACE_DEPTH} deep")
            alternatives: list[list[_Token]] = []
            while True:
                found, at = _parse_until(pattern, at, depth=depth + 1)
                if at >= len(pattern):
                    raise PolicyError(f"the glob {_quote(pattern)} opens a brace that it does not close")
                alternatives.append(found)
                at += 1
                if pattern[at - 1] == ord("}"):
                    break
            tokens.append(("{", alternatives))
        elif byte == ord("\\") and at < len(pattern):
            tokens.append(frozenset({pattern[at]}))
            at += 1
        else:
            tokens.append(frozenset({byte}))
    return tokens, at


def _parse_class(pattern: bytes, at: int) -> tuple[_One, int]:
    # a bracket that comes first stands for itself
    end = pattern.find(b"]", at + 1 + (pattern[at : at + 1] in (b"^", b"!")))
    if end < 0:
        raise PolicyError(f"the glob {_quote(pattern)} opens a bracket that it does not close")
    inside = pattern[at:end]
    is_negated = inside[:1] in (b"^", b"!")
    inside = inside[is_negated:]
    if not inside.isascii():
        raise PolicyError(
            f"the glob {_quote(pattern)} has more than ASCII in brackets; write {{ä,ö}} instead of [äö]"
        )
    members: set[int] = set()
    position = 0
    while position < len(inside):
        if inside[position + 1 : position + 2] == b"-" and position + 2 < len(inside):
            members |= set(range(inside[position], inside[position + 2] + 1))
            position += 3
        else:
            members.add(inside[position])
            position += 1
    matched = _NAME - members if is_negated else _NAME & members
    if not matched:
        raise PolicyError(f"the glob {_quote(pattern)} has brackets that nothing matches")
    return matched, end + 1


def _quote(pattern: bytes) -> str:
    text = pattern.decode()
    return repr(text if len(text) <= 80 else text[:80] + "…")


@lru_cache(maxsize=16384)
def compile_glob(pattern: str) -> re.Pattern[bytes]:
    """The meaning of a glob, as an expression to be matched in full; raises PolicyError."""
    return re.compile(_expression(_parse(pattern.encode())), re.DOTALL)


def _expression(tokens: Sequence["_Token"]) -> bytes:
    parts = []
    for token in tokens:
        if isinstance(token, frozenset):
            parts.append(_byte_class(token))
        elif token[0] == "*":
            parts.append(_byte_class(token[1]) + b"*")  # type: ignore[arg-type]
        else:
            parts.append(b"(?:" + b"|".join(_expression(each) for each in token[1]) + b")")  # type: ignore[arg-type]
    return b"".join(parts)


def _byte_class(members: _One) -> bytes:
    if len(members) == 1:
        return re.escape(bytes(members))
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(members)) + b"]"


def literal_length(pattern: str) -> int:
    """How many bytes of a glob stand for themselves: the more, the more specific it is."""
    return sum(isinstance(token, frozenset) and len(token) == 1 for token in _parse(pattern.encode()))


class Automaton:
    """One deterministic automaton for many globs: a path is walked once, however many there are.

    State 0 leads nowhere, and so does the NUL.
    """

    def __init__(self) -> None:
        self.rows: list[Sequence[int]] = [(0,) * 256]
        """State -> next state by byte."""

        self.accepts: list[frozenset[int]] = [frozenset()]
        """State -> the numbers of the globs that match a path that ends there."""

    def add(self, globs: Sequence[tuple[str, int]]) -> int:
        """Add globs, each with a number of the caller's; the state to start in. Raises PolicyError."""
        nfa = _Nfa()
        for pattern, number in globs:
            nfa.add(_parse(pattern.encode()), number)
        classes = nfa.byte_classes()
        start = nfa.closure(nfa.starts)
        known = {start: self._new(nfa, start)}
        waiting = [start]
        while waiting:
            here = waiting.pop()
            row = [0] * 256
            for members in classes:
                after = nfa.step(here, members[0])
                if not after:
                    continue
                if after not in known:
                    known[after] = self._new(nfa, after)
                    waiting.append(after)
                for byte in members:
                    row[byte] = known[after]
            self.rows[known[here]] = row
        return known[start]

    def _new(self, nfa: "_Nfa", states: frozenset[int]) -> int:
        if len(self.rows) >= GLOB_STATES:
            raise PolicyError(
                f"the globs of these policies need more than {GLOB_STATES} states together; "
                "write directories instead of ** where you can, and spread globs over fewer workloads"
            )
        self.rows.append(())
        self.accepts.append(frozenset(nfa.numbers[state] for state in states if state in nfa.numbers))
        return len(self.rows) - 1


class _Nfa:
    """States with edges: a set of bytes to a state, or none needed."""

    def __init__(self) -> None:
        self.edges: list[list[tuple[_One, int]]] = []
        self.free: list[list[int]] = []
        self.starts: list[int] = []
        self.numbers: dict[int, int] = {}
        self._closures: dict[int, frozenset[int]] = {}

    def _state(self) -> int:
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def add(self, tokens: Sequence[_Token], number: int) -> None:
        start = self._state()
        self.starts.append(start)
        self.numbers[self._chain(start, tokens)] = number

    def _chain(self, here: int, tokens: Sequence[_Token]) -> int:
        for token in tokens:
            after = self._state()
            if isinstance(token, frozenset):
                self.edges[here].append((token, after))
            elif token[0] == "*":
                self.edges[after].append((token[1], after))  # type: ignore[arg-type]
                self.free[here].append(after)
            else:
                for each in token[1]:
                    begin = self._state()
                    self.free[here].append(begin)
                    self.free[self._chain(begin, each)].append(after)  # type: ignore[arg-type]
            here = after
        return here

    def closure(self, states: Sequence[int]) -> frozenset[int]:
        """These states and all that nothing more is needed for."""
        return frozenset().union(*(self._closure(state) for state in states))

    def _closure(self, state: int) -> frozenset[int]:
        if state not in self._closures:
            found, waiting = {state}, [state]
            while waiting:
                for after in self.free[waiting.pop()]:
                    if after not in found:
                        found.add(after)
                        waiting.append(after)
            # states that only lead on are of no use for themselves
            self._closures[state] = frozenset(s for s in found if self.edges[s] or s in self.numbers)
        return self._closures[state]

    def step(self, states: frozenset[int], byte: int) -> frozenset[int]:
        return self.closure([after for s in states for members, after in self.edges[s] if byte in members])

    def byte_classes(self) -> list[list[int]]:
        """The bytes, by which edges take them: those of one class are alike to every glob."""
        kinds = {members for edges in self.edges for members, _ in edges}
        alike: dict[tuple[bool, ...], list[int]] = {}
        for byte in range(1, 256):
            alike.setdefault(tuple(byte in members for members in kinds), []).append(byte)
        return list(alike.values())
