"""CRI-O, or whatever else speaks Kubernetes' Container Runtime Interface."""

import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from google.protobuf.message import Message

from hauberk.errors import RuntimeUnreachable
from hauberk.runtimes import (
    CONTAINER_NAME,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    Container,
    Unreadable,
    described,
    digest_of,
    in_kubernetes,
    with_digest,
)
from hauberk.runtimes import cri_pb2 as wire
from hauberk.runtimes.grpc import LIST_S, Answer, Channel

_SERVICE: Final = "/runtime.v1.RuntimeService"
_POLL_S: Final = 1.0
"""How often to look for new containers where the runtime sends no events."""


class Cri:
    """A runtime that is connected."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel = Channel(path)
        self._closing = threading.Event()
        self._pods: dict[str, dict[str, str]] = {}
        """Labels of pods, by the ID of their sandbox."""

    def changes(self) -> Iterator[str]:
        events = self._channel.stream(
            f"{_SERVICE}/GetContainerEvents", wire.GetEventsRequest(), wire.ContainerEventResponse
        )
        return self._ids(events)

    def _ids(self, events: Iterator[wire.ContainerEventResponse]) -> Iterator[str]:
        try:
            for event in events:
                yield event.container_id
        except RuntimeUnreachable:  # or it knows no events: the next question tells
            pass
        known = set(self._all())
        while not self._closing.wait(_POLL_S):
            found = set(self._all())
            yield from known ^ found
            known = found

    def _all(self) -> Iterator[str]:
        for container in self._list("").containers:
            yield container.id
        for sandbox in self._list_sandboxes("").items:
            yield sandbox.id

    def containers(self) -> Iterable[Container | Unreadable]:
        pauses = [described(each.id, partial(self._pause, each)) for each in self._list_sandboxes("").items]
        others = [described(each.id, partial(self._describe, each)) for each in self._list("").containers]
        return [each for each in pauses + others if each]

    def find(self, container_id: str) -> Container | None:
        for container in self._list(container_id).containers:
            return self._describe(container)
        for sandbox in self._list_sandboxes(container_id).items:
            return self._pause(sandbox)
        self._pods.pop(container_id, None)
        return None

    def _pause(self, sandbox: wire.PodSandbox) -> Container:
        labels = self._pods[sandbox.id] = dict(sandbox.labels)
        return Container(
            sandbox.id,
            in_kubernetes(
                sandbox.id,
                _named(labels, sandbox.metadata),
                pod_labels=labels,
                image=None,  # it is the runtime's own affair, and it does not say
                started_ns=sandbox.created_at or None,
                is_pause=True,
            ),
        )

    def _describe(self, container: wire.Container) -> Container:
        """The list knows the pod, the status the image by its name and the start."""
        answer = self._channel.call(
            f"{_SERVICE}/ContainerStatus",
            wire.ContainerStatusRequest(container_id=container.id),
            wire.ContainerStatusResponse,
        )
        status = answer.status if answer else wire.ContainerStatus()
        image = status.image.image or container.image.image
        reference = status.image_ref or container.image_ref
        labels = dict(container.labels)
        labels.setdefault(CONTAINER_NAME, container.metadata.name)
        workload = in_kubernetes(
            container.id,
            labels,
            pod_labels=self._pod_labels(container.pod_sandbox_id),
            image=with_digest(image, digest_of(reference)) if image else None,
            started_ns=status.started_at or None,
        )
        return Container(container.id, workload)

    def _pod_labels(self, sandbox_id: str) -> dict[str, str]:
        if sandbox_id not in self._pods:
            for sandbox in self._list_sandboxes(sandbox_id).items:
                self._pods[sandbox_id] = dict(sandbox.labels)
        return self._pods.get(sandbox_id, {})

    def _list(self, container_id: str) -> wire.ListContainersResponse:
        request = wire.ListContainersRequest(filter=wire.ContainerFilter(id=container_id))
        return self._answer("ListContainers", request, wire.ListContainersResponse)

    def _list_sandboxes(self, sandbox_id: str) -> wire.ListPodSandboxResponse:
        request = wire.ListPodSandboxRequest(filter=wire.PodSandboxFilter(id=sandbox_id))
        return self._answer("ListPodSandbox", request, wire.ListPodSandboxResponse)

    def _answer(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        return self._channel.call(f"{_SERVICE}/{method}", request, answer, timeout_s=LIST_S) or answer()

    def close(self) -> None:
        self._closing.set()
        self._channel.close()


def _named(labels: dict[str, str], pod: wire.PodSandboxMetadata) -> dict[str, str]:
    """The labels, with those that the kubelet would have set."""
    return {POD_NAME: pod.name, POD_NAMESPACE: pod.namespace, POD_UID: pod.uid} | labels
