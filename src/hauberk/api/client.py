"""The reader's side of the gRPC feed: streams that are followed through breaks."""

import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import Message as ProtobufMessage

from hauberk.api.feed import CURSOR, SERVICE
from hauberk.api.kubearmor_pb2 import Alert, Log, Message, NonceMessage, ReplyMessage, RequestMessage
from hauberk.errors import ConfigError, FeedError

_FIRST_S: Final = 10.0
"""How long the first answer may take."""

_DELAY_S: Final = 0.25
_DELAY_LIMIT_S: Final = 10.0
_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),  # a server that has gone without a word is noticed
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
_PLACE: Final = re.compile(r"([0-9a-f]+)-([0-9]+)")
_FOR_GOOD: Final = (
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
)
"""What trying again does not mend."""


class Trust(NamedTuple):
    """Files in PEM: whom we believe, and who we are."""

    ca: Path | None = None
    """None: those that this machine believes."""

    certificate: Path | None = None
    key: Path | None = None
    name: str = ""
    """What the server's certificate must say, if that is not the name in its address."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises ConfigError if a file cannot be read."""
        if bool(self.certificate) != bool(self.key):
            raise ConfigError("a client's certificate and its key go together: one of them is not given")
        contents = []
        for path in (self.ca, self.key, self.certificate):
            try:
                contents.append(path.read_bytes() if path else None)
            except OSError as error:
                raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        return grpc.ssl_channel_credentials(*contents)


def connect(address: str, trust: Trust | None) -> grpc.Channel:
    """A channel to a feed that answers; without `trust`, in plain text. Raises FeedError."""
    if trust is None:
        channel = grpc.insecure_channel(address, _OPTIONS)
    else:
        names = (("grpc.ssl_target_name_override", trust.name),) if trust.name else ()
        channel = grpc.secure_channel(address, trust.credentials(), (*_OPTIONS, *names))
    check: Any = channel.unary_unary(
        f"/{SERVICE}/HealthCheck",
        request_serializer=NonceMessage.SerializeToString,
        response_deserializer=ReplyMessage.FromString,
    )
    try:
        check(NonceMessage(nonce=random.randrange(1, 1 << 31)), timeout=_FIRST_S)
    except grpc.RpcError as error:
        channel.close()
        raise FeedError(f"cannot follow {address}: {_problem(error)}") from None
    return channel


class _Kind(NamedTuple):
    """One of the things that can be watched."""

    name: str
    method: str
    filter: str
    type: type[Alert] | type[Log] | type[Message]


ALERTS: Final = _Kind("alerts", "WatchAlerts", "policy", Alert)
LOGS: Final = _Kind("logs", "WatchLogs", "system", Log)
MESSAGES: Final = _Kind("messages", "WatchMessages", "", Message)


class Stream:
    """Alerts, logs or messages, for as long as somebody wants them.

    A break is followed by a new connection that goes on where the last one ended; what cannot be had any more is said.
    """

    def __init__(
        self, address: str, channel: grpc.Channel, kind: _Kind, say: Callable[[str], None], cursor: str = ""
    ) -> None:
        self.name = kind.name
        self._address = address
        self._kind = kind
        self._say = say
        self._call: Any = channel.unary_stream(
            f"/{SERVICE}/{kind.method}",
            request_serializer=RequestMessage.SerializeToString,
            response_deserializer=kind.type.FromString,
        )
        self._running: Any = None
        self._begins_at = cursor
        self._cursor = cursor if _PLACE.fullmatch(cursor) else ""
        """Of the last that was received."""

        self._is_broken = False
        self._delay_s = _DELAY_S
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End it. Any thread may."""
        self._stopped.set()
        if self._running is not None:
            self._running.cancel()

    def __iter__(self) -> Iterator[Any]:
        """Raises FeedError where trying again does not help."""
        while not self._stopped.is_set():
            try:
                yield from self._connection()
                problem = "the server has ended the stream"
            except grpc.RpcError as error:
                if self._stopped.is_set():
                    return
                problem = _problem(error)
                if error.code() in _FOR_GOOD:
                    raise FeedError(
                        f"cannot follow {self._kind.name} of {self._address}: {problem}"
                    ) from None
            if not self._is_broken:
                self._is_broken = True
                self._delay_s = _DELAY_S
                self._say(f"{self._kind.name}: {problem}; trying again")
            self._stopped.wait(self._delay_s * random.uniform(0.5, 1.0))
            self._delay_s = min(2 * self._delay_s, _DELAY_LIMIT_S)

    def _connection(self) -> Iterator[Any]:
        """What one connection gives."""
        running = self._call(
            RequestMessage(Filter=self._kind.filter, Cursor=self._cursor or self._begins_at),
            wait_for_ready=True,
        )
        self._running = running
        if self._stopped.is_set():
            running.cancel()
        metadata = dict(running.initial_metadata() or ())
        if running.is_active():
            self._notice_beginning(str(metadata.get(CURSOR, "")))
        for thing in running:
            self._notice_gap(thing.Cursor)
            yield thing

    def _notice_beginning(self, cursor: str) -> None:
        """The connection stands, and the server is at `cursor`."""
        if self._is_broken:
            self._is_broken = False
            missing = "" if cursor else "; what happened meanwhile is missing, as this server has no cursors"
            self._say(f"{self._kind.name}: connected again{missing}")
        if not self._cursor and not self._begins_at:
            self._cursor = cursor

    def _notice_gap(self, cursor: str) -> None:
        """Say what is missing between the last that was received and this."""
        before, now = _PLACE.fullmatch(self._cursor), _PLACE.fullmatch(cursor)
        self._cursor = cursor or self._cursor
        if not (before and now):
            return
        if before[1] != now[1]:
            first = int(now[2])
            more = f", and the first {first - 1:,} since then" if first > 1 else ""
            self._say(
                f"{self._kind.name}: the agent was started anew; what it told at the end of its last run "
                f"may be missing{more}"
            )
        elif (missing := int(now[2]) - int(before[2]) - 1) > 0:
            self._say(f"{self._kind.name}: {missing:,} are missing, for which this reader was too late")


def _problem(error: grpc.RpcError) -> str:
    """For people; gRPC's own words where there are no better ones."""
    details = str(error.details() or "")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return "what listens there has no such service"
    if "refused" in details:
        return "nothing listens there; start `hauberk agent` (its setting `grpc`), or give another address by --grpc"
    if "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification" in details:
        return "its certificate is not of an authority that --tls-ca names, or not of that name (--tls-name)"
    if "Socket closed" in details or "recvmsg" in details or "Ssl handshake" in details or "SSL" in details:
        return f"the connection is closed before it begins, as by a server that wants TLS (--tls, --tls-ca): {details}"
    return details or error.code().name


def fields_of(message: ProtobufMessage) -> dict[str, Any]:
    """A message as the native JSON has it, without what is ours alone."""
    fields: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "Cursor":
            continue
        if field.message_type is None:
            fields[field.name] = list(value) if field.is_repeated else value
        elif field.message_type.GetOptions().map_entry:
            fields[field.name] = dict(sorted(value.items()))  # protobuf keeps no order, and Go sorts
        else:
            fields[field.name] = fields_of(value)
    return fields
