"""KubeArmor's logs into every format, on one core; beside them json.loads and json.dumps of the same lines."""

import io
import json
import os
import time
from collections.abc import Callable
from functools import partial
from random import Random
from statistics import median
from typing import Any

from benchmarks.measure import describe, interleave
from hauberk.conversion import Conversion, convert
from hauberk.formats import FORMATS
from hauberk.formats.kubearmor_reader import read_line

EVENTS = 40_000
ROUNDS = 7
BUDGET = 100_000


def kubearmor_log(count: int) -> bytes:
    """What 40 pods do, some much more than others, in the words and the dialect of KubeArmor's feed."""
    random = Random(1)
    pods = [_pod(random, number) for number in range(40)]
    paths = [f"/usr/share/app/{random.randrange(10**6):x}/file-{number}.so" for number in range(4000)]
    weights = [random.paretovariate(1) for _ in pods]
    lines = []
    for number in range(count):
        pod = random.choices(pods, weights)[0]
        process = random.choice(pod["processes"])
        second, micro = 1_700_000_000 + number // 500, number % 500 * 2000
        clock = f"{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        line = {
            "Timestamp": second,
            "UpdatedTime": f"2023-11-14T{clock}.{micro:06d}Z",
            "ClusterName": "default",
            "HostName": "node-1",
            **pod["who"],
            **process,
            "PPID": 0,
            "UID": 0,
            **_act(random, number, paths, process["ProcessName"]),
            "Cwd": "/",
            "ExecEvent": {"ExecID": "0"},
        }
        if line["Operation"] == "Process":  # a new one each time
            line |= {
                "HostPID": 100_000 + number,
                "HostPPID": process["HostPID"],
                "ProcessName": "/usr/bin/curl",
            }
        lines.append(json.dumps(line, separators=(",", ":")).encode())
    return b"\n".join(lines) + b"\n"


def _pod(random: Random, number: int) -> dict[str, Any]:
    container = f"{random.getrandbits(256):064x}"
    return {
        "who": {
            "NamespaceName": f"team-{number % 7}",
            "Owner": {"Ref": "Deployment", "Name": f"app-{number}", "Namespace": f"team-{number % 7}"},
            "PodName": f"app-{number}-5d8f7c9b6d-x2x{number}",
            "Labels": f"app=app-{number},tier=backend",
            "ContainerID": container,
            "ContainerName": f"app-{number}",
            "ContainerImage": f"registry.example/app-{number}:1.2@sha256:{container}",
        },
        "processes": [
            {
                "HostPPID": 1000 + number,
                "HostPID": 10_000 + 100 * number + each,
                "PID": 1 + each,
                "ParentProcessName": "/usr/bin/containerd-shim-runc-v2",
                "ProcessName": f"/usr/local/bin/worker-{each}",
            }
            for each in range(5)
        ],
    }


def _act(random: Random, number: int, paths: list[str], executable: str) -> dict[str, Any]:
    match random.choices(("file", "process", "network", "alert"), (60, 20, 15, 5))[0]:
        case "process":
            return _log(
                "Process", "/bin/sh", f"/usr/bin/curl -s http://10.0.0.1/{number}", "syscall=SYS_EXECVE", {}
            )
        case "network":
            port = random.choice((53, 80, 443, 5432))
            host = f"10.0.{random.randrange(4)}.{random.randrange(200)}"
            pairs = {"Sa_family": "AF_INET", "Sin_port": str(port), "Sin_addr": host}
            resource = f"sa_family=AF_INET sin_port={port} sin_addr={host}"
            return _log(
                "Network",
                f"{executable} --serve",
                resource,
                "syscall=SYS_CONNECT fd=10",
                {"Fd": "10", **pairs},
            )
        case "file":
            data = "syscall=SYS_OPENAT fd=-100 flags=O_RDONLY|O_CLOEXEC"
            pairs = {"Fd": "-100", "Flags": "O_RDONLY|O_CLOEXEC"}
            return _log("File", f"{executable} --serve", random.choice(paths), data, pairs)
        case _:
            data = "syscall=SYS_OPENAT fd=-100 flags=O_RDONLY"
            rule = {
                "PolicyName": "no-shadow",
                "Severity": "7",
                "Tags": "MITRE,MITRE_T1003_credentials",
                "ATags": ["MITRE", "MITRE_T1003_credentials"],
                "Message": "Hands off",
            }
            act = _log(
                "File", f"{executable} --serve", "/etc/shadow", data, {"Fd": "-100", "Flags": "O_RDONLY"}
            )
            verdict = {
                "Type": "MatchedPolicy",
                "Enforcer": "BPFLSM",
                "Action": "Block",
                "Result": "Permission denied",
            }
            return rule | act | verdict


def _log(operation: str, source: str, resource: str, data: str, pairs: dict[str, str]) -> dict[str, Any]:
    call = data.partition("=")[2].partition(" ")[0]
    return {
        "Type": "ContainerLog",
        "Source": source,
        "Operation": operation,
        "Resource": resource,
        "Data": data,
        "EventData": {**pairs, "Syscall": call},
        "Result": "Passed",
    }


def run() -> None:
    """Each format once a round, all of the same lines."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    log = kubearmor_log(EVENTS)
    cases: dict[str, Callable[[], float]] = {"json.loads and json.dumps": partial(_through_json, log)}
    cases |= {name: partial(_convert, log, name) for name in FORMATS.names()}
    print(f"{EVENTS:,} events of {len(log) // EVENTS} bytes, budget {BUDGET:,} events/s")
    found = interleave(cases, ROUNDS)
    baseline = median(found["json.loads and json.dumps"])
    for name, rates in found.items():
        print(f"  {name:<26} {describe(rates, 'events/s'):<44} {median(rates) / baseline:5.2f} of json")
    os.sched_setaffinity(0, cores)


def _convert(log: bytes, name: str) -> float:
    form, done = FORMATS.load(name)().make(), Conversion()
    begin = time.process_time_ns()
    nothing: Callable[[object], None] = lambda _: None  # noqa: E731
    convert(io.BytesIO(log), read_line, form, nothing, nothing, nothing, done, fallback_ns=0)
    spent = time.process_time_ns() - begin
    assert done == Conversion(EVENTS, 0)
    return EVENTS / spent * 1e9


def _through_json(log: bytes) -> float:
    begin = time.process_time_ns()
    for line in log.splitlines():
        json.dumps(json.loads(line)).encode()
    return EVENTS / (time.process_time_ns() - begin) * 1e9
