"""OTLP by the rules of its specification, against receivers that do as they are told."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import grpc
import msgspec
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from hauberk.errors import ConfigError, SinkBusy, SinkError, SinkRefused
from hauberk.formats import Format
from hauberk.sinks import Message, wrapped
from hauberk.sinks.otlp import Otlp, OtlpSink
from tests.certificates import Authority
from tests.events import EVENT
from tests.receivers.otel import (
    DIE,
    TAKE,
    GrpcReceiver,
    HttpReceiver,
    Receiver,
    Reply,
    fail,
    partial,
    refuse,
)

Code = grpc.StatusCode
PROTOCOLS = {"http": HttpReceiver, "grpc": GrpcReceiver}
OTEL = Format(lambda event: request(event.source), "application/x-protobuf", False, b"".join)


def request(text: str) -> bytes:
    made = ExportLogsServiceRequest()
    made.resource_logs.add().scope_logs.add().log_records.add().body.string_value = text
    return made.SerializeToString()


def messages(*texts: str) -> list[Message]:
    return [Message(request(text), False, text, "host") for text in texts]


@pytest.fixture(params=PROTOCOLS)
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    found: Receiver = PROTOCOLS[request.param]()
    yield found
    found.close()


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    found = HttpReceiver()
    yield found
    found.close()


def open_sink(receiver: Receiver, said: list[str] | None = None, **settings: object) -> OtlpSink:
    protocol = "http" if isinstance(receiver, HttpReceiver) else "grpc"
    given = {"url": f"http://127.0.0.1:{receiver.port}", "protocol": protocol} | settings
    made = msgspec.convert(given, Otlp)
    return made.open(wrapped(made, OTEL), (said if said is not None else []).append)


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_messages_arrive_in_batches(receiver: Receiver, compression: str) -> None:
    """In order, over one connection, with the headers."""
    sink = open_sink(receiver, compression=compression, max_events=2, headers={"X-Scope": "nodes"})
    sink.write(messages("a", "b", "c"))
    sink.write(messages("d"))
    sink.close()

    assert receiver.bodies == ["a", "b", "c", "d"]
    assert len(receiver.taken) == 3
    assert all(
        {**headers, **{k.lower(): v for k, v in headers.items()}}["x-scope"] == "nodes"
        for headers in receiver.headers
    )


def test_batches_are_bounded_in_bytes(receiver: Receiver) -> None:
    """One that is longer than a batch may be is one of its own."""
    sink = open_sink(receiver, max_bytes=1024)
    sink.write(messages("a" * 600, "b" * 600, "c" * 3000, "d", "e"))
    sink.close()

    assert [len(found.resource_logs) for found in receiver.taken] == [1, 1, 1, 2]


def test_partial_success_is_not_sent_again(receiver: Receiver) -> None:
    """What is rejected is counted with the receiver's words, however many batches there are."""
    receiver.script = [partial(2, "too old"), TAKE, partial(100, "no")]
    sink = open_sink(receiver, max_events=3)
    with pytest.raises(SinkRefused) as caught:
        sink.write(messages(*"abcdefgh"))
    sink.close()

    assert caught.value.refused == 2 + 2  # no more than there were
    assert len(receiver.taken) == 3


def test_warning_is_told_once(receiver: Receiver) -> None:
    """A partial success that rejects nothing."""
    receiver.script = [partial(0, "old\x1b[31m schema")] * 2
    said: list[str] = []
    sink = open_sink(receiver, said)
    sink.write(messages("a"))
    sink.write(messages("b"))
    sink.close()

    assert len(said) == 1
    assert said[0].endswith("warns: old?[31m schema")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_http_says_later(http: HttpReceiver, status: int) -> None:
    """What came before the throttled batch is not sent again."""
    http.script = [TAKE, refuse(status, {"Retry-After": "7"})]
    sink = open_sink(http, max_events=2)
    with pytest.raises(SinkBusy) as caught:
        sink.write(messages("a", "b", "c"))

    assert (caught.value.retry_after_s, caught.value.delivered, caught.value.refused) == (7, 2, 0)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        (format_datetime(datetime.now(UTC) + timedelta(seconds=3000), usegmt=True), 2000, 3000),
        (format_datetime(datetime.now(UTC) - timedelta(seconds=50), usegmt=True), 0, 0),
        ("999999999999", 3600, 3600),
    ],
)
def test_patience_by_date(http: HttpReceiver, text: str, low: float, high: float) -> None:
    """A date, a date that is over, and more than anybody waits."""
    http.script = [refuse(503, {"Retry-After": text})]
    with pytest.raises(SinkBusy) as caught:
        open_sink(http).write(messages("a"))

    assert caught.value.retry_after_s is not None
    assert low <= caught.value.retry_after_s <= high


