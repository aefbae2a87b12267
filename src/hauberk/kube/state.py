"""What is known of the cluster: a state machine that is told, and answers how a workload is treated."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, cast

import msgspec

from hauberk.enrich.visibility import EVERYTHING, hidden_operations
from hauberk.kube.changes import Change, Gone, Listed
from hauberk.model.cluster import ClusterNode, ClusterPolicy, Mode, Namespace, NodeStatus, Pod
from hauberk.model.policy import Kind, Policy
from hauberk.model.workload import Workload
from hauberk.policy.decide import Posture
from hauberk.policy.treatment import Treatment

PODS: Final = "pods"
NAMESPACES: Final = "namespaces"
NODES: Final = "nodes"
POLICIES: Final[dict[str, Kind]] = {
    "kubearmorpolicies": "KubeArmorPolicy",
    "kubearmorhostpolicies": "KubeArmorHostPolicy",
    "kubearmorclusterpolicies": "KubeArmorClusterPolicy",
}
_SYSTEM: Final = "kube-system"
"""Where nothing is ever blocked, as in KubeArmor: a cluster must be able to heal."""


class Defaults(msgspec.Struct, frozen=True):
    """What holds where the cluster says nothing."""

    visibility: tuple[str, ...]
    host_visibility: tuple[str, ...]
    posture: Posture = Posture()
    host_posture: Posture = Posture()
    untracked: frozenset[str] = frozenset()
    """Namespaces that are neither told of nor have policies."""


class Told(NamedTuple):
    """What is known now of a pod, or of one of its containers; None: it is gone."""

    of: Literal["pod", "container"]
    id: str
    """The pod's UID, or the container's ID."""

    workload: Workload | None


class State:
    """The cluster as far as this node has heard of it."""

    def __init__(self, defaults: Defaults, node: str) -> None:
        self._defaults = defaults
        self._pods: dict[str, Pod] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._policies: dict[str, dict[str, ClusterPolicy]] = {name: {} for name in POLICIES}
        self._listed: set[str] = set()
        self.node = ClusterNode(node)
        self.treatment_changed = False
        """Whether a namespace, a pod's annotations or the node are other than when this was last put to False."""

        self.policies_changed = False
        """The same of policies."""

    # What it is told

    def apply(self, change: Change) -> list[Told]:
        """Take in a change; of which pods and containers something else is known now."""
        if change.resource == PODS:
            return self._apply_pods(change)
        if change.resource == NAMESPACES:
            before = dict(self._namespaces)
            _update(self._namespaces, change)
            self.treatment_changed |= before != self._namespaces
        elif change.resource == NODES:
            if not isinstance(change, Gone):
                objects = change.objects if isinstance(change, Listed) else {"": change.object}
                for node in objects.values():
                    self.treatment_changed |= node != self.node
                    self.node = cast(ClusterNode, node)
        else:
            known = self._policies[change.resource]
            documents = {key: each.policy for key, each in known.items()}
            _update(known, change)
            is_first = isinstance(change, Listed) and change.resource not in self._listed
            self._listed.add(change.resource)
            self.policies_changed |= is_first or documents != {
                key: each.policy for key, each in known.items()
            }
        return []

    def _apply_pods(self, change: Change) -> list[Told]:
        if isinstance(change, Listed):
            told = [each for uid in set(self._pods) - set(change.objects) for each in self._drop(uid)]
            for pod in change.objects.values():
                told += self._keep(cast(Pod, pod))
            return told
        return self._drop(change.key) if isinstance(change, Gone) else self._keep(cast(Pod, change.object))

    def _keep(self, pod: Pod) -> list[Told]:
        before = self._pods.get(pod.uid)
        self._pods[pod.uid] = pod
        if before and (before.visibility, before.mode) != (pod.visibility, pod.mode):
            self.treatment_changed = True
        containers = before.containers if before else {}
        told = [] if before and before.itself == pod.itself else [Told("pod", pod.uid, pod.itself)]
        told += [
            Told("container", container_id, None)
            for container_id in containers
            if container_id not in pod.containers
        ]
        told += [
            Told("container", container_id, workload)
            for container_id, workload in pod.containers.items()
            if containers.get(container_id) != workload
        ]
        return told

    def _drop(self, uid: str) -> list[Told]:
        pod = self._pods.pop(uid, None)
        if pod is None:
            return []
        return [
            Told("pod", uid, None),
            *(Told("container", container_id, None) for container_id in pod.containers),
        ]

    # What it answers

    @property
    def has_heard_of_policies(self) -> bool:
        """Whether all policies of the cluster are known."""
        return self._listed == set(POLICIES)

    def policies(self) -> list[ClusterPolicy]:
        """All of them, those with errors too."""
        return [each for known in self._policies.values() for each in known.values()]

    def hidden_of(self, workload: Workload) -> int:
        """The operations of a workload that are not visible: by its pod, else its namespace, else the settings."""
        if workload.is_host:
            return hidden_operations(self.node.visibility or self._defaults.host_visibility)
        if workload.namespace in self._defaults.untracked:
            return EVERYTHING
        pod = self._pods.get(workload.pod_uid or "")
        namespace = self._namespaces.get(workload.namespace or "")
        return hidden_operations(
            (pod and pod.visibility) or (namespace and namespace.visibility) or self._defaults.visibility
        )

    def treatment_of(self, workload: Workload) -> Treatment:
        """Whether policies hold for a workload, and what becomes of what no Allow rule covers."""
        if workload.is_host:
            return Treatment(self._defaults.host_posture, self.node.mode)
        pod = self._pods.get(workload.pod_uid or "")
        namespace = self._namespaces.get(workload.namespace or "")
        mode: Mode = pod.mode if pod else "enabled"
        if workload.namespace in self._defaults.untracked:
            mode = "disabled"
        elif workload.namespace == _SYSTEM and mode == "enabled":
            mode = "audited"
        posture = self._defaults.posture
        if namespace:
            posture = Posture(
                namespace.file_posture or posture.file,
                namespace.network_posture or posture.network,
                namespace.capabilities_posture or posture.capabilities,
            )
        return Treatment(posture, mode)

    def statuses(
        self,
        held: Mapping[tuple[str, str, str], int],
        in_force: Mapping[tuple[str, str, str], Policy],
        *,
        has_lsm: bool,
        refused: Mapping[tuple[str, str, str], str],
    ) -> dict[tuple[str, str, str], tuple[ClusterPolicy, NodeStatus | None]]:
        """What this node says of each policy; None: that it has nothing to do with it.

        `held`: for how many containers each policy holds; `in_force`: the policies that are; `refused`: why the
        kernel did not take a policy.
        """
        found: dict[tuple[str, str, str], tuple[ClusterPolicy, NodeStatus | None]] = {}
        for each in self.policies():
            identity, status = each.identity, None
            count, generation = held.get(identity, 0), each.generation
            if each.policy is None:
                pass  # that is the same on every node, and told once
            elif identity in refused:
                status = NodeStatus("Refused", generation, count, (refused[identity],))
            elif in_force.get(identity) not in (None, each.policy):
                problem = (
                    f"the node has a policy of the same name in {in_force[identity].file}, which counts there"
                )
                status = NodeStatus("Refused", generation, problems=(problem,))
            elif count and has_lsm:
                status = NodeStatus("Enforced", generation, count)
            elif count:
                problem = (
                    "BPF-LSM is missing, or `enforce` is not auto: what should be blocked is only audited"
                )
                status = NodeStatus("Observed", generation, count, (problem,))
            found[identity] = each, status
        return found


def _update(
    known: dict[str, object] | dict[str, Namespace] | dict[str, ClusterPolicy], change: Change
) -> None:
    objects = cast(dict[str, object], known)
    if isinstance(change, Listed):
        objects.clear()
        objects.update(change.objects)
    elif isinstance(change, Gone):
        objects.pop(change.key, None)
    else:
        objects[change.key] = change.object
