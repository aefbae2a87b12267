"""What each kernel program takes: the kernel's own clock around every call of it, while a load runs.

The clock costs some 50 ns a call itself, which is told with the rest.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.measure import describe, run_load
from hauberk.config import Selection
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import cgroup_placement

ROUNDS = 9
LOADS = {"getpid": 200_000, "open": 100_000, "exec": 2_000}
STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")


@contextmanager
def clocked() -> Iterator[None]:
    """The kernel measures its programs meanwhile; as before afterwards."""
    before = STATISTICS.read_text()
    STATISTICS.write_text("1")
    try:
        yield
    finally:
        STATISTICS.write_text(before)


def spent(fd: int) -> tuple[int, int]:
    """Nanoseconds and calls of a program so far."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    return int(told["run_time_ns"]), int(told["run_cnt"])


def run() -> None:
    """Print the nanoseconds of each program that a load calls."""
    kernel = Kernel(cgroup_placement(), 16 << 20)
    ring = kernel.load(Selection())
    programs = dict(kernel.program_fds())
    try:
        with clocked():
            for kind, count in LOADS.items():
                found: dict[str, list[float]] = {}
                for _ in range(ROUNDS):
                    while ring.read():
                        pass
                    before = {name: spent(fd) for name, fd in programs.items()}
                    run_load(kind, count)
                    for name, fd in programs.items():
                        time_ns, calls = (
                            after - earlier for after, earlier in zip(spent(fd), before[name], strict=True)
                        )
                        if calls >= count // 2:
                            found.setdefault(name, []).append(time_ns / calls)
                print(kind)
                for name, values in sorted(found.items(), key=lambda each: -median(each[1])):
                    print(f"  {name}: {describe(values, 'ns a call')}")
    finally:
        ring.close()
        kernel.close()