@pytest.mark.parametrize("text", ["soon", "-", "99999999999999999999999999999 GMT"])
def test_patience_that_nobody_understands(http: HttpReceiver, text: str) -> None:
    http.script = [refuse(503, {"Retry-After": text})]
    with pytest.raises(SinkError) as caught:
        open_sink(http).write(messages("a"))

    assert not isinstance(caught.value, (SinkBusy, SinkRefused))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 500, 501])
def test_http_refuses(http: HttpReceiver, status: int) -> None:
    """Every other error is for good, by the specification; the batches behind it are sent all the same."""
    http.script = [TAKE, refuse(status)]
    sink = open_sink(http, max_events=1)
    with pytest.raises(SinkRefused, match=f"refused: {status}") as caught:
        sink.write(messages("a", "b", "c"))

    assert caught.value.refused == 1
    assert http.bodies == ["a", "c"]


def test_refusal_before_a_failure_is_counted(http: HttpReceiver) -> None:
    http.script = [refuse(400), TAKE, refuse(503)]
    with pytest.raises(SinkError) as caught:
        open_sink(http, max_events=2).write(messages(*"abcdef"))

    assert (caught.value.delivered, caught.value.refused) == (2, 2)


def test_operator_may_know_better(receiver: Receiver) -> None:
    """Some receivers say 500, or UNAUTHENTICATED, for a while."""
    receiver.script = [refuse(500) if isinstance(receiver, HttpReceiver) else fail(Code.UNAUTHENTICATED)]
    with pytest.raises(SinkError) as caught:
        open_sink(receiver, also_retry=[500, "UNAUTHENTICATED"]).write(messages("a"))

    assert not isinstance(caught.value, SinkRefused)


def test_refusal_says_why(http: HttpReceiver) -> None:
    """The Status in the answer, fit to be shown."""
    http.script = [
        Reply(
            400, media_type="application/json", content=b'{"message": "bad \\u001b[31m field"}', takes=False
        )
    ]
    with pytest.raises(SinkRefused, match=r"refused: 400 Bad Request: bad \?\[31m field"):
        open_sink(http).write(messages("a"))


def test_too_large_is_halved(receiver: Receiver) -> None:
    """Until it fits; what does not even alone is refused."""
    if isinstance(receiver, HttpReceiver):
        receiver.script = [refuse(413), TAKE, refuse(413), refuse(413), TAKE]
        expected = "abd"
    else:
        receiver.close()
        receiver = GrpcReceiver(max_bytes=1500)
        expected = "abd"
    sink = open_sink(receiver, compression="none")
    with pytest.raises(SinkRefused, match="too large") as caught:
        sink.write(messages("a" * 600, "b" * 600, "c" * 2000, "d" * 600))
    sink.close()
    receiver.close()

    assert caught.value.refused == 1
    assert [body[0] for body in receiver.bodies] == list(expected)


def test_redirects_are_not_followed(http: HttpReceiver) -> None:
    """Nor taken for success: the events wait."""
    http.script = [refuse(302, {"Location": f"http://127.0.0.1:{http.port}/v1/logs"})]
    with pytest.raises(SinkError, match="302 Found: redirects are not followed") as caught:
        open_sink(http).write(messages("a"))

    assert not isinstance(caught.value, SinkRefused)
    assert http.bodies == []


