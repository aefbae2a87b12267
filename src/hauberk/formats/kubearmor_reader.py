"""KubeArmor's JSON to events: what its feed, its log file and we ourselves write, one object a line.

The spellings are

* the feed's, as `karmor logs --json` and the document have it: ``ClusterName``; by protobuf's own mapping to JSON,
  with large numbers as strings;
* the log file's (`logPath`): ``clusterName``, ``hostPPid``, ``"atags":null``;
* of `EventData`, the document's and ours (``"syscall":"openat"``) and KubeArmor's (``"Syscall":"SYS_OPENAT"``), or none,
  which is then made of `Data` and `Resource`.

An event says the same whichever way it was spelled. What it has no place for is in `Relayed`; what it loses is in
docs/convert.md. A field of a wrong type costs itself only: `Relayed.unread` names it.
"""

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias, cast

import msgspec
from msgspec import Meta

from hauberk.abi import Operation
from hauberk.errors import DecodeError
from hauberk.formats.names import OPERATIONS
from hauberk.formats.results import PASSED, error_number, result_text
from hauberk.model.event import Event, Folded, Node, Relayed
from hauberk.model.policy import Verdict
from hauberk.model.process import ExecSession, Process
from hauberk.model.workload import Owner, Workload

_YEAR_9999: Final = 253_402_300_799
Seconds = Annotated[int, Meta(ge=0, le=_YEAR_9999)]
Number = Annotated[int, Meta(ge=-(1 << 31), lt=1 << 32)]
"""A PID or a UID. KubeArmor's UIDs are signed."""

Word = Annotated[str, Meta(pattern=r"^[A-Za-z]{0,32}$")]
"""A name of KubeArmor's own."""


_NOTHING: Final = msgspec.Raw(b"")
_CAPITALS: Final = {"id", "pid", "ppid", "tty", "uid"}


def _feed_name(field: str) -> str:
    if field in ("cluster_id", "component_name", "tenant_id"):
        return field
    return "".join(word.upper() if word in _CAPITALS else word.title() for word in field.split("_"))


class Line(msgspec.Struct, kw_only=True, rename=_feed_name, gc=False):
    """Everything that one line may say, by the feed's names."""

    timestamp: Seconds = 0
    updated_time: str = ""
    cluster_name: str = ""
    host_name: str = ""
    namespace_name: str = ""
    owner: msgspec.Raw = _NOTHING
    pod_name: str = ""
    labels: str = ""
    container_id: str = ""
    container_name: str = ""
    container_image: str = ""
    parent_process_name: str = ""
    process_name: str = ""
    host_ppid: Number = 0
    host_pid: Number = 0
    ppid: Number = 0
    pid: Number = 0
    uid: Number = 0
    policy_name: str = ""
    severity: str | int = ""
    tags: str = ""
    a_tags: tuple[str, ...] | None = None
    message: str = ""
    type: Word = ""
    source: str = ""
    operation: Word = ""
    resource: str = ""
    data: str = ""
    event_data: msgspec.Raw = _NOTHING
    enforcer: str = ""
    action: str = ""
    result: str = ""
    cwd: str = ""
    tty: str = ""
    max_alerts_per_sec: Number = 0
    dropping_alerts_interval: Number = 0
    exec_event: msgspec.Raw = _NOTHING
    kube_armor_version: str = ""
    node_id: str = ""
    process_hash: str = ""
    parent_hash: str = ""
    resource_hash: str = ""
    hash_algo: str = ""
    user_name: str = ""
    cluster_id: str = ""
    component_name: str = ""
    tenant_id: str = ""


_FILE_NAMES: Final = {
    "host_ppid": "hostPPid",
    "host_pid": "hostPid",
    "container_id": "containerID",
    "node_id": "nodeID",
    "user_name": "username",
    "a_tags": "atags",
    "max_alerts_per_sec": "MaxAlertsPerSec",
    "dropping_alerts_interval": "DroppingAlertsInterval",
    "ppid": "ppid",
    "pid": "pid",
    "uid": "uid",
    "tty": "tty",
}
"""What the log file spells in ways of its own."""


def _file_name(field: str) -> str:
    feed = _feed_name(field)
    return _FILE_NAMES.get(field) or feed[0].lower() + feed[1:]


_FileLine: Final = cast(
    type[Line],
    msgspec.defstruct(
        "_FileLine",
        [(field.name, field.type, field.default) for field in msgspec.structs.fields(Line)],
        rename=_file_name,
        kw_only=True,
        gc=False,
    ),
)

_read_feed: Final = msgspec.json.Decoder(Line, strict=False).decode
_read_file: Final = msgspec.json.Decoder(_FileLine, strict=False).decode


