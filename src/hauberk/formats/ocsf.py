"""Open Cybersecurity Schema Framework, as data lakes and SIEMs read it: one JSON object an event.

Each operation is a class of its own: Process Activity, File System Activity, Network Activity, Kernel Activity. An alert
is the same event with the profile `security_control`, as the schema itself recommends; or, for receivers that look for
findings only, a Detection Finding around it. What the schema has no attribute for is in `unmapped`.
"""

import errno
import re
from functools import lru_cache, partial
from typing import Final, Literal, NamedTuple

import msgspec

from hauberk import __version__
from hauberk.abi import Operation
from hauberk.formats import Format
from hauberk.formats.fragments import Fields, encode, inside, joined, some
from hauberk.formats.frames import ByProcess, ByWorkload
from hauberk.formats.image import Image, image_of
from hauberk.formats.names import base_name, call_name, class_name, is_execution, operation_name, result_name
from hauberk.formats.network import NO_FLOW, Endpoint, Flow, flow_of
from hauberk.formats.printable import printable_json
from hauberk.formats.severity import severity
from hauberk.formats.techniques import techniques
from hauberk.model.event import Event, Relayed
from hauberk.model.policy import Action, Verdict
from hauberk.model.workload import Workload

_PROCESS, _FILE, _NETWORK, _KERNEL, _FINDING, _OTHER = 1007, 1001, 4001, 1003, 2004, 0
"""`class_uid`; its thousands are the category."""

# as plain numbers: looking up the member of an enum costs more than what it is compared with
_FILE_OPERATION: Final = int(Operation.FILE)
_NETWORK_OPERATION: Final = int(Operation.NETWORK)

_INFORMATIONAL: Final = 1
_ELSE: Final = 99
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KEPT: Final = 4096
_SHORT: Final = 512
"""Longer texts are not kept for the next time: they seldom come again, and many of them are much memory."""

# activities
_LAUNCH, _TERMINATE, _OPEN_PROCESS, _SET_USER = 1, 2, 3, 5
_FILE_ACTIVITIES: Final = {
    "openat": 14, "open": 14, "openat2": 14, "file_open": 14,
    "creat": 1, "mkdir": 1, "mkdirat": 1, "mknod": 1, "mknodat": 1, "link": 1, "linkat": 1, "symlink": 1, "symlinkat": 1,
    "file_mknod": 1, "file_mkdir": 1, "file_link": 1, "file_symlink": 1,
    "truncate": 3, "ftruncate": 3, "file_permission": 3, "file_truncate": 3,
    "unlink": 4, "unlinkat": 4, "rmdir": 4, "file_unlink": 4, "file_rmdir": 4,
    "rename": 5, "renameat": 5, "renameat2": 5, "file_rename": 5,
    "chmod": 7, "fchmod": 7, "fchmodat": 7, "fchmodat2": 7, "chown": 7, "lchown": 7, "fchown": 7, "fchownat": 7,
    "file_chmod": 7, "file_chown": 7,
}  # fmt: skip
_CREATE, _OPEN_FILE = 1, 14
_FILE_OPENS: Final = {call for call, activity in _FILE_ACTIVITIES.items() if activity == _OPEN_FILE}
_FOLDERS: Final = {"mkdir", "mkdirat", "rmdir", "file_mkdir", "file_rmdir"}
_OPENS: Final = {
    "connect",
    "accept",
    "accept4",
    "tcp_connect",
    "tcp_accept",
    "socket_connect",
    "socket_accept",
}
_LISTENS: Final = {"listen", "socket_listen"}
_SETS_USER: Final = {"setuid", "setreuid", "setresuid", "setfsuid"}
_OPEN, _FAIL, _REFUSE, _TRAFFIC, _LISTEN = 1, 4, 5, 6, 7
_INVOKE: Final = 4