def test_page_for_people_is_no_receiver(http: HttpReceiver) -> None:
    """What a login page says yes to is not delivered."""
    http.script = [Reply(media_type="text/html", content=b"<html>", takes=False)]
    with pytest.raises(SinkError, match="no OTLP receiver is there"):
        open_sink(http).write(messages("a"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=204),
        Reply(media_type="text/plain", content=b"OK"),
        Reply(media_type="application/json", content=b"{}"),
        Reply(media_type="application/json", content=b"["),
        Reply(media_type="application/json", content=b"[" * 60_000),
        Reply(media_type="application/json", content=b'{"partialSuccess": 5}'),
        Reply(content=b"\xff" * 100_000),
    ],
)
def test_odd_success_is_success(http: HttpReceiver, reply: Reply) -> None:
    """The specification asks for a response; receivers say yes in many ways."""
    http.script = [reply]
    sink = open_sink(http)
    sink.write(messages("a"))
    sink.write(messages("b"))
    sink.close()

    assert http.bodies == ["a", "b"]


def test_partial_success_in_json(http: HttpReceiver) -> None:
    http.script = [
        Reply(
            media_type="application/json",
            content=b'{"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "no"}}',
        )
    ]
    with pytest.raises(SinkRefused, match="1 of 2 events rejected: no"):
        open_sink(http).write(messages("a", "b"))


@pytest.mark.parametrize("code", [Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.OUT_OF_RANGE, Code.UNAVAILABLE, Code.DATA_LOSS])  # fmt: skip
def test_grpc_says_later(code: grpc.StatusCode) -> None:
    receiver = GrpcReceiver([TAKE, fail(code, "later")])
    with pytest.raises(SinkError, match=f"{code.name}: later") as caught:
        open_sink(receiver, max_events=2).write(messages("a", "b", "c"))
    receiver.close()

    assert not isinstance(caught.value, (SinkRefused, SinkBusy))
    assert caught.value.delivered == 2


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED])
def test_grpc_says_when(code: grpc.StatusCode) -> None:
    """RetryInfo in the details; without it, RESOURCE_EXHAUSTED is for good."""
    receiver = GrpcReceiver([fail(code, "later", 2.5)])
    with pytest.raises(SinkBusy) as caught:
        open_sink(receiver).write(messages("a"))
    receiver.close()

    assert caught.value.retry_after_s == 2.5


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED])  # fmt: skip
def test_grpc_refuses(code: grpc.StatusCode) -> None:
    receiver = GrpcReceiver([fail(code, "no")])
    with pytest.raises(SinkRefused, match=f"refused: {code.name}: no") as caught:
        open_sink(receiver).write(messages("a", "b"))
    receiver.close()

    assert caught.value.refused == 2


def test_receiver_that_dies_is_worth_another_try(receiver: Receiver) -> None:
    """And reached again by the same sink when it is back at its place."""
    receiver.script = [DIE]
    sink = open_sink(receiver)
    with pytest.raises(SinkError) as caught:
        sink.write(messages("a"))
    assert not isinstance(caught.value, SinkRefused)
    receiver.close()
    with pytest.raises(SinkError) as caught:
        sink.write(messages("a"))
    assert not isinstance(caught.value, SinkRefused)
    again = type(receiver)(port=receiver.port)  # type: ignore[call-arg]
    while not again.bodies:
        try:
            sink.write(messages("a"))
        except SinkError as error:
            assert not isinstance(error, SinkRefused)
    sink.close()
    again.close()

    assert again.bodies == ["a"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


@pytest.fixture(params=PROTOCOLS)
def secured(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Receiver]:
    """A receiver that wants a certificate of its clients."""
    pair = authority.vouch("127.0.0.1", "otel.example.org")
    found: Receiver
    if request.param == "http":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*pair)
        found = HttpReceiver(context=context)
    else:
        found = GrpcReceiver(
            credentials=grpc.ssl_server_credentials(
                [(Path(pair.key).read_bytes(), Path(pair.certificate).read_bytes())],
                Path(authority.file).read_bytes(),
                True,
            )
        )
    yield found
    found.close()


def secure_sink(receiver: Receiver, **tls: str) -> OtlpSink:
    return open_sink(receiver, url=f"https://127.0.0.1:{receiver.port}", tls=tls)


