"""KubeArmor's LogService: alerts, logs and messages as they happen, by gRPC.

What an alert or a log says is what the native JSON says, field by field: the one is made of the other. Whoever puts
events here never waits for a reader; see `recent`.
"""

import asyncio
import re
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

import grpc
import grpc.aio
import msgspec
from google.protobuf.message import Message as ProtobufMessage

from hauberk.api.kubearmor_pb2 import Alert, Log, Message, NonceMessage, ReplyMessage, RequestMessage
from hauberk.api.recent import Reader, Recent
from hauberk.formats import kubearmor
from hauberk.metrics import FeedCounts
from hauberk.model.event import Event, Node
from hauberk.model.process import Process

SERVICE: Final = "feeder.LogService"
CURSOR: Final = "hauberk-cursor"
"""Metadata at the beginning of a stream: the cursor of what came before."""

OLDEST: Final = "oldest"
"""The cursor of all that is kept."""

T = TypeVar("T")
_Context = grpc.aio.ServicerContext[Any, Any]

_LIMIT: Final = 16_384
_ALERT_BYTES: Final = 8 << 20
_LOG_BYTES: Final = 16 << 20
_EVENT_BYTES: Final = 1024
"""What an event takes besides its long texts."""

_MESSAGES: Final = 256
_MESSAGE_BYTES: Final = 1 << 20
_TAKE: Final = 64
_CURSOR: Final = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,18})")
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def log_of(event: Event) -> Log:
    """The native JSON of an event without a verdict, as KubeArmor's message."""
    return Log(**_fields(event))


def alert_of(event: Event) -> Alert:
    """The same of one with a verdict."""
    return Alert(**_fields(event))


def _fields(event: Event) -> dict[str, Any]:
    fields = _decode(kubearmor.encode(event))
    if fields["UID"] > 0x7FFF_FFFF:  # KubeArmor's field has a sign
        fields["UID"] -= 1 << 32
    return fields


class _Weight:
    """About how much memory events take; what an event has of its process, like the one before, is counted once."""

    def __init__(self) -> None:
        self._process: Process | None = None

    def __call__(self, event: Event) -> int:
        size = (
            _EVENT_BYTES + len(event.resource or "") + len(event.data) + sum(map(len, event.details.values()))
        )
        if event.process is not self._process:
            self._process = event.process
            size += len(event.process.command_line) + len(event.source)
        return size


class _Stream(NamedTuple, Generic[T]):
    """One of the three things that can be watched."""

    name: str
    filters: tuple[str, ...]
    """Those that ask for it; empty: any."""

    recent: Recent[T]
    encode: Callable[[T], ProtobufMessage]


