"""Puts rule tables into the kernel, and says whose they are.

A table is finished before anybody has it, and is handed over by one write; what it replaces goes when
nobody has it any more. So there is no moment with half a table.
"""

import struct
from typing import Final

from hauberk.abi import MATCHING, SUBJECT, RuleClass, SubjectKey
from hauberk.policy.compile import Secrets, Table
from hauberk.sensor.libbpf import Libbpf, Map, OwnMap

# include/uapi/linux/bpf.h
_MAP_HASH: Final = 1
_MAP_ARRAY: Final = 2
_NO_PREALLOC: Final = 1
_INNER_MAP: Final = 1 << 12

_STATE: Final = struct.Struct("<256HI")
"""`struct glob_state`."""

TRACED: Final = 1 << RuleClass.SYSCALL
"""What tracepoint programs decide about where there are LSM programs: system calls."""

TRACED_ALL: Final = 2 * TRACED - 1
"""... and where there are none: everything."""

HOST: Final = int(SubjectKey.HOST)
"""The cgroup ID that stands for all that is in no container."""

UNKNOWN: Final = int(SubjectKey.UNKNOWN)
"""The one that stands for containers that nobody has told of yet: the kernel sees them being born (bpf/birth.bpf.c)."""


class Tables:
    """The kernel's side of the rules."""

    def __init__(self, library: Libbpf, maps: dict[str, Map]) -> None:
        self._library = library
        self._maps = maps

    def prepare(self, secrets: Secrets, traced: int) -> None:
        """Tell the programs what every decision needs.

        `traced` is the bit set of the classes that tracepoint programs decide about: `TRACED` or `TRACED_ALL`.
        """
        self._maps["matchings"].update(bytes(4), MATCHING.pack(*secrets, traced, 0))

    def add(self, number: int, table: Table) -> None:
        """Make a table known by a number that none has had before; nobody has it yet."""
        key = number.to_bytes(4, "little")
        if table.rows:
            with OwnMap(
                self._library,
                "automaton",
                kind=_MAP_ARRAY,
                key_size=4,
                value_size=_STATE.size,
                max_entries=len(table.rows),
                flags=_INNER_MAP,
            ) as automaton:
                automaton.update_all(
                    [state.to_bytes(4, "little") for state in range(len(table.rows))],
                    [_STATE.pack(*after, rules) for after, rules in table.rows],
                )
                self._maps["automata"].update(key, automaton.fd.to_bytes(4, "little"))
        with OwnMap(
            self._library,
            "rules",
            kind=_MAP_HASH,
            key_size=16,
            value_size=16,
            max_entries=max(1, len(table.entries)),
            flags=_NO_PREALLOC,
        ) as entries:
            entries.update_all(list(table.entries), list(table.entries.values()))
            self._maps["sets"].update(key, entries.fd.to_bytes(4, "little"))

    def remove(self, number: int) -> None:
        """Forget a table that nobody has any more."""
        key = number.to_bytes(4, "little")
        self._maps["sets"].delete(key)
        self._maps["automata"].delete(key)

    def assign(self, cgroup_id: int, number: int, classes: int) -> None:
        """From now on this cgroup, and all below it that have no table of their own, have this one."""
        self._maps["subjects"].update(cgroup_id.to_bytes(8, "little"), SUBJECT.pack(number, classes))

    def unassign(self, cgroup_id: int) -> None:
        """This cgroup has no table of its own any more."""
        self._maps["subjects"].delete(cgroup_id.to_bytes(8, "little"))

    def numbers(self) -> set[int]:
        """The tables that the kernel has."""
        return {int.from_bytes(key, "little") for key in self._maps["sets"].keys(4)}

    def subjects(self) -> set[int]:
        """The cgroups that have a table."""
        return {int.from_bytes(key, "little") for key in self._maps["subjects"].keys(8)}
