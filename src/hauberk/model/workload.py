"""A workload: whatever events belong to, a container or the host."""

from typing import NamedTuple, TypeAlias

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """What keeps a pod alive (KubeArmor's `Owner`)."""

    kind: str
    """``Deployment``, ``StatefulSet``, ``DaemonSet``, ``Job``, …; KubeArmor's `Ref`."""

    name: str
    namespace: str


class Workload(msgspec.Struct, frozen=True):
    """The host, if there is no container ID.

    What only a runtime or Kubernetes can tell is None until they have told it.
    """

    container_id: str | None = None
    container_name: str | None = None
    image: str | None = None
    """With its digest where that is known: ``docker.io/library/vault:1.13.1@sha256:…``."""

    namespace: str | None = None
    pod: str | None = None
    labels: dict[str, str] = {}
    """Ordered by key."""

    owner: Owner | None = None
    pod_uid: str | None = None
    started_ns: int | None = None
    """Nanoseconds since the Unix epoch."""

    is_pause: bool = False
    """The container that holds a pod's namespaces open: no policy holds for it."""

    @property
    def is_host(self) -> bool:
        return self.container_id is None


HOST = Workload()


def merge(runtime: Workload, pod: Workload) -> Workload:
    """What is known of a container from its runtime and from Kubernetes.

    The runtime has the image that really runs; Kubernetes has the labels as they are now, and the owner.
    """
    return Workload(
        container_id=runtime.container_id or pod.container_id,
        container_name=pod.container_name or runtime.container_name,
        image=runtime.image or pod.image,
        namespace=pod.namespace or runtime.namespace,
        pod=pod.pod or runtime.pod,
        labels=pod.labels if pod.pod else runtime.labels,
        owner=pod.owner or runtime.owner,
        pod_uid=pod.pod_uid or runtime.pod_uid,
        started_ns=runtime.started_ns or pod.started_ns,
        is_pause=runtime.is_pause,
    )


class Found(NamedTuple):
    """The workload of a cgroup is known, or better known than before."""

    cgroup_id: int
    workload: Workload


class Removed(NamedTuple):
    """A cgroup is gone."""

    cgroup_id: int


WorkloadNews: TypeAlias = Found | Removed
