"""Docker and Podman, real ones, by the API that both have."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.runtimes.conftest import Watcher
from tests.kernel.runtimes.daemons import DockerDaemon, PodmanDaemon, wait_until
from tests.kernel.test_agent import Program

Line = dict[str, Any]
Engine = DockerDaemon | PodmanDaemon

LOOP = "i=0; while true; do /bin/busybox true turn-$i; i=$((i+1)); /bin/busybox sleep 0.1; done"


@pytest.fixture(params=["docker", "podman"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(request: pytest.FixtureRequest, kind: str) -> Engine:
    found: Engine = request.getfixturevalue(kind)
    found.load()
    return found


@pytest.fixture
def agent(engine: Engine, kind: str, watch: Watcher) -> Iterator[Program]:
    started = watch(f"{kind}:{engine.socket}")
    yield started
    started.stop()
    started.assert_clean()


def said_of(agent: Program, word: str) -> list[Line]:
    return [line for line in agent.lines() if line["Resource"].endswith(word)]


def test_short_lived_containers(engine: Engine, agent: Program) -> None:
    """Every event of each has its names."""
    expected = {}
    for number in range(12):
        container_id = engine.create(
            f"short-{number}", "/bin/busybox", "echo", f"mark-{number}", app=f"app-{number}"
        )
        engine.start_container(container_id)
        engine.wait(container_id)
        expected[container_id] = (
            f"short-{number}",
            f"short-{number}",
            "container_namespace",
            f"app=app-{number}",
        )
    wait_until(lambda: said_of(agent, "mark-11"), "the last container is seen")
    for container_id in expected:
        engine.remove(container_id)

    lines = [line for line in agent.lines() if line["ContainerID"] in expected]
    for line in lines:
        found = tuple(line.get(name) for name in ("ContainerName", "PodName", "NamespaceName", "Labels"))
        assert found == expected[line["ContainerID"]]
        assert line["ContainerImage"].startswith(engine.image)
    assert {line["ContainerID"] for line in lines if "mark-" in line["Resource"]} == set(expected)


def test_renamed_while_it_runs_and_restarted(engine: Engine, agent: Program) -> None:
    container_id = engine.create("before", "/bin/busybox", "sh", "-c", LOOP)
    engine.start_container(container_id)
    wait_until(lambda: said_of(agent, "turn-2"), "it is seen")
    assert {line["ContainerName"] for line in agent.lines() if line["ContainerID"] == container_id} == {
        "before"
    }

    engine.ask("POST", f"/containers/{container_id}/rename?name=after")
    wait_until(lambda: agent.lines()[-1]["ContainerName"] == "after", "it is seen by its new name")
    engine.ask("POST", f"/containers/{container_id}/restart?t=0")
    wait_until(lambda: len(said_of(agent, "turn-2")) == 2, "it is seen anew")
    engine.remove(container_id)

    names = [line["ContainerName"] for line in agent.lines() if line["ContainerID"] == container_id]
    assert names == sorted(names, reverse=True)


def test_exec_at_a_terminal(engine: Engine, agent: Program) -> None:
    container_id = engine.create("main", "/bin/busybox", "sleep", "1000")
    engine.start_container(container_id)
    wait_until(lambda: said_of(agent, "sleep 1000"), "it is seen")
    engine.execute(container_id, "/bin/busybox", "sh", "-c", "/bin/busybox echo typed; :", tty=True)
    wait_until(lambda: said_of(agent, "echo typed"), "the session is seen")
    engine.remove(container_id)

    (line,) = said_of(agent, "echo typed")
    assert line["ContainerName"] == "main"
    assert line["TTY"].startswith("pts")
    assert "TTY" not in said_of(agent, "sleep 1000")[0]


def test_one_container_is_wanted(docker: DockerDaemon, watch: Watcher) -> None:
    """By its name, which comes after its first events; nothing is told of another."""
    docker.load()
    agent = watch(f"docker:{docker.socket}", HAUBERK_CONTAINERS="wanted")
    for name in ("other", "wanted"):
        container_id = docker.create(name, "/bin/busybox", "echo", f"mark-{name}")
        docker.start_container(container_id)
        docker.wait(container_id)
        docker.remove(container_id)
    wait_until(lambda: said_of(agent, "mark-wanted"), "the one is seen")
    agent.stop()
    agent.assert_clean()

    assert {line["ContainerName"] for line in agent.lines()} == {"wanted"}


def test_pod_of_podman(podman: PodmanDaemon, watch: Watcher) -> None:
    """A pod is its own, and so are its labels; its container that only waits is known for one."""
    podman.load()
    agent = watch(f"podman:{podman.socket}")
    wait = "/bin/busybox sleep 1000"
    podman.podman(
        "pod", "create", "--name", "shop", "--label", "tier=front", "--network", "host",
        "--infra-image", podman.image, "--infra-command", wait,
    )  # fmt: skip
    podman.podman("run", "--name", "web", "--pod", "shop", podman.image, "/bin/busybox", "echo", "mark")
    wait_until(lambda: said_of(agent, "mark"), "the container is seen")
    podman.podman("pod", "rm", "--force", "--time", "0", "shop")
    agent.stop()
    agent.assert_clean()

    (line,) = said_of(agent, "echo mark")
    assert (line["ContainerName"], line["PodName"], line["Labels"]) == ("web", "shop", "tier=front")
