"""Runtimes that really run, and an agent that watches them."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.runtimes.daemons import ContainerdDaemon, Daemon, DockerDaemon, PodmanDaemon, wait_until
from tests.kernel.runtimes.kubelet import Kubelet
from tests.kernel.test_agent import Program

Watcher = Callable[..., Program]


def _need(*programs: str) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    missing = [name for name in (*programs, "runc", "busybox") if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def _running(daemon: Daemon) -> Iterator[Daemon]:
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def containerd() -> Iterator[Daemon]:
    _need("containerd", "ctr")
    yield from _running(ContainerdDaemon())


@pytest.fixture(scope="module")
def docker() -> Iterator[Daemon]:
    _need("dockerd", "containerd")
    yield from _running(DockerDaemon())


@pytest.fixture(scope="module")
def podman() -> Iterator[Daemon]:
    _need("podman", "conmon")
    yield from _running(PodmanDaemon())


@pytest.fixture
def kubelet(containerd: ContainerdDaemon) -> Iterator[Kubelet]:
    playing = Kubelet(containerd.socket)
    yield playing
    playing.close()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watcher]:
    """Starts an agent that is told of containers by one runtime, once it is ready."""
    started: list[Program] = []

    def start(runtime: str, policies: str = "", **settings: str) -> Program:
        directory = tmp_path / f"agent{len(started)}"
        (directory / "policies").mkdir(parents=True)
        if policies:
            (directory / "policies/policies.yaml").write_text(policies)
        environment = {
            "HAUBERK_RUNTIMES": runtime,
            "HAUBERK_POLICIES": str(directory / "policies"),
            "HAUBERK_FORMAT": "kubearmor",
            "HAUBERK_OPERATIONS": "process",
            "HAUBERK_WORKLOADS": "containers",
        }
        agent = Program((sys.executable, "-m", "hauberk", "agent"), directory, environment | settings)
        started.append(agent)
        wait_until(lambda: "tells of" in agent.stderr, "the agent has asked the runtime")
        if policies:
            wait_until(lambda: "policies in force" in agent.stderr, "the policies are in force")
        return agent

    yield start
    for agent in started:
        agent.stop()
