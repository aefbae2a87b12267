"""Elastic Common Schema, as Elasticsearch and OpenSearch read it: one JSON object an event, for bulk or a file."""

import errno
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final, NamedTuple

import msgspec

from hauberk.abi import Operation
from hauberk.formats import Format
from hauberk.formats.fragments import Fields, encode, inside, joined, some
from hauberk.formats.frames import ByProcess, ByWorkload
from hauberk.formats.image import image_of
from hauberk.formats.names import (
    base_name,
    call_name,
    class_name,
    is_execution,
    operation_name,
    result_name,
)
from hauberk.formats.network import NO_FLOW, Endpoint, Flow, flow_of
from hauberk.formats.printable import printable_json
from hauberk.formats.severity import severity
from hauberk.formats.techniques import techniques
from hauberk.model.event import Event, Folded, Relayed
from hauberk.model.policy import Action, Verdict

_VERSION: Final = "9.4.0"
_KEPT: Final = 4096
_SHORT: Final = 512
"""Longer texts are not kept for the next time: they seldom come again, and many of them are much memory."""

# as plain numbers: looking up the member of an enum costs more than what it is compared with
_FILE: Final = int(Operation.FILE)
_NETWORK: Final = int(Operation.NETWORK)

_CATEGORIES: Final = {
    Operation.PROCESS: "process",
    Operation.FILE: "file",
    Operation.NETWORK: "network",
    Operation.SYSCALL: "process",
    Operation.CAPABILITIES: "process",
}
_OF_DECISIONS: Final = "intrusion_detection"
"""Of alerts: what was allowed or denied is no type of a process or a file."""

_CREATES: Final = {"creat", "mkdir", "mkdirat", "mknod", "mknodat", "link", "linkat", "symlink", "symlinkat",
                   "file_mknod", "file_mkdir", "file_link", "file_symlink"}  # fmt: skip
_DELETES: Final = {"unlink", "unlinkat", "rmdir", "file_unlink", "file_rmdir"}
_OPENS: Final = {"open", "openat", "openat2", "file_open"}
_CONNECTS: Final = {
    "connect",
    "accept",
    "accept4",
    "tcp_connect",
    "tcp_accept",
    "socket_connect",
    "socket_accept",
}
_DENIED: Final = (errno.EPERM, errno.EACCES)