class Feed:
    """What was told, and the streams of it."""

    def __init__(self, node: Node, counts: FeedCounts) -> None:
        self._node = node
        self._counts = counts
        self.run = secrets.token_hex(4)
        """Of the agent: the first part of every cursor."""

        self._ending = False
        self._host_ip = _own_address()
        self._readers: set[Callable[[], None]] = set()
        self._alerts = Recent(_Weight(), limit=_LIMIT, limit_bytes=_ALERT_BYTES)
        self._logs = Recent(_Weight(), limit=_LIMIT, limit_bytes=_LOG_BYTES, always=False)
        self._messages = Recent[Message](Message.ByteSize, limit=_MESSAGES, limit_bytes=_MESSAGE_BYTES)

    # Told from other threads

    def put(self, events: Sequence[Event]) -> None:
        """Tell whoever watches; never waits."""
        self._counts.offered += len(events)
        alerts = [event for event in events if event.verdict is not None]
        if alerts:
            self._alerts.put(alerts)
            events = [event for event in events if event.verdict is None]
        if events:
            self._logs.put(events)

    def say(self, text: str, level: str = "INFO") -> None:
        """A message of the agent itself."""
        now_ns = time.time_ns()
        moment = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).isoformat()[:19]
        self._messages.put(
            [
                Message(
                    Timestamp=now_ns // 1_000_000_000,
                    UpdatedTime=f"{moment}.{now_ns // 1000 % 1_000_000:06d}Z",
                    ClusterName=self._node.cluster,
                    HostName=self._node.host,
                    HostIP=self._host_ip,
                    Type="Message",
                    Level=level,
                    Message=text,
                )
            ]
        )

    # The service, in the server's thread

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve this."""
        streams: dict[str, _Stream[Any]] = {
            "WatchAlerts": _Stream("alerts", ("all", "policy"), self._alerts, alert_of),
            "WatchLogs": _Stream("logs", ("all", "system"), self._logs, log_of),
            "WatchMessages": _Stream("messages", (), self._messages, _copy),
        }
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_stream_rpc_method_handler(
                self._watcher(stream), request_deserializer=RequestMessage.FromString
            )
            for name, stream in streams.items()
        }
        methods["HealthCheck"] = grpc.unary_unary_rpc_method_handler(
            _health_check,
            request_deserializer=NonceMessage.FromString,
            response_serializer=ReplyMessage.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _watcher(self, stream: _Stream[Any]) -> Callable[[RequestMessage, _Context], Awaitable[None]]:
        async def watch(request: RequestMessage, context: _Context) -> None:
            if not stream.filters or request.Filter in stream.filters:
                await self._serve(stream, request.Cursor, context)

        return watch

    async def _serve(self, stream: _Stream[Any], cursor: str, context: _Context) -> None:
        """One reader, until it goes or the feed ends."""
        position = await self._position(stream.recent, cursor, context)
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended, and the reader with it
                loop.call_soon_threadsafe(ready.set)

        reader = stream.recent.join(wake, position)
        before = reader.position - 1
        name = f"{stream.name} {context.peer()}"
        while name in self._counts.readers:  # several streams of one client
            name += "'"
        self._counts.readers[name] = reader.counts
        self._readers.add(ready.set)
        try:
            await context.send_initial_metadata(((CURSOR, f"{self.run}-{before}"),))
            while True:
                ready.clear()
                if await self._send(stream, reader, context):
                    continue
                if self._ending:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the agent stops")
                await ready.wait()
        finally:
            self._readers.discard(ready.set)
            reader.leave("agent stopped" if self._ending else "reader went away")
            self._counts.forget(name, stream.name)

    async def _send(self, stream: _Stream[Any], reader: Reader[Any], context: _Context) -> bool:
        """Send some of what waits; False if nothing did."""
        things = reader.take(_TAKE)
        for position, thing in things:
            message = stream.encode(thing)
            message.Cursor = f"{self.run}-{position}"  # type: ignore[attr-defined]  # all three have one
            await context.write(message.SerializeToString())
            reader.deliver()
        return bool(things)

    async def _position(self, recent: Recent[Any], cursor: str, context: _Context) -> int | None:
        """Where a reader begins that was at `cursor`; None: at what comes next."""
        if not cursor:
            return None
        if cursor == OLDEST:
            return recent.first
        parts = _CURSOR.fullmatch(cursor)
        if not parts:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"the cursor is not {OLDEST}, nor the Cursor of something that was received",
            )
        # of another run: the agent was started anew, and all that it keeps is news
        return int(parts[2]) + 1 if parts[1] == self.run else recent.first

    def end(self) -> None:
        """Let readers have what waits, and no more. Called in the server's thread."""
        self._ending = True
        for wake in list(self._readers):
            wake()


async def _health_check(request: NonceMessage, _context: _Context) -> ReplyMessage:
    return ReplyMessage(Retval=request.nonce)


def _copy(message: Message) -> Message:
    copied = Message()
    copied.CopyFrom(message)
    return copied


def _own_address() -> str:
    """The address by which others know this machine, as far as it can be told without asking anybody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent: this asks for the route to elsewhere
        except OSError:
            return ""
        return str(sock.getsockname()[0])
