"""Containers: whether events have the right names, what many of them cost in memory, and in speed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.agent import memory_mib
from benchmarks.measure import build_load, describe
from hauberk.config import Selection
from hauberk.decode.records import decode_batch
from hauberk.formats import kubearmor
from hauberk.metrics import Ledger
from hauberk.model.event import Node
from hauberk.model.machine import Machine
from hauberk.pipeline import Pipeline
from hauberk.runtimes import outside_kubernetes
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import cgroup_placement
from hauberk.sensor.procfs import Procfs
from tests.kernel.runtimes.daemons import IMAGE, ContainerdDaemon
from tests.kernel.runtimes.kubelet import Kubelet

SHORT_LIVED = 200
LIVES_S = "0.05"
PODS = 1_000
POLICIES = 10_000
CONTAINERS = 500
EVENTS_EACH = 200
ROUNDS = 5
LIMIT_S = 300

POLICY = """---
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: policy-{number}}}
spec:
  selector: {{matchLabels: {{app: app-{number}}}}}
  process: {{matchPaths: [{{path: /usr/bin/tool-{number}}}]}}
  file: {{matchDirectories: [{{dir: /srv/data-{number}/, recursive: true, readOnly: true}}]}}
  action: Audit
"""


@contextmanager
def _agent(directory: Path, runtime: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    output = directory / "events.json"
    (directory / "policies").mkdir(exist_ok=True)
    environment = {
        "HAUBERK_RUNTIMES": runtime,
        "HAUBERK_POLICIES": str(directory / "policies"),
        "HAUBERK_OPERATIONS": "process",
        "HAUBERK_WORKLOADS": "containers",
        "HAUBERK_OUTPUT": str(output),
        "HAUBERK_FORMAT": "kubearmor",
    }
    with (directory / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "hauberk", "agent"],
            stderr=stderr,
            env=os.environ | environment | settings,
            text=True,
        )
    try:
        _wait_for(directory / "stderr", "tells of")
        yield process, output
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        if "adds up" not in (said := (directory / "stderr").read_text()) or "does not add up" in said:
            print(said)


def _wait_for(path: Path, text: str) -> None:
    limit = time.monotonic() + LIMIT_S
    while text not in path.read_text():
        if time.monotonic() > limit:
            raise RuntimeError(f"{text!r} does not come: {path.read_text()}")
        time.sleep(0.05)


def run_short_lived() -> None:
    """Containers that live 50 ms in pods of a real containerd: how many of their events have the right names, and how late."""
    containerd = ContainerdDaemon()
    expected: dict[str, tuple[str, str]] = {}

    def run_pod(number: int) -> None:
        pod = kubelet.pod(f"pod-{number}", "bench", {"app": "short"})
        for turn in range(10):
            name = f"short-{turn}"
            container_id = pod.run(name, IMAGE, "/bin/busybox", "sleep", LIVES_S)
            expected[container_id] = (name, pod.name)
            pod.wait(container_id)
        pod.remove()

    with TemporaryDirectory() as scratch:
        try:
            containerd.start()
            containerd.load()
            kubelet = Kubelet(containerd.socket)
            operations = "process,file,network,syscall"
            with _agent(Path(scratch), f"containerd:{containerd.socket}", HAUBERK_OPERATIONS=operations) as (
                _,
                output,
            ):
                arrivals = _Arrivals(output)
                with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(1) as reader:
                    reading = reader.submit(arrivals.read)
                    list(pool.map(run_pod, range(SHORT_LIVED // 10)))
                    arrivals.stop = True
                    reading.result()
            lines = [json.loads(line) for line in output.read_bytes().splitlines()]
        finally:
            containerd.close()
        said = (Path(scratch) / "stderr").read_text()
    lines = [line for line in lines if line.get("ContainerID") in expected]
    right = sum(
        (line.get("ContainerName"), line.get("PodName")) == expected[line["ContainerID"]] for line in lines
    )
    seen = len({line["ContainerID"] for line in lines})
    print(f"containers of {LIVES_S} s: {seen:,} of {len(expected):,} seen, {len(lines):,} events of theirs")
    print(f"  with the right container and pod: {right / len(lines):.4%}, budget 99.9 %")
    waited = next((line for line in said.splitlines() if line.startswith("names")), "names   nobody waited")
    print(f"  {waited}")
    delays = sorted(arrivals.delays(expected))
    cuts = quantiles(delays, n=100)
    print(
        f"  from the kernel to a line in the file: median {median(delays) * 1000:.1f} ms, 99 % {cuts[98] * 1000:.1f} ms, "
        f"longest {delays[-1] * 1000:.1f} ms"
    )


class _Arrivals:
    """When lines come to stand in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[float, bytes]] = []
        self.stop = False

    def read(self) -> None:
        while not self._path.exists():
            time.sleep(0.001)
        with self._path.open("rb") as file:
            rest = b""
            while not self.stop:
                content = file.read()
                now = time.time()
                lines = (rest + content).split(b"\n")
                rest = lines.pop()
                self._found += [(now, line) for line in lines]
                time.sleep(0.001)

    def delays(self, containers: dict[str, Any]) -> Iterator[float]:
        for arrived, line in self._found:
            event = json.loads(line)
            if event.get("ContainerID") in containers:
                happened = datetime.fromisoformat(event["UpdatedTime"]).replace(tzinfo=UTC)
                yield arrived - happened.timestamp()


