"""How everything here is measured: interleaved in one run, told as median and spread."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

BUILD = Path(__file__).parents[1] / "build/benchmarks"


def build_load() -> Path:
    """The compiled load program."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / "load"
    source = Path(__file__).with_name("load.c")
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-static", "-o", str(program), str(source)], check=True)
    return program


def run_load(kind: str, count: int, per_second: int = 0) -> float:
    """Nanoseconds that one took."""
    done = subprocess.run(
        [str(build_load()), kind, str(count), str(per_second)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def interleave(cases: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each case once a round, so that what else the machine does hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r  round {turn + 1}/{rounds} ")
        for name, case in cases.items():
            found[name].append(case())
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 20 + "\r")
    return found


def describe(values: list[float], unit: str, digits: int = 0) -> str:
    """Median, and the range in which the values lay."""
    return f"{median(values):,.{digits}f} {unit} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"
