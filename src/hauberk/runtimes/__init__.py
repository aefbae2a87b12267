"""Runtimes: who started the containers, and what they are. To add one, add a module and a line here.

A runtime is asked in threads of its own (`watcher`): one may be slow, gone or restarted without anybody waiting.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

import msgspec

from hauberk.errors import ConfigError, RuntimeUnreachable
from hauberk.model.workload import Workload
from hauberk.plugins import Shelf

NO_NAMESPACE: Final = "container_namespace"
"""KubeArmor's name for the namespace of containers outside Kubernetes."""

NAMESPACE_LABEL: Final = "kubearmor.io/namespace"
"""... unless the container says another one itself."""

# The labels by which all runtimes say what a container is in Kubernetes.
POD_NAME: Final = "io.kubernetes.pod.name"
POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
POD_UID: Final = "io.kubernetes.pod.uid"
CONTAINER_NAME: Final = "io.kubernetes.container.name"
_RUNTIMES_OWN: Final = ("io.kubernetes.", "io.cri-containerd", "io.containerd.", "annotation.io.kubernetes.")
"""How labels begin that no user has set."""

_OF_CONTROLLERS: Final = ("pod-template-hash", "pod-template-generation", "controller-revision-hash")


class Container(msgspec.Struct, frozen=True):
    """What a runtime knows of a container."""

    id: str
    workload: Workload
    cgroup: str | None = None
    """How the path of its cgroup ends, if the path does not hold the ID: ``/default/web``."""


class Unreadable(msgspec.Struct, frozen=True):
    """A container that a runtime has, of which nobody can read what it says."""

    id: str
    reason: str


def described(container_id: str, describe: Callable[[], Container | None]) -> Container | Unreadable | None:
    """What a runtime says of one container. What is wrong with it, whatever that is, costs this one only.

    Raises RuntimeUnreachable.
    """
    try:
        return describe()
    except RuntimeUnreachable:
        raise
    except Exception as error:  # labels, times and specifications are written by anybody
        return Unreadable(container_id, str(error) or type(error).__name__)


class Runtime(Protocol):
    """One daemon that is connected. Every call but `close` raises RuntimeUnreachable if it is not there any more."""

    def changes(self) -> Iterator[str]:
        """IDs of containers that came, changed or went, from now on, until `close`.

        An empty one: something happened, and nobody can read to which.
        """

    def containers(self) -> Iterable[Container | Unreadable]:
        """All that there are."""

    def find(self, container_id: str) -> Container | None:
        """One of them; None if there is none of this ID."""

    def close(self) -> None: ...


class Source(msgspec.Struct, frozen=True):
    """A place where a runtime may be."""

    kind: str
    """Its name on the shelf."""

    path: Path

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.path}"

    @property
    def is_there(self) -> bool:
        return self.path.exists()

    def connect(self) -> Runtime:
        """Raises RuntimeUnreachable."""
        runtime: Runtime = RUNTIMES.load(self.kind)(self.path)
        return runtime


RUNTIMES: Final = Shelf(
    "runtime",
    {
        "containerd": "hauberk.runtimes.containerd:Containerd",
        "crio": "hauberk.runtimes.cri:Cri",
        "docker": "hauberk.runtimes.docker:Docker",
        "podman": "hauberk.runtimes.docker:Podman",
        "runc": "hauberk.runtimes.runc:Runc",
    },
)

KNOWN: Final = tuple(
    Source(kind, Path(path))
    for kind, path in (
        ("containerd", "/run/containerd/containerd.sock"),
        ("containerd", "/run/k3s/containerd/containerd.sock"),
        ("containerd", "/run/k0s/containerd.sock"),
        ("containerd", "/var/snap/microk8s/common/run/containerd.sock"),
        ("crio", "/run/crio/crio.sock"),
        ("docker", "/run/docker.sock"),
        ("podman", "/run/podman/podman.sock"),
        ("runc", "/run/runc"),
    )
)
"""Where runtimes are found if nobody says otherwise."""


def sources_of(names: Iterable[str]) -> tuple[Source, ...]:
    """The places that a setting names; raises ConfigError."""
    found: list[Source] = []
    for name in names:
        kind, colon, path = name.partition(":")
        if name == "auto":
            found += KNOWN
        elif name == "off":
            continue
        elif colon and kind in RUNTIMES.names() and path.startswith("/"):
            found.append(Source(kind, Path(path)))
        else:
            raise ConfigError(
                f"runtimes: {name!r} is neither auto, nor off, nor KIND:PATH with an absolute path "
                f"and one of the kinds {', '.join(RUNTIMES.names())}"
            )
    return tuple(found)


def in_kubernetes(
    container_id: str,
    labels: dict[str, str],
    *,
    pod_labels: dict[str, str],
    image: str | None,
    started_ns: int | None = None,
    is_pause: bool = False,
) -> Workload:
    """The workload of a container of a pod."""
    return Workload(
        container_id=container_id,
        container_name=labels.get(CONTAINER_NAME) or ("POD" if is_pause else container_id),
        image=image,
        namespace=labels.get(POD_NAMESPACE),
        pod=labels.get(POD_NAME),
        labels={
            key: value
            for key, value in sorted(pod_labels.items())
            if not key.startswith(_RUNTIMES_OWN) and key not in _OF_CONTROLLERS
        },
        pod_uid=labels.get(POD_UID),
        started_ns=started_ns,
        is_pause=is_pause,
    )


def outside_kubernetes(
    container_id: str,
    labels: dict[str, str],
    *,
    name: str,
    image: str | None,
    started_ns: int | None = None,
) -> Workload:
    """The workload of any other container, in KubeArmor's words: it is its own pod."""
    return Workload(
        container_id=container_id,
        container_name=name,
        image=image,
        namespace=labels.get(NAMESPACE_LABEL, NO_NAMESPACE),
        pod=name,
        labels={key: value for key, value in sorted(labels.items()) if not key.startswith(_RUNTIMES_OWN)},
        started_ns=started_ns,
    )


def digest_of(reference: str) -> str:
    """What stands behind the @ of ``busybox@sha256:…``; empty if nothing does. An ID of an image is no digest of it."""
    return reference.partition("@")[2]


def with_digest(image: str, digest: str) -> str:
    """``busybox:1@sha256:…``, if there is a digest and the image is called by a name."""
    if not digest or "@" in image or image.startswith("sha256:"):
        return image
    return f"{image}@{digest}"
