"""Techniques of MITRE ATT&CK that the tags of a policy name: ``MITRE_T1036_masquerading`` names T1036."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_TECHNIQUE: Final = re.compile(r"(?:MITRE[_-])?(T\d{4}(?:\.\d{3})?)(?![0-9A-Za-z])")


@lru_cache(maxsize=1024)
def techniques(tags: Iterable[str]) -> tuple[str, ...]:
    """Their IDs, each once, in the order of the tags."""
    found = (_TECHNIQUE.match(tag) for tag in tags)
    return tuple(dict.fromkeys(match[1] for match in found if match))
