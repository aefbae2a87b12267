"""KubeArmor's native JSON: one object a line, with the keys and the order of its gRPC feed.

The classes below are the schema, each a run of fields that stand together, in their order:

    log     a time, `Who`, `Names`, `Numbers`, `Origin`, `What`, `Where`, `Account`
    alert   a time, `Who`, `Numbers`, `Names`, `Rule`, `Origin`, `What`, `Decision`, `Where`, `Account`

What is empty is left out, but for `PPID` and `UID`, which are always there.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from hauberk.formats import Format
from hauberk.formats.frames import ByProcess, ByWorkload
from hauberk.formats.names import operation_name, result_name, type_name
from hauberk.formats.printable import printable_json
from hauberk.model.event import Event, Relayed
from hauberk.model.policy import Verdict

_CAPITALS: Final = {"id", "pid", "ppid", "tty", "uid"}


def _wire_name(field: str) -> str:
    """`container_id` gives ``ContainerID``, `host_ppid` gives ``HostPPID``."""
    words = field.split("_")
    return "".join(word.upper() if word in _CAPITALS else word.title() for word in words)


class Controller(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """What keeps a pod alive."""

    ref: str = ""
    name: str = ""
    namespace: str = ""


class Session(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """Who came into the container from outside."""

    exec_id: str = ""
    executable_name: str = ""


class Who(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """Which workload acted."""

    cluster_name: str = ""
    host_name: str = ""
    namespace_name: str = ""
    owner: Controller | None = None
    pod_name: str = ""
    labels: str = ""
    """``key=value`` joined by commas, ordered by key."""

    container_id: str = ""
    container_name: str = ""
    container_image: str = ""


class Names(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """The process that acted, by its executable and its parent's."""

    parent_process_name: str = ""
    process_name: str = ""


