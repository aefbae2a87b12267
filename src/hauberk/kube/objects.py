"""Kubernetes' objects to our nouns. Only the fields that are read here are taken out of what comes."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, cast, get_args

import msgspec

from hauberk.errors import ClusterError
from hauberk.kube.client import segment
from hauberk.model.cluster import ClusterNode, ClusterPolicy, Mode, Namespace, NodeStatus, Pod
from hauberk.model.policy import Action, Kind
from hauberk.model.workload import Owner, Workload
from hauberk.policy.document import API_VERSION, parse_object

GROUP: Final = f"/apis/{API_VERSION}"
VISIBILITY: Final = "kubearmor-visibility"
MODE: Final = "kubearmor-policy"
_POSTURES: Final = {
    "file_posture": "file",
    "network_posture": "network",
    "capabilities_posture": "capabilities",
}
_UNTOLD_LABELS: Final = ("pod-template-hash", "pod-template-generation", "controller-revision-hash")
"""Of the controllers' own bookkeeping; KubeArmor leaves them out, too."""

PLURALS: Final[dict[Kind, str]] = {
    "KubeArmorPolicy": "kubearmorpolicies",
    "KubeArmorHostPolicy": "kubearmorhostpolicies",
    "KubeArmorClusterPolicy": "kubearmorclusterpolicies",
}
_CONTROLLERS: Final = {("apps/v1", "ReplicaSet"): "replicasets", ("batch/v1", "Job"): "jobs"}
"""What is owned by others, and where it is asked for."""

_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
"""What an object may be called (RFC 1123)."""

_OWNERS_KEPT: Final = 4096
_LONGEST_CHAIN: Final = 8
"""Of controllers one above the other. Kubernetes' own are two."""


