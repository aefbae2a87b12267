"""What Kubernetes knows of a node, its namespaces and its pods, as far as it matters to us."""

from typing import Literal, TypeAlias

import msgspec

from hauberk.model.policy import Action, Kind, Policy
from hauberk.model.workload import Workload

Mode: TypeAlias = Literal["enabled", "audited", "disabled"]
"""KubeArmor's annotation `kubearmor-policy`: policies hold; what they block is only told; they do not hold."""


class Pod(msgspec.Struct, frozen=True):
    """A pod of this node."""

    uid: str
    namespace: str
    name: str
    itself: Workload
    """What is known of all that runs in it, whichever container."""

    containers: dict[str, Workload]
    """By container ID: those that a runtime has made so far, whichever sort they are."""

    visibility: tuple[str, ...] | None = None
    """Of its annotation; None: it has none."""

    mode: Mode = "enabled"


class Namespace(msgspec.Struct, frozen=True):
    """A namespace, by its annotations. None: it has none that says so."""

    name: str
    file_posture: Action | None = None
    network_posture: Action | None = None
    capabilities_posture: Action | None = None
    visibility: tuple[str, ...] | None = None


class ClusterNode(msgspec.Struct, frozen=True):
    """This node, as Kubernetes has it."""

    name: str
    labels: dict[str, str] = {}
    visibility: tuple[str, ...] | None = None
    mode: Mode = "enabled"


class NodeStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a policy on one node; stands in its status under the node's name."""

    state: Literal["Enforced", "Observed", "Refused"] | None = None
    generation: int = 0
    """Of the policy that is meant."""

    workloads: int = 0
    """How many containers it holds for; of a host policy, 1: the host."""

    problems: tuple[str, ...] = ()


class ClusterPolicy(msgspec.Struct, frozen=True):
    """A policy of the cluster: the document, and what is wrong with it."""

    kind: Kind
    name: str
    namespace: str | None
    generation: int
    policy: Policy | None
    """None: it has errors."""

    problems: tuple[str, ...] = ()
    status: str | None = None
    """What its status says now, of the document and of this node."""

    told_problems: tuple[str, ...] = ()
    node_status: NodeStatus | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.kind, self.namespace or "", self.name
