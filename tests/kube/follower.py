"""The room's two halves put together, as the agent does."""

from typing import Any

from hauberk.kube.access import Access
from hauberk.kube.cluster import Cluster
from hauberk.kube.state import Defaults, State
from hauberk.model.cluster import ClusterPolicy
from hauberk.model.workload import Workload

EVERYTHING = ("process", "file", "network", "capabilities")


class Follower:
    """Follows a cluster, and remembers what it was told."""

    def __init__(self, access: Access, node: str) -> None:
        self.said: list[str] = []
        self.state = State(Defaults(EVERYTHING, EVERYTHING, untracked=frozenset({"kube-system"})), node)
        self.cluster = Cluster(access, node, self.said.append)
        self.containers: dict[str, Workload] = {}
        self.changes = 0
        self.cluster.start()

    def hear(self) -> None:
        for change in self.cluster.changes():
            self.changes += 1
            for told in self.state.apply(change):
                if told.of == "container" and told.workload:
                    self.containers[told.id] = told.workload
                elif told.of == "container":
                    self.containers.pop(told.id, None)

    def has_heard_more_than(self, changes: int) -> bool:
        self.hear()
        return self.changes > changes

    def find(self, container_id: str) -> Workload | None:
        self.hear()
        return self.containers.get(container_id)

    def policy(self, thing: dict[str, Any]) -> ClusterPolicy | None:
        self.hear()
        meta = thing["metadata"]
        wanted = thing["kind"], meta.get("namespace", ""), meta["name"]
        return next((each for each in self.state.policies() if each.identity == wanted), None)

    def publish(self, held: int = 1, has_lsm: bool = True, refused: str | None = None) -> None:
        """As if each policy were in force, and held for so many containers."""
        self.hear()
        policies = self.state.policies()
        in_force = {each.identity: each.policy for each in policies if each.policy}
        self.cluster.statuses.want(
            self.state.statuses(
                dict.fromkeys(in_force, held),
                in_force,
                has_lsm=has_lsm,
                refused=dict.fromkeys(in_force, refused) if refused else {},
            )
        )

    def said_of(self, text: str) -> int:
        return sum(text in line for line in self.said)

    def close(self) -> None:
        self.cluster.close()
