"""How bad an event is, for formats that want a number of every event."""

from typing import Final

from hauberk.model.event import Event
from hauberk.model.policy import Action

PASSED: Final = 1
FAILED: Final = 2
"""Of logs: below all that a policy calls an alert by default."""

_DENIED: Final = 5
_TOLD: Final = 3


def severity(event: Event) -> int:
    """From 1 to 10, as policies have it; where a policy has none, what was denied is 5 and what was only told 3."""
    verdict = event.verdict
    if verdict is None:
        return FAILED if event.error else PASSED
    return verdict.severity or (_DENIED if verdict.action == Action.BLOCK else _TOLD)
