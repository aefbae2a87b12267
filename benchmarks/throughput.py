"""From the ring buffer to a native JSON line in a file, on one core."""

import json
import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.measure import describe, run_load
from hauberk.config import OutputFilter, Selection
from hauberk.decode.records import decode_batch
from hauberk.delivery.encoder import Encoder
from hauberk.formats import kubearmor
from hauberk.formats.kubearmor import KubeArmor
from hauberk.metrics import Ledger
from hauberk.model.event import Node
from hauberk.model.machine import Machine
from hauberk.pipeline import Pipeline
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import cgroup_placement
from hauberk.sensor.procfs import Procfs
from hauberk.sinks.file import File

ROUNDS = 7
EVENTS = 80_000


def run() -> None:
    """Fill the ring with real events, then time how fast they become lines; in turns with stdlib json."""
    kernel = Kernel(cgroup_placement(), 64 << 20)
    ring = kernel.load(Selection(operations=("file",)))
    procfs = Procfs(Path(cgroup_placement().mount))
    ledger = Ledger()
    machine = Machine(
        Node("bench"), time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME), procfs.host_pid_ns
    )
    pipeline = Pipeline(machine, Selection(operations=("file",)), ledger)
    for batch in (*procfs.cgroups(), *procfs.processes()):
        pipeline.events(decode_batch(batch))
    cores = os.sched_getaffinity(0)
    rates, baselines = [], []
    form = KubeArmor().make()
    encoder = Encoder(form, OutputFilter(), print, named=False)  # as an output before a file has it
    with TemporaryDirectory() as directory:
        for turn in range(ROUNDS):
            run_load("open", EVENTS)
            sink = File(path=f"{directory}/{turn}.json").open(form, print)
            os.sched_setaffinity(0, {min(cores)})
            count, begin = 0, time.perf_counter_ns()
            while batch := ring.read():
                events = pipeline.events(decode_batch(batch))
                sink.write(encoder.encode(events).messages)
                count += len(events)
            rates.append(count / (time.perf_counter_ns() - begin) * 1e9)
            sink.close()
            sample = [
                msgspec.to_builtins(msgspec.json.decode(kubearmor.encode(event))) for event in events[:5000]
            ]
            begin = time.perf_counter_ns()
            for line in sample:
                json.dumps(line).encode()
            baselines.append(len(sample) / (time.perf_counter_ns() - begin) * 1e9)
            os.sched_setaffinity(0, cores)
    kernel.detach()
    while batch := ring.read():
        pipeline.events(decode_batch(batch))
    ledger.kernel = kernel.counts()
    lost = sum(counts.lost for counts in ledger.kernel.values())
    ring.close()
    kernel.close()
    print(f"ring to JSON line in a file, one core: {describe(rates, 'events/s')}, lost {lost:,}")
    print(f"  budget 200,000: ratio {median(rates) / 200_000:.2f}")
    print(
        f"  json.dumps alone of the same lines: {describe(baselines, '/s')}, ratio {median(rates) / median(baselines):.2f}"
    )
    print(f"  ledger: {ledger.differences() or 'adds up'}")
