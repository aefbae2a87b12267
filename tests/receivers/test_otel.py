"""OTLP to receivers that refuse, throttle, reject some and die: over HTTP and gRPC, through the whole output."""

from pathlib import Path

import grpc
import pytest

from tests.receivers.delivering import Delivery, eventually, number_of
from tests.receivers.otel import (
    DIE,
    DIE_LATE,
    TAKE,
    GrpcReceiver,
    HttpReceiver,
    Receiver,
    Reply,
    fail,
    partial,
    refuse,
)

pytestmark = pytest.mark.tier("receivers")

KINDS = {"http": HttpReceiver, "grpc": GrpcReceiver}
Code = grpc.StatusCode


@pytest.fixture(params=KINDS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start(protocol: str, *script: Reply, port: int = 0) -> Receiver:
    found: Receiver = HttpReceiver(script, port) if protocol == "http" else GrpcReceiver(script, port)
    return found


def records(*receivers: Receiver) -> list[tuple[int, str]]:
    """The numbers and the IDs of what was taken, in its order."""
    found = []
    for request in [request for receiver in receivers for request in list(receiver.taken)]:
        for record in [
            record
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]:
            values = {each.key: each.value.string_value for each in record.attributes}
            found.append((number_of(str(record)), values["log.record.uid"]))
    return found


def open_delivery(protocol: str, port: int, directory: Path, max_events: int = 50) -> Delivery:
    settings = {
        "url": f"http://127.0.0.1:{port}",
        "protocol": protocol,
        "max_events": max_events,
        "timeout_s": 5,
    }
    return Delivery(directory, {"otlp": settings})


def test_all_it_can_do(protocol: str, tmp_path: Path) -> None:
    """Throttles, fails, hangs up, dies after it has taken: all arrives, what was in doubt comes twice by the same ID."""
    if protocol == "http":
        script = [
            TAKE,
            refuse(429, {"Retry-After": "1"}),
            refuse(503),
            TAKE,
            DIE,
            DIE_LATE,
            refuse(502),
            TAKE,
        ]
    else:
        patient, unavailable = fail(Code.RESOURCE_EXHAUSTED, "", 1.0), fail(Code.UNAVAILABLE)
        script = [TAKE, patient, unavailable, TAKE, DIE, DIE_LATE, fail(Code.ABORTED), TAKE]
    receiver = start(protocol, *script)
    delivery = open_delivery(protocol, receiver.port, tmp_path)
    delivery.put(500)
    eventually(delivery.settled)
    delivery.close()
    found = records(receiver)
    receiver.close()

    assert receiver.script == []
    assert len(found) > delivery.put_count  # of what was taken without saying so
    assert all(uid == delivery.event(number).id for number, uid in found)
    assert delivery.counts.dropped == {}
    delivery.hold_against([number for number, _ in found])


def test_what_is_refused_is_named(protocol: str, tmp_path: Path) -> None:
    """The ledger has as many as the receiver does not, and the operator its words."""
    no = refuse(400) if protocol == "http" else fail(Code.INVALID_ARGUMENT, "no such thing")
    receiver = start(protocol, TAKE, no, partial(3, "three are too old"), TAKE)
    delivery = open_delivery(protocol, receiver.port, tmp_path)
    delivery.put(500)
    eventually(delivery.settled)
    delivery.close()
    found = records(receiver)
    receiver.close()

    assert delivery.counts.dropped == {"refused": 50 + 3}
    assert delivery.counts.difference == 0
    assert len(found) == 450  # three of which it has rejected
    assert any("refused" in line for line in delivery.said)


def test_killed_in_the_middle(protocol: str, tmp_path: Path) -> None:
    """Nothing is lost while it is away, nor what was on its way when it went."""
    receiver = start(protocol)
    delivery = open_delivery(protocol, receiver.port, tmp_path)
    delivery.put_slowly(1000, lambda: delivery.counts.delivered > 100)
    receiver.close()
    delivery.put_slowly(1000, lambda: bool(delivery.said))
    again = start(protocol, port=receiver.port)
    delivery.put_slowly(200)
    eventually(delivery.settled)
    delivery.close()
    again.close()

    assert delivery.counts.dropped == {}
    delivery.hold_against([number for number, _ in records(receiver, again)])


def test_next_run_sends_what_this_one_could_not(protocol: str, tmp_path: Path) -> None:
    """A receiver that is away until after the agent has ended gets it from the agent's next run."""
    receiver = start(protocol)
    receiver.close()
    delivery = open_delivery(protocol, receiver.port, tmp_path)
    delivery.put(200)
    eventually(lambda: bool(delivery.said))
    delivery.close()
    assert delivery.counts.spooled == 200
    receiver = start(protocol, port=receiver.port)
    again = open_delivery(protocol, receiver.port, tmp_path)
    eventually(lambda: again.counts.delivered == 200)
    again.close()
    receiver.close()

    assert (again.counts.replayed, again.counts.difference) == (200, 0)
    assert {number for number, _ in records(receiver)} == set(range(200))
