"""The API of Docker's engine over a real Unix socket, and what Podman adds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hauberk.errors import RuntimeAnswerError, RuntimeUnreachable
from hauberk.runtimes.docker import Docker, Podman
from tests.unit.runtimes.servers import EngineServer

DIGEST = "sha256:" + "d" * 64
IMAGE = "sha256:" + "a" * 64
CONTAINER = "c" * 64
INSPECTED: dict[str, Any] = {
    "Id": CONTAINER,
    "Name": "/web",
    "Image": IMAGE,
    "Config": {"Image": "nginx:1", "Labels": {"app": "web"}},
    "State": {"Status": "running", "StartedAt": "2026-11-25T01:55:13.418968361Z"},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    running = EngineServer(tmp_path / "docker.sock")
    running.answers[f"/containers/{CONTAINER}/json"] = INSPECTED
    running.answers[f"/images/{IMAGE}/json"] = {"RepoDigests": [f"nginx@{DIGEST}"]}
    yield running
    running.stop()


@pytest.fixture
def runtime(server: EngineServer, tmp_path: Path) -> Docker:
    return Docker(tmp_path / "docker.sock")


def test_container(runtime: Docker) -> None:
    """KubeArmor's words: a namespace of that name, and the container is its own pod."""
    found = runtime.find(CONTAINER)

    assert found is not None
    workload = found.workload
    assert (workload.container_id, workload.container_name, workload.pod) == (CONTAINER, "web", "web")
    assert workload.namespace == "container_namespace"
    assert workload.labels == {"app": "web"}
    assert workload.image == f"nginx:1@{DIGEST}"
    assert workload.started_ns == 1_795_571_713_418_968_361


def test_namespace_by_label(server: EngineServer, runtime: Docker) -> None:
    config = INSPECTED["Config"] | {"Labels": {"kubearmor.io/namespace": "shop"}}
    server.answers[f"/containers/{CONTAINER}/json"] = INSPECTED | {"Config": config}

    found = runtime.find(CONTAINER)

    assert found is not None
    assert found.workload.namespace == "shop"


@pytest.mark.parametrize(("kind", "is_pause"), [("container", False), ("podsandbox", True)])
def test_container_of_the_kubelet(server: EngineServer, runtime: Docker, kind: str, is_pause: bool) -> None:
    labels = {
        "io.kubernetes.container.name": "nginx",
        "io.kubernetes.pod.name": "web-0",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.docker.type": kind,
        "app": "web",
    }
    config = {"Image": "nginx:1", "Labels": labels}
    server.answers[f"/containers/{CONTAINER}/json"] = INSPECTED | {"Config": config}

    found = runtime.find(CONTAINER)

    assert found is not None
    workload = found.workload
    assert (workload.container_name, workload.pod, workload.namespace) == ("nginx", "web-0", "shop")
    assert workload.labels == {"app": "web"}
    assert workload.is_pause == is_pause


def test_image_that_was_never_pulled(server: EngineServer, runtime: Docker) -> None:
    server.answers[f"/images/{IMAGE}/json"] = {"RepoDigests": None}

    found = runtime.find(CONTAINER)

    assert found is not None
    assert found.workload.image == "nginx:1"


def test_container_that_never_started(server: EngineServer, runtime: Docker) -> None:
    server.answers[f"/containers/{CONTAINER}/json"] = INSPECTED | {
        "State": {"StartedAt": "0001-01-01T00:00:00Z"}
    }

    found = runtime.find(CONTAINER)

    assert found is not None
    assert found.workload.started_ns is None


def test_list_has_the_stopped_ones_too(server: EngineServer, runtime: Docker) -> None:
    """They may be started again; one that is removed in between is left out."""
    server.answers["/containers/json"] = [{"Id": CONTAINER}, {"Id": "f" * 64}]

    assert [each.id for each in runtime.containers()] == [CONTAINER]
    assert "/containers/json?all=1" in server.asked


def test_changes(server: EngineServer, runtime: Docker) -> None:
    changes = runtime.changes()
    server.events.put({"Type": "container", "Action": "rename", "Actor": {"ID": CONTAINER}, "id": CONTAINER})

    assert next(changes) == CONTAINER
    runtime.close()
    with pytest.raises((StopIteration, RuntimeUnreachable)):
        next(changes)


@pytest.mark.parametrize("content", [b"", b"not JSON", b'{"Id": 7}', b'{"Id": "\xff"}'])
def test_answer_that_is_none(server: EngineServer, runtime: Docker, content: bytes) -> None:
    server.answers[f"/containers/{CONTAINER}/json"] = content

    with pytest.raises(RuntimeAnswerError, match=r"docker\.sock"):
        runtime.find(CONTAINER)


def test_hostile_id_stays_in_its_place(server: EngineServer, runtime: Docker) -> None:
    """The ID comes from the name of a cgroup: whoever may make those asks for no other path."""
    assert runtime.find("../images/x\r\nHost: evil") is None
    assert server.asked == ["/containers/..%2Fimages%2Fx%0D%0AHost%3A%20evil/json"]


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnreachable, match="No such file"):
        Docker(tmp_path / "nothing.sock").find(CONTAINER)


def test_podman_knows_pods_and_digests(server: EngineServer, tmp_path: Path) -> None:
    server.answers[f"/v4.0.0/libpod/containers/{CONTAINER}/json"] = INSPECTED | {
        "Name": "web",
        "ImageName": "docker.io/library/nginx:1",
        "ImageDigest": DIGEST,
        "Pod": "p1",
        "IsInfra": True,
    }
    server.answers["/v4.0.0/libpod/pods/p1/json"] = {"Name": "shop", "Labels": {"tier": "front"}}

    found = Podman(tmp_path / "docker.sock").find(CONTAINER)

    assert found is not None
    workload = found.workload
    assert (workload.container_name, workload.pod) == ("web", "shop")
    assert workload.image == f"docker.io/library/nginx:1@{DIGEST}"
    assert workload.labels == {"app": "web", "tier": "front"}
    assert workload.is_pause