def test_tls_with_client_certificate(authority: Authority, secured: Receiver) -> None:
    """And with a token from a file; both are read again by a reopen."""
    ours = authority.vouch("node-1")
    token = Path(authority.file).with_name("token")
    token.write_text("one\n")
    sink = open_sink(
        secured,
        url=f"https://127.0.0.1:{secured.port}",
        tls={"ca": authority.file, "certificate": ours.certificate, "key": ours.key},
        headers={"Authorization": {"file": str(token), "prefix": "Bearer "}},
    )
    sink.write(messages("a"))
    token.write_text("two\n")
    sink.reopen()
    sink.write(messages("b"))
    sink.close()

    assert secured.bodies == ["a", "b"]
    found = [{name.lower(): value for name, value in headers.items()} for headers in secured.headers]
    assert [headers["authorization"] for headers in found] == ["Bearer one", "Bearer two"]


def test_strangers_get_nothing(authority: Authority, secured: Receiver, tmp_path: Path) -> None:
    """Neither we without a certificate, nor a receiver that others vouch for, nor one of another name."""
    ours = authority.vouch("node-1")
    pair = {"certificate": ours.certificate, "key": ours.key}
    for tls in (
        {"ca": authority.file},
        {"ca": Authority(tmp_path / "other").file, **pair},
        {"ca": authority.file, "server_name": "elsewhere.example.org", **pair},
    ):
        sink = secure_sink(secured, **tls)
        with pytest.raises(SinkError) as caught:
            sink.write(messages("a"))
        sink.close()
        assert not isinstance(caught.value, SinkRefused)

    assert secured.bodies == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_otlp_is_carried(protocol: str) -> None:
    settings = msgspec.convert({"url": "http://127.0.0.1", "protocol": protocol}, Otlp)
    with pytest.raises(ConfigError, match="choose the format otel-protobuf"):
        wrapped(settings, Format(OTEL.encode, "application/x-ndjson"))


def test_plain_text_is_warned_of() -> None:
    for url, warned in (
        ("http://127.0.0.1", False),
        ("http://192.0.2.1", True),
        ("https://192.0.2.1", False),
    ):
        for protocol in PROTOCOLS:
            said: list[str] = []
            msgspec.convert({"url": url, "protocol": protocol}, Otlp).open(OTEL, said.append).close()
            assert bool(said) == warned


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "otel.example.org:4318"}, "is not like https://HOST:PORT"),
        ({"url": "https://ada:hunter2@otel.example.org"}, "as a header from a file"),
        ({"url": "https://otel.example.org/x", "protocol": "grpc"}, "write https://otel.example.org"),
        ({"url": "http://otel.example.org", "tls": {"ca": "x"}}, "write https://"),
        ({"url": "https://otel.example.org", "headers": {"Authorization": "hunter2"}}, "keep it elsewhere"),
        ({"url": "https://otel.example.org", "headers": {"X Y": "hunter2"}}, "no header can be named 'X Y'"),
        ({"url": "https://otel.example.org", "headers": {"X": "a\r\nB: hunter2"}}, "letters that no header"),
        ({"url": "https://otel.example.org", "headers": {"X": {}}}, "name one"),
    ],
)
def test_bad_settings_are_told(settings: dict[str, object], problem: str) -> None:
    """Without the secret that may be in them."""
    with pytest.raises(msgspec.ValidationError, match=problem) as caught:
        msgspec.convert(settings, Otlp)

    assert "hunter2" not in str(caught.value)


def test_secret_that_is_not_there(tmp_path: Path) -> None:
    for secret, problem in (
        ({"file": str(tmp_path / "no")}, "cannot read the secret in .*no: No such file"),
        ({"env": "HAUBERK_TEST_NOTHING"}, "environment variable HAUBERK_TEST_NOTHING is empty"),
    ):
        settings = msgspec.convert({"url": "https://127.0.0.1", "headers": {"X": secret}}, Otlp)
        with pytest.raises(SinkError, match=problem):
            settings.open(OTEL, print)


def test_format_of_tests_is_otlp() -> None:
    """Joined requests are one request: what all of the above rests on."""
    joined = ExportLogsServiceRequest.FromString(OTEL.join([OTEL.encode(EVENT), OTEL.encode(EVENT)]))

    assert len(joined.resource_logs) == 2
