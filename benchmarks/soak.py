"""A steady load into three outputs, one of them dead: flat memory, and an account that is exact.

    python -m benchmarks soak          ten minutes; SOAK_MINUTES and SOAK_RATE say otherwise

No kernel is needed: events are made up, one alert in a thousand. What is measured is this very process: it makes the events,
encodes and delivers them, all but the receiver, which counts in a process of its own.
"""

import os
import socket
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec.structs import replace

from benchmarks.agent import cpu_s, memory_mib
from hauberk.abi import Operation
from hauberk.agent import expect_threads
from hauberk.config import read_config
from hauberk.delivery.outputs import open_outputs
from hauberk.metrics import Ledger
from hauberk.model.event import Event, Node
from hauberk.model.policy import Verdict
from hauberk.model.process import Process
from hauberk.model.workload import Workload
from hauberk.sinks import Message

ALERT_EVERY = 1_000
TICK_S = 0.01
BATCH_EVENTS = 2_000
"""No more at once, as from the ring buffer, even when we are late."""

CLOSE_S = 60.0
CONFIG = """
spool_directory: DIRECTORY/spool
outputs:
- name: file
  sink: {file: {path: DIRECTORY/events.json, rotate_bytes: 67108864, rotate_keep: 2, compress: yes}}
- name: siem
  sink: {syslog: {url: "tcp://127.0.0.1:LIVE", framing: newline}}
  format: cef
- name: dead
  sink: {otlp: {url: "http://127.0.0.1:DEAD"}}
  spool_bytes: 67108864
"""


class Report(msgspec.Struct):
    """What came of it."""

    offered: int
    alerts: int
    received: int
    """By the receiver that lives."""

    alerts_on_disk: int
    """Before the sink that is dead: all of them, if all is well."""

    memory_mib: list[float]
    """At regular intervals."""

    ledger: Ledger


def _receive(pipe: Connection) -> None:
    """A receiver of syslog that counts lines, until the connection and whoever asks for the count end."""
    counted = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        connection, _ = listener.accept()
        with connection:
            while content := connection.recv(1 << 20):
                counted += content.count(b"\n")
    pipe.send(counted)


@contextmanager
def _receiver() -> Iterator[tuple[int, Callable[[], int]]]:
    """Its port, and how many lines it has got once the connection has ended."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_receive, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours.recv
    finally:
        process.kill()
        process.join()


def _events(workloads: int = 20, processes: int = 100, files: int = 500) -> Iterator[Event]:
    """Without an end: opens of some files by some processes in some containers."""
    node = Node("soak", node_id="0123456789abcdef0123456789abcdef")
    where = [Workload(f"{number:064x}", f"web-{number}", namespace="soak") for number in range(workloads)]
    verdict = Verdict(policy="soak", action="Audit", enforcer="BPFLSM", severity=5, message="soak")
    template = Event(
        time_ns=0,
        operation=Operation.FILE,
        node=node,
        workload=where[0],
        process=Process(42, 8_410_000_000, 2, "/usr/bin/cat", "/usr/bin/cat"),
        parent_executable="/usr/bin/bash",
        host_pid=42,
        host_ppid=7,
        pid=42,
        ppid=7,
        uid=0,
        user=None,
        source="/usr/bin/cat -n /srv/data",
        resource=None,
        data="syscall=SYS_OPENAT fd=-100 flags=O_RDONLY|O_CLOEXEC",
        details={"syscall": "openat", "fd": "-100", "flags": "O_RDONLY|O_CLOEXEC"},
        error=0,
        cwd="/",
        tty=None,
    )
    number = 0
    while True:
        number += 1
        yield replace(
            template,
            time_ns=time.time_ns(),
            workload=where[number % processes % workloads],
            resource=f"/srv/data/{number % files}",
            host_pid=1_000 + number % processes,
            sequence=number,
            verdict=None if number % ALERT_EVERY else verdict,
        )


def _alerts_on_disk(path: Path) -> int:
    """Counted by what is really there."""
    database = sqlite3.connect(path)
    try:
        rows = database.execute("SELECT content FROM runs WHERE is_alert").fetchall()
        decode = msgspec.msgpack.Decoder(list[Message]).decode
        return len({message.id for (content,) in rows for message in decode(zlib.decompress(content))})
    finally:
        database.close()


def soak(seconds: float, rate: int, *, every_s: float, tell: Callable[[str], None]) -> Report:
    """Load the outputs for so long; `tell` hears of the memory."""
    with TemporaryDirectory() as directory, _receiver() as (live, ask), socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # and nobody listens
        path = Path(directory) / "hauberk.yaml"
        text = CONFIG.replace("DIRECTORY", directory).replace("LIVE", str(live))
        path.write_text(text.replace("DEAD", str(dead.getsockname()[1])))
        ledger = Ledger()
        outputs = open_outputs(
            read_config(path, environment={}), ledger, lambda text: tell(f"hauberk: {text}")
        )
        made = _events()
        memory: list[float] = []
        pid = os.getpid()
        begin = time.monotonic()
        next_look, cpu = begin, cpu_s(pid)
        while (now := time.monotonic()) < begin + seconds:
            due = min(int((now - begin) * rate) - ledger.decoded, BATCH_EVENTS)
            if due > 0:
                events = [next(made) for _ in range(due)]
                ledger.decoded += due
                outputs.put(events)
            if now >= next_look:
                next_look += every_s
                memory.append(memory_mib(pid))
                waits = {name: counts.queued + counts.spooled for name, counts in ledger.outputs.items()}
                tell(
                    f"{now - begin:6.0f} s  {memory[-1]:6.1f} MiB  {ledger.decoded:11,} events  waiting {waits}"
                )
            if due < BATCH_EVENTS:
                time.sleep(TICK_S)
        took_s = time.monotonic() - begin
        tell(f"put {ledger.decoded / took_s:,.0f} events/s, {(cpu_s(pid) - cpu) / took_s:.2f} cores")
        outputs.close(CLOSE_S)
        return Report(
            ledger.decoded,
            ledger.decoded // ALERT_EVERY,
            ask(),
            _alerts_on_disk(Path(directory) / "spool/dead.db"),
            memory,
            ledger,
        )


def run() -> None:
    """Print memory over time and the account."""
    from hauberk.cli.ledger import print_ledger

    expect_threads()
    minutes = float(os.environ.get("SOAK_MINUTES", "10"))
    rate = int(os.environ.get("SOAK_RATE", "20000"))
    report = soak(
        60 * minutes, rate, every_s=max(1.0, 60 * minutes / 20), tell=lambda text: print(text, flush=True)
    )
    sys.stdout.flush()
    print_ledger(report.ledger)
    memory = report.memory_mib
    half = memory[len(memory) // 2 :]
    print(f"memory: {max(memory):.1f} MiB at most; in the second half {min(half):.1f} to {max(half):.1f}")
    print(
        f"the receiver got {report.received:,}; alerts {report.alerts:,}, of which on disk before the dead sink {report.alerts_on_disk:,}"
    )
    print(f"ledger: {report.ledger.differences() or 'adds up'}")
