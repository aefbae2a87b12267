"""KubeArmor's native JSON: one object a line, with the keys and the order of its gRPC feed.

A log is a time and the fields of the three classes below: they are its schema, in its field order. What is
empty is left out, but for `PPID` and `UID`, which are always there.
"""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from hauberk.abi import Operation
from hauberk.formats.results import PASSED, result_text
from hauberk.model.event import Event

_CAPITALS: Final = {"id", "pid", "ppid", "tty", "uid"}
_OPERATIONS: Final = tuple(operation.name.capitalize() for operation in Operation)


def _wire_name(field: str) -> str:
    """`container_id` gives ``ContainerID``, `host_ppid` gives ``HostPPID``."""
    words = field.split("_")
    return "".join(word.upper() if word in _CAPITALS else word.title() for word in words)


class Who(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """Who acted, as a process and as a workload."""

    cluster_name: str = ""
    host_name: str = ""
    namespace_name: str = ""
    pod_name: str = ""
    labels: str = ""
    """``key=value`` joined by commas, ordered by key."""

    container_id: str = ""
    container_name: str = ""
    container_image: str = ""
    parent_process_name: str = ""
    process_name: str = ""
    host_ppid: int = 0
    host_pid: int = 0
    ppid: int
    pid: int = 0
    uid: int
    type: str
    source: str = ""


class What(msgspec.Struct, omit_defaults=True, rename=_wire_name, gc=False):
    """What was done, and what the kernel answered."""

    operation: str
    resource: str = ""
    data: str = ""
    event_data: dict[str, str] = {}
    result: str = ""


class Where(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_wire_name):
    """Where the process was when it acted."""

    cwd: str = ""
    """Ends with a slash."""

    tty: str = ""
    node_id: str = ""
    user_name: str = ""


class _Frame(msgspec.Struct, frozen=True):
    """What encloses `What`: the same bytes for nearly everything that one process does."""

    made_of: tuple[object, ...]
    who: bytes
    where: bytes


_DEL: Final = 0x7F
_FRAMES_KEPT: Final = 4096
_frames: dict[int, _Frame] = {}
"""The last frame by host PID. Without them, an event takes twice as long."""

_encode: Final = msgspec.json.Encoder().encode


def encode(event: Event) -> bytes:
    """The log of an event."""
    second, rest_ns = divmod(event.time_ns, 1_000_000_000)
    frame = _frame(event)
    what = _encode(
        What(  # by position: by keyword it takes twice as long
            _OPERATIONS[event.operation],
            event.resource or "",
            event.data,
            event.details,
            result_text(event.error) if event.error else PASSED,
        )
    )
    if not what.isascii() or _DEL in what:
        what = _printable(what)
    return b"".join((_opening(second), b'%06dZ",' % (rest_ns // 1000), frame.who, what[1:-1], frame.where))


@lru_cache(maxsize=64)
def _opening(second: int) -> bytes:
    """The log up to the microseconds of `UpdatedTime`."""
    time = datetime.fromtimestamp(second, UTC).isoformat()[:19]
    return f'{{"Timestamp":{second},"UpdatedTime":"{time}.'.encode()


def _frame(event: Event) -> _Frame:
    made_of = (
        event.process,
        event.workload,
        event.source,
        event.parent_executable,
        event.host_ppid,
        event.ppid,
        event.pid,
        event.uid,
        event.user,
        event.cwd,
        event.tty,
        event.node,
    )
    frame = _frames.get(event.host_pid)
    if frame is None or frame.made_of != made_of:
        if len(_frames) >= _FRAMES_KEPT:
            _frames.clear()
        frame = _frames[event.host_pid] = _make_frame(event, made_of)
    return frame


def _make_frame(event: Event, made_of: tuple[object, ...]) -> _Frame:
    node, workload = event.node, event.workload
    who = Who(
        cluster_name=node.cluster,
        host_name=node.host,
        namespace_name=workload.namespace or "",
        pod_name=workload.pod or "",
        labels=",".join(f"{key}={value}" for key, value in workload.labels.items()),
        container_id=workload.container_id or "",
        container_name=workload.container_name or "",
        container_image=workload.image or "",
        parent_process_name=event.parent_executable or "",
        process_name=event.process.executable,
        host_ppid=event.host_ppid,
        host_pid=event.host_pid,
        ppid=event.ppid,
        pid=event.pid,
        uid=event.uid,
        type="HostLog" if workload.is_host else "ContainerLog",
        source=event.source,
    )
    where = Where(
        cwd=event.cwd if event.cwd in ("", "/") else f"{event.cwd}/",
        tty=event.tty or "",
        node_id=node.node_id or "",
        user_name=event.user or "",
    )
    inside = _printable(_encode(where))[1:-1]
    return _Frame(made_of, _printable(_encode(who))[1:-1] + b",", (b"," + inside if inside else b"") + b"}")


def _printable(encoded: bytes) -> bytes:
    r"""The same JSON without what moves a cursor, ends a line or turns text round: ``\u202e`` for it.

    ASCII has none of it but DEL: of that, the encoder has escaped the other control characters.
    """
    text = encoded.decode()
    if text.isprintable():
        return encoded
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode()
