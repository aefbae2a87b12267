"""One event through one output, to see whether it gets there."""

import os
import time
from collections.abc import Callable

import msgspec

from hauberk.abi import Operation
from hauberk.delivery.encoder import Encoder
from hauberk.delivery.filter import compile_filter
from hauberk.delivery.outputs import Plan
from hauberk.errors import ConfigError, SinkError, SinkRefused
from hauberk.model.event import Event, Node
from hauberk.model.policy import Verdict
from hauberk.model.process import Process
from hauberk.model.workload import HOST
from hauberk.sinks import is_local

POLICY = "hauberk-outputs-test"


class Outcome(msgspec.Struct, frozen=True):
    """What happened."""

    problem: str | None
    """None: the sink has taken it."""

    took_s: float
    is_filtered: bool
    """Its filter would have left the event out."""


def sample_alert(node: Node, executable: str) -> Event:
    """An alert that nobody can take for a real one."""
    now_ns, pid, uid = time.time_ns(), os.getpid(), os.getuid()
    return Event(
        time_ns=now_ns,
        operation=Operation.PROCESS,
        node=node,
        workload=HOST,
        process=Process(pid, now_ns, os.getppid(), executable, executable),
        parent_executable=None,
        host_pid=pid,
        host_ppid=os.getppid(),
        pid=pid,
        ppid=os.getppid(),
        uid=uid,
        user=None,
        source="hauberk outputs test",
        resource="hauberk outputs test",
        data="",
        details={},
        error=0,
        cwd="/",
        tty=None,
        verdict=Verdict(
            policy=POLICY,
            action="Audit",
            enforcer="eBPF Monitor",
            severity=1,
            tags=("test",),
            message="This is only a test: nothing has happened. It was sent by `hauberk outputs test`.",
        ),
    )


def send(plan: Plan, event: Event, warn: Callable[[str], None]) -> Outcome:
    """Send one event through an output, past its queue and its filter."""
    wants = compile_filter(plan.settings.filter)
    encoder = Encoder(plan.format, plan.settings.filter, warn, named=not is_local(plan.sink))
    begin = time.monotonic()
    problem = None
    try:
        messages = encoder.encode([event]).messages
        sink = plan.sink.open(plan.format, warn)
        try:
            if messages:
                sink.write(messages)
            else:
                problem = "the format has a bug"
        finally:
            sink.close()
    except SinkRefused as error:
        problem = f"refused for good: {error}"
    except (SinkError, ConfigError) as error:
        problem = str(error)
    return Outcome(problem, time.monotonic() - begin, wants is not None and not wants(event))
