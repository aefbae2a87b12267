"""What is written once for many events."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import fields, replace

from hauberk.formats.frames import _KEPT, _LONGEST, ByProcess, ByWorkload
from hauberk.model.event import Event, Node, Relayed
from hauberk.model.process import ExecSession
from hauberk.model.workload import Workload
from tests.events import EVENT

OTHERS: dict[str, Any] = {
    "process": replace(EVENT.process, exec_id=3),
    "source": "/bin/bash -c id",
    "parent_executable": None,
    "host_pid": 43,
    "host_ppid": 8,
    "pid": 43,
    "ppid": 8,
    "uid": 0,
    "user": "root",
    "cwd": "/",
    "tty": None,
    "exec_session": ExecSession("1", "sh"),
    "workload": Workload(container_id="c0ffee"),
    "node": Node("node-2"),
    "relayed": Relayed(version="1"),
}
WHERE = {"workload", "node", "relayed"}
OF_THE_ACT = {
    "time_ns",
    "operation",
    "resource",
    "data",
    "details",
    "error",
    "sequence",
    "verdict",
    "folded",
}
"""What changes from one event of a process to the next."""


class Writes:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _event: Event) -> int:
        self.count += 1
        return self.count


def test_every_field_is_of_the_act_or_of_who_acted() -> None:
    """A field that is new to events has its place here."""
    assert {field.name for field in fields(Event)} == OTHERS.keys() | OF_THE_ACT


@pytest.mark.parametrize("field", OTHERS)
def test_who_acts_is_written_again_once_it_is_another(field: str) -> None:
    writes = Writes()
    frames = ByProcess(writes)
    changed = replace(EVENT, **{field: OTHERS[field]})

    assert [frames.of(event) for event in (EVENT, EVENT, changed, changed)] == [1, 1, 2, 2]


@pytest.mark.parametrize("field", sorted(WHERE))
def test_where_is_written_again_once_it_is_another(field: str) -> None:
    writes = Writes()
    frames = ByWorkload(writes)
    changed = replace(EVENT, **{field: OTHERS[field]})

    assert [frames.of(event) for event in (EVENT, EVENT, changed, changed)] == [1, 1, 2, 2]


def test_variants_stand_beside_each_other() -> None:
    frames = ByProcess(Writes())

    assert [frames.of(EVENT, variant) for variant in ("a", "b", "a", "b")] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (ByProcess, lambda number: {"host_pid": number}),
        (ByWorkload, lambda number: {"workload": Workload(container_id=str(number))}),
    ],
)
def test_no_more_are_kept_than_the_bound(
    make: Callable[[Writes], ByProcess[int] | ByWorkload[int]], change: Callable[[int], dict[str, Any]]
) -> None:
    frames = make(Writes())
    for number in range(2 * _KEPT + 1):
        frames.of(replace(EVENT, **change(number)))

    assert 0 < len(frames._kept) <= _KEPT


def test_long_command_lines_are_not_kept() -> None:
    frames = ByProcess(Writes())
    long = replace(EVENT, process=replace(EVENT.process, command_line="a" * (_LONGEST + 1)))

    assert [frames.of(long), frames.of(long)] == [1, 2]
