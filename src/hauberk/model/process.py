"""A process: who acted."""

import msgspec


class ExecSession(msgspec.Struct, frozen=True):
    """A command that was executed in a running container from outside, such as by `kubectl exec` (KubeArmor's `ExecEvent`)."""

    id: str
    command: str
    """What the kernel calls it: at most 15 bytes, no path."""


class Process(msgspec.Struct, frozen=True):
    """One image of one process; an exec makes a new one of it."""

    host_pid: int
    start_ns: int
    """When it was forked, CLOCK_BOOTTIME; with `host_pid` it names the process for good."""

    exec_id: int
    executable: str
    """Path of the running image in its mount namespace (KubeArmor's `ProcessName`)."""

    command_line: str
    """What was executed, as called and made absolute, and the arguments (KubeArmor's `Source`)."""

    deleted: bool = False
    """The image has no name in its file system any more."""

    exec_session: ExecSession | None = None
    """What it is below of, if somebody came into the container from outside."""
