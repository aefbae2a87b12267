"""Syslog: by TLS (RFC 5425), TCP (RFC 6587) or UDP (RFC 5426).

Nobody in syslog says that a message has arrived. Over a connection we make the best of it: what was sent last is
kept, and sent again when the connection is lost, because what the receiver had not read yet is gone with it.
Receivers know the doubles by their event. Datagrams are lost in silence, so use UDP for what may be.
"""

import errno
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from hauberk.errors import SinkError, SinkRefused
from hauberk.formats import Format
from hauberk.formats.limit import within
from hauberk.formats.syslog import Facility, Style, counted, framed
from hauberk.sinks import Message
from hauberk.sinks.tls import Tls, warn_of_plain_text

_PORTS: Final = {"tls": 6514, "tcp": 514, "udp": 514}
_DATAGRAM_BYTES: Final = 2048
"""What receivers of datagrams should be able to take (RFC 5426)."""

_CHUNK: Final = 64
"""Messages that are written at a time: looking whether the receiver is still there is not for every one."""

_SETTLE_S: Final = {"tls": 1.0, "tcp": 0.05}
"""How long a receiver is given to hang up on us after it has picked up."""

_LINGER_S: Final = 2.0


class Syslog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of syslog."""

    url: str
    """``tls://HOST``, ``tcp://HOST`` or ``udp://HOST``, with ``:PORT`` if it is not 6514 (TLS) or 514."""

    header: Style = "rfc5424"
    facility: Facility = "local4"
    app_name: str = "hauberk"
    framing: Literal["octets", "newline"] = "octets"
    """What parts messages on a connection: their length before them, or a newline behind them."""

    max_bytes: Annotated[int, Meta(ge=0)] = 0
    """No message is longer, header and all; 0: 2048 by UDP, else as long as it is."""

    too_long: Literal["cut", "refuse"] = "cut"
    """What becomes of those that are."""

    resend_bytes: Annotated[int, Meta(ge=0)] = 4 << 20
    """How much of what was sent last is sent again when a connection is lost."""

    timeout_s: Annotated[float, Meta(gt=0)] = 10.0
    tls: Tls = Tls()

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError(
                f"url {self.url!r} is not like tls://HOST:PORT, tcp://HOST:PORT or udp://HOST:PORT"
            )
        _port(parts)
        if self.tls != Tls() and parts.scheme != "tls":
            raise ValueError(f"`tls` is of no use with {parts.scheme}://; write tls://{parts.hostname}")

    @property
    def limit_bytes(self) -> int:
        """Of a message; 0: none."""
        return self.max_bytes or (_DATAGRAM_BYTES if urlsplit(self.url).scheme == "udp" else 0)

    def wrap(self, form: Format) -> Format:
        """With the header of syslog before every message, and no longer than messages may be."""
        wrapped = framed(form, self.header, facility=self.facility, app_name=self.app_name)
        if self.limit_bytes and self.too_long == "cut":
            return within(wrapped, self.limit_bytes)
        return wrapped

    def open(self, form: Format, warn: Callable[[str], None]) -> "StreamSink | DatagramSink":
        parts = urlsplit(self.url)
        where = f"syslog {self.url}"
        address = (parts.hostname or "", _port(parts))
        if parts.scheme != "tls":
            warn_of_plain_text(where, address[0], warn)
        length = _Length(where, self.limit_bytes, self.too_long == "cut", warn)
        if parts.scheme == "udp":
            return DatagramSink(where, address, length)
        return StreamSink(
            where,
            address,
            length,
            frame=counted if self.framing == "octets" else _with_newline,
            tls=self.tls if parts.scheme == "tls" else None,
            resend_bytes=self.resend_bytes,
            timeout_s=self.timeout_s,
            warn=warn,
        )


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _with_newline(message: bytes) -> bytes:
    return message + b"\n"


class _Length:
    """How long messages may be."""

    def __init__(self, where: str, limit: int, cuts: bool, warn: Callable[[str], None]) -> None:
        self._where = where
        self._limit = limit
        self._cuts = cuts
        self._complain = warn
        self.cut = 0

    def fit(self, content: bytes) -> bytes | None:
        """As much of it as may be sent; None if that is nothing."""
        if not self._limit or len(content) <= self._limit:
            return content
        if not self._cuts:
            return None
        self.cut += 1
        if self.cut & (self.cut - 1) == 0:  # 1, 2, 4, 8 …
            self._complain(f"{self._where}: {self.cut} messages so far were cut to {self._limit} bytes")
        return content[: self._limit].decode("utf-8", "ignore").encode()

    def refusal(self, refused: int) -> SinkRefused:
        return SinkRefused(
            f"{self._where}: {refused} messages were too long; `max_bytes` and `too_long` say what becomes of them",
            refused=refused,
        )