class Numbers(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """The process that acted, in numbers."""

    host_ppid: int = 0
    host_pid: int = 0
    ppid: int
    pid: int = 0
    uid: int


class Rule(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """What the rule that decided says of itself."""

    policy_name: str = ""
    severity: str = ""
    """``1`` to ``10``."""

    tags: str = ""
    """Joined by commas."""

    a_tags: tuple[str, ...] = ()
    message: str = ""


class Origin(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """What sort of event it is, and what acted."""

    type: str
    source: str = ""


class What(msgspec.Struct, omit_defaults=True, rename=_wire_name, gc=False):
    """What was done, and what the kernel answered."""

    operation: str
    resource: str = ""
    data: str = ""
    event_data: dict[str, str] = {}
    result: str = ""


class Decision(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """What was decided, by whom, and what the kernel answered: `What` of an alert has no result of its own."""

    enforcer: str = ""
    action: str = ""
    result: str


class Where(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """Where the process was when it acted."""

    cwd: str = ""
    """Ends with a slash."""

    tty: str = ""
    max_alerts_per_sec: int = 0
    dropping_alerts_interval: int = 0
    exec_event: Session | None = None
    kube_armor_version: str = ""
    node_id: str = ""
    process_hash: str = ""
    parent_hash: str = ""
    resource_hash: str = ""
    hash_algo: str = ""
    user_name: str = ""


class Account(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a hosted service knows a cluster by. Its keys are spelled otherwise."""

    cluster_id: str = ""
    component_name: str = ""
    tenant_id: str = ""


class _Frame(msgspec.Struct, frozen=True):
    """What encloses the `What` of a log: the same bytes for nearly everything that one process does."""

    who: bytes
    where: bytes


class KubeArmor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of this format."""

    cluster_id: str = ""
    """What a hosted service knows this cluster by."""

    component_name: str = ""
    """Who tells; ``kubearmor`` if only one of the other two is set."""

    tenant_id: str = ""
    """What a hosted service knows you by."""

    def make(self) -> Format:
        told = self.cluster_id or self.component_name or self.tenant_id
        return Format(self._encode_for_account() if told else encode, "application/x-ndjson")

    def _encode_for_account(self) -> Callable[[Event], bytes]:
        account = Account(
            cluster_id=self.cluster_id,
            component_name=self.component_name or "kubearmor",
            tenant_id=self.tenant_id,
        )
        end = b"," + _inside(account) + b"}"

        def encode_for_account(event: Event) -> bytes:
            if event.relayed:
                none = replace(event.relayed, cluster_id="", component_name="", tenant_id="")
                event = replace(event, relayed=none)
            return encode(event)[:-1] + end

        return encode_for_account


_NOTHING: Final = Relayed()
_encode: Final = msgspec.json.Encoder().encode


def encode(event: Event) -> bytes:
    """The log of an event; its alert, if there is a verdict."""
    if event.verdict is not None:
        return _encode_alert(event, event.verdict)
    second, rest_ns = divmod(event.time_ns, 1_000_000_000)
    frame = _frames.of(event)
    what = _encode(
        What(  # by position: by keyword it takes twice as long
            operation_name(event),
            event.resource or "",
            event.data,
            event.details,
            result_name(event),
        )
    )
    return b"".join(
        (_opening(second), b'%06dZ",' % (rest_ns // 1000), frame.who, printable_json(what)[1:-1], frame.where)
    )


def _encode_alert(event: Event, verdict: Verdict) -> bytes:
    """Without frames: where alerts come in numbers, throttling folds them before they come here."""
    second, rest_ns = divmod(event.time_ns, 1_000_000_000)
    inside = _inside(
        _numbers(event),
        _names(event),
        Rule(
            policy_name=verdict.policy,
            severity=str(verdict.severity) if verdict.severity else "",
            tags=",".join(verdict.tags),
            a_tags=verdict.tags,
            message=verdict.message,
        ),
        Origin(type=type_name(event), source=event.source),
        What(operation_name(event), event.resource or "", event.data, _alert_data(event)),
        Decision(enforcer=verdict.enforcer, action=verdict.action, result=result_name(event)),
        _where(event),
        _account(event),
    )
    return b"".join(
        (_opening(second), b'%06dZ",' % (rest_ns // 1000), _joined(_whos.of(event), inside), b"}")
    )


def _alert_data(event: Event) -> dict[str, str]:
    folded = event.folded
    if folded is None:
        return event.details
    return event.details | {
        "folded": str(folded.count),
        "foldedFirst": _moment(folded.first_ns),
        "foldedLast": _moment(folded.last_ns),
    }


def _moment(time_ns: int) -> str:
    """The form of `UpdatedTime`."""
    second, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{_second_text(second)}.{rest_ns // 1000:06d}Z"


def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


@lru_cache(maxsize=64)
def _opening(second: int) -> bytes:
    """The line up to the microseconds of `UpdatedTime`."""
    return f'{{"Timestamp":{second},"UpdatedTime":"{_second_text(second)}.'.encode()


def _frame(event: Event) -> _Frame:
    origin = Origin(type=type_name(event), source=event.source)
    where = _inside(_where(event), _account(event))
    return _Frame(
        _joined(_whos.of(event), _inside(_names(event), _numbers(event), origin)) + b",",
        (b"," + where if where else b"") + b"}",
    )


_frames: Final = ByProcess(_frame)


def _joined(*runs: bytes) -> bytes:
    return b",".join(filter(None, runs))


def _inside(*parts: msgspec.Struct) -> bytes:
    """What these say one after the other, without the braces."""
    return printable_json(b",".join([inside for part in parts if (inside := _encode(part)[1:-1])]))


def _who(event: Event) -> bytes:
    """`Who`, without the braces."""
    node, workload, owner = event.node, event.workload, event.workload.owner
    who = Who(
        cluster_name=node.cluster,
        host_name=node.host,
        namespace_name=workload.namespace or "",
        owner=Controller(ref=owner.kind, name=owner.name, namespace=owner.namespace) if owner else None,
        pod_name=workload.pod or "",
        labels=",".join(f"{key}={value}" for key, value in workload.labels.items()),
        container_id=workload.container_id or "",
        container_name=workload.container_name or "",
        container_image=workload.image or "",
    )
    return _inside(who)


_whos: Final = ByWorkload(_who)


def _names(event: Event) -> Names:
    return Names(
        parent_process_name=event.parent_executable or "",
        process_name=event.process.executable,
    )


def _numbers(event: Event) -> Numbers:
    return Numbers(
        host_ppid=event.host_ppid,
        host_pid=event.host_pid,
        ppid=event.ppid,
        pid=event.pid,
        uid=event.uid,
    )


def _where(event: Event) -> Where:
    session, relayed = event.exec_session, event.relayed or _NOTHING
    return Where(
        cwd=event.cwd if not event.cwd or event.cwd.endswith("/") else f"{event.cwd}/",
        tty=event.tty or "",
        max_alerts_per_sec=relayed.max_alerts_per_s,
        dropping_alerts_interval=relayed.throttled_s,
        exec_event=Session(exec_id=session.id, executable_name=session.command) if session else None,
        kube_armor_version=relayed.version,
        node_id=event.node.node_id or "",
        process_hash=relayed.process_hash,
        parent_hash=relayed.parent_hash,
        resource_hash=relayed.resource_hash,
        hash_algo=relayed.hash_algorithm,
        user_name=event.user or "",
    )


def _account(event: Event) -> Account:
    relayed = event.relayed or _NOTHING
    return Account(
        cluster_id=relayed.cluster_id, component_name=relayed.component_name, tenant_id=relayed.tenant_id
    )
