"""Policies that are put into force while the agent runs, by whoever is connected to it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from hauberk.enforcement.kept import Document, Kept
from hauberk.errors import PolicyError
from hauberk.model.policy import Policy


class LivePolicies:
    """What is kept in a directory; when a call returns, it is in force. One call at a time."""

    def __init__(self, path: Path, refresh: Callable[[], None]) -> None:
        """`refresh` puts into force what is kept; it raises PolicyError, and then all stays as it was."""
        self._path = path
        self._refresh = refresh

    def apply(self, new: Policy, text: str) -> Literal["applied", "modified", "unchanged"]:
        """Keep a policy and put it into force.

        Raises SinkError if it cannot be kept. Raises PolicyError if it cannot be enforced together with the others:
        what was kept before is kept then.
        """
        kept = Kept(self._path)
        before = kept.find(new.identity)
        outcome = kept.apply(Document(new, text, self._path))
        try:
            self._refresh()
        except PolicyError:
            if before:
                kept.apply(before)
            elif refused := kept.find(new.identity):
                kept.delete(refused)
            with suppress(PolicyError):
                self._refresh()
            raise
        return outcome

    def delete(self, identity: tuple[str, str, str]) -> bool:
        """Take a policy out of force; False if none of this kind, namespace and name is kept."""
        kept = Kept(self._path)
        old = kept.find(identity)
        if old is None:
            return False
        kept.delete(old)
        self._refresh()
        return True
