"""What an output tells of."""

import pytest
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.config import OutputFilter
from hauberk.delivery.filter import compile_filter
from hauberk.model.event import Event
from hauberk.model.workload import Workload
from tests.events import ALERT, EVENT

POD = replace(ALERT, workload=Workload(container_id="72de", namespace="shop"))


def severe(severity: int) -> Event:
    assert ALERT.verdict
    return replace(ALERT, verdict=replace(ALERT.verdict, severity=severity))


@pytest.mark.parametrize(
    ("settings", "event", "expected"),
    [
        (OutputFilter(type="alert"), ALERT, True),
        (OutputFilter(type="alert"), EVENT, False),
        (OutputFilter(type="log"), ALERT, False),
        (OutputFilter(type="log"), EVENT, True),
        (OutputFilter(operations=("file", "network")), EVENT, True),
        (OutputFilter(operations=("process",)), EVENT, False),
        (OutputFilter(operations=("capabilities",)), replace(EVENT, operation=Operation.CAPABILITIES), True),
        (OutputFilter(namespaces=("sh*",)), POD, True),
        (OutputFilter(namespaces=("pay", "shop")), POD, True),
        (OutputFilter(namespaces=("sho",)), POD, False),
        (OutputFilter(namespaces=("*",)), ALERT, False),
        (OutputFilter(min_severity=5), severe(5), True),
        (OutputFilter(min_severity=5), severe(4), False),
        (OutputFilter(min_severity=1), severe(0), False),
        (OutputFilter(min_severity=1), EVENT, False),
        (OutputFilter(policies=("no-*",)), ALERT, True),
        (OutputFilter(policies=("passwd",)), ALERT, False),
        (OutputFilter(policies=("*",)), EVENT, False),
        (OutputFilter(type="alert", operations=("file",), policies=("no-passwd",)), ALERT, True),
        (OutputFilter(type="alert", operations=("network",), policies=("no-passwd",)), ALERT, False),
    ],
)
def test_filter(settings: OutputFilter, event: Event, expected: bool) -> None:
    """Everything must hold; within a list, one entry must."""
    wants = compile_filter(settings)

    assert wants
    assert wants(event) == expected


def test_no_filter() -> None:
    """Who wants everything does not ask of each event."""
    assert compile_filter(OutputFilter()) is None
