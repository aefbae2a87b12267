"""KubeArmor's names for what sort of event it is, which several formats use."""

from typing import Final

from hauberk.abi import Operation
from hauberk.model.event import Event

OPERATIONS: Final = tuple(operation.name.capitalize() for operation in Operation)
"""KubeArmor's `Operation`, by number."""


def type_name(event: Event) -> str:
    """KubeArmor's `Type`."""
    if event.verdict is not None:
        return "MatchedHostPolicy" if event.workload.is_host else "MatchedPolicy"
    return "HostLog" if event.workload.is_host else "ContainerLog"


def class_name(event: Event) -> str:
    """Type and operation, ``MatchedPolicy.File``: a fixed vocabulary without spaces, at most 32 characters."""
    return f"{type_name(event)}.{OPERATIONS[event.operation]}"
