"""Stage: what is wanted goes on. The rest is counted, and the kernel is asked not to send more of it."""

from collections.abc import Callable, Iterable
from typing import Protocol

from hauberk.abi import RecordFlag
from hauberk.config import Selection
from hauberk.enrich.workloads import Workloads
from hauberk.metrics import Ledger
from hauberk.model.event import Event
from hauberk.model.record import Record
from hauberk.model.workload import Workload, WorkloadNews
from hauberk.pipeline.attribute import Attributed
from hauberk.pipeline.decide import REFUSED_IDENTITY, Decided
from hauberk.pipeline.host import Hide, LeaveOutGroup, LeaveOutImage, Request

_ALERT = int(RecordFlag.ALERT)


class Visibility(Protocol):
    """What is told of whom."""

    def hidden_of(self, workload: Workload) -> int:
        """The operations of a workload that are not visible, a bit for each."""
        ...


class Select:
    """Holds what happens against what the operator wants to see. Alerts are always wanted."""

    def __init__(
        self,
        selection: Selection,
        visibility: Visibility | None,
        workloads: Workloads,
        ledger: Ledger,
        own_pid: int,
    ) -> None:
        """`visibility` None: all is visible. `own_pid`: the agent, whose own actions are no news; 0: there is none."""
        self._selection = selection
        self._visibility = visibility
        self._workloads = workloads
        self._ledger = ledger
        self._own_pid = own_pid
        self._by_workload = selection.selects_workloads
        self._by_process = bool(selection.processes)
        self._by_path = bool(selection.paths)
        self._hidden_on_host: int | None = None
        self._hidden: dict[int, int] = {}
        """By cgroups of containers: the operations that are not visible."""

    def by_actor(
        self, attributed: list[Attributed], is_awaited: Callable[[str], bool]
    ) -> tuple[list[Attributed], set[Request]]:
        """Those whose workload and process are wanted, or may be once the name that is awaited has come."""
        own_pid, filtered = self._own_pid, self._ledger.filter
        wanted: list[Attributed] = []
        requests: set[Request] = set()
        for each in attributed:
            record = each.record
            if record.flags & _ALERT:
                pass
            elif self._by_workload and not self._may_want(each.workload, is_awaited):
                filtered("workload")
                requests.add(LeaveOutGroup(record.cgroup_id))
                continue
            elif record.host_pid == own_pid:
                filtered("agent")
                requests.add(_image_of(record))
                continue
            elif self._by_process and not self._selection.wants_process(each.process.executable):
                filtered("process")
                requests.add(_image_of(record))
                continue
            wanted.append(each)
        return wanted, requests

    def by_action(self, decided: list[Decided]) -> tuple[list[Decided], set[Request]]:
        """Those that are about a wanted path, and visible; but a refusal to become another user always is."""
        requests: set[Request] = set()
        if not self._by_path and self._visibility is None:
            return decided, requests
        wanted: list[Decided] = []
        for each in decided:
            who, action, verdict = each
            if verdict is None or verdict is REFUSED_IDENTITY:
                if self._by_path and not self._selection.wants_path(action.resource):
                    self._ledger.filter("path")
                    continue
                if verdict is None and self._visibility:
                    hidden = self._hidden_of(self._visibility, who)
                    if hidden >> action.operation & 1:
                        self._ledger.filter("visibility")
                        if self._speaks_for_its_group(who):
                            requests.add(Hide(who.record.cgroup_id, hidden))
                        continue
            wanted.append(each)
        return wanted, requests

    def wants(self, workload: Workload) -> bool:
        """Whether events of this workload are wanted, now that its name is known."""
        return self._selection.wants_workload(workload.container_id, workload.container_name)

    def hides(self, event: Event) -> bool:
        """Whether an event is not visible, now that the name of its workload is known."""
        return bool(self._visibility and self._visibility.hidden_of(event.workload) >> event.operation & 1)

    def _may_want(self, workload: Workload, is_awaited: Callable[[str], bool]) -> bool:
        if self.wants(workload):
            return True
        return bool(
            self._selection.containers and workload.container_id and is_awaited(workload.container_id)
        )

    # Visibility

    def review(self) -> None:
        """What is visible of whom may have changed."""
        self._hidden_on_host = None
        self._hidden.clear()

    def follow(self, news: Iterable[WorkloadNews]) -> None:
        """What is visible may depend on what has become known."""
        for each in news:
            self._hidden.pop(each.cgroup_id, None)

    def _hidden_of(self, visibility: Visibility, who: Attributed) -> int:
        if who.workload.container_id is None:
            if self._hidden_on_host is None:
                self._hidden_on_host = visibility.hidden_of(who.workload)
            return self._hidden_on_host
        hidden = self._hidden.get(who.record.cgroup_id)
        if hidden is None:
            hidden = self._hidden[who.record.cgroup_id] = visibility.hidden_of(who.workload)
        return hidden

    def _speaks_for_its_group(self, who: Attributed) -> bool:
        """A runtime's own process may be in the cgroup of a container for a moment: it does not."""
        return not (who.workload.is_host and self._workloads.is_containers(who.record.cgroup_id))


def _image_of(record: Record) -> LeaveOutImage:
    return LeaveOutImage(record.host_pid, record.start_ns, record.exec_id)
