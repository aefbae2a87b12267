"""Where it acted: the host, or a container, known by the cgroup."""

import re
from collections import deque
from typing import Final

from hauberk.abi import Hook, ItemKind, RecordFlag
from hauberk.decode.text import decode_text
from hauberk.model.record import Record
from hauberk.model.workload import HOST, Found, Removed, Workload, WorkloadNews, merge

REMOVED_KEPT: Final = 1024
"""How many removed cgroups stay known: events of their last processes may still come."""

_RUNTIME_ID: Final = re.compile(r"(?:(?P<runtime>.+)[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?")
"""docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, nerdctl-ID.scope; or ID alone,
as the cgroupfs driver names it."""

_POD: Final = re.compile(r"pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?(?=/|$)")
"""kubepods-burstable-podUID.slice, with lines below instead of dashes; or podUID, as the cgroupfs driver names it."""

_RUNC_SCOPE: Final = re.compile(r"runc-(?P<id>.+)\.scope")
_MACHINE: Final = re.compile(r"(?:machine-(?P<scope>.+)\.scope|systemd-nspawn@(?P<service>.+)\.service)")
_LXC: Final = re.compile(r"lxc\.payload\.(?P<id>.+)")
_SYSTEMD_UNIT: Final = re.compile(r".+\.(?:slice|scope|service|socket|mount|swap)")
_SYSTEMD_ESCAPE: Final = re.compile(r"\\x([0-9a-f]{2})")


def container_id_of(path: str) -> str | None:
    """The container that a cgroup belongs to by its path, the outermost one where they are nested.

    Knows Docker, containerd, CRI-O, Podman, LXC, systemd-nspawn and runc under systemd. What watches a
    container from outside (``conmon``) is not in it.
    """
    parts = path.split("/")
    for part, below in zip(parts, (*parts[1:], ""), strict=True):
        if found := _RUNTIME_ID.fullmatch(part):
            if found["runtime"] is None and below.startswith("libpod-"):
                continue  # a pod of Podman, whose containers are below it
            if (found["runtime"] or "").endswith("conmon"):
                return None
            return found["id"]
        if found := _RUNC_SCOPE.fullmatch(part) or _LXC.fullmatch(part):
            return found["id"]
        if found := _MACHINE.fullmatch(part):
            name = found["scope"] or found["service"]
            return _SYSTEMD_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), name)
    return None


def pod_uid_of(path: str) -> str | None:
    """The pod whose cgroup this is, or is in: the kubelet names them by its UID."""
    found = _POD.search(path)
    return found["uid"].replace("_", "-") if found else None


def plain_container_id_of(path: str) -> str | None:
    """The last name of the path, if systemd did not give it: what runc without a manager calls a container.

    Only for processes that live in a PID namespace of their own.
    """
    name = path.rstrip("/").rpartition("/")[2]
    if not name or _SYSTEMD_UNIT.fullmatch(name):
        return None
    return name


