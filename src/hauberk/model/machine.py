"""A machine: what its records do not tell."""

from typing import Annotated

import msgspec

from hauberk.model.event import Node

_TIME = msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)


class Machine(msgspec.Struct, frozen=True):
    """The machine that records are of. A recording keeps it at its beginning."""

    node: Node
    boot_time_ns: Annotated[int, _TIME]
    """Unix time of the kernel's CLOCK_BOOTTIME 0."""

    host_pid_ns: int
    """Inode number of the initial PID namespace."""

    users: dict[int, str] = {}
    """Names of its users, by UID."""

    kernel: str = ""
    """Release of its kernel."""
