"""The live side: a thread for each watch, and one that writes statuses. The agent takes what they found when it likes."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, Final

from hauberk.errors import ClusterError, ConfigError
from hauberk.kube.access import Access
from hauberk.kube.changes import Change
from hauberk.kube.client import Client
from hauberk.kube.objects import GROUP, Owners, decode_namespace, decode_node, decode_pod, policy_decoder
from hauberk.kube.state import NAMESPACES, NODES, PODS, POLICIES
from hauberk.kube.status import Statuses
from hauberk.kube.watch import Resource, Watch
from hauberk.model.cluster import ClusterPolicy
from hauberk.threads import supervised

_STOP_S: Final = 2.0
_STATUS_PERIOD_S: Final = 1.0


def identity_text(policy: ClusterPolicy) -> str:
    """How a policy is told apart from others of its kind."""
    return f"{policy.namespace or ''}/{policy.name}"


class Cluster:
    """Follows the cluster of one node, until it is closed. Never waits for it and never fails because of it."""

    def __init__(self, access: Access, node: str, warn: Callable[[str], None]) -> None:
        self._client = Client(access)
        self._complain = warn
        self._changes: SimpleQueue[Change] = SimpleQueue()
        self._owners = Owners(self._client.get, warn)
        self.statuses = Statuses(self._client, node, warn)
        self._stopping = Event()
        self._watches: tuple[Watch[Any], ...] = tuple(
            Watch(self._client, resource, self._changes.put, warn)
            for resource in _resources(node, self._owners)
        )
        self._threads = [
            supervised(f"kube-{watch.resource.name}", watch.run, warn, self._stopping)
            for watch in self._watches
        ]
        self._threads.append(supervised("kube-status", self._write_statuses, warn, self._stopping))

    @property
    def url(self) -> str:
        return self._client.url

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def changes(self, limit: int = 64) -> Iterator[Change]:
        """What has come in since the last call, at most so much at once."""
        for _ in range(limit):
            try:
                yield self._changes.get_nowait()
            except Empty:
                return

    def problems(self) -> Mapping[str, str | None]:
        """By what is followed: why it may be out of date; None: it is not."""
        found = {watch.resource.name: watch.problem for watch in self._watches}
        return found | {"owners": self._owners.problem, "statuses": self.statuses.problem}

    def restarts(self) -> Mapping[str, int]:
        """By what is followed: how often all of it was listed again, as its history was forgotten."""
        return {watch.resource.name: watch.restarts for watch in self._watches}

    def close(self) -> None:
        self._stopping.set()
        for watch in self._watches:
            watch.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_STOP_S)
        self._client.close()

    def _write_statuses(self) -> None:
        while not self._stopping.wait(_STATUS_PERIOD_S):
            try:
                wait_s = self.statuses.write()
            except (ClusterError, ConfigError) as error:
                self._complain(str(error))
                wait_s = 30.0
            if wait_s:
                self._stopping.wait(wait_s)


def _resources(node: str, owners: Owners) -> Iterator[Resource[Any]]:
    yield Resource(
        PODS,
        "/api/v1/pods",
        partial(decode_pod, owners),
        lambda pod: str(pod.uid),
        {"fieldSelector": f"spec.nodeName={node}"},
    )
    yield Resource(NAMESPACES, "/api/v1/namespaces", decode_namespace, lambda each: each.name)
    yield Resource(
        NODES,
        "/api/v1/nodes",
        decode_node,
        lambda each: each.name,
        {"fieldSelector": f"metadata.name={node}"},
    )
    for plural, kind in POLICIES.items():
        yield Resource(plural, f"{GROUP}/{plural}", policy_decoder(kind, node), identity_text)
