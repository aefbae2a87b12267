"""When to try again."""

from collections.abc import Callable
from random import uniform
from typing import Final

_FIRST_S: Final = 0.5
_LIMIT_S: Final = 30.0
_PATIENCE_S: Final = 600.0
"""A destination may ask for so much and no more: what it says is a stranger's word."""


class Backoff:
    """Longer and longer, and never at the same time as others who failed with us."""

    def __init__(
        self,
        first_s: float = _FIRST_S,
        limit_s: float = _LIMIT_S,
        between: Callable[[float, float], float] = uniform,
    ) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._between = between
        self._next_s = first_s

    def next_s(self, asked_s: float | None = None) -> float:
        """How long to wait after one more failure; `asked_s` is how long the destination wants to be left alone."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._limit_s)
        if asked_s is not None:
            least_s = min(max(asked_s, 0.0), _PATIENCE_S)
            return least_s + self._between(0.0, max(wait_s, least_s / 10) / 2)
        return self._between(wait_s / 2, wait_s)

    def reset(self) -> None:
        """It works again."""
        self._next_s = self._first_s
