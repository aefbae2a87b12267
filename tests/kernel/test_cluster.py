"""The real agent in a cluster: an API server of the tests' own, a cgroup named like a pod's container, real events."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hauberk.kube.access import Access
from hauberk.sensor.probe import cgroup_placement
from tests.kernel.conftest import Watch
from tests.kernel.test_agent import Line, Program, wait_until
from tests.kube import conftest
from tests.kube.conftest import Api, Object, make_pod
from tests.kube.server import ApiServer
from tests.kube.test_cluster import policy, replica_set

api, namespace, server = conftest.api, conftest.namespace, conftest.server
NODE = "node-1"


class Container:
    """Processes in a cgroup that is named as containerd names a pod's."""

    def __init__(self, pod_uid: str = "1") -> None:
        self.id = secrets.token_hex(32)
        pod_slice = f"kubepods-besteffort-pod{pod_uid.replace('-', '_')}.slice"
        self._path = Path(cgroup_placement().mount) / pod_slice / f"cri-containerd-{self.id}.scope"
        self._path.mkdir(parents=True)

    def run(self, *command: str) -> None:
        def enter() -> None:
            (self._path / "cgroup.procs").write_text(str(os.getpid()))

        subprocess.run(command, check=True, preexec_fn=enter, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        for path in (self._path, self._path.parent):
            if path.is_dir() and not any(each.is_dir() for each in path.iterdir()):
                path.rmdir()


@pytest.fixture
def container(watch: Watch) -> Iterator[Container]:
    try:
        found = Container()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    yield found
    found.close()


@pytest.fixture
def access(server: ApiServer) -> Access:
    return Access(server.url, None, token="secret")


@pytest.fixture
def agent(api: Api, server: ApiServer, container: Container, tmp_path: Path) -> Iterator[Program]:
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server.url}}],
        "users": [{"name": "test", "user": {"token": "secret"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    settings = {
        "HAUBERK_FORMAT": "kubearmor",
        "HAUBERK_KUBECONFIG": str(tmp_path / "kubeconfig"),
        "HAUBERK_HOST": NODE,
        "HAUBERK_CLUSTER": "production",
        "HAUBERK_POLICIES": str(tmp_path / "policies"),
        "HAUBERK_ENFORCE": "observe",
        "HAUBERK_HOST_VISIBILITY": "none",
        "HAUBERK_ALERT_THROTTLING": "false",
    }
    running = Program((sys.executable, "-m", "hauberk", "agent"), tmp_path, settings)
    wait_until(
        lambda: f"following the cluster at {server.url} as node {NODE}" in running.stderr, "it follows"
    )
    yield running
    running.stop()


def told_of(agent: Program, container: Container, kind: str) -> list[Line]:
    agent_lines = agent.output.read_bytes()
    whole = agent_lines[: agent_lines.rfind(b"\n") + 1]
    lines = [json.loads(line) for line in whole.splitlines()]
    return [line for line in lines if line.get("ContainerID") == container.id and line["Type"] == kind]


def test_from_pod_to_alert(
    api: Api, server: ApiServer, agent: Program, container: Container, namespace: Object, tmp_path: Path
) -> None:
    """A pod's events say whose they are; a policy that is applied decides; a namespace that is quiet is not told of;
    and a server that dies takes nothing away."""
    name = namespace["metadata"]["name"]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": "d",
        "controller": True,
    }
    owner = api.create(replica_set(namespace, deployment))
    pod = make_pod(api, namespace, NODE, container_id=container.id, owner=owner)
    secret = tmp_path / "secret"
    secret.write_text("s")

    def names_of(kind: str) -> list[Line]:
        container.run("/bin/cat", str(secret))
        return [line for line in told_of(agent, container, kind) if "PodName" in line]

    wait_until(lambda: bool(names_of("ContainerLog")), "its events have their names")
    line = told_of(agent, container, "ContainerLog")[-1]
    assert (line["ClusterName"], line["HostName"], line["NamespaceName"]) == ("production", NODE, name)
    assert (line["PodName"], line["ContainerName"], line["Labels"]) == ("web-1", "web", "app=web")
    assert line["Owner"] == {"Ref": "Deployment", "Name": "web", "Namespace": name}
    assert line["ContainerImage"].startswith("docker.io/library/nginx:1@sha256:")

    late = Container(pod["metadata"]["uid"])
    late.run("/bin/cat", str(secret))
    wait_until(lambda: bool(told_of(agent, late, "ContainerLog")), "it is seen")
    late.close()
    for line in told_of(agent, late, "ContainerLog"):  # nobody has told of this container, but of its pod
        assert (line["PodName"], line["Labels"], line["Owner"]["Ref"]) == ("web-1", "app=web", "Deployment")

    made = api.create(policy(namespace, "keep-out", file={"matchPaths": [{"path": str(secret)}]}))
    wait_until(lambda: bool(names_of("MatchedPolicy")), "the policy decides")
    alert = told_of(agent, container, "MatchedPolicy")[-1]
    assert (alert["PolicyName"], alert["Action"], alert["Resource"]) == (
        "keep-out",
        "Audit (Block)",
        str(secret),
    )
    assert (alert["NamespaceName"], alert["PodName"]) == (name, "web-1")
    wait_until(
        lambda: NODE in api.get(made).get("status", {}).get("nodes", {}),
        "the policy's status says who has it",
    )
    status = api.get(made)["status"]["nodes"][NODE]
    assert (status["state"], status["workloads"]) == ("Observed", 1)
    assert "BPF-LSM is missing" in status["problems"][0]

    api.change(namespace, {"metadata": {"annotations": {"kubearmor-visibility": "none"}}})

    def is_quiet() -> bool:
        before = len(told_of(agent, container, "ContainerLog"))
        alerts = len(told_of(agent, container, "MatchedPolicy"))
        container.run("/bin/cat", str(secret))
        wait_until(lambda: len(told_of(agent, container, "MatchedPolicy")) > alerts, "the alert still comes")
        return len(told_of(agent, container, "ContainerLog")) == before

    wait_until(is_quiet, "nothing but alerts is told")

    server.stop()
    wait_until(lambda: "cannot follow pods" in agent.stderr, "it is noticed")
    assert is_quiet(), "what was known is forgotten"
    server.start()
    api.change(pod, {"metadata": {"labels": {"app": "other"}}})

    def is_let() -> bool:
        before = len(told_of(agent, container, "MatchedPolicy"))
        container.run("/bin/cat", str(secret))
        container.run("/bin/true")
        return len(told_of(agent, container, "MatchedPolicy")) == before and "followed again" in agent.stderr

    wait_until(is_let, "the policy does not select it any more")
    wait_until(lambda: not api.get(made)["status"].get("nodes"), "its status has no node any more")

    agent.stop()
    agent.assert_clean()
    assert agent.count(r"(?m)^file .* visibility ([\d,]+)") > 0


def test_a_namespace_has_its_posture(
    api: Api, agent: Program, container: Container, namespace: Object, tmp_path: Path
) -> None:
    """What no Allow rule covers is audited, until the namespace says block: then that is what alerts say."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    make_pod(api, namespace, NODE, container_id=container.id)
    api.create(policy(namespace, "allow", action="Allow", file={"matchPaths": [{"path": "/etc/hostname"}]}))

    def actions() -> set[str]:
        before = len(told_of(agent, container, "MatchedPolicy"))
        container.run("/bin/cat", str(secret))
        alerts = told_of(agent, container, "MatchedPolicy")[before:]
        assert {line["PolicyName"] for line in alerts} <= {"DefaultPosture"}
        return {line["Action"] for line in alerts}

    wait_until(lambda: actions() == {"Audit"}, "what is not allowed is audited")
    api.change(namespace, {"metadata": {"annotations": {"kubearmor-file-posture": "block"}}})
    wait_until(lambda: actions() == {"Audit (Block)"}, "it would be blocked")
    agent.stop()
    agent.assert_clean()