@contextmanager
def _cgroups(count: int) -> Iterator[list[Path]]:
    """So many cgroups that are named like containers, where this machine's runtimes would put them."""
    parent = Path(cgroup_placement().mount) / "hauberk-bench"
    found = [parent / f"{number:064x}" for number in range(1, count + 1)]
    try:
        for path in found:
            path.mkdir(parents=True)
        yield found
    finally:
        for path in (*found, parent):
            if path.exists():
                path.rmdir()


def run_known() -> None:
    """The agent's memory with 1,000 containers and 10,000 policies known, a tenth of which selects one container each."""
    with TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "state").mkdir()
        with _agent(directory, f"runc:{directory / 'state'}") as (agent, _):
            time.sleep(3)
            print(f"agent alone: {memory_mib(agent.pid):.1f} MiB")
        for number in range(1, PODS + 1):
            state = directory / "state" / f"{number:064x}"
            state.mkdir()
            labels = [f"app=app-{number}", f"bundle={state}"]
            (state / "state.json").write_text(json.dumps({"id": state.name, "config": {"labels": labels}}))
        with _cgroups(PODS):
            with _agent(directory, f"runc:{directory / 'state'}") as (agent, _):
                time.sleep(3)
                print(f"{PODS:,} containers: {memory_mib(agent.pid):.1f} MiB")
            for part in range(10):
                each = POLICIES // 10
                text = "".join(POLICY.format(number=part * each + n + 1) for n in range(each))
                (directory / "policies" / f"{part}.yaml").write_text(text)
            with _agent(directory, f"runc:{directory / 'state'}") as (agent, _):
                _wait_for(directory / "stderr", "policies in force")
                time.sleep(3)
                print(
                    f"{PODS:,} containers and {POLICIES:,} policies: {memory_mib(agent.pid):.1f} MiB, budget 128"
                )


def run_many() -> None:
    """Events a second, of 500 containers and of the host, in turns."""
    placement = cgroup_placement()
    kernel = Kernel(placement, 64 << 20)
    ring = kernel.load(Selection(operations=("file",)))
    procfs = Procfs(Path(placement.mount))
    ledger = Ledger()
    machine = Machine(
        Node("bench"), time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME), procfs.host_pid_ns
    )
    pipeline = Pipeline(machine, Selection(operations=("file",)), ledger)
    for number in range(1, CONTAINERS + 1):
        container_id = f"{number:064x}"
        pipeline.workloads.tell_of_runtime(
            container_id,
            outside_kubernetes(container_id, {"app": f"app-{number}"}, name=f"c{number}", image="i:1"),
        )
    rates: dict[str, list[float]] = {"containers": [], "host": []}
    with _cgroups(CONTAINERS) as cgroups:
        for batch in (*procfs.cgroups(), *procfs.processes()):
            pipeline.events(decode_batch(batch))
        for _ in range(ROUNDS):
            for kind, found in rates.items():
                _open_files(cgroups if kind == "containers" else [cgroups[0].parent.parent] * CONTAINERS)
                count, begin = 0, time.perf_counter_ns()
                while batch := ring.read():
                    for event in pipeline.events(decode_batch(batch)):
                        kubearmor.encode(event)
                        count += 1
                found.append(count / (time.perf_counter_ns() - begin) * 1e9)
    ring.close()
    kernel.close()
    for kind, found in rates.items():
        print(f"{CONTAINERS} processes of {kind}: {describe(found, 'events/s')}")
    print(f"  ratio {median(rates['containers']) / median(rates['host']):.2f}")


def _open_files(cgroups: list[Path]) -> None:
    load = build_load()
    script = (
        'for c in "$@"; do (echo $$ >"$c/cgroup.procs"; exec '
        + f"{load} open {EVENTS_EACH} >/dev/null"
        + "); done"
    )
    move = script.replace("$$", "$BASHPID")
    subprocess.run(["bash", "-c", move, "bash", *map(str, cgroups)], check=True)
