"""What an event means to OpenTelemetry: the resource, the attributes, severity, body and name of a log record.

The resource is the workload that acted; attributes tell what it did. Names are those of semantic conventions
1.44.0; what those have no name for begins with ``kubearmor``. What is empty is left out, but never a 0.
"""

import errno
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from hauberk import __version__
from hauberk.abi import Operation
from hauberk.formats.names import operation_name, result_name, type_name
from hauberk.formats.otel.network import network_attributes
from hauberk.formats.printable import printable_text
from hauberk.formats.severity import severity
from hauberk.model.event import Event, Node, Relayed
from hauberk.model.policy import Verdict
from hauberk.model.workload import Workload

Value: TypeAlias = "str | bool | int | float | Sequence[Value] | Mapping[str, Value]"
Attributes: TypeAlias = dict[str, Value]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
OWN_SCOPE: Final = "hauberk", __version__
"""Name and version of who tells."""

_OWN_SERVICE: Final = "hauberk"
_UNKNOWN_SERVICE: Final = "unknown_service"
_SERVICE_LABELS: Final = ("app.kubernetes.io/instance", "app.kubernetes.io/name")
_OWNERS: Final = {
    kind: f"k8s.{kind.lower()}.name"
    for kind in (
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "ReplicationController",
    )
}
_OPERATIONS: Final = {
    Operation.PROCESS: "process",
    Operation.FILE: "file",
    Operation.NETWORK: "network",
    Operation.SYSCALL: "syscall",
    Operation.CAPABILITIES: "capability",
}
_BODY_LENGTH: Final = 160
"""Longest resource that the body shows: the attributes have it whole."""

_INT64_MAX: Final = (1 << 63) - 1
_UINT64_MAX: Final = (1 << 64) - 1


# Who and where


def resource_attributes(
    node: Node, workload: Workload, *, labels: bool = False, service_from_labels: bool = False
) -> Attributes:
    """The workload, from the service that it is to its container."""
    in_kubernetes = bool(workload.pod)
    owner = workload.owner
    found: Attributes = {
        "service.name": _service_name(workload, service_from_labels),
        "service.namespace": workload.namespace or "",
        "service.instance.id": _instance(workload),
        "k8s.cluster.name": node.cluster if in_kubernetes or node.cluster != "default" else "",
        "k8s.node.name": node.host if in_kubernetes else "",
        "k8s.namespace.name" if in_kubernetes else "kubearmor.namespace": workload.namespace or "",
        "k8s.pod.name": workload.pod or "",
        "k8s.pod.uid": workload.pod_uid or "",
        "k8s.container.name" if in_kubernetes else "container.name": workload.container_name or "",
        "container.id": workload.container_id or "",
        "host.name": node.host,
        "host.id": node.node_id if node.node_id and node.node_id != node.host else "",
    }
    if owner and owner.kind in _OWNERS:
        found[_OWNERS[owner.kind]] = owner.name
    elif owner and (owner.kind, owner.name) != ("Pod", workload.pod):
        found |= {"kubearmor.owner.kind": owner.kind, "kubearmor.owner.name": owner.name}
    if owner and owner.namespace != workload.namespace:
        found["kubearmor.owner.namespace"] = owner.namespace
    if workload.image:
        found |= _image_attributes(workload.image)
    if labels:
        prefix = "k8s.pod.label" if in_kubernetes else "container.label"
        found |= {f"{prefix}.{key}": value for key, value in workload.labels.items()}
    return _present(found)


def _service_name(workload: Workload, from_labels: bool) -> str:
    """By the rules of the conventions for Kubernetes; what the host does is told as the agent's own."""
    if workload.is_host:
        return _OWN_SERVICE
    labelled = [workload.labels.get(label) for label in _SERVICE_LABELS] if from_labels else []
    owner = workload.owner
    owned = owner.name if owner and owner.kind in _OWNERS else None
    names = (*labelled, owned, workload.pod, workload.container_name)
    return next(filter(None, names), _UNKNOWN_SERVICE)


def _instance(workload: Workload) -> str:
    parts = (workload.namespace, workload.pod, workload.container_name)
    return ".".join(map(str, parts)) if all(parts) else ""


def _image_attributes(image: str) -> Attributes:
    """``registry/path/name:tag@sha256:…``, of which only the name must be there; or an ID alone."""
    if image.startswith("sha256:"):
        return {"container.image.id": image}
    tagged, _, digest = image.partition("@")
    path, slash, last = tagged.rpartition("/")
    last, _, tag = last.partition(":")  # before the last slash, a colon is that of a port
    name = f"{path}{slash}{last}"
    return {
        "container.image.name": name,
        "container.image.tags": (tag,) if tag else (),
        "container.image.repo_digests": (f"{name}@{digest}",) if digest else (),
    }


def process_attributes(event: Event) -> Attributes:
    """Who acted: the same for nearly everything that one process does."""
    process = event.process
    command_line = command_line_of(event)
    known = {"", event.parent_executable, command_line}
    found = _present(
        {
            "process.executable.path": process.executable,
            "process.executable.name": process.executable.rpartition("/")[2],
            "process.command_line": command_line,
            "process.working_directory": event.cwd.rstrip("/") or event.cwd[:1],
            "process.real_user.name": event.user or "",
            "kubearmor.process.parent.executable.path": event.parent_executable or "",
            "kubearmor.source": event.source if event.source not in known else "",
            "kubearmor.tty": event.tty or "",
            "kubearmor.exec.id": event.exec_session.id if event.exec_session else "",
            "kubearmor.exec.comm": event.exec_session.command if event.exec_session else "",
        }
    )
    if event.host_pid:  # 0: nobody acted, as with a device
        found["process.pid"] = event.host_pid
    if event.pid:
        found["process.vpid"] = event.pid
    found |= {
        "process.parent_pid": event.host_ppid,
        "kubearmor.process.parent_vpid": event.ppid,
        "process.real_user.id": event.uid,
    }
    if event.tty:
        found["process.interactive"] = True
    if process.deleted:
        found["kubearmor.process.executable.deleted"] = True
    return found


