"""From batches to events: what the pipeline knows by itself."""

from hauberk.abi import Hook, ItemKind, RecordFlag
from hauberk.config import Selection
from hauberk.decode.records import decode_batch
from hauberk.metrics import Ledger
from hauberk.model.event import Node
from hauberk.model.machine import Machine
from hauberk.pipeline import Pipeline
from tests.unit.decode.raw import CWD, frame, raw_record


def test_alert_goes_ahead_only_if_it_is_known_who_acts() -> None:
    """Its process as it was then, and the cgroup that it is in; else the records before it must be read first."""
    pipeline = Pipeline(Machine(Node("node-1"), 0, 1), Selection(), Ledger())
    alert = decode_batch(frame(raw_record(CWD, hook=Hook.SYSCALL, flags=RecordFlag.ALERT))).records
    executed = decode_batch(frame(raw_record((ItemKind.EXECUTABLE, 0, b"/usr/bin/id"), CWD, hook=Hook.EXEC)))
    cgroup = decode_batch(frame(raw_record((ItemKind.CGROUP, 0, b"/user.slice"), hook=Hook.CGROUP)))

    assert not pipeline.knows_who(alert)
    pipeline.events(executed)
    assert not pipeline.knows_who(alert)
    pipeline.events(cgroup)
    assert pipeline.knows_who(alert)
