"""Pods of a real containerd, made as the kubelet does: each event says of which container it is."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hauberk.sensor.probe import probe
from tests.kernel.runtimes.conftest import Watcher
from tests.kernel.runtimes.daemons import IMAGE, ContainerdDaemon, wait_until
from tests.kernel.runtimes.kubelet import Kubelet
from tests.kernel.test_agent import Program

POLICY = """
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {name: no-secrets, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  file: {matchPaths: [{path: /secret}]}
  action: Block
"""

Line = dict[str, Any]

PODS = int(os.environ.get("HAUBERK_PODS", "24"))
CONTAINERS_OF_A_POD = 8
NAMES = ("init", "main", "sidecar")


@pytest.fixture(scope="module")
def digest(containerd: ContainerdDaemon) -> str:
    return containerd.load(secret="of the shop\n")


@pytest.fixture
def agent(containerd: ContainerdDaemon, digest: str, watch: Watcher) -> Program:
    return watch(f"containerd:{containerd.socket}")


def says(agent: Program, text: str) -> bool:
    return text in agent.output.read_text()


def who(line: Line) -> tuple[Any, ...]:
    """All that says of which container an event is."""
    names = ("ContainerID", "ContainerName", "PodName", "NamespaceName", "Labels", "ContainerImage")
    return tuple(line.get(name) for name in names)


def test_short_lived_containers(kubelet: Kubelet, agent: Program, digest: str) -> None:
    """Hundreds of them, each over within milliseconds, four at a time: every event has the right names."""
    expected: dict[str, tuple[Any, ...]] = {}

    def run_pod(number: int) -> None:
        labels = {"app": f"app-{number % 3}", "number": str(number)}
        pod = kubelet.pod(f"pod-{number}", f"space-{number % 2}", labels)
        text = f"app={labels['app']},number={number}"
        image = f"{IMAGE}@{digest}"
        expected[pod.id] = (pod.id, "POD", pod.name, pod.namespace, text, None)
        for turn in range(CONTAINERS_OF_A_POD):
            name = f"{NAMES[turn % len(NAMES)]}-{turn}"
            container_id = pod.run(name, IMAGE, "/bin/busybox", "echo", f"mark-{number}-{turn}")
            expected[container_id] = (container_id, name, pod.name, pod.namespace, text, image)
            expected[f"mark-{number}-{turn}"] = expected[container_id]
            pod.wait(container_id)
        pod.remove()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run_pod, range(PODS)))
    agent.stop()
    agent.assert_clean()

    marked = Counter[str]()
    wrong = []
    lines = [line for line in agent.lines() if line.get("ContainerID") in expected]
    for line in lines:
        wanted = expected[line["ContainerID"]]
        mark = line["Resource"].rpartition(" ")[2]
        if mark in expected:
            marked[mark] += 1
            wanted = expected[mark]
        found = who(line)
        if found != (*wanted[:5], wanted[5] or found[5]):
            wrong.append((wanted, found, line["Resource"]))
    assert wrong == []
    assert {mark for mark in expected if mark.startswith("mark-")} == set(marked)


def test_runtime_is_killed_and_comes_back(
    containerd: ContainerdDaemon, kubelet: Kubelet, agent: Program, digest: str
) -> None:
    """What was known stays known; what comes afterwards is known too."""
    pod = kubelet.pod("keeps-on", "shop", {"app": "web"})
    loop = "i=0; while true; do /bin/busybox true turn-$i; i=$((i+1)); /bin/busybox sleep 0.1; done"
    old = pod.run("loop", IMAGE, "/bin/busybox", "sh", "-c", loop)
    wait_until(lambda: says(agent, "turn-1"), "the first container is seen")

    containerd.kill()
    wait_until(lambda: "have no names until it answers" in agent.stderr, "the agent misses it")
    before = agent.output.read_text().count("turn-")
    wait_until(lambda: agent.output.read_text().count("turn-") > before + 2, "it goes on meanwhile")
    containerd.start()
    new = pod.run("new", IMAGE, "/bin/busybox", "echo", "after-the-restart")
    wait_until(lambda: says(agent, "after-the-restart"), "the second container is seen")
    pod.remove()
    agent.stop()
    agent.assert_clean()

    names = {old: "loop", new: "new"}
    lines = [line for line in agent.lines() if line.get("ContainerID") in names]
    assert {who(line) for line in lines} == {
        (each, name, "keeps-on", "shop", "app=web", f"{IMAGE}@{digest}") for each, name in names.items()
    }


def test_exec_is_a_session(
    containerd: ContainerdDaemon, kubelet: Kubelet, digest: str, watch: Watcher
) -> None:
    """`kubectl exec`, as the kubelet asks for it: what was executed and all below it, and nothing else."""
    agent = watch(f"containerd:{containerd.socket}", HAUBERK_FORMAT="otel")
    pod = kubelet.pod("web-0", "shop", {"app": "web"})
    container_id = pod.run(
        "main", IMAGE, "/bin/busybox", "sh", "-c", "while true; do /bin/busybox sleep 1; done"
    )
    wait_until(lambda: says(agent, "busybox sleep 1"), "the container is seen")
    for word in ("first", "second"):
        pod.execute(
            container_id, "/bin/busybox", "sh", "-c", f"/bin/busybox echo {word}; /bin/busybox true {word}"
        )
    wait_until(lambda: says(agent, "busybox true second"), "the second session is seen")
    pod.remove()
    agent.stop()
    agent.assert_clean()

    found = [event for line in agent.lines() for event in attributes(line)]
    sessions = {
        word: {
            (event.get("kubearmor.exec.id"), event.get("kubearmor.exec.comm"))
            for event in found
            if event["process.command_line"].endswith(word)
        }
        for word in ("echo first", "true first", "echo second", "true second", "sleep 1")
    }
    assert sessions["sleep 1"] == {(None, None)}
    assert sessions["echo first"] == sessions["true first"]
    assert sessions["echo second"] == sessions["true second"]
    ((first, command),) = sessions["echo first"]
    ((second, _),) = sessions["echo second"]
    assert first
    assert second
    assert first != second
    assert command == "busybox"


def attributes(line: Line) -> list[dict[str, Any]]:
    """Those of all log records of a line of OTLP/JSON."""
    return [
        {each["key"]: next(iter(each["value"].values())) for each in record["attributes"]}
        for resource in line["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]


def test_policy_holds_from_the_first_instruction(
    containerd: ContainerdDaemon, kubelet: Kubelet, digest: str, watch: Watcher
) -> None:
    """What namespace and labels of the pod select is in the kernel before the container's first process runs."""
    denies = probe().denies
    agent = watch(f"containerd:{containerd.socket}", POLICY)
    denied = []
    for namespace, app in (("shop", "web"), ("shop", "db"), ("other", "web")):
        pod = kubelet.pod(f"{app}-of-{namespace}", namespace, {"app": app})
        container_id = pod.run("main", IMAGE, "/bin/busybox", "cat", "/secret")
        denied.append(pod.wait(container_id) != 0)
        pod.remove()
    agent.stop()

    assert denied == [denies, False, False]
    alerts = [line for line in agent.lines() if line["Type"] == "MatchedPolicy"]
    assert [(line["PolicyName"], line["PodName"], line["Action"], line["Result"]) for line in alerts] == [
        ("no-secrets", "web-of-shop", "Block", "Permission denied")
        if denies
        else ("no-secrets", "web-of-shop", "Audit (Block)", "Passed")
    ]


def test_container_without_kubernetes(containerd: ContainerdDaemon, agent: Program, digest: str) -> None:
    """As ctr starts it: its cgroup does not tell it from anything else, but its runtime does; and when it is relabelled."""
    loop = "while true; do /bin/busybox true; /bin/busybox sleep 0.1; done"
    containerd.ctr("run", "--detach", "--label", "app=x", IMAGE, "plain", "/bin/busybox", "sh", "-c", loop)
    wait_until(lambda: says(agent, '"Labels":"app=x"'), "the container is seen")
    containerd.ctr("containers", "label", "plain", "app=y")
    wait_until(lambda: says(agent, '"Labels":"app=y"'), "its new label is seen")
    containerd.ctr("tasks", "kill", "--signal", "SIGKILL", "plain")
    wait_until(lambda: "STOPPED" in containerd.ctr("tasks", "list"), "it has ended")
    containerd.ctr("tasks", "delete", "plain")
    containerd.ctr("containers", "delete", "plain")
    agent.stop()
    agent.assert_clean()

    found = [who(line) for line in agent.lines() if line["ContainerID"] == "plain"]
    labels = [each[4] for each in found]
    assert labels == sorted(labels)
    for each in found:
        assert each == ("plain", "plain", "plain", "container_namespace", each[4], f"{IMAGE}@{digest}")


def test_the_same_by_the_cri(
    containerd: ContainerdDaemon, kubelet: Kubelet, digest: str, watch: Watcher
) -> None:
    """Asked as CRI-O is: by what every runtime of Kubernetes speaks. Of an image that was not pulled it knows no digest."""
    agent = watch(f"crio:{containerd.socket}")
    pod = kubelet.pod("web-0", "shop", {"app": "web"})
    container_id = pod.run("main", IMAGE, "/bin/busybox", "echo", "marked")
    wait_until(lambda: says(agent, "marked"), "the container is seen")
    pod.remove()
    agent.stop()
    agent.assert_clean()

    found = {who(line) for line in agent.lines() if line["ContainerID"] == container_id}
    assert found == {(container_id, "main", "web-0", "shop", "app=web", IMAGE)}
