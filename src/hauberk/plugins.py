"""Shelves: the named things of one kind, ours and those that others install."""

import importlib.metadata
import pkgutil
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from hauberk.errors import ConfigError


class Shelf:
    """The named things of one kind, such as all formats.

    What ships with us and what others install look alike: a name that stands for ``"module:attribute"``,
    imported when first asked for. Others put theirs into the entry point group `hauberk.<kind>s`; a name
    of ours stays ours.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str]) -> None:
        self._kind = kind
        self._builtin = builtin

    @cached_property
    def _installed(self) -> dict[str, str]:
        # only when needed: looking through all installed packages takes longer than starting without
        group = importlib.metadata.entry_points(group=f"hauberk.{self._kind}s")
        return {entry.name: entry.value for entry in group}

    def names(self) -> list[str]:
        """What there is, in alphabetical order."""
        return sorted({*self._builtin, *self._installed})

    def load(self, name: str) -> Any:
        """The thing of this name; raises ConfigError if there is none."""
        target = self._builtin.get(name) or self._installed.get(name)
        if target is None:
            raise ConfigError(f"no {self._kind} is named {name!r}; there are {', '.join(self.names())}")
        try:
            return pkgutil.resolve_name(target)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"the {self._kind} {name!r} cannot be loaded from {target}: {error}") from error