class Workloads:
    """Every cgroup of the hierarchy that containers are in, by its ID.

    What becomes known of them is news, until it is taken.
    """

    def __init__(self, host_pid_ns: int) -> None:
        self._host_pid_ns = host_pid_ns
        self._news: list[WorkloadNews] = []
        self._paths: dict[int, str] = {}
        self._found: dict[tuple[int, bool], Workload] = {}
        self._by_runtime: dict[str, Workload] = {}
        self._by_pod: dict[str, Workload] = {}
        """By container ID: what runtimes and Kubernetes told, perhaps before there was a cgroup."""

        self._pods: dict[str, Workload] = {}
        """By UID: what is known of a pod before anybody tells of its containers."""

        self._pod_uids: dict[str, str] = {}
        """By container ID: the pod that it is in by the path of its cgroup."""

        self._containers: dict[str, tuple[Workload, set[tuple[int, bool]]]] = {}
        """By container ID: what is known of it, and which of `_found` are its."""

        self._endings: dict[str, dict[str, str]] = {}
        """Containers whose cgroups do not hold their IDs: by its last name, how the path ends and the ID."""

        self._removed: deque[int] = deque()

    def apply(self, record: Record) -> None:
        """Learn from a record of a cgroup's birth or end."""
        if record.hook != Hook.CGROUP:
            return
        if record.flags & RecordFlag.DELETED:
            self._news.append(Removed(record.cgroup_id))
            self._removed.append(record.cgroup_id)
            if len(self._removed) > REMOVED_KEPT:
                self._forget(self._removed.popleft())
        else:
            self._forget(record.cgroup_id)
            self._paths[record.cgroup_id] = decode_text(record.find(ItemKind.CGROUP) or b"")

    def take_news(self) -> list[WorkloadNews]:
        """What has become known since the last call, in that order."""
        if not self._news:
            return []
        news, self._news = self._news, []
        return news

    def is_known(self, cgroup_id: int) -> bool:
        """Whether a record has told of this cgroup."""
        return cgroup_id in self._paths

    def tell_of_runtime(self, container_id: str, told: Workload | None, cgroup: str | None = None) -> None:
        """What its runtime says of a container, from now on; None: it knows it no more.

        `cgroup`: how the path of its cgroup ends, if the ID in it would not be known for one.
        """
        self._tell(self._by_runtime, container_id, told)
        if cgroup:
            endings = self._endings.setdefault(cgroup.rpartition("/")[2], {})
            if endings.get(cgroup) != container_id:
                endings[cgroup] = container_id
                self._find_again(cgroup)

    def tell_of_pod(self, container_id: str, told: Workload | None) -> None:
        """The same, as Kubernetes has it."""
        self._tell(self._by_pod, container_id, told)

    def expect_pod(self, uid: str, told: Workload | None) -> None:
        """Kubernetes has given this pod to the node: what begins in its cgroup is of it. None: it is gone."""
        if told is None:
            self._pods.pop(uid, None)
        elif self._pods.get(uid) != told:
            self._pods[uid] = told
            for container_id, of in list(self._pod_uids.items()):
                if of == uid:
                    self._renew(container_id)

    def _tell(self, by: dict[str, Workload], container_id: str, told: Workload | None) -> None:
        if told is None:
            if container_id not in self._containers:  # else: until its last cgroup goes
                by.pop(container_id, None)
                self._forget_endings(container_id)
            return
        by[container_id] = told
        self._renew(container_id)

    def _renew(self, container_id: str) -> None:
        """Let all who hear of this container hear what is known now, if it is something else."""
        if container_id not in self._containers:
            return
        before, keys = self._containers[container_id]
        workload = self._merge(container_id)
        if workload == before:
            return
        self._containers[container_id] = workload, keys
        for key in keys:
            self._found[key] = workload
            self._news.append(Found(key[0], workload))

    def _merge(self, container_id: str) -> Workload:
        nothing = Workload(container_id=container_id)
        pod = self._by_pod.get(container_id) or self._pods.get(self._pod_uids.get(container_id, ""), nothing)
        return merge(self._by_runtime.get(container_id, nothing), pod)

    def _forget(self, cgroup_id: int) -> None:
        self._paths.pop(cgroup_id, None)
        for key in ((cgroup_id, True), (cgroup_id, False)):
            workload = self._found.pop(key, None)
            if workload and workload.container_id in self._containers:
                _, keys = self._containers[workload.container_id]
                keys.discard(key)
                if not keys:
                    del self._containers[workload.container_id]
                    self._by_runtime.pop(workload.container_id, None)
                    self._by_pod.pop(workload.container_id, None)
                    self._pod_uids.pop(workload.container_id, None)
                    self._forget_endings(workload.container_id)

    def _forget_endings(self, container_id: str) -> None:
        if not self._endings:
            return
        for name, endings in list(self._endings.items()):
            for ending in [ending for ending, of in endings.items() if of == container_id]:
                del endings[ending]
            if not endings:
                del self._endings[name]

    def _find_again(self, ending: str) -> None:
        """A runtime has told late: cgroups that end so were not known for a container's."""
        for cgroup_id, path in self._paths.items():
            if ending in path:
                for key in ((cgroup_id, True), (cgroup_id, False)):
                    if key in self._found and self._found[key].is_host:
                        self._settle(key)

    def knows(self, cgroup_id: int) -> bool:
        return cgroup_id in self._paths

    def is_containers(self, cgroup_id: int) -> bool:
        """Whether a container is known to be in this cgroup."""
        return any(
            (found := self._found.get((cgroup_id, inside))) and not found.is_host for inside in (True, False)
        )

    def find(self, record: Record) -> Workload:
        """The workload of the process that acted; a cgroup that nobody told of counts as the host's."""
        inside = record.pid_ns != self._host_pid_ns
        key = (record.cgroup_id, inside)
        workload = self._found.get(key)
        if workload is None:
            workload = self._settle(key) if record.cgroup_id in self._paths else self._resolve(*key)
        return workload

    def container_of(self, cgroup_id: int) -> str | None:
        """The container that a cgroup is known to belong to, whoever is in it."""
        found = None
        for inside in (True, False):
            found = self._found.get((cgroup_id, inside))
            if found and found.container_id:
                return found.container_id
        return self._resolve(cgroup_id, False).container_id if found is None else None

    def is_containers_own(self, cgroup_id: int) -> bool:
        """Whether this is the cgroup that a container was given, not one that it has made below that."""
        above = self._paths.get(cgroup_id, "").rpartition("/")[0]
        return not (self._endings and self._told_of(above)) and container_id_of(above) is None

    def _settle(self, key: tuple[int, bool]) -> Workload:
        workload = self._found[key] = self._resolve(*key)
        if workload.container_id:
            self._containers.setdefault(workload.container_id, (workload, set()))[1].add(key)
        self._news.append(Found(key[0], workload))
        return workload

    def _resolve(self, cgroup_id: int, inside: bool) -> Workload:
        path = self._paths.get(cgroup_id, "")
        container_id = (self._endings and self._told_of(path)) or container_id_of(path)
        if container_id is None and inside:
            container_id = plain_container_id_of(path)
        if container_id is None:
            return HOST
        known = self._containers.get(container_id)
        if known is None and (uid := pod_uid_of(path)):
            self._pod_uids[container_id] = uid
        return known[0] if known else self._merge(container_id)

    def _told_of(self, path: str) -> str | None:
        """The container that a runtime has told the cgroup of, the outermost one."""
        names = path.split("/")
        for index, name in enumerate(names):
            for ending, container_id in self._endings.get(name, {}).items():
                if "/".join(names[: index + 1]).endswith(ending):
                    return container_id
        return None
