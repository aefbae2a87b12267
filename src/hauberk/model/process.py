"""A process: who acted."""

import msgspec


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