def read_line(line: bytes, fallback_ns: int = 0) -> Event:
    """The event of one line, which happened at `fallback_ns` if it does not say when.

    Raises DecodeError. Of the same line, the event has always the same ID.
    """
    is_of_file = line.startswith((b'{"timestamp"', b'{"updatedTime"'))
    first, second = (_read_file, _read_feed) if is_of_file else (_read_feed, _read_file)
    sequence = int.from_bytes(hashlib.sha256(line).digest()[:8])
    try:
        try:
            told = first(line)
            if not (told.operation or told.type):
                told = second(line)
            return _event(told, sequence, fallback_ns, ())
        except (msgspec.ValidationError, _WrongField):
            told, unread = _read_each(line)
            return _event(told, sequence, fallback_ns, unread)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DecodeError(f"no event of KubeArmor's: {error}") from None


class _WrongField(ValueError):
    """A field holds what it cannot."""


_OBJECTS: Final = ("owner", "event_data", "exec_event")
_FIELDS: Final = {
    name: field
    for kind in (_FileLine, Line)
    for field in msgspec.structs.fields(kind)
    for name in (field.encode_name, field.encode_name.lower())
}
"""By each spelling of their names."""

_Unread: TypeAlias = tuple[str, ...]


def _read_each(line: bytes) -> tuple[Line, _Unread]:
    """The fields of a line one by one; and why those that are missing could not be read."""
    given = msgspec.json.decode(line)
    if not isinstance(given, dict):
        raise ValueError("it is no object")
    read: dict[str, Any] = {}
    unread: list[str] = []
    for key, value in given.items():
        field = _FIELDS.get(key) or _FIELDS.get(key.lower())
        if field is None or value is None or field.name in read:
            continue
        try:
            if field.name in _OBJECTS:
                texts = _texts_within(value, unread, key)
                read[field.name] = msgspec.Raw(msgspec.json.encode(texts))
            else:
                read[field.name] = _value(field, value)
        except ValueError as error:  # msgspec's is one too
            unread.append(f"{key}: {error}")
    return Line(**read), tuple(unread)


def _texts_within(given: Any, unread: list[str], key: str) -> dict[str, str]:
    """The texts of an object; what else is in it goes to `unread`."""
    if not isinstance(given, dict):
        raise _WrongField(f"{type(given).__name__} is no object")
    texts = {}
    for name, value in given.items():
        try:
            if value is not None:
                texts[name] = _text(value)
        except _WrongField as error:
            unread.append(f"{key}.{name[:_LONG]}: {error}")
    return texts


_LONG: Final = 64
"""Of a name in a message, in characters."""


def _value(field: msgspec.structs.FieldInfo, value: Any) -> Any:
    if field.type is str:
        text = _text(value)
        if text and field.name == "updated_time":
            _moment(text)
        return text
    if field.name == "a_tags" and isinstance(value, list):
        return tuple(_text(each) for each in value if each is not None)
    read = msgspec.convert(value, field.type, strict=False)
    if field.name == "severity":
        _severity(read)
    return read


