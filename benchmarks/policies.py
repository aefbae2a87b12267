"""Many policies and many workloads: how long they take to be in force, and whether a change lets anything slip."""

import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import yaml

from benchmarks.measure import describe
from hauberk.enforcement.directory import PolicyDirectory
from hauberk.enforcement.installed import Installed
from hauberk.model.policy import Policy
from hauberk.model.workload import Workload
from hauberk.policy.decide import Posture
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import probe
from hauberk.sensor.tables import TRACED, TRACED_ALL

POLICIES = 1_000
WORKLOADS = 10_000
APPS = 200
ROUNDS = 3
SECRETS = (1_234_567_891, 1_987_654_321)
TEXT = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: policy-{number}, namespace: apps}}
spec:
  severity: 5
  selector: {{matchLabels: {{app: app-{app}}}}}
  process:
    matchPaths: [{{path: /usr/bin/tool-{number}}}]
  file:
    matchDirectories: [{{dir: /srv/{number}/, recursive: true, readOnly: true}}]
  action: Block
"""


def write(directory: Path) -> None:
    """As many files, for five policies a workload."""
    for number in range(POLICIES):
        (directory / f"{number}.yaml").write_text(TEXT.format(number=number, app=number % APPS))


def read(directory: Path) -> list[Policy]:
    found = PolicyDirectory(directory).read()
    assert found is not None and len(found) == POLICIES
    return list(found)


def run() -> None:
    """Print the seconds that each step takes, and what it is to reading the same files with PyYAML alone."""
    report = probe()
    kernel = Kernel(report.cgroups, 16 << 20)
    alerts = kernel.load_deciding(by_lsm=report.denies)
    kernel.tables.prepare(SECRETS, TRACED if report.denies else TRACED_ALL)
    steps: dict[str, list[float]] = {
        "read by PyYAML alone": [],
        "read, checked, made rules of": [],
        f"in force on {WORKLOADS:,} workloads": [],
        "one of them changed": [],
    }
    try:
        with TemporaryDirectory() as temporary:
            directory = Path(temporary)
            write(directory)
            for turn in range(ROUNDS):
                installed = Installed(
                    kernel.tables,
                    SECRETS,
                    host_name="bench",
                    posture=Posture(),
                    host_posture=Posture(),
                    first_set=1 + turn * 10 * APPS,
                )
                for i in range(WORKLOADS):
                    installed.learn(
                        (1 << 40) + i,
                        Workload(f"{i:064x}", namespace="apps", labels={"app": f"app-{i % APPS}"}),
                    )
                begin = perf_counter()
                for path in directory.iterdir():
                    yaml.load(path.read_text(), yaml.CSafeLoader)
                plain = perf_counter()
                policies = read(directory)
                parsed = perf_counter()
                installed.replace(policies)
                done = perf_counter()
                installed.replace(policies[:-1])
                changed = perf_counter()
                for values, seconds in zip(
                    steps.values(),
                    (plain - begin, parsed - plain, done - parsed, changed - done),
                    strict=True,
                ):
                    values.append(seconds)
                installed.replace(())
                for i in range(WORKLOADS):
                    installed.forget((1 << 40) + i)
    finally:
        alerts.close()
        kernel.close()
    print(f"{POLICIES:,} policies, a file each; {os.cpu_count()} CPUs")
    base = median(steps["read by PyYAML alone"])
    for name, values in steps.items():
        print(f"  {name}: {describe(values, 's', 3)}, {median(values) / base:.2f} of PyYAML alone")
