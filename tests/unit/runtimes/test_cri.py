"""The Container Runtime Interface over a real socket, with its events and without."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hauberk.runtimes import cri_pb2 as wire
from hauberk.runtimes.cri import Cri
from tests.unit.runtimes.servers import CriServer

DIGEST = "sha256:" + "d" * 64
CONTAINER = "c" * 64
SANDBOX = "b" * 64


@pytest.fixture(params=[True, False], ids=["events", "no-events"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CriServer]:
    running = CriServer(tmp_path / "crio.sock", has_events=request.param)
    yield running
    running.stop()


@pytest.fixture
def runtime(server: CriServer, tmp_path: Path) -> Iterator[Cri]:
    connected = Cri(tmp_path / "crio.sock")
    yield connected
    connected.close()


def add_sandbox(server: CriServer) -> None:
    server.sandboxes.append(
        wire.PodSandbox(
            id=SANDBOX,
            metadata=wire.PodSandboxMetadata(name="web-0", namespace="shop", uid="u-1"),
            created_at=7,
            labels={"app": "web", "io.kubernetes.pod.name": "web-0"},
        )
    )


def add_container(server: CriServer, reference: str) -> None:
    metadata = wire.ContainerMetadata(name="nginx")
    labels = {
        "io.kubernetes.container.name": "nginx",
        "io.kubernetes.pod.name": "web-0",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": "u-1",
    }
    server.containers.append(
        wire.Container(id=CONTAINER, pod_sandbox_id=SANDBOX, metadata=metadata, labels=labels)
    )
    server.statuses[CONTAINER] = wire.ContainerStatus(
        id=CONTAINER,
        metadata=metadata,
        started_at=9,
        image=wire.ImageSpec(image="docker.io/library/nginx:1"),
        image_ref=reference,
    )


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        (f"docker.io/library/nginx@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}"),
        (DIGEST, "docker.io/library/nginx:1"),  # the ID of the image, which nobody can pull by
    ],
)
def test_container_of_a_pod(server: CriServer, runtime: Cri, reference: str, image: str) -> None:
    add_sandbox(server)
    add_container(server, reference)

    found = runtime.find(CONTAINER)

    assert found is not None
    workload = found.workload
    assert (workload.container_name, workload.namespace, workload.pod) == ("nginx", "shop", "web-0")
    assert (workload.image, workload.started_ns, workload.pod_uid) == (image, 9, "u-1")
    assert workload.labels == {"app": "web"}


def test_sandbox_is_the_pause_container(server: CriServer, runtime: Cri) -> None:
    add_sandbox(server)

    found = runtime.find(SANDBOX)

    assert found is not None
    assert found.workload.is_pause
    assert (found.workload.namespace, found.workload.pod) == ("shop", "web-0")
    assert [each.id for each in runtime.containers()] == [SANDBOX]


def test_changes(server: CriServer, runtime: Cri) -> None:
    """Told by the runtime, or noticed by looking."""
    changes = runtime.changes()
    if server.has_events:
        server.events.put(wire.ContainerEventResponse(container_id=CONTAINER))
    else:
        threading.Timer(0.2, add_container, (server, DIGEST)).start()

    assert next(changes) == CONTAINER


def test_unknown_container(server: CriServer, runtime: Cri) -> None:
    assert runtime.find(CONTAINER) is None