class _Reference(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    name: str
    api_version: str = ""
    uid: str = ""
    controller: bool = False


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[_Reference, ...] = ()


class _Object(msgspec.Struct):
    metadata: _Meta


class _ContainerStatus(msgspec.Struct, rename="camel"):
    name: str
    image: str = ""
    image_id: str = msgspec.field(name="imageID", default="")
    container_id: str = msgspec.field(name="containerID", default="")


class _PodStatus(msgspec.Struct, rename="camel"):
    container_statuses: tuple[_ContainerStatus, ...] | None = ()
    init_container_statuses: tuple[_ContainerStatus, ...] | None = ()
    ephemeral_container_statuses: tuple[_ContainerStatus, ...] | None = ()


class _Pod(msgspec.Struct):
    metadata: _Meta
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


class _Policy(msgspec.Struct, rename="camel"):
    metadata: _Meta
    spec: msgspec.Raw = msgspec.Raw()
    status: dict[str, Any] | None = None


_FALSE: Final = _Reference("", "")
_NOT_FOUND: Final = 404


class Owners:
    """Who keeps a pod alive: the topmost of its controllers.

    Whoever may make a pod may claim any owner for it. So what a pod claims is looked up, under the name and in the
    namespace that it claims, and holds only if the object there has the UID of the claim.
    """

    def __init__(self, get: Callable[[str], bytes], warn: Callable[[str], None]) -> None:
        self._get = get
        self._complain = warn
        self._above: dict[tuple[str, _Reference], _Reference | None] = {}
        """By namespace and a controller that was found there: who controls it."""

        self.problem: str | None = None

    def of_pod(self, meta: _Meta) -> Owner:
        """A pod without a controller owns itself, and so does one whose controller is none."""
        namespace = meta.namespace or ""
        reference = _controller(meta)
        if reference is None:
            return Owner("Pod", meta.name, namespace)
        seen: set[_Reference] = set()
        while reference not in seen and len(seen) < _LONGEST_CHAIN:  # some own each other
            seen.add(reference)
            above = self._find_above(reference, namespace)
            if above is _FALSE:
                return Owner("Pod", meta.name, namespace)
            reference = above or reference
        return Owner(reference.kind, reference.name, namespace)

    def _find_above(self, reference: _Reference, namespace: str) -> _Reference | None:
        """Who controls a controller; `_FALSE` if it is not there, or is another; None: nobody, or nobody can say."""
        plural = _CONTROLLERS.get((reference.api_version, reference.kind))
        if plural is None:
            return None
        if not _NAME.fullmatch(reference.name):
            return _FALSE  # no such object can be
        known = self._above.get((namespace, reference), reference)
        if known is not reference:
            return known
        path = f"/apis/{reference.api_version}/namespaces/{segment(namespace)}/{plural}/{segment(reference.name)}"
        try:
            found = msgspec.json.decode(self._get(path), type=_Object).metadata
        except (ClusterError, ValueError) as error:  # msgspec's errors are of the second kind
            if isinstance(error, ClusterError) and error.status == _NOT_FOUND:
                return _FALSE  # it may be there the next time
            if self.problem is None:
                self._complain(
                    f"the owner of {plural} cannot be asked for; they count as owners themselves: {error}"
                )
            self.problem = str(error)
            return None
        self.problem = None
        if found.uid != reference.uid or found.name != reference.name:
            return _FALSE
        if len(self._above) >= _OWNERS_KEPT:
            self._above.clear()
        above = self._above[namespace, reference] = _controller(found)
        return above


def _controller(meta: _Meta) -> _Reference | None:
    return next((each for each in meta.owner_references if each.controller), None)


def decode_pod(owners: Owners, raw: bytes) -> Pod | None:
    """A pod, with the containers that are made so far."""
    found = msgspec.json.decode(raw, type=_Pod)
    meta = found.metadata
    namespace = meta.namespace or ""
    labels = meta.labels or {}
    told = {key: labels[key] for key in sorted(labels) if key not in _UNTOLD_LABELS}
    owner = owners.of_pod(meta)
    itself = Workload(namespace=namespace, pod=meta.name, labels=told, owner=owner, pod_uid=meta.uid)
    containers = {}
    for status in (
        *(found.status.init_container_statuses or ()),
        *(found.status.container_statuses or ()),
        *(found.status.ephemeral_container_statuses or ()),
    ):
        container_id = status.container_id.rpartition("://")[2]  # containerd://ID
        if container_id:
            containers[container_id] = msgspec.structs.replace(
                itself, container_id=container_id, container_name=status.name, image=_image(status)
            )
    annotations = meta.annotations or {}
    return Pod(
        meta.uid, namespace, meta.name, itself, containers, _visibility(annotations), _mode(annotations)
    )


def _image(status: _ContainerStatus) -> str | None:
    """With its digest, where that is said: ``docker.io/library/nginx:1@sha256:…``."""
    digest = status.image_id.rpartition("@")[2]
    if status.image and digest.startswith("sha256:") and "@" in status.image_id and "@" not in status.image:
        return f"{status.image}@{digest}"
    return status.image or None


def decode_namespace(raw: bytes) -> Namespace:
    meta = msgspec.json.decode(raw, type=_Object).metadata
    annotations = meta.annotations or {}
    postures = {
        field: _posture(annotations.get(f"kubearmor-{of}-posture")) for field, of in _POSTURES.items()
    }
    return Namespace(meta.name, **postures, visibility=_visibility(annotations))


def decode_node(raw: bytes) -> ClusterNode:
    meta = msgspec.json.decode(raw, type=_Object).metadata
    annotations = meta.annotations or {}
    return ClusterNode(meta.name, meta.labels or {}, _visibility(annotations), _mode(annotations))


def _visibility(annotations: dict[str, str]) -> tuple[str, ...] | None:
    text = annotations.get(VISIBILITY, "")
    return tuple(name.strip() for name in text.split(",")) if text else None


def _mode(annotations: dict[str, str]) -> Mode:
    """What is no mode counts as none, as in KubeArmor."""
    text = annotations.get(MODE)
    return cast(Mode, text) if text in get_args(Mode) else "enabled"


def _posture(text: str | None) -> Action | None:
    """KubeArmor knows audit and block; what is neither is as if it were not there."""
    return {"audit": Action.AUDIT, "block": Action.BLOCK}.get(text or "")


def decode_policy(kind: Kind, node: str, raw: bytes) -> ClusterPolicy:
    """A policy, read by the same code as one in a file; its problems say which field is meant."""
    found = msgspec.json.decode(raw, type=_Policy)
    meta = found.metadata
    where = f"{PLURALS[kind]}/{meta.namespace + '/' if meta.namespace else ''}{meta.name}"
    document: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": meta.name} | ({"namespace": meta.namespace} if meta.namespace else {}),
    }
    if bytes(found.spec):
        document["spec"] = msgspec.json.decode(found.spec)
    parsed = parse_object(json.dumps(document, indent=1, ensure_ascii=False), where, kind)
    fields = list(_fields(document)) if parsed.problems else []
    problems = tuple(
        f"{fields[problem.line - 1] if problem.line <= len(fields) else 'spec'}: {problem.text}"
        for problem in parsed.problems
    )
    status = found.status or {}
    nodes = status.get("nodes")
    text = status.get("status")
    return ClusterPolicy(
        kind,
        meta.name,
        meta.namespace,
        meta.generation,
        parsed.policies[0] if parsed.policies else None,
        problems,
        text if isinstance(text, str) else None,
        tuple(map(str, status.get("problems") or ())),
        _node_status(nodes.get(node)) if isinstance(nodes, dict) else None,
    )


def _node_status(content: Any) -> NodeStatus | None:
    try:
        return msgspec.convert(content, NodeStatus) if content else None
    except msgspec.ValidationError:  # of another version of ours
        return NodeStatus()


def _fields(value: Any, path: str = "") -> Iterator[str]:
    """What each line of the indented JSON is about: ``spec.file.matchPaths[0].path``."""
    yield path or "spec"
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _fields(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _fields(child, f"{path}[{index}]")
    if isinstance(value, (dict, list)) and value:
        yield path or "spec"  # the bracket that closes it


def policy_decoder(kind: Kind, node: str) -> Callable[[bytes], ClusterPolicy]:
    return partial(decode_policy, kind, node)
