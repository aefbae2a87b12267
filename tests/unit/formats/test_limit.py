"""Messages that fit a datagram: with what decides in them, in every format of text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.formats import FORMATS
from hauberk.formats.limit import CUT, shortened, within
from hauberk.model.event import Event
from hauberk.sinks.syslog import Syslog
from tests.hostile import hostile_events

DATAGRAM = 2048
TEXT_FORMATS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ("kubearmor", "cef", "ocsf", "ecs", "text")),
    ("cef", {"profile": "minimal"}),
]
"""All but OTLP's JSON, of which what stands around an event is longer than a datagram."""


def long(event: Event, size: int = 3000) -> Event:
    """The same, of somebody who has much to say."""
    return replace(
        event,
        source="/bin/a " + "x" * size,
        resource="/tmp/" + "y" * size,
        cwd="/" + "z" * size,
        process=replace(event.process, command_line="/bin/a " + "x" * size),
        workload=replace(event.workload, labels={f"label-{n}": "v" * 63 for n in range(50)}),
    )


@pytest.mark.parametrize(("name", "settings"), TEXT_FORMATS)
def test_decision_fits_a_datagram(name: str, settings: dict[str, Any], alert: Event) -> None:
    assert alert.verdict
    for size in (0, 100, 1500, 3000, 100_000):
        form = Syslog(url="udp://127.0.0.1:514").wrap(FORMATS.load(name)(**settings).make())
        message = form.encode(long(alert, size))

        assert len(message) <= DATAGRAM
        assert alert.verdict.policy.encode() in message
        assert alert.verdict.action.encode() in message
        assert b"denied" in message or b"failure" in message or b"EACCES" in message


@pytest.mark.parametrize("name", ["kubearmor", "ocsf", "ecs"])
def test_json_stays_json_and_says_what_was_cut(name: str, alert: Event) -> None:
    form = within(FORMATS.load(name)().make(), DATAGRAM)
    message = form.encode(long(alert))

    assert len(message) <= DATAGRAM
    assert CUT in str(json.loads(message))


def test_what_fits_stays_as_it_is() -> None:
    encode = FORMATS.load("kubearmor")().make().encode
    fitting = within(FORMATS.load("kubearmor")().make(), 1 << 20).encode
    for event in hostile_events(200):
        assert fitting(event) == encode(event)


def test_refused_messages_are_not_cut(alert: Event) -> None:
    form = Syslog(url="udp://127.0.0.1:514", too_long="refuse").wrap(FORMATS.load("cef")().make())

    assert len(form.encode(long(alert))) > DATAGRAM


@given(st.from_type(Event), st.integers(2, 200))
def test_no_text_is_longer(event: Event, longest: int) -> None:
    short = shortened(event, longest)

    assert max(map(len, (short.source, short.resource or "", short.data, short.cwd))) <= longest
    assert short.time_ns == event.time_ns
    assert (short.verdict is None) == (event.verdict is None)
    if short.verdict and event.verdict:
        assert (short.verdict.policy, short.verdict.action) == (event.verdict.policy, event.verdict.action)
