"""Events before the names of their containers."""

import msgspec
import pytest

from hauberk.enrich.waiting import Waiting
from hauberk.metrics import Ledger
from hauberk.model.event import Event
from hauberk.model.workload import HOST, Workload
from tests.events import ALERT, EVENT

SECOND = 1_000_000_000
WEB = Workload(container_id="web")
WEB_NAMED = Workload(container_id="web", container_name="nginx", pod="web-0")
DB = Workload(container_id="db")


def event(number: int, workload: Workload, of: Event = EVENT) -> Event:
    return msgspec.structs.replace(of, time_ns=number, workload=workload)


def numbers(events: list[Event]) -> list[int]:
    return [each.time_ns for each in events]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def waiting(ledger: Ledger) -> Waiting:
    return Waiting(ledger, log_wait_s=2, alert_wait_s=0.5)


def test_nothing_waits_where_nobody_was_asked(waiting: Waiting, ledger: Ledger) -> None:
    """The very list comes back: it costs nothing."""
    events = [event(1, WEB), event(2, HOST)]

    assert waiting.pass_on(events, 0) is events
    assert ledger.waited == 0


def test_events_go_on_under_the_name(waiting: Waiting, ledger: Ledger) -> None:
    """In their order, before what came later; others are not held up."""
    waiting.expect("web", 0)

    assert numbers(waiting.pass_on([event(1, WEB), event(2, DB), event(3, WEB)], 1)) == [2]
    assert ledger.waiting == 2
    waiting.tell(WEB_NAMED)
    passed = waiting.pass_on([event(4, WEB_NAMED)], 2)

    assert numbers(passed) == [1, 3, 4]
    assert all(each.workload == WEB_NAMED for each in passed)
    assert (ledger.waited, ledger.waiting, ledger.unnamed) == (2, 0, 0)
    assert not waiting


def test_name_that_does_not_come(waiting: Waiting, ledger: Ledger) -> None:
    """They go on without it, in order, and what comes later does not wait any more."""
    waiting.expect("web", 0)
    waiting.pass_on([event(1, WEB), event(2, WEB)], SECOND)

    assert waiting.pass_on([], 2 * SECOND - 1) == []
    assert numbers(waiting.pass_on([event(3, WEB)], 2 * SECOND)) == [1, 2, 3]
    assert numbers(waiting.pass_on([event(4, WEB)], 2 * SECOND)) == [4]
    assert (ledger.waited, ledger.unnamed) == (3, 3)


def test_alert_waits_less_long(waiting: Waiting) -> None:
    """What was before it goes before it."""
    waiting.expect("web", 0)
    waiting.pass_on([event(1, WEB), event(2, WEB, ALERT), event(3, WEB)], SECOND)

    assert waiting.pass_on([], SECOND + SECOND // 2 - 1) == []
    assert numbers(waiting.pass_on([], SECOND + SECOND // 2)) == [1, 2, 3]


def test_asked_twice_waits_once(waiting: Waiting) -> None:
    """A second cgroup of the same container does not make it longer."""
    waiting.expect("web", 0)
    waiting.pass_on([event(1, WEB)], 0)
    waiting.expect("web", SECOND)

    assert numbers(waiting.pass_on([], 2 * SECOND)) == [1]


def test_no_more_than_the_limit(ledger: Ledger) -> None:
    """The container that was seen first gives way."""
    waiting = Waiting(ledger, limit=3)
    waiting.expect("web", 0)
    waiting.expect("db", 1)

    passed = waiting.pass_on([event(1, WEB), event(2, DB), event(3, DB), event(4, WEB)], 2)

    assert numbers(passed) == [1, 4]
    assert (ledger.waiting, ledger.unnamed) == (2, 2)


def test_what_is_not_wanted_is_known_by_the_name(ledger: Ledger) -> None:
    """Telemetry of a container that was not asked for is left out; alerts are told."""
    waiting = Waiting(ledger, is_wanted=lambda workload: workload.container_name == "other")
    waiting.expect("web", 0)
    waiting.pass_on([event(1, WEB), event(2, WEB, ALERT)], 0)
    waiting.tell(WEB_NAMED)

    assert numbers(waiting.pass_on([], 0)) == [2]
    assert ledger.filtered == {"workload": 1}


def test_flush(waiting: Waiting, ledger: Ledger) -> None:
    """At the end nothing stays behind."""
    waiting.expect("web", 0)
    waiting.pass_on([event(1, WEB)], 0)

    assert numbers(waiting.flush()) == [1]
    assert (ledger.waiting, ledger.unnamed) == (0, 1)
    assert not waiting


def test_name_of_nobody_who_waits(waiting: Waiting) -> None:
    waiting.tell(WEB_NAMED)
    waiting.tell(HOST)

    assert waiting.pass_on([], 0) == []
