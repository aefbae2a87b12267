"""Kafka to a real broker: in order, with keys and IDs, killed and started again in the middle."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hauberk.errors import SinkError, SinkRefused
from hauberk.formats import FORMATS
from hauberk.sinks import Message
from hauberk.sinks.kafka import Kafka
from tests.receivers.delivering import WORKLOADS, Delivery, eventually, number_of
from tests.receivers.kafka import PASSWORD, USER, Broker
from tools import receivers

pytestmark = pytest.mark.tier("receivers")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    libraries = receivers.kafka()
    if not libraries:
        pytest.skip("Kafka is not here: python3 tools/receivers.py prepare")
    found = Broker(libraries, tmp_path_factory.mktemp("kafka"))
    try:
        found.start()
        yield found
    finally:
        found.kill()


def plain(broker: Broker, topic: str, **settings: Any) -> dict[str, Any]:
    return {
        "kafka": {
            "brokers": [f"127.0.0.1:{broker.port}"],
            "topic": topic,
            "security": "plaintext",
            **settings,
        }
    }


def numbers(broker: Broker, *topics: str) -> list[int]:
    return [number_of(found.content.decode()) for topic in topics for found in broker.read(topic)]


def test_keys_and_ids(broker: Broker, tmp_path: Path) -> None:
    """A workload's events are in one partition; each has its event's ID; alerts may have a topic of their own."""
    broker.create("events")
    broker.create("alerts")
    delivery = Delivery(tmp_path, plain(broker, "events", alerts_topic="alerts"))
    delivery.put(300)
    eventually(delivery.settled)
    delivery.close()
    found = {topic: broker.read(topic) for topic in ("events", "alerts")}

    assert (len(found["events"]), len(found["alerts"])) == (270, 30)
    for received in found.values():
        assert {message.key for message in received} == {
            workload.container_id or "host" for workload in WORKLOADS
        }
        assert len({(message.key, message.partition) for message in received}) == len(WORKLOADS)
        for message in received:
            assert message.id == delivery.event(number_of(message.content.decode())).id
    delivery.hold_against(numbers(broker, "events", "alerts"))


def test_killed_in_the_middle(broker: Broker, tmp_path: Path) -> None:
    """What was acknowledged is there, what was not comes again, and what was put meanwhile waits."""
    broker.create("killed")
    delivery = Delivery(tmp_path, plain(broker, "killed", timeout_s=5))
    delivery.put_slowly(2000, lambda: delivery.counts.delivered > 1000)
    broker.kill()
    delivery.put_slowly(2000)
    eventually(lambda: bool(delivery.said))
    broker.start()
    delivery.put_slowly(500)
    eventually(delivery.settled)
    delivery.close()

    assert delivery.counts.dropped == {}
    delivery.hold_against(numbers(broker, "killed"))


def secure(broker: Broker, topic: str, tmp_path: Path, password: str = PASSWORD) -> dict[str, Any]:
    ours = broker.authority.vouch("node-1")
    (tmp_path / "password").write_text(password)
    return {
        "brokers": [f"127.0.0.1:{broker.secure_port}"],
        "topic": topic,
        "tls": {"ca": broker.authority.file, "certificate": ours.certificate, "key": ours.key},
        "sasl": {
            "mechanism": "PLAIN",
            "username": USER,
            "password": {"file": str(tmp_path / "password")},
        },
        "timeout_s": 20,
    }


def test_tls_and_password(broker: Broker, tmp_path: Path) -> None:
    """With our certificate; and with the wrong password events wait until it is put right."""
    broker.create("secure")
    delivery = Delivery(tmp_path, {"kafka": secure(broker, "secure", tmp_path, "wrong") | {"timeout_s": 3}})
    delivery.put(30)
    eventually(lambda: bool(delivery.said))
    (tmp_path / "password").write_text(PASSWORD)
    delivery.reopen()
    eventually(delivery.settled)
    delivery.close()

    assert "SASL" in delivery.said[0] or "uthentication" in delivery.said[0]
    assert not any(PASSWORD in line or "wrong" in line for line in delivery.said)
    delivery.hold_against(numbers(broker, "secure"))


def messages(*contents: bytes) -> list[Message]:
    return [Message(content, False, str(number), "host") for number, content in enumerate(contents)]


def test_too_long_for_the_topic(broker: Broker) -> None:
    """The broker says so of a whole batch; only the one that is too long even alone is refused."""
    broker.create("short", **{"max.message.bytes": "10000"})
    settings = plain(broker, "short", compression="none")["kafka"]
    sink = Kafka(**settings).open(FORMATS.load("kubearmor")().make(), print)
    with pytest.raises(SinkRefused) as caught:
        sink.write(messages(b"a" * 4000, b"b" * 4000, b"c" * 20_000, b"d" * 4000))
    sink.close()

    assert caught.value.refused == 1
    assert {found.content[:1] for found in broker.read("short")} == {b"a", b"b", b"d"}


def test_no_such_topic(broker: Broker) -> None:
    """Events wait, and the operator is told."""
    settings = plain(broker, "nowhere", timeout_s=2)["kafka"]
    sink = Kafka(**settings).open(FORMATS.load("kubearmor")().make(), print)
    with pytest.raises(SinkError, match="nknown topic") as caught:
        sink.write(messages(b"a"))
    sink.close()

    assert not isinstance(caught.value, SinkRefused)
