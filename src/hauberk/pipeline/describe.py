"""Stage: what was done."""

from collections.abc import Iterable
from typing import TypeAlias

from hauberk.decode import hooks
from hauberk.decode.hooks import Description
from hauberk.pipeline.attribute import Attributed

Described: TypeAlias = tuple[Attributed, Description]
"""What was done, and by whom."""


def describe(attributed: Iterable[Attributed]) -> list[Described]:
    """What each record says."""
    return [
        (each, hooks.describe(each.record, each.process, _nobody if each.target is None else each.target_of))
        for each in attributed
    ]


def _nobody(_pid_ns: int, _pid: int) -> None:
    return None
