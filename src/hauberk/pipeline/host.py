"""What the stages ask of the host that the records are of, and what they ask it to do."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from hauberk.model.workload import WorkloadNews
from hauberk.policy.decide import Numbered


class LeaveOutGroup(NamedTuple):
    """Nothing of this cgroup is wanted: its events need not be sent."""

    cgroup_id: int


class LeaveOutImage(NamedTuple):
    """The same of one image that a process runs."""

    host_pid: int
    start_ns: int
    exec_id: int


class Hide(NamedTuple):
    """These operations of a cgroup are not visible, a bit for each; all others are."""

    cgroup_id: int
    operations: int


Request: TypeAlias = LeaveOutGroup | LeaveOutImage | Hide


class Host:
    """The host that records are of, as a recording has it: it cannot be asked any more.

    The host of a live agent knows more, and does what it is asked.
    """

    def process(self, _host_pid: int) -> bytes:
        """The batch that tells of a live process; empty if there is none."""
        return b""

    def find_rule(self, _number: int, _rule: int) -> Numbered | None:
        """The rule that an alert names, by its set and number."""
        return None

    def follow(self, _news: Sequence[WorkloadNews]) -> Iterable[str]:
        """Workloads have come, gone, or are better known. The containers whose names have been asked for."""
        return ()

    def leave_out(self, _requests: Iterable[Request]) -> None:
        """What the kernel need not send. What it has sent already is left out by the stages."""
