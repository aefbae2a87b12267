"""Syslog: against small receivers of our own; rsyslog is in tests/receivers."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from hauberk.errors import ConfigError, SinkError, SinkRefused
from hauberk.formats import Format
from hauberk.sinks import Message, Sink, wrapped
from hauberk.sinks.syslog import Syslog
from hauberk.sinks.tls import Tls
from tests.certificates import Authority
from tests.events import ALERT, EVENT

SOON_S = 30.0
TEXT = Format(lambda event: event.source.encode(), "text/plain")


def messages(*contents: bytes) -> list[Message]:
    return [Message(content, False, str(number), "host") for number, content in enumerate(contents)]


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class Receiver:
    """Reads what one connection after the other brings; may hang up on it, and may forget what it has not read."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.content = b""
        self.connections = 0
        self.failures: list[str] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                with connection:
                    self._read(connection)
            except OSError as error:
                self.failures.append(str(error))

    def _read(self, connection: socket.socket) -> None:
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
        self._connection = connection
        self.connections += 1
        while content := connection.recv(65536):
            self.content += content
        connection.close()

    def hang_up(self) -> None:
        assert self._connection
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):  # it may be closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SOON_S)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def open_sink(said: list[str] | None = None, **settings: object) -> Sink:
    made = msgspec.convert(settings, Syslog)
    return made.open(wrapped(made, TEXT), (said if said is not None else []).append)


def test_octets_are_counted(receiver: Receiver) -> None:
    """Each message stands behind its length in bytes."""
    sink = open_sink(url=f"tcp://127.0.0.1:{receiver.port}")
    sink.write(messages(b"one", "zwölf".encode()))
    sink.close()

    eventually(lambda: receiver.content == "3 one6 zwölf".encode())


def test_newlines_part_messages(receiver: Receiver) -> None:
    sink = open_sink(url=f"tcp://127.0.0.1:{receiver.port}", framing="newline")
    sink.write(messages(b"one", b"two"))
    sink.write(messages(b"three"))
    sink.close()

    eventually(lambda: receiver.content == b"one\ntwo\nthree\n")
    assert receiver.connections == 1


def test_events_are_dressed_in_a_header() -> None:
    """The event says when, where and how bad."""
    for style, begin in (("rfc5424", rb"<16\d>1 2023-06-27T"), ("rfc3164", rb"<16\d>Jun 27 ")):
        settings = msgspec.convert({"url": "udp://127.0.0.1", "header": style}, Syslog)
        encoded = wrapped(settings, TEXT).encode(ALERT)

        assert re.match(begin, encoded)
        assert encoded.endswith(EVENT.source.encode())


def test_only_text_is_carried() -> None:
    with pytest.raises(ConfigError, match="carries lines of text"):
        wrapped(Syslog(url="udp://127.0.0.1"), Format(TEXT.encode, "application/x-protobuf", is_text=False))


def test_lost_connection_sends_the_last_again(receiver: Receiver) -> None:
    """What had been sent before the connection was lost comes again, then the rest, and the operator is told."""
    said: list[str] = []
    sink = open_sink(said, url=f"tcp://127.0.0.1:{receiver.port}", framing="newline")
    sink.write(messages(b"one", b"two"))
    eventually(lambda: receiver.content == b"one\ntwo\n")
    receiver.hang_up()
    time.sleep(0.05)
    sink.write(messages(b"three"))
    sink.close()

    eventually(lambda: receiver.content == b"one\ntwo\none\ntwo\nthree\n")
    assert len(said) == 1
    assert "the last 2 messages are sent again" in said[0]


def test_what_is_sent_again_is_bounded(receiver: Receiver) -> None:
    sink = open_sink(url=f"tcp://127.0.0.1:{receiver.port}", framing="newline", resend_bytes=8)
    sink.write(messages(b"one", b"two", b"six"))
    eventually(lambda: receiver.content == b"one\ntwo\nsix\n")
    receiver.hang_up()
    time.sleep(0.05)
    receiver.content = b""
    sink.write(messages(b"ten"))
    sink.close()

    eventually(lambda: receiver.content == b"two\nsix\nten\n")


def test_goodbye_leaves_no_doubt(receiver: Receiver) -> None:
    """A receiver that closes after us has read everything: nothing is sent again after a reopen."""
    sink = open_sink(url=f"tcp://127.0.0.1:{receiver.port}", framing="newline")
    sink.write(messages(b"one"))
    sink.reopen()
    sink.write(messages(b"two"))
    sink.close()

    eventually(lambda: receiver.content == b"one\ntwo\n")
    assert receiver.connections == 2


def test_nobody_there_is_worth_another_try(receiver: Receiver) -> None:
    receiver.close()
    sink = open_sink(url=f"tcp://127.0.0.1:{receiver.port}")
    with pytest.raises(SinkError, match="Connection refused") as caught:
        sink.write(messages(b"one"))

    assert not isinstance(caught.value, SinkRefused)
    assert caught.value.delivered == 0


@pytest.mark.parametrize("too_long", ["cut", "refuse"])
def test_length_is_bounded(receiver: Receiver, too_long: str) -> None:
    """What is too long is cut between characters, or refused; both are counted."""
    said: list[str] = []
    sink = open_sink(
        said,
        url=f"tcp://127.0.0.1:{receiver.port}",
        framing="newline",
        max_bytes=5,
        too_long=too_long,
    )
    long = "äöüß".encode()
    if too_long == "cut":
        sink.write(messages(b"one", long, b"two"))
        expected = "one\näö\ntwo\n".encode()
        assert "1 messages so far were cut to 5 bytes" in said[0]
    else:
        with pytest.raises(SinkRefused) as caught:
            sink.write(messages(b"one", long, b"two"))
        expected = b"one\ntwo\n"
        assert caught.value.refused == 1
    sink.close()

    eventually(lambda: receiver.content == expected)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


