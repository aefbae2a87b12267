"""What the programs cost the machine: the same load with and without them, in turns."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from benchmarks.measure import describe, interleave, run_load
from hauberk.config import Selection
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import cgroup_placement

ROUNDS = 9
LOADS = {"getpid": 2_000_000, "open": 200_000, "exec": 1_000}


@contextmanager
def attached(selection: Selection | None) -> Iterator[None]:
    """The programs with this selection; None: without them."""
    if selection is None:
        yield
        return
    kernel = Kernel(cgroup_placement(), 16 << 20)
    ring = kernel.load(selection)
    try:
        yield
    finally:
        ring.close()
        kernel.close()


def case(kind: str, selection: Selection | None) -> Callable[[], float]:
    def measure() -> float:
        with attached(selection):
            return run_load(kind, LOADS[kind])

    return measure


def run() -> None:
    """Print the nanoseconds that are added."""
    everything = Selection()
    # only the calls of containers: this load is the host's, so nobody asked about it
    nothing = Selection(operations=())
    others = Selection(results=("EXDEV",))
    for kind in LOADS:
        cases = {
            "without": case(kind, None),
            "nothing selected": case(kind, nothing),
            "selected, but left out": case(kind, others),
            "reported": case(kind, everything),
        }
        found = interleave(cases, ROUNDS)
        without = median(found["without"])
        print(f"{kind}: without {describe(found['without'], 'ns', 1)}")
        for name, values in found.items():
            if name != "without":
                added = [value - base for value, base in zip(values, found["without"], strict=True)]
                print(f"  {name}: {describe(added, 'ns added', 1)}, ratio {median(values) / without:.3f}")