class StreamSink:
    """One connection, kept open."""

    def __init__(
        self,
        where: str,
        address: tuple[str, int],
        length: _Length,
        *,
        frame: Callable[[bytes], bytes],
        tls: Tls | None,
        resend_bytes: int,
        timeout_s: float,
        warn: Callable[[str], None],
    ) -> None:
        self._where = where
        self._address = address
        self._length = length
        self._frame = frame
        self._tls = tls
        self._context = tls.context() if tls else None
        self._resend_bytes = resend_bytes
        self._timeout_s = timeout_s
        self._complain = warn
        self._socket: socket.socket | None = None
        self._sent: deque[bytes] = deque()
        """What was sent last, of which nobody knows whether it was read."""

        self._sent_bytes = 0

    def write(self, messages: Sequence[Message]) -> None:
        done = refused = 0
        while done < len(messages):
            chunk = messages[done : done + _CHUNK]
            fitting = [fit for message in chunk if (fit := self._length.fit(message.content)) is not None]
            frames = [self._frame(content) for content in fitting]
            try:
                self._connection().sendall(b"".join(frames))
            except OSError as error:
                self._hang_up()
                raise self._failure(error, delivered=done - refused, refused=refused) from error
            self._remember(frames)
            done += len(chunk)
            refused += len(chunk) - len(frames)
        if refused:
            raise self._length.refusal(refused)

    def _failure(self, error: OSError, *, delivered: int, refused: int) -> SinkError:
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"the receiver's certificate does not hold: {error.verify_message}; see `tls`"
        elif isinstance(error, ssl.SSLError):
            reason = f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
        elif isinstance(error, TimeoutError):
            reason = f"no answer within {self._timeout_s:g} s"
        else:
            reason = error.strerror or str(error)
        return SinkError(f"{self._where}: {reason}", delivered=delivered, refused=refused)

    def _remember(self, frames: list[bytes]) -> None:
        self._sent.extend(frames)
        self._sent_bytes += sum(map(len, frames))
        while self._sent_bytes > self._resend_bytes:
            self._sent_bytes -= len(self._sent.popleft())

    def _connection(self) -> socket.socket:
        """The connection; a new one if there is none or the receiver has left."""
        if self._socket and not _is_gone(self._socket):
            return self._socket
        self._hang_up()
        self._socket = self._connect()
        if self._sent:
            self._complain(
                f"{self._where}: the connection was lost; the last {len(self._sent)} messages are sent again, "
                "as nobody knows which of them were read"
            )
            self._socket.sendall(b"".join(self._sent))
        return self._socket

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(self._address, self._timeout_s)
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not (self._context and self._tls):
                _settle(plain, _SETTLE_S["tcp"])
                return plain
            secured = self._context.wrap_socket(
                plain, server_hostname=self._tls.server_name or self._address[0]
            )
        except OSError:
            plain.close()
            raise
        try:
            # under TLS 1.3 we are done before the receiver has seen our certificate, and may not like it
            _settle(secured, _SETTLE_S["tls"])
        except OSError:
            secured.close()
            raise
        return secured

    def _hang_up(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _say_goodbye(self) -> None:
        """Close, and see whether the receiver does: if it had not read everything, it would reset the connection."""
        if not self._socket:
            return
        try:
            self._socket.settimeout(_LINGER_S)
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket = self._socket.unwrap()
            self._socket.shutdown(socket.SHUT_WR)
            has_read = self._socket.recv(4096) == b""
        except ssl.SSLEOFError:
            has_read = True  # it closes without saying so in TLS
        except OSError:
            has_read = False
        if has_read:
            self._sent.clear()
            self._sent_bytes = 0
        self._hang_up()

    def reopen(self) -> None:
        self._say_goodbye()
        if self._tls:
            self._context = self._tls.context()

    def close(self) -> None:
        self._say_goodbye()


def _is_gone(connection: socket.socket) -> bool:
    """Whether the receiver has hung up; it has nothing else to say."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(timeout)


def _settle(connection: socket.socket, seconds: float) -> None:
    """Raise OSError if the receiver hangs up at once, with what it says to that."""
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    if not readable.poll(seconds * 1000):
        return
    timeout = connection.gettimeout()
    connection.setblocking(False)
    try:
        if connection.recv(4096) == b"":
            raise ConnectionResetError(errno.ECONNRESET, "the receiver hung up at once: it may not know us")
    except (BlockingIOError, ssl.SSLWantReadError):
        return  # under TLS, it has said something of its own, and is content
    finally:
        connection.settimeout(timeout)


class DatagramSink:
    """One datagram a message."""

    def __init__(self, where: str, address: tuple[str, int], length: _Length) -> None:
        self._where = where
        self._address = address
        self._length = length
        self._socket: socket.socket | None = None

    def write(self, messages: Sequence[Message]) -> None:
        refused: list[int] = []
        last = 0
        try:
            connection = self._connection()
            for number, message in enumerate(messages):
                content = self._length.fit(message.content)
                if content is None or not _send(connection, content):
                    refused.append(number)
                else:
                    last = number
            # that nobody listens is told a moment after the datagram is sent
            if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
        except OSError as error:
            self.close()
            before = sum(1 for number in refused if number < last)
            raise SinkError(
                f"{self._where}: {error.strerror or error}", delivered=last - before, refused=before
            ) from error
        if refused:
            raise self._length.refusal(len(refused))

    def _connection(self) -> socket.socket:
        if self._socket is None:
            found = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)
        return self._socket

    def reopen(self) -> None:
        self.close()  # the name may stand for another address now

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


def _send(connection: socket.socket, content: bytes) -> bool:
    """Whether it could be sent: False if no datagram is that long."""
    try:
        connection.send(content)
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            return False
        raise
    return True