@pytest.fixture
def secured(authority: Authority) -> Iterator[Receiver]:
    """A receiver that wants a certificate of its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*authority.vouch("127.0.0.1", "siem.example.org"))
    found = Receiver(context)
    yield found
    found.close()


def secure_sink(receiver: Receiver, **tls: str) -> Sink:
    return open_sink(url=f"tls://127.0.0.1:{receiver.port}", framing="newline", tls=tls)


def test_tls_with_client_certificate(authority: Authority, secured: Receiver) -> None:
    ours = authority.vouch("node-1")
    sink = secure_sink(secured, ca=authority.file, certificate=ours.certificate, key=ours.key)
    sink.write(messages(b"one"))
    sink.reopen()
    sink.write(messages(b"two"))
    sink.close()

    eventually(lambda: secured.content == b"one\ntwo\n")
    assert secured.connections == 2


def test_client_without_certificate_is_not_taken_for_delivered(
    authority: Authority, secured: Receiver
) -> None:
    """Under TLS 1.3 the receiver says no only after we could have sent something."""
    sink = secure_sink(secured, ca=authority.file)
    with pytest.raises(SinkError, match="TLS: "):
        sink.write(messages(b"one"))

    assert secured.content == b""


def test_unknown_receiver_gets_nothing(authority: Authority, secured: Receiver, tmp_path: Path) -> None:
    """Neither one that another authority vouches for, nor one of another name."""
    ours = authority.vouch("node-1")
    pair = {"certificate": ours.certificate, "key": ours.key}
    other = Authority(tmp_path / "other")
    for settings in (
        {"ca": other.file, **pair},
        {"ca": authority.file, "server_name": "elsewhere.example.org", **pair},
    ):
        with pytest.raises(SinkError, match=r"receiver's certificate does not hold: ."):
            secure_sink(secured, **settings).write(messages(b"one"))

    assert secured.content == b""


def test_reopen_takes_new_certificates(authority: Authority, secured: Receiver, tmp_path: Path) -> None:
    """Renewed files hold from the next connection on."""
    stranger = Authority(tmp_path / "other").vouch("node-1")
    certificate, key = tmp_path / "our.pem", tmp_path / "our.key"

    def install(pair: Sequence[str]) -> None:
        certificate.write_bytes(Path(pair[0]).read_bytes())
        key.write_bytes(Path(pair[1]).read_bytes())

    install(stranger)
    sink = secure_sink(secured, ca=authority.file, certificate=str(certificate), key=str(key))
    with pytest.raises(SinkError, match="TLS"):
        sink.write(messages(b"one"))
    install(authority.vouch("node-1"))
    sink.reopen()
    sink.write(messages(b"one"))
    sink.close()

    eventually(lambda: secured.content == b"one\n")


def test_bad_certificates_are_said_at_once(authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for tls, reason in (
        (Tls(ca=str(empty)), "cannot read authorities from .*empty.pem"),
        (Tls(ca=str(tmp_path / "no.pem")), "no.pem: No such file"),
        (Tls(certificate=authority.file), "cannot use .*authority.pem"),
    ):
        with pytest.raises(SinkError, match=reason):
            tls.context()


@pytest.fixture
def datagrams() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        found.settimeout(SOON_S)
        yield found


def test_datagrams(datagrams: socket.socket) -> None:
    """One a message, cut to what receivers take."""
    sink = open_sink(url=f"udp://127.0.0.1:{datagrams.getsockname()[1]}")
    sink.write(messages(b"one", b"x" * 5000))
    sink.close()

    assert datagrams.recv(65536) == b"one"
    assert datagrams.recv(65536) == b"x" * 2048


def test_datagram_too_long_for_any(datagrams: socket.socket) -> None:
    sink = open_sink(url=f"udp://127.0.0.1:{datagrams.getsockname()[1]}", max_bytes=1 << 20)
    with pytest.raises(SinkRefused) as caught:
        sink.write(messages(b"x" * 70_000, b"one"))
    sink.close()

    assert caught.value.refused == 1
    assert datagrams.recv(65536) == b"one"


def test_datagram_that_nobody_takes(datagrams: socket.socket) -> None:
    """On this machine the kernel says so at once."""
    port = datagrams.getsockname()[1]
    datagrams.close()
    sink = open_sink(url=f"udp://127.0.0.1:{port}")
    with pytest.raises(SinkError, match="Connection refused") as caught:
        sink.write(messages(b"one"))

    assert caught.value.delivered == 0


def test_plain_text_is_warned_of() -> None:
    """Only if it leaves the machine."""
    for url, warned in (
        ("tcp://127.0.0.1", False),
        ("udp://[::1]:5514", False),
        ("tcp://192.0.2.1", True),
        ("udp://siem.example.org", True),
        ("tls://siem.example.org", False),
    ):
        said: list[str] = []
        open_sink(said, url=url)

        assert bool(said) == warned
        assert all("plain text" in line for line in said)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "siem.example.org"}, "is not like tls://HOST:PORT"),
        ({"url": "http://siem.example.org"}, "is not like tls://HOST:PORT"),
        ({"url": "tls://siem.example.org:99999"}, "out of range"),
        ({"url": "tcp://siem.example.org", "tls": {"ca": "x"}}, "write tls://siem.example.org"),
        ({"url": "tls://siem.example.org", "tls": {"key": "x"}}, "no `certificate`"),
        ({"url": "tls://siem.example.org", "header": "rfc1"}, "rfc1"),
        ({"url": "tls://siem.example.org", "timeout_s": 0}, "> 0"),
        ({}, "url"),
    ],
)
def test_bad_settings_are_told(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(settings, Syslog)