def _text(value: Any) -> str:
    """A value that should have been a text, if it has one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise _WrongField(f"{type(value).__name__} is no text")


def read_mapping(fields: Mapping[str, Any], fallback_ns: int = 0) -> Event:
    """The same for the fields of a line that was read before. Raises DecodeError."""
    try:
        line = msgspec.json.encode(fields, order="deterministic")
    except (TypeError, msgspec.MsgspecError) as error:
        raise DecodeError(f"no event of KubeArmor's: {error}") from None
    return read_line(line, fallback_ns)


_NUMBERS: Final = {name: Operation(number) for number, name in enumerate(OPERATIONS[: Operation.COUNT])}
_CONTAINER_TYPES: Final = {"ContainerLog", "MatchedPolicy"}
_HOST_TYPES: Final = {"HostLog", "MatchedHostPolicy"}
_LOG_TYPES: Final = {"ContainerLog", "HostLog"}
_ALERT_TYPES: Final = {"MatchedPolicy", "MatchedHostPolicy", "MatchedNetworkPolicy", "SystemEvent"}


def _event(told: Line, sequence: int, fallback_ns: int, unread: _Unread) -> Event:
    kind, operation = told.type, _NUMBERS.get(told.operation, Operation.SYSCALL)
    if not told.operation:
        if kind == "Message":
            raise ValueError("it is a message of the daemon")
        if not (kind or told.policy_name or told.process_name):
            raise ValueError("it names no Operation")
        if not any(each.lower().startswith("operation:") for each in unread):
            unread = (*unread, "Operation: missing")
    workload = _workload(
        (told.container_id or None) if kind not in _CONTAINER_TYPES else told.container_id,
        told.container_name,
        told.container_image,
        told.namespace_name,
        told.pod_name,
        told.labels,
        _owner(bytes(told.owner)),
    )
    # whatever a type is called that we do not know: what has a policy or an action was decided
    is_alert = kind in _ALERT_TYPES or (kind not in _LOG_TYPES and bool(told.policy_name or told.action))
    verdict = None
    if is_alert:
        tags = told.a_tags if told.a_tags else tuple(told.tags.split(",")) if told.tags else ()
        verdict = _verdict(told.policy_name, told.action, told.enforcer, told.severity, tags, told.message)
    details = _details(told, operation)
    executes = (
        operation == Operation.PROCESS and "tracepoint" not in details and details.get("syscall") != "ptrace"
    )
    error = 0 if told.result in (PASSED, "") else error_number(told.result)
    folded = None
    if is_alert and "folded" in details:
        details, folded = _unfold(details)
    return Event(
        _time(told, fallback_ns),
        operation,
        _node(told.host_name, told.cluster_name, told.node_id),
        workload,
        Process(told.host_pid, 0, 0, told.process_name, told.resource if executes else told.source),
        told.parent_process_name or None,
        told.host_pid,
        told.host_ppid,
        told.pid,
        told.ppid,
        told.uid & 0xFFFFFFFF,
        told.user_name or None,
        told.source,
        told.resource or None,
        told.data,
        details,
        error,
        told.cwd,
        told.tty or None,
        sequence,
        verdict,
        _session(bytes(told.exec_event)),
        folded,
        _relayed(told, workload, is_alert, error, unread),
    )


# Who and where


_node: Final = lru_cache(maxsize=1024)(lambda host, cluster, node_id: Node(host, cluster, node_id or None))


@lru_cache(maxsize=8192)
def _workload(
    container_id: str | None,
    name: str,
    image: str,
    namespace: str,
    pod: str,
    labels: str,
    owner: Owner | None,
) -> Workload:
    return Workload(
        container_id, name or None, image or None, namespace or None, pod or None, _labels(labels), owner
    )


def _labels(text: str) -> dict[str, str]:
    """Of ``a=1,b=2``, in its order. Nothing tells a comma in a value from one between labels, unless no name follows."""
    labels: dict[str, str] = {}
    key = waiting = ""
    for piece in text.split(",") if text else ():
        name, equals, value = f"{waiting}{piece}".partition("=")
        if equals and name not in labels:
            key, waiting = name, ""
            labels[key] = value
        elif labels:
            labels[key] += f",{piece}"
        else:
            waiting = f"{piece},"
    return labels


_texts_of: Final = msgspec.json.Decoder(dict[str, str] | None).decode


@lru_cache(maxsize=1024)
def _owner(told: bytes) -> Owner | None:
    names = (told and _texts_of(told)) or {}
    parts = [names.get(name) or names.get(name.lower()) or "" for name in ("Ref", "Name", "Namespace")]
    return Owner(*parts) if any(parts) else None


@lru_cache(maxsize=1024)
def _session(told: bytes) -> ExecSession | None:
    """Nothing of a process that nobody came in for: its ID is 0."""
    names = (told and _texts_of(told)) or {}
    number = names.get("ExecID", "")
    return ExecSession(number, names.get("ExecutableName", "")) if number not in ("", "0") else None


# When


def _time(told: Line, fallback_ns: int) -> int:
    text = told.updated_time
    if len(text) == 27 and text[26] == "Z" and text[19] == "." and (digits := text[20:26]).isdecimal():
        try:
            return _second(text[:19]) * 1_000_000_000 + int(digits) * 1000
        except ValueError:
            return _moment(text)
    if text:
        return _moment(text)
    return told.timestamp * 1_000_000_000 or fallback_ns


@lru_cache(maxsize=1024)
def _second(text: str) -> int:
    seconds = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    if seconds < 0:
        raise ValueError(text)
    return seconds


def _moment(text: str) -> int:
    """Of a time without zone, which is UTC then, or with other digits than KubeArmor's six."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _WrongField(f"{text!r} is no time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int(moment.replace(microsecond=0).timestamp())
    if seconds < 0:
        raise _WrongField(f"{text} is before 1970")
    return seconds * 1_000_000_000 + moment.microsecond * 1000


# What was decided


@lru_cache(maxsize=4096)
def _verdict(
    policy: str, action: str, enforcer: str, severity: str | int, tags: tuple[str, ...], message: str
) -> Verdict:
    return Verdict(
        policy=policy,
        action=action,
        enforcer=enforcer,
        severity=_severity(severity),
        tags=tags,
        message=message,
    )