def command_line_of(event: Event) -> str:
    """Of who acts. KubeArmor's own logs tell it as what is executed, or else as the source."""
    if event.process.command_line:
        return event.process.command_line
    return (event.resource or "") if event.operation == Operation.PROCESS else event.source


# What was done


def act_attributes(event: Event) -> Attributes:
    """What sort of event it is, and what the kernel answered: the same for many events of many processes."""
    found: Attributes = {
        "kubearmor.type": type_name(event),
        "kubearmor.operation": operation_name(event),
        "kubearmor.result": result_name(event),
    }
    if event.data:
        found["kubearmor.data"] = event.data
    if event.error:
        found["error.type"] = errno.errorcode.get(event.error, "_OTHER")
    return found


def details_attributes(event: Event) -> Attributes:
    """How it was done, as named values."""
    return {f"kubearmor.event_data.{key.lower()}": value for key, value in event.details.items()}


def object_attributes(event: Event) -> Attributes:
    """What was acted upon."""
    resource = event.resource
    found: Attributes = {"kubearmor.resource": resource} if resource else {}
    match event.operation:
        case Operation.FILE if resource:
            found["file.path"] = resource
            name = resource.rpartition("/")[2]
            if name:
                found["file.name"] = name
        case Operation.NETWORK:
            found |= network_attributes(resource or "", event.details)
        case Operation.CAPABILITIES if resource:
            found["kubearmor.capability"] = resource
    return found


def verdict_attributes(verdict: Verdict) -> Attributes:
    """What was decided, by whose rule."""
    return _present(
        {
            "kubearmor.action": verdict.action,
            "kubearmor.enforcer": verdict.enforcer,
            "security_rule.name": verdict.policy,
            "security_rule.description": verdict.message,
            "kubearmor.tags": verdict.tags,
        }
    )


def own_attributes(event: Event) -> Attributes:
    """What no other event has: its ID, and how many alerts it stands for."""
    found: Attributes = {"log.record.uid": event.id}
    folded = event.folded
    if folded is not None:
        found |= {
            "kubearmor.folded.count": min(folded.count, _INT64_MAX),
            "kubearmor.folded.first_unix_nano": min(folded.first_ns, _INT64_MAX),
            "kubearmor.folded.last_unix_nano": min(folded.last_ns, _INT64_MAX),
        }
    return found


def relayed_attributes(relayed: Relayed) -> Attributes:
    """What KubeArmor says besides."""
    found: Attributes = {
        "kubearmor.process.hash": relayed.process_hash,
        "kubearmor.parent.hash": relayed.parent_hash,
        "kubearmor.resource.hash": relayed.resource_hash,
        "kubearmor.hash_algorithm": relayed.hash_algorithm,
        "kubearmor.throttle.max_per_second": relayed.max_alerts_per_s,
        "kubearmor.throttle.interval_s": relayed.throttled_s,
        "kubearmor.cluster_id": relayed.cluster_id,
        "kubearmor.component_name": relayed.component_name,
        "kubearmor.tenant_id": relayed.tenant_id,
    }
    return _present(found)


def _present(attributes: Attributes) -> Attributes:
    """Those that say something: for those of which nothing and 0 are the same."""
    return {key: value for key, value in attributes.items() if value}


# The record itself


def time_of(event: Event) -> int:
    """Nanoseconds since the Unix epoch; 0 if nobody knows, or OTLP cannot say."""
    return event.time_ns if event.time_ns <= _UINT64_MAX else 0


def scope_of(event: Event) -> tuple[str, str]:
    """Name and version of who tells: ours, or KubeArmor's if it said its version."""
    relayed = event.relayed
    return ("kubearmor", relayed.version) if relayed and relayed.version else OWN_SCOPE


def severity_of(event: Event) -> int:
    """OpenTelemetry's number: 9 or 10 (INFO) of a log, and of an alert 10 more than KubeArmor's severity.

    So alerts begin at 11, warnings at 13 and errors at 17; whether it was blocked does not make it more severe.
    """
    if _tells_of_throttling(event):
        return 17
    return min(severity(event), 10) + (8 if event.verdict is None else 10)


def _tells_of_throttling(event: Event) -> bool:
    """Whether it is KubeArmor's notice that it drops alerts from now on."""
    return event.relayed is not None and event.relayed.operation == "AlertThreshold"


def body_of(event: Event) -> str:
    """One line for people: the policy's own words, or who did what to what."""
    verdict = event.verdict
    if verdict is not None and verdict.message:
        return printable_text(verdict.message)
    action = f"{verdict.action} " if verdict and verdict.action else ""
    what = event.resource or event.data
    if len(what) > _BODY_LENGTH:
        what = f"{what[:_BODY_LENGTH]}…"
    what = f" {what}" if what else ""
    who = event.process.executable or f"process {event.host_pid}"
    return printable_text(f"{action}{operation_name(event)}{what} by {who}: {result_name(event)}")


def name_of(event: Event) -> str:
    """The event name: what sort of event it is, ``kubearmor.file.alert``."""
    if _tells_of_throttling(event):
        return "kubearmor.agent.throttled"
    relayed = event.relayed
    operation = (relayed.operation.lower() if relayed else "") or _OPERATIONS[event.operation]
    return f"kubearmor.{operation}.{'alert' if event.is_alert else 'log'}"
