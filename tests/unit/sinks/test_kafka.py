"""Kafka: settings, and what needs no broker but librdkafka's own mock; a real one is in tests/receivers."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hauberk.errors import SinkError, SinkRefused
from hauberk.formats import FORMATS
from hauberk.sinks import Message
from hauberk.sinks.kafka import Kafka, KafkaSink
from tests.certificates import Authority

LINES = FORMATS.load("kubearmor")().make()
MOCK: dict[str, Any] = {"security": "plaintext", "topic": "events", "options": {"test.mock.num.brokers": 1}}


def open_sink(said: list[str] | None = None, **settings: Any) -> KafkaSink:
    made = msgspec.convert({"brokers": ["127.0.0.1:1"]} | settings, Kafka)
    return made.open(LINES, (said if said is not None else []).append)


def messages(*contents: bytes) -> list[Message]:
    return [Message(content, False, str(number), "host") for number, content in enumerate(contents)]


def test_mock_takes_messages() -> None:
    """All are reported."""
    sink = open_sink(**MOCK)
    sink.write(messages(b"a", b"b", b"c"))
    sink.reopen()
    sink.write(messages(b"d"))
    sink.close()


def test_too_long_is_refused() -> None:
    """By librdkafka itself; the others are delivered."""
    sink = open_sink(**MOCK)
    with pytest.raises(SinkRefused, match="too large") as caught:
        sink.write(messages(b"a", b"x" * 2_000_000, b"c"))
    sink.close()

    assert caught.value.refused == 1


def test_nobody_there_is_worth_another_try() -> None:
    """With what librdkafka says of it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    sink = open_sink(brokers=[f"127.0.0.1:{port}"], topic="events", security="plaintext", timeout_s=1)
    with pytest.raises(SinkError, match="Connection refused") as caught:
        sink.write(messages(b"a", b"b"))
    sink.close()

    assert not isinstance(caught.value, SinkRefused)
    assert (caught.value.delivered, caught.value.refused) == (0, 0)


def test_settings_are_librdkafkas(tmp_path: Path) -> None:
    """The mapping that the page shows."""
    authority = Authority(tmp_path / "certificates")
    ours = authority.vouch("node-1")
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    settings = msgspec.convert(
        {
            "brokers": ["a:9093", "b:9093"],
            "topic": "events",
            "tls": {"ca": authority.file, "certificate": ours.certificate, "key": ours.key},
            "sasl": {"username": "ada", "password": {"file": str(password)}},
            "options": {"linger.ms": 50},
        },
        Kafka,
    )
    found = settings.librdkafka()

    assert "hunter2" not in repr(settings)
    assert found == {
        "bootstrap.servers": "a:9093,b:9093",
        "client.id": "hauberk",
        "compression.type": "zstd",
        "enable.idempotence": True,
        "linger.ms": 50,
        "message.timeout.ms": 20_000,
        "reconnect.backoff.max.ms": 2000,
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.password": "hunter2",
        "sasl.username": "ada",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": authority.file,
        "ssl.certificate.location": ours.certificate,
        "ssl.key.location": ours.key,
        "topic.metadata.propagation.max.ms": 5000,
    }


def test_unknown_option_is_said_at_once() -> None:
    with pytest.raises(SinkError, match=r"no\.such\.thing.*see `options`"):
        open_sink(security="plaintext", topic="events", options={"no.such.thing": 1})


def test_plain_text_is_warned_of() -> None:
    for brokers, warned in ((["127.0.0.1:9092", "[::1]:9092"], 0), (["127.0.0.1:9092", "192.0.2.1:9092"], 1)):
        said: list[str] = []
        open_sink(said, brokers=brokers, **MOCK).close()
        assert len(said) == warned


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"brokers": []}, "length >= 1"),
        ({"brokers": ["a:9092,b:9092"]}, "matching regex"),
        ({"topic": "a b"}, "matching regex"),
        ({"options": {"enable.idempotence": False}}, "enable.idempotence is not free"),
        ({"options": {"ssl.key.password": "hunter2"}}, "ssl.key.password is not free"),
        ({"options": {"sasl.password": "hunter2"}}, "sasl.password is not free"),
        ({"security": "plaintext", "tls": {"ca": "x"}}, "of no use"),
        ({"tls": {"server_name": "x"}}, "verified by its own name"),
        ({"sasl": {"username": "ada", "password": "hunter2"}}, "Expected `object`"),
    ],
)
def test_bad_settings_are_told(settings: dict[str, Any], problem: str) -> None:
    given = {"brokers": ["a:9092"], "topic": "events"} | settings
    with pytest.raises(msgspec.ValidationError, match=problem) as caught:
        msgspec.convert(given, Kafka)

    assert "hunter2" not in str(caught.value)
