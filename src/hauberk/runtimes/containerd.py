"""containerd by its own API: it knows a container, of Kubernetes or not, before it has a process.

Its CRI plugin would tell of a pod's sandbox only once that runs, and of nothing outside Kubernetes.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from google.protobuf.message import DecodeError

from hauberk.runtimes import (
    CONTAINER_NAME,
    Container,
    Unreadable,
    described,
    in_kubernetes,
    outside_kubernetes,
    with_digest,
)
from hauberk.runtimes import containerd_pb2 as wire
from hauberk.runtimes.grpc import LIST_S, Channel, Metadata

_SERVICES: Final = "/containerd.services"
_DOCKERS: Final = ("moby", "plugins.moby")
"""Namespaces in which Docker keeps containers; it tells more of them itself."""

_KIND: Final = "io.cri-containerd.kind"
_SANDBOX_ID: Final = "io.kubernetes.cri.sandbox-id"
_IMAGE_NAME: Final = "io.kubernetes.cri.image-name"
_NERDCTL_NAME: Final = "nerdctl/name"
_ID_LENGTH: Final = 64
_STARTED_KEPT: Final = 16_384


class _Linux(msgspec.Struct, rename="camel"):
    cgroups_path: str = ""


class _Specification(msgspec.Struct):
    """What we read of the OCI runtime's specification."""

    annotations: dict[str, str] = {}
    linux: _Linux = msgspec.field(default_factory=_Linux)


_decode_specification: Final = msgspec.json.Decoder(_Specification).decode


def _in(namespace: str) -> Metadata:
    return (("containerd-namespace", namespace),)


class Containerd:
    """A containerd that is connected."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel = Channel(path)
        self._namespaces: dict[str, str] = {}
        """By container ID."""

        self._pods: dict[str, dict[str, str]] = {}
        """Labels of pods, by the ID of their sandbox."""

        self._digests: dict[tuple[str, str], str] = {}
        """By namespace and name of the image, for as long as a container of it is told of."""

        self._started: dict[str, int] = {}

    def changes(self) -> Iterator[str]:
        filters = [f'topic~="^/{kind}"' for kind in ("containers/", "tasks/start")]
        envelopes = self._channel.stream(
            f"{_SERVICES}.events.v1.Events/Subscribe", wire.SubscribeRequest(filters=filters), wire.Envelope
        )
        return self._ids(envelopes)

    def _ids(self, envelopes: Iterator[wire.Envelope]) -> Iterator[str]:
        for envelope in envelopes:
            if envelope.namespace in _DOCKERS:
                continue
            try:
                container_id = self._container_of(envelope)
            except (DecodeError, ValueError):
                container_id = ""
            if not container_id:
                yield ""
                continue
            self._namespaces[container_id] = envelope.namespace
            yield container_id

    def _container_of(self, envelope: wire.Envelope) -> str:
        if envelope.topic != "/tasks/start":
            return wire.ContainerEvent.FromString(envelope.event.value).id
        container_id = wire.TaskEvent.FromString(envelope.event.value).container_id
        if len(self._started) >= _STARTED_KEPT:
            self._started.clear()
        self._started[container_id] = envelope.timestamp.ToNanoseconds()
        return container_id

    def containers(self) -> Iterable[Container | Unreadable]:
        self._digests.clear()
        found = []
        for namespace in self._all_namespaces():
            each = self._channel.stream(
                f"{_SERVICES}.containers.v1.Containers/ListStream",
                wire.ListContainersRequest(),
                wire.ListContainerMessage,
                metadata=_in(namespace),
                timeout_s=LIST_S,
            )
            found += [(namespace, message.container) for message in each]
        for namespace, container in found:
            self._namespaces[container.id] = namespace
            if container.labels.get(_KIND) == "sandbox":
                self._pods[container.id] = dict(container.labels)
        described_ones = (
            described(container.id, partial(self._describe, namespace, container))
            for namespace, container in found
        )
        return [each for each in described_ones if each]

    def _all_namespaces(self) -> list[str]:
        answer = self._channel.call(
            f"{_SERVICES}.namespaces.v1.Namespaces/List",
            wire.ListNamespacesRequest(),
            wire.ListNamespacesResponse,
        )
        return [each.name for each in answer.namespaces if each.name not in _DOCKERS] if answer else []

    def find(self, container_id: str) -> Container | None:
        known = self._namespaces.get(container_id)
        for namespace in [known] if known else self._all_namespaces():
            container = self._get(namespace, container_id)
            if container:
                self._namespaces[container_id] = namespace
                if container.labels.get(_KIND) == "sandbox":
                    self._pods[container_id] = dict(container.labels)
                return self._describe(namespace, container)
        for kept in (self._namespaces, self._pods, self._started):
            kept.pop(container_id, None)
        return None

    def _get(self, namespace: str, container_id: str) -> wire.Container | None:
        answer = self._channel.call(
            f"{_SERVICES}.containers.v1.Containers/Get",
            wire.GetContainerRequest(id=container_id),
            wire.GetContainerResponse,
            metadata=_in(namespace),
        )
        return answer.container if answer else None

    def _describe(self, namespace: str, container: wire.Container) -> Container:
        try:
            specification = _decode_specification(container.spec.value)
        except msgspec.DecodeError:  # a container without a process has none
            specification = _Specification()
        labels = dict(container.labels)
        kind = labels.get(_KIND)
        image = specification.annotations.get(_IMAGE_NAME) or container.image or None
        if image:
            image = with_digest(image, self._digest(namespace, container.image))
        started_ns = self._started.get(container.id)
        if kind == "sandbox":
            workload = in_kubernetes(
                container.id, labels, pod_labels=labels, image=image, started_ns=started_ns, is_pause=True
            )
        elif kind == "container" or CONTAINER_NAME in labels:
            pod_labels = self._pod_labels(namespace, specification.annotations.get(_SANDBOX_ID, ""))
            workload = in_kubernetes(
                container.id, labels, pod_labels=pod_labels, image=image, started_ns=started_ns
            )
        else:
            name = labels.get(_NERDCTL_NAME) or container.id
            workload = outside_kubernetes(container.id, labels, name=name, image=image, started_ns=started_ns)
        return Container(container.id, workload, _cgroup(container.id, specification.linux.cgroups_path))

    def _pod_labels(self, namespace: str, sandbox_id: str) -> dict[str, str]:
        known = self._pods.get(sandbox_id)
        if known is None and sandbox_id:
            sandbox = self._get(namespace, sandbox_id)
            known = self._pods[sandbox_id] = dict(sandbox.labels) if sandbox else {}
        return known or {}

    def _digest(self, namespace: str, image: str) -> str:
        key = (namespace, image)
        if image and key not in self._digests:
            answer = self._channel.call(
                f"{_SERVICES}.images.v1.Images/Get",
                wire.GetImageRequest(name=image),
                wire.GetImageResponse,
                metadata=_in(namespace),
            )
            self._digests[key] = answer.image.target.digest if answer else ""
        return self._digests.get(key, "")

    def close(self) -> None:
        self._channel.close()


def _cgroup(container_id: str, path: str) -> str | None:
    """How the cgroup's path ends, if the ID in it would not be known for one."""
    if len(container_id) == _ID_LENGTH or not path:
        return None
    if path.count(":") == 2:  # systemd's: slice, prefix and name of the scope
        _, prefix, name = path.split(":")
        return f"/{prefix}-{name}.scope"
    return "/" + path.lstrip("/")