def _severity(told: str | int) -> int:
    digits = str(told)
    number = (
        int(digits)
        if digits.isascii() and digits.isdecimal() and len(digits) < 4
        else 0
        if not digits
        else -1
    )
    if not 0 <= number <= 10:
        raise _WrongField(f"{told!r} is no number from 1 to 10")
    return number


def _unfold(details: dict[str, str]) -> tuple[dict[str, str], Folded | None]:
    """What we write of an alert that stands for several, taken apart again."""
    try:
        folded = Folded(
            int(details["folded"]), _moment(details["foldedFirst"]), _moment(details["foldedLast"])
        )
    except (KeyError, ValueError):
        return details, None
    return {key: value for key, value in details.items() if not key.startswith("folded")}, folded


# What was done


_OUR_KEYS: Final = {"sin_port": "port", "sin_addr": "addr", "remoteip": "addr"}
_EXECUTIONS: Final = ("execve", "execveat")
_HOOKS: Final = ("syscall", "lsm", "kprobe", "kfunc")


def _details(told: Line, operation: Operation) -> dict[str, str]:
    """`EventData` as we write it."""
    resource = told.resource
    if told.event_data is not _NOTHING:
        is_ours, details = _told_details(bytes(told.event_data))
        if is_ours:
            return details
    else:
        details = _made_details(told.data, resource if operation == Operation.NETWORK else "")
    if operation == Operation.PROCESS and "argv" not in details and details.get("syscall") in _EXECUTIONS:
        return {**details, "argv": resource.partition(" ")[2] or resource}
    if operation == Operation.CAPABILITIES and "capability" not in details and resource.startswith("CAP_"):
        return {**details, "capability": resource}
    return details


@lru_cache(maxsize=8192)
def _told_details(content: bytes) -> tuple[bool, dict[str, str]]:
    """Whether it was spelled as we do, and what it says. Events share it: who wants another makes another."""
    told = _texts_of(content) or {}
    if not told or not next(iter(told))[:1].isupper():
        return True, _with_our_call(told)
    return False, _respelled(told)


@lru_cache(maxsize=8192)
def _made_details(data: str, address: str) -> dict[str, str]:
    """What KubeArmor makes it of."""
    return _respelled(_pairs(data) | _address_pairs(address))


def _respelled(told: dict[str, str]) -> dict[str, str]:
    details = {}
    for key, value in told.items():
        ours = key[:1].lower() + key[1:]
        details[_OUR_KEYS.get(ours, ours)] = value
    return _with_our_call(details)


def _with_our_call(details: dict[str, str]) -> dict[str, str]:
    """With the call as we write it: ``openat`` for ``SYS_OPENAT``."""
    for hook in _HOOKS:
        if hook in details:
            return {**details, hook: details[hook].removeprefix("SYS_").lower()}
    return details


def _pairs(text: str) -> dict[str, str]:
    """The first of each: what a workload chose comes later than what KubeArmor says."""
    made: dict[str, str] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if equals:
            made.setdefault(key, value)
    return made


def _address_pairs(resource: str) -> dict[str, str]:
    before, found, path = resource.partition("sun_path=")
    if found and before in ("", "sa_family=AF_UNIX "):
        return {
            "sa_family": "AF_UNIX",
            "sun_path": path if before else path.removesuffix(" sa_family=AF_UNIX"),
        }
    return _pairs(resource)


# What there is no place for


def _relayed(told: Line, workload: Workload, is_alert: bool, error: int, unread: _Unread) -> Relayed | None:
    expected = _HOST_TYPES if workload.is_host else _CONTAINER_TYPES
    has_type = told.type and (told.type not in expected or (told.type in _ALERT_TYPES) != is_alert)
    has_operation = told.operation and told.operation not in _NUMBERS
    has_result = error and result_text(error) != told.result
    if not (
        has_type
        or has_operation
        or has_result
        or told.kube_armor_version
        or told.hash_algo
        or told.process_hash
        or told.parent_hash
        or told.resource_hash
        or told.max_alerts_per_sec
        or told.dropping_alerts_interval
        or told.cluster_id
        or told.tenant_id
        or told.component_name
        or unread
    ):
        return None
    return Relayed(
        type=told.type if has_type else "",
        operation=told.operation if has_operation else "",
        result=told.result if has_result else "",
        version=told.kube_armor_version,
        process_hash=told.process_hash,
        parent_hash=told.parent_hash,
        resource_hash=told.resource_hash,
        hash_algorithm=told.hash_algo,
        max_alerts_per_s=told.max_alerts_per_sec,
        throttled_s=told.dropping_alerts_interval,
        cluster_id=told.cluster_id,
        component_name=told.component_name,
        tenant_id=told.tenant_id,
        unread=unread,
    )
