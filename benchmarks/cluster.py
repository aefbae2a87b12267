"""What a big cluster costs an agent: memory and time with 1,000 pods and 10,000 policies known.

    python -m benchmarks.cluster [PODS POLICIES]

The room of Kubernetes as the agent runs it, in a process of its own, against the API server of the tests in another.
"""

import copy
import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hauberk.kube.access import Access
from hauberk.kube.cluster import Cluster
from hauberk.kube.state import Defaults, State
from tests.kube.conftest import CRDS
from tests.kube.server import ApiServer

NODE = "node-1"
VISIBLE = ("process", "file", "network", "capabilities")


def _pod(number: int) -> dict[str, Any]:
    status = {
        "name": "web",
        "image": "docker.io/library/nginx:1",
        "imageID": f"docker.io/library/nginx@sha256:{'cd' * 32}",
        "containerID": f"containerd://{number:064x}",
    }
    labels = {"app": f"app-{number % 100}", "tier": "front", "pod-template-hash": "5d9"}
    return {
        "metadata": {"name": f"web-{number}", "namespace": f"ns-{number % 50}", "labels": labels},
        "spec": {"nodeName": NODE, "containers": [{"name": "web", "image": "nginx:1"}]},
        "status": {"containerStatuses": [status]},
    }


def _policy(number: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"policy-{number}", "namespace": f"ns-{number % 50}"},
        "spec": {
            "selector": {"matchLabels": {"app": f"app-{number}"}},
            "action": "Block",
            "severity": 5,
            "message": "not here",
            "process": {"matchPaths": [{"path": f"/usr/bin/tool-{number}"}]},
            "file": {"matchDirectories": [{"dir": f"/srv/{number}/", "recursive": True}]},
        },
    }


def _serve(pods: int, policies: int, to: Connection) -> None:
    server = ApiServer()
    for crd in CRDS:
        with server.changed:
            server.create("customresourcedefinitions", None, copy.deepcopy(crd), strict=False)
    for plural, make, count in (("pods", _pod, pods), ("kubearmorpolicies", _policy, policies)):
        kept = server.objects.setdefault(plural, {})
        for number in range(count):
            thing = make(number)
            thing["metadata"] |= {"uid": f"{plural}-{number}", "generation": 1, "resourceVersion": "1"}
            kept[thing["metadata"]["namespace"], thing["metadata"]["name"]] = thing
    server.start()
    to.send(server.url)
    to.recv()
    server.stop()


def _mib() -> float:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


def main(pods: int = 1000, policies: int = 10_000) -> None:
    """Follow, and tell what it took."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(pods, policies, theirs), daemon=True
    )
    server.start()
    url = ours.recv()
    before = _mib()
    state = State(Defaults(VISIBLE, VISIBLE), NODE)
    cluster = Cluster(Access(url, None, token="secret"), NODE, print)
    begun, containers = time.monotonic(), 0
    cluster.start()
    pods_s = None
    longest = 0.0
    while not (state.has_heard_of_policies and containers >= pods):
        at = time.perf_counter()
        for change in cluster.changes():
            containers += sum(told.of == "container" for told in state.apply(change))
        longest = max(longest, time.perf_counter() - at)
        if containers >= pods and pods_s is None:
            pods_s = time.monotonic() - begun
        time.sleep(0.002)
    print(
        f"{pods:,} pods known after {pods_s:.1f} s, {len(state.policies()):,} policies after {time.monotonic() - begun:.1f} s"
    )
    print(f"memory: {_mib() - before:.0f} MiB more than before")
    print(f"the reader of events was held up for {longest * 1000:.0f} ms at the longest")
    cluster.close()
    ours.send("end")
    server.join()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