class Ecs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of this format."""

    def make(self) -> Format:
        return Format(_Writer().encode, "application/x-ndjson")


class _Frame(NamedTuple):
    """What nearly all events of one process have in common."""

    process: bytes
    """Left open, for the command line."""

    user: bytes
    rest: bytes


class _Decision(NamedTuple):
    """The same of one verdict."""

    fields: bytes
    rest: bytes


_UNDECIDED: Final = _Decision(b"", b"")


class _Writer:
    """Writes events."""

    def __init__(self) -> None:
        self._acting = ByProcess(partial(_frame, executes=False))
        self._executing = ByProcess(partial(_frame, executes=True))
        self._places = ByWorkload(_where)
        self._kinds: dict[tuple[object, ...], bytes] = {}

    def encode(self, event: Event) -> bytes:
        """One object."""
        verdict, executes = event.verdict, is_execution(event)
        frame = (self._executing if executes else self._acting).of(event)
        decision = _decision(verdict) if verdict else _UNDECIDED
        command = encode(event.resource) if executes and event.resource else b""
        second, rest_ns = divmod(event.time_ns, 1_000_000_000)
        return printable_json(
            b"{"
            + joined(
                b'"@timestamp":"%b.%06dZ","ecs":{"version":"%b"}'
                % (_second(second), rest_ns // 1000, _VERSION.encode()),
                b'"event":{%b}'
                % joined(
                    self._kind(event),
                    b'"id":' + encode(event.id),
                    inside(_spans(event)) if event.folded else b"",
                ),
                b'"process":{%b}' % joined(frame.process, b'"command_line":' + command if command else b""),
                frame.user,
                _object(event),
                self._places.of(event),
                decision.fields,
                b'"kubearmor":{%b}' % joined(_rest(event), frame.rest, decision.rest),
            )
            + b"}"
        )

    def _kind(self, event: Event) -> bytes:
        """What sort of event it is, and how it ended."""
        verdict = event.verdict
        call = call_name(event)
        key = (
            event.operation,
            call,
            call in _OPENS and "O_CREAT" in event.details.get("flags", ""),
            event.error,
            event.workload.container_id is None,
            event.relayed,
            verdict and (verdict.action, verdict.severity, verdict.enforcer),
        )
        known = self._kinds.get(key)
        if known is not None:
            return known
        if len(self._kinds) >= _KEPT:
            self._kinds.clear()
        is_own = not (event.relayed and event.relayed.operation)
        denied = event.error in _DENIED or (verdict is not None and verdict.action == Action.BLOCK)
        categories = [_CATEGORIES[event.operation] if is_own else "host"]
        if verdict:
            categories.append(_OF_DECISIONS)
        types = [_type(event, call) if is_own else "info"]
        if verdict or (denied and categories == ["network"]):
            types.append("denied" if denied else "allowed")
        fields: Fields = {
            "kind": "alert" if verdict else "event",
            "category": categories,
            "type": types,
            "module": "kubearmor",
            "dataset": "kubearmor.alerts" if verdict else "kubearmor.logs",
            "code": class_name(event),
            "outcome": "failure" if event.error else "success",
        } | some({"action": call})
        if event.error:
            fields["reason"] = result_name(event)
        if verdict:
            fields["severity"] = severity(event)
            fields |= some({"provider": verdict.enforcer})
        known = self._kinds[key] = inside(fields)
        return known


@lru_cache(maxsize=64)
def _second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19].encode()


# Who and where


def _frame(event: Event, *, executes: bool) -> _Frame:
    relayed = event.relayed
    parent = {"pid": event.host_ppid} | _image(event.parent_executable or "")
    process = {"pid": event.host_pid, "vpid": event.pid} | _image(event.process.executable)
    if relayed:
        process |= some({"hash": some({"sha256": relayed.process_hash})})
        parent |= some({"hash": some({"sha256": relayed.parent_hash})})
    if not executes:  # of what is executed it comes with each event
        process |= some({"command_line": event.source})
    process |= some({"working_directory": event.cwd}) | {
        "interactive": event.tty is not None,
        "parent": parent,
    }
    session = event.exec_session
    rest = {"ppid": event.ppid} | some(
        {
            "source": event.source if executes else "",
            "tty": event.tty,
            "exec_id": session and session.id,
            "exec_comm": session and session.command,
        }
    )
    user = {"user": {"id": str(event.uid)} | some({"name": event.user})}
    return _Frame(inside(process), inside(user), inside(rest))


def _image(path: str) -> Fields:
    return {"executable": path, "name": base_name(path)} if path else {}


def _where(event: Event) -> bytes:
    node, workload = event.node, event.workload
    fields: Fields = {"host": {"name": node.host, "hostname": node.host} | some({"id": node.node_id})}
    labels = [f"{key}={value}" for key, value in workload.labels.items()]
    if not workload.is_host:
        image = image_of(workload.image or "")
        named = image and some(
            {
                "name": image.name,
                "tag": [image.tag] if image.tag else [],
                "hash": {"all": [image.digest]} if image.digest else {},
            }
        )
        fields["container"] = some(
            {"id": workload.container_id, "name": workload.container_name, "image": named}
        )
    if workload.pod or workload.namespace:
        owner = workload.owner
        resource = {"type": "pod"} | some(
            {
                "name": workload.pod,
                "id": workload.pod_uid,
                "label": labels,
                "parent": owner and {"type": owner.kind},
            }
        )
        fields["orchestrator"] = {"type": "kubernetes", "resource": resource} | some(
            {"namespace": workload.namespace, "cluster": {"name": node.cluster}}
        )
    elif labels and "container" in fields:
        fields["container"]["labels"] = workload.labels
    return inside(fields)


# What was done


def _type(event: Event, call: str) -> str:
    match event.operation:
        case Operation.PROCESS:
            return "start" if is_execution(event) or call == "fork" else "end" if call == "exit" else "info"
        case Operation.FILE if call in _OPENS:
            return "creation" if "O_CREAT" in event.details.get("flags", "") else "access"
        case Operation.FILE:
            return "creation" if call in _CREATES else "deletion" if call in _DELETES else "change"
        case Operation.NETWORK:
            return "connection" if call in _CONNECTS else "protocol" if "qtype" in event.details else "info"
        case _:
            return "info"


def _spans(event: Event) -> Fields:
    """From when to when the alerts were that this one stands for."""
    folded = event.folded
    return {} if folded is None else {"start": _moment(folded.first_ns), "end": _moment(folded.last_ns)}


def _moment(time_ns: int) -> str:
    second, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{_second(second).decode()}.{rest_ns // 1000:06d}Z"


def _object(event: Event) -> bytes:
    """What was acted upon."""
    if event.relayed and event.relayed.operation:
        return b""
    if event.operation == _FILE:
        path = event.resource or ""
        of = _known_file if len(path) <= _SHORT else _file
        return of(path, event.relayed.resource_hash if event.relayed else "")
    if event.operation == _NETWORK:
        flow = flow_of(event)
        return _network(flow) if flow is not NO_FLOW else b""
    return b""


def _file(path: str, hashed: str) -> bytes:
    if not path:
        return b""
    return inside(
        {"file": {"path": path, "name": base_name(path)} | some({"hash": some({"sha256": hashed})})}
    )


_known_file: Final = lru_cache(maxsize=8192)(_file)


@lru_cache(maxsize=8192)
def _network(flow: Flow) -> bytes:
    destination = _endpoint(flow.destination)
    if flow.path:
        destination["address"] = flow.path
    network = some(
        {
            "transport": flow.transport if flow.transport != "unix" else "",
            "type": flow.family,
            "direction": {"inbound": "ingress", "outbound": "egress"}.get(flow.direction),
            "protocol": "dns" if flow.domain else "",
        }
    )
    return inside(
        some(
            {
                "source": _endpoint(flow.source),
                "destination": destination,
                "network": network,
                "dns": {"question": {"name": flow.domain}} if flow.domain else {},
            }
        )
    )


def _endpoint(endpoint: Endpoint) -> Fields:
    return some({"address": endpoint.address, "ip": endpoint.address, "port": endpoint.port})


def _rest(event: Event) -> bytes:
    resource = event.resource or ""
    if event.operation == _FILE or is_execution(event):  # there it has a field
        resource = ""
    of = _known_call if len(event.data) + len(resource) <= _SHORT else _call
    return of(operation_name(event), event.data, resource, event.error, event.folded, event.relayed)


def _call(
    operation: str, data: str, resource: str, error: int, folded: Folded | None, relayed: Relayed | None
) -> bytes:
    fields: Fields = {
        "operation": operation,
        "data": data,
        "resource": resource,
        "error": errno.errorcode.get(error, str(error)) if error else "",
        "folded": folded.count if folded else 0,
    }
    if relayed:
        fields |= {
            "version": relayed.version,
            "max_alerts_per_sec": relayed.max_alerts_per_s,
            "dropping_alerts_interval": relayed.throttled_s,
            "cluster_id": relayed.cluster_id,
            "component_name": relayed.component_name,
            "tenant_id": relayed.tenant_id,
        }
    return inside(some(fields))


_known_call: Final = lru_cache(maxsize=8192)(_call)


# What was decided


@lru_cache(maxsize=1024)
def _decision(verdict: Verdict) -> _Decision:
    found = list(techniques(verdict.tags))
    fields = some(
        {
            "message": verdict.message,
            "tags": list(verdict.tags),
            "rule": some({"name": verdict.policy, "description": verdict.message}),
            "threat": {"framework": "MITRE ATT&CK", "technique": {"id": found}} if found else {},
        }
    )
    return _Decision(inside(fields), inside(some({"action": verdict.action})))