class Ocsf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of this format."""

    version: Literal["1.6.0", "1.7.0", "1.8.0", "1.9.0"] = "1.9.0"
    """Of the schema. What is written is valid in all of these."""

    alerts: Literal["activity", "finding"] = "activity"
    """finding: alerts are Detection Findings."""

    def make(self) -> Format:
        return Format(_Writer(self).encode, "application/x-ndjson")


class _Frame(NamedTuple):
    """What nearly all events of one process have in common."""

    actor: bytes
    process: bytes
    unmapped: bytes


class _Place(NamedTuple):
    """The same of one workload."""

    device: bytes
    resources: bytes
    unmapped: bytes


class _Decision(NamedTuple):
    """The same of one verdict."""

    fields: bytes
    finding: bytes
    unmapped: bytes


_UNDECIDED: Final = _Decision(b"", b"", b"")


class _Writer:
    """Writes events with one set of settings."""

    def __init__(self, settings: Ocsf) -> None:
        self._version = settings.version
        self._finds = settings.alerts == "finding"
        self._acting = ByProcess(partial(_frame, executes=False))
        self._executing = ByProcess(partial(_frame, executes=True))
        self._places = ByWorkload(_place)
        self._heads: dict[tuple[object, ...], bytes] = {}
        self._known_decision = lru_cache(maxsize=1024)(_decision)

    def encode(self, event: Event) -> bytes:
        """One object."""
        verdict = event.verdict
        executes = is_execution(event)
        flow = flow_of(event) if event.operation == _NETWORK_OPERATION else NO_FLOW
        frame = (self._executing if executes else self._acting).of(event)
        place = self._places.of(event)
        decision = self._known_decision(verdict) if verdict else _UNDECIDED
        target = _target(event, executes, frame, flow)
        if verdict and self._finds:
            finding = inside({"uid": event.id, "created_time": event.time_ns // 1_000_000})
            evidence = joined(frame.actor, b"" if target.startswith(b'"kernel"') else target)
            body = (
                b'"finding_info":{' + joined(finding, decision.finding) + b"}",
                b'"evidences":[{' + evidence + b"}]",
                place.resources,
                inside(_counts(event)),
            )
        else:
            body = (frame.actor, target, b"", inside(_counts(event)) if event.folded else b"")
        unmapped = joined(_unmapped(event), frame.unmapped, place.unmapped, decision.unmapped)
        return printable_json(
            b"{"
            + joined(
                self._head(event, executes, flow),
                b'"uid":%b},"time":%d' % (encode(event.id), event.time_ns // 1_000_000),
                *body,
                place.device,
                decision.fields,
                b'"unmapped":{' + unmapped + b"}",
            )
            + b"}"
        )

    def _head(self, event: Event, executes: bool, flow: Flow) -> bytes:
        """Class, activity, severity and status; and the metadata, which is left open for the ID."""
        verdict = event.verdict
        call = call_name(event)
        key = (
            event.operation,
            executes,
            call,
            call in _FILE_OPENS and "O_CREAT" in event.details.get("flags", ""),
            flow.domain != "",
            event.workload.container_id is None,
            event.error,
            event.relayed,
            verdict and (verdict.action, verdict.severity),
        )
        known = self._heads.get(key)
        if known is not None:
            return known
        if len(self._heads) >= _KEPT:
            self._heads.clear()
        of_class, number = (_FINDING, 1) if verdict and self._finds else _activity(event, executes, flow)
        fields: Fields = {
            "class_uid": of_class,
            "category_uid": of_class // 1000,
            "activity_id": number,
            "type_uid": of_class * 100 + number,
            "severity_id": _severity(event),
            "status_id": 2 if event.error else 1,
        }
        if number == _ELSE:  # the schema wants a name for what it has no number for
            fields["activity_name"] = call or operation_name(event)
        if event.error:
            fields["status_code"] = errno.errorcode.get(event.error, str(event.error))
            fields["status_detail"] = result_name(event)
        if verdict:
            is_block = verdict.action == Action.BLOCK
            fields |= {
                "is_alert": True,
                "action_id": 2 if is_block else 3,
                "disposition_id": 2 if is_block else 15,
            }
        metadata: Fields = {
            "version": self._version,
            "product": {"name": "Hauberk", "vendor_name": "Hauberk", "version": __version__},
            "profiles": [
                "host",
                *(["container"] if not event.workload.is_host else []),
                *(["security_control"] if verdict else []),
            ],
            "event_code": class_name(event),
        }
        if event.relayed and event.relayed.tenant_id:
            metadata["tenant_uid"] = event.relayed.tenant_id
        head = self._heads[key] = b'%b,"metadata":{%b' % (inside(fields), inside(metadata))
        return head


# Who and where


def _frame(event: Event, *, executes: bool) -> _Frame:
    """Who executes is the parent, and the process is what it acts on; else the process acts."""
    user = some({"name": event.user}) | {"uid": str(event.uid)}
    name, parent = event.process.executable, event.parent_executable or ""
    above: Fields = {"pid": event.host_ppid} | _image_file(parent)
    relayed = event.relayed
    process: Fields = {"pid": event.host_pid} | _image_file(name)
    if relayed and _HEX.fullmatch(relayed.process_hash) and "file" in process:
        process["file"]["hashes"] = [
            {"algorithm_id": 3, "algorithm": "SHA-256", "value": relayed.process_hash}
        ]
    process |= some({"working_directory": event.cwd}) | {"user": user}
    if not event.workload.is_host:
        process |= {"namespace_pid": event.pid, "container": _container(event.workload)}
    session = event.exec_session
    unmapped: Fields = some(
        {
            "Source": event.source,
            "TTY": event.tty,
            "ExecID": session and session.id,
            "ExecComm": session and session.command,
        }
    )
    if not event.workload.is_host:
        unmapped["PPID"] = event.ppid
    if executes:
        actor = {"process": above, "user": user}
        return _Frame(inside({"actor": actor}), inside(process | {"parent_process": above}), inside(unmapped))
    acting = process | some({"cmd_line": event.source}) | {"parent_process": above}
    unmapped.pop("Source", None)
    return _Frame(inside({"actor": {"process": acting, "user": user}}), inside(process), inside(unmapped))


def _image_file(path: str) -> Fields:
    """The name of a process, and the file that it runs."""
    if not path:
        return {}
    name = base_name(path)
    return {"name": name, "path": path, "file": {"name": name, "path": path, "type_id": 1}}


def _container(workload: Workload) -> Fields:
    image = image_of(workload.image or "")
    container = {"uid": workload.container_id or ""} | some(
        {
            "name": workload.container_name,
            "image": image and _image(image),
            "orchestrator": "Kubernetes" if workload.pod else "",
            "labels": [f"{key}={value}" for key, value in workload.labels.items()],
        }
    )
    if workload.pod_uid and _UUID.fullmatch(workload.pod_uid):
        container["pod_uuid"] = workload.pod_uid
    return container


def _image(image: Image) -> Fields:
    return {"uid": image.digest or image.text} | some({"name": image.name, "tag": image.tag})


def _place(event: Event) -> _Place:
    node, workload = event.node, event.workload
    device = {"hostname": node.host, "name": node.host, "type_id": 1} | some({"uid": node.node_id})
    owner = workload.owner
    unmapped: Fields = some(
        {
            "ClusterName": node.cluster,
            "NamespaceName": workload.namespace,
            "PodName": workload.pod,
            "OwnerRef": owner and owner.kind,
            "OwnerName": owner and owner.name,
        }
    )
    if workload.is_host:
        resource = {"type": "Host", "name": node.host} | some({"uid": node.node_id})
    else:
        resource = {
            "type": "Container",
            "uid": workload.container_id or "",
            "name": workload.pod or workload.container_name or workload.container_id or "",
        } | some({"namespace": workload.namespace})
    return _Place(inside({"device": device}), inside({"resources": [resource]}), inside(unmapped))


# What was done


def _activity(event: Event, executes: bool, flow: Flow) -> tuple[int, int]:
    """Class and activity."""
    if event.relayed and event.relayed.operation:
        return _OTHER, _ELSE
    call = call_name(event)
    match event.operation:
        case Operation.PROCESS:
            if executes:
                return _PROCESS, _LAUNCH
            return _PROCESS, {"exit": _TERMINATE, "ptrace": _OPEN_PROCESS}.get(call, _ELSE)
        case Operation.FILE:
            number = _FILE_ACTIVITIES.get(call, _ELSE)
            if number == _OPEN_FILE and "O_CREAT" in event.details.get("flags", ""):
                number = _CREATE
            return _FILE, number
        case Operation.NETWORK:
            return _NETWORK, _network_activity(event, call, flow)
        case Operation.SYSCALL if call in _SETS_USER:
            return _PROCESS, _SET_USER
        case _:
            return _KERNEL, _INVOKE


def _network_activity(event: Event, call: str, flow: Flow) -> int:
    if flow.domain:
        return _TRAFFIC
    if call in _LISTENS:
        return _LISTEN
    if call not in _OPENS:
        return _ELSE
    if event.error == errno.ECONNREFUSED:
        return _REFUSE
    return _FAIL if event.error else _OPEN


def _target(event: Event, executes: bool, frame: _Frame, flow: Flow) -> bytes:
    """What was acted upon, by the attribute of its class."""
    resource = event.resource or ""
    if event.relayed and event.relayed.operation:
        return b""
    if event.operation == _FILE_OPERATION:
        hashed = event.relayed.resource_hash if event.relayed else ""
        of = _known_file if len(resource) <= _SHORT else _file
        return of(resource, call_name(event) in _FOLDERS, hashed if _HEX.fullmatch(hashed) else "")
    match event.operation:
        case Operation.PROCESS if executes:
            return b'"process":{%b}' % joined(frame.process, b'"cmd_line":' + encode(resource))
        case Operation.PROCESS if (pid := event.details.get("pid", "")).isdecimal() and resource:
            return inside({"process": {"pid": int(pid[:10])} | _image_file(resource)})
        case Operation.PROCESS:
            return b'"process":{%b}' % frame.process
        case Operation.NETWORK:
            return _network(flow, event.node.host)
        case Operation.SYSCALL if call_name(event) in _SETS_USER:
            return b'"process":{%b}' % frame.process
        case _:
            return _kernel(event.operation, event.details.get("capability") or call_name(event), resource)


def _file(path: str, is_folder: bool, hashed: str) -> bytes:
    file: Fields = {"name": base_name(path) or path or "unknown", "type_id": 2 if is_folder else 0}
    file |= some({"path": path})
    if hashed:
        file["hashes"] = [{"algorithm_id": 3, "algorithm": "SHA-256", "value": hashed}]
    return inside({"file": file})


_known_file: Final = lru_cache(maxsize=8192)(_file)


@lru_cache(maxsize=8192)
def _network(flow: Flow, host: str) -> bytes:
    here = {"hostname": host, "name": host}
    source, destination = _endpoint(flow.source), _endpoint(flow.destination)
    if flow.direction == "inbound":
        destination |= here
    else:
        source |= here
    if flow.path:
        destination["name"] = flow.path
    if flow.domain:
        destination["svc_name"] = "DNS"
    fields = some({"src_endpoint": source, "dst_endpoint": destination})
    connection: Fields = {"direction_id": {"inbound": 1, "outbound": 2}.get(flow.direction, 0)}
    connection |= some(
        {"protocol_name": flow.transport, "protocol_ver_id": {"ipv4": 4, "ipv6": 6}.get(flow.family)}
    )
    return inside(fields | {"connection_info": connection})


def _endpoint(endpoint: Endpoint) -> Fields:
    return some({"ip": endpoint.address, "port": endpoint.port})


@lru_cache(maxsize=1024)
def _kernel(operation: Operation, name: str, resource: str) -> bytes:
    is_call = operation == Operation.SYSCALL
    kernel = {"name": name or resource or "unknown", "type_id": 2 if is_call else _ELSE}
    if not is_call:
        kernel["type"] = "Capability"
    elif name:
        kernel["system_call"] = name
    return inside({"kernel": kernel | (some({"path": resource}) if is_call else {})})


def _unmapped(event: Event) -> bytes:
    operation, resource = event.operation, event.resource or ""
    if operation <= _FILE_OPERATION:  # of a process or a file it has an attribute
        resource = ""
    of = _known_call if len(event.data) + len(resource) <= _SHORT else _call
    return of(operation_name(event), event.data, resource, event.relayed)


def _call(operation: str, data: str, resource: str, relayed: Relayed | None) -> bytes:
    fields: Fields = {"Operation": operation, "Data": data, "Resource": resource}
    if relayed:
        fields |= {
            "KubeArmorVersion": relayed.version,
            "ProcessHash": relayed.process_hash,
            "ParentHash": relayed.parent_hash,
            "ResourceHash": relayed.resource_hash,
            "HashAlgo": relayed.hash_algorithm,
            "MaxAlertsPerSec": relayed.max_alerts_per_s,
            "DroppingAlertsInterval": relayed.throttled_s,
            "cluster_id": relayed.cluster_id,
            "component_name": relayed.component_name,
        }
    return inside(some(fields))


_known_call: Final = lru_cache(maxsize=8192)(_call)


def _counts(event: Event) -> Fields:
    """How many alerts this one stands for."""
    folded = event.folded
    if folded is None:
        return {}
    return {
        "count": folded.count,
        "start_time": folded.first_ns // 1_000_000,
        "end_time": folded.last_ns // 1_000_000,
    }


# What was decided


def _severity(event: Event) -> int:
    """Low up to 3, medium up to 6, high up to 8, then critical; informational without a verdict."""
    if event.verdict is None:
        return _INFORMATIONAL
    number = severity(event)
    if number <= 3:
        return 2
    if number <= 6:
        return 3
    return 4 if number <= 8 else 5


def _decision(verdict: Verdict) -> _Decision:
    attacks = [
        {"technique": {"uid": each.partition(".")[0]}}
        | ({"sub_technique": {"uid": each}} if "." in each else {})
        for each in techniques(verdict.tags)
    ]
    fields = {"policy": {"name": verdict.policy}} | some({"message": verdict.message, "attacks": attacks})
    finding = {"title": verdict.policy, "analytic": {"type_id": 1, "name": verdict.policy}} | some(
        {"desc": verdict.message, "attacks": attacks}
    )
    unmapped: Fields = {"Enforcer": verdict.enforcer, "Action": verdict.action} | some(
        {"Tags": list(verdict.tags)}
    )
    if verdict.severity:
        unmapped["Severity"] = verdict.severity
    return _Decision(inside(fields), inside(finding), inside(unmapped))
