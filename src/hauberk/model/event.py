"""An event: something a workload did."""

import msgspec

from hauberk.abi import Operation
from hauberk.model.policy import Verdict
from hauberk.model.process import ExecSession, Process
from hauberk.model.workload import Workload


class Node(msgspec.Struct, frozen=True):
    """The machine that events come from."""

    host: str
    """Its name (KubeArmor's `HostName`)."""

    cluster: str = "default"
    node_id: str | None = None
    """The machine ID."""


class Folded(msgspec.Struct, frozen=True):
    """How many alerts one alert stands for, and when they were."""

    count: int
    """Itself included; alerts that were delivered on their own are not."""

    first_ns: int
    last_ns: int
    """Nanoseconds since the Unix epoch, UTC, as all times of events."""


class Relayed(msgspec.Struct, frozen=True, kw_only=True):
    """What KubeArmor says of an event that it told, and that has no place of its own; empty if it said nothing."""

    type: str = ""
    """One word, where it is none of the four that follow from the event, such as ``SystemEvent``."""

    operation: str = ""
    """One word, where it is none of ours, such as ``Device``."""

    result: str = ""
    """Where it is no error of Linux, such as ``Removed``."""

    version: str = ""
    """KubeArmor's own (its `KubeArmorVersion`)."""

    process_hash: str = ""
    parent_hash: str = ""
    resource_hash: str = ""
    hash_algorithm: str = ""
    max_alerts_per_s: int = 0
    """Of a notice that alerts are throttled: how many are let through ..."""

    throttled_s: int = 0
    """... and for how long no more."""

    cluster_id: str = ""
    component_name: str = ""
    tenant_id: str = ""
    """What a hosted service has added."""

    unread: tuple[str, ...] = ()
    """What could not be read of it: a field's name and why, in words."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something a workload did; without a verdict it is telemetry (a log)."""

    time_ns: int
    """Nanoseconds since the Unix epoch, UTC."""

    operation: Operation
    node: Node
    workload: Workload
    process: Process
    parent_executable: str | None
    """None if the parent is in no process table of ours, such as PID 0."""

    host_pid: int
    host_ppid: int
    pid: int
    """Inside the process's own PID namespace."""

    ppid: int
    uid: int
    user: str | None
    """Name of the UID on the host; None in a container."""

    source: str
    """What acted: the command line, and for an exec the executable of the parent."""

    resource: str | None
    """What was acted upon: a path, an address, a process; None where the operation has none."""

    data: str
    """KubeArmor's `Data`: ``syscall=SYS_OPENAT fd=-100 flags=O_RDONLY``."""

    details: dict[str, str]
    """KubeArmor's `EventData`: the same as named values."""

    error: int
    """0 if the kernel let it pass, else the errno (positive)."""

    cwd: str
    tty: str | None

    sequence: int = 0
    """Where and when in the kernel: the CPU in the upper 32 bits, its sequence number in the lower.

    Of a relayed event, a hash of what was read.
    """

    verdict: Verdict | None = None
    """What was decided; with one, the event is an alert."""

    exec_session: ExecSession | None = None
    """What the process is below of, if somebody came into the container from outside."""

    folded: Folded | None = None
    """Only of an alert that stands for several: the last of them, told again for all."""

    relayed: Relayed | None = None
    """Only of an event that KubeArmor told, if it said more than there are fields for."""

    @property
    def id(self) -> str:
        """The same wherever and however often this event is told, and no other event's."""
        node = self.node.node_id or self.node.host
        folded = f"-{self.folded.count:x}" if self.folded else ""
        return f"{node}-{self.time_ns:x}-{self.sequence:x}{folded}"

    @property
    def is_alert(self) -> bool:
        return self.verdict is not None
