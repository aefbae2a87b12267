"""What deciding costs, by the number of rules: the same load under tables of different sizes, in turns."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from benchmarks.measure import describe, interleave, run_load
from hauberk.abi import Operation
from hauberk.config import Selection
from hauberk.model.policy import Action, Directory, ExactPath, Policy, Rule
from hauberk.policy.compile import compile_table
from hauberk.policy.decide import Posture
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import probe
from hauberk.sensor.tables import HOST, TRACED, TRACED_ALL

ROUNDS = 9
LOADS = {"open": 100_000, "exec": 600}
COUNTS = (1, 100, 1_000, 10_000)
SECRETS = (1_234_567_891, 1_987_654_321)


def policy(count: int) -> Policy:
    """As many rules for files and processes: two thirds paths, one third directories."""
    rules = []
    for i in range(count):
        path = f"/srv/data/{i % 97}/part-{i}"
        target = Directory(path + "/", recursive=True) if i % 3 == 2 else ExactPath(path)
        rules += [
            Rule(operation=operation, target=target, action=Action.BLOCK)
            for operation in (Operation.FILE, Operation.PROCESS)
        ]
    return Policy(kind="KubeArmorHostPolicy", name=f"of-{count}", rules=tuple(rules))


def run() -> None:
    """Print the nanoseconds that tables of different sizes add to calls that none of their rules is about."""
    report = probe()
    kernel = Kernel(report.cgroups, 16 << 20)
    ring = kernel.load(Selection(operations=()))
    alerts = kernel.load_deciding(by_lsm=report.denies)
    kernel.tables.prepare(SECRETS, TRACED if report.denies else TRACED_ALL)
    print("decided by " + ("BPF-LSM" if report.denies else "tracepoint programs, after the fact"))
    classes = {}
    try:
        for number, count in enumerate(COUNTS, start=1):
            begin = perf_counter()
            table = compile_table([policy(count)], Posture(), SECRETS)
            compiled = perf_counter()
            kernel.tables.add(number, table)
            done = perf_counter()
            classes[count] = number, table.classes
            print(
                f"{count:,} rules: {len(table.entries):,} entries, "
                f"compiled in {compiled - begin:.3f} s, in the kernel in {done - compiled:.3f} s"
            )

        def case(kind: str, count: int) -> Callable[[], float]:
            def measure() -> float:
                kernel.tables.assign(HOST, *classes.get(count, (0, 0)))
                return run_load(kind, LOADS[kind])

            return measure

        for kind in LOADS:
            cases = {str(count): case(kind, count) for count in (0, *COUNTS)}
            found = interleave(cases, ROUNDS)
            base = median(found["0"])
            print(f"{kind}: without rules {describe(found['0'], 'ns', 1)}")
            for count in COUNTS:
                added = median(found[str(count)]) - base
                ratio = median(found[str(count)]) / median(found["1"])
                print(f"  {count:,} rules: {added:,.0f} ns added; {ratio:.3f} of the time with 1 rule")
            one, most = (median(found[str(count)]) - base for count in (COUNTS[0], COUNTS[-1]))
            print(f"  added by {COUNTS[-1]:,} rules : added by 1 rule = {most / one:.2f} (budget 1.2)")
    finally:
        alerts.close()
        ring.close()
        kernel.close()
