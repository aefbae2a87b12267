"""The agent as a whole: its CPU under a steady load, its memory, its start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import build_load, describe, run_load

STARTS = 5
LIMIT_S = 120


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def agent(output: Path, *flags: str) -> Iterator[tuple[int, float]]:
    """A running agent that writes to `output`: its PID, and the seconds until it had told something."""
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "hauberk", "agent", "--output", str(output), *flags],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (output.exists() and output.stat().st_size):
            if process.poll() is not None or time.monotonic() - begin > LIMIT_S:
                raise RuntimeError(f"the agent told nothing: {process.stderr and process.stderr.read()}")
            subprocess.run([str(build_load())], check=True)  # something to tell
            time.sleep(0.01)
        yield process.pid, time.monotonic() - begin
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LIMIT_S)
        if "adds up" not in said or "does not" in said:
            print(said)


def run() -> None:
    """Print CPU shares, memory and the start."""
    build_load()
    with TemporaryDirectory() as directory:
        starts = []
        for turn in range(STARTS):
            with agent(Path(directory) / f"start{turn}") as (_, seconds):
                starts.append(seconds)
        print(
            f"start to first event: {describe(starts, 's', 2)}, budget 2: ratio {sorted(starts)[STARTS // 2] / 2:.2f}"
        )
        for kind, per_second in (("exec", 100), ("open", 10_000)):
            with agent(Path(directory) / kind) as (pid, _):
                time.sleep(1)
                before, begin = cpu_s(pid), time.monotonic()
                run_load(kind, per_second * 10, per_second)
                share = (cpu_s(pid) - before) / (time.monotonic() - begin) * 100
                print(f"agent CPU at {per_second:,} {kind}/s: {share:.2f} % of one core")


def run_memory(execs: int = 1_000_000) -> None:
    """Print memory before and after very many execs."""
    with (
        TemporaryDirectory() as directory,
        agent(Path(directory) / "events", "--rotate-bytes", "67108864", "--rotate-keep", "1") as (pid, _),
    ):
        steps = 10
        print(f"memory at start: {memory_mib(pid):.1f} MiB")
        for step in range(steps):
            run_load("exec", execs // steps)
            print(f"  after {(step + 1) * execs // steps:,} execs: {memory_mib(pid):.1f} MiB", flush=True)
