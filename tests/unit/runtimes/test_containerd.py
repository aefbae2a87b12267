"""containerd's own API, over a real socket: pods, their pause containers, and what is not of Kubernetes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hauberk.errors import RuntimeUnreachable
from hauberk.runtimes import Container
from hauberk.runtimes import containerd_pb2 as wire
from hauberk.runtimes.containerd import Containerd
from tests.unit.runtimes.servers import ContainerdServer

DIGEST = "sha256:" + "d" * 64
CONTAINER = "c" * 64
SANDBOX = "b" * 64
POD = {
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": "u-1",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ContainerdServer]:
    running = ContainerdServer(tmp_path / "containerd.sock")
    yield running
    running.stop()


@pytest.fixture
def runtime(server: ContainerdServer, tmp_path: Path) -> Iterator[Containerd]:
    connected = Containerd(tmp_path / "containerd.sock")
    yield connected
    connected.close()


def add_pod(server: ContainerdServer) -> None:
    server.images["docker.io/library/nginx:1"] = DIGEST
    server.add(
        "k8s.io",
        SANDBOX,
        {},
        image="pause:3",
        labels=POD | {"io.cri-containerd.kind": "sandbox", "app": "web", "pod-template-hash": "5f"},
    )
    server.add(
        "k8s.io",
        CONTAINER,
        {
            "annotations": {"io.kubernetes.cri.sandbox-id": SANDBOX},
            "linux": {"cgroupsPath": f"/kubepods/{CONTAINER}"},
        },
        image="docker.io/library/nginx:1",
        labels=POD | {"io.cri-containerd.kind": "container", "io.kubernetes.container.name": "nginx"},
    )


def test_container_of_a_pod(server: ContainerdServer, runtime: Containerd) -> None:
    """It has its own name and image, and the labels of the pod, which only the sandbox has."""
    add_pod(server)

    found = runtime.find(CONTAINER)

    assert found is not None
    workload = found.workload
    assert (workload.container_id, workload.container_name) == (CONTAINER, "nginx")
    assert (workload.namespace, workload.pod, workload.pod_uid) == ("shop", "web-0", "u-1")
    assert workload.image == f"docker.io/library/nginx:1@{DIGEST}"
    assert workload.labels == {"app": "web"}
    assert not workload.is_pause
    assert found.cgroup is None


def test_list_has_all_namespaces_but_dockers(server: ContainerdServer, runtime: Containerd) -> None:
    add_pod(server)
    server.add("default", "web", {"linux": {"cgroupsPath": "/default/web"}}, labels={"app": "x"})
    server.add("moby", "e" * 64, {})

    found = {each.id: each for each in runtime.containers() if isinstance(each, Container)}

    assert found.keys() == {CONTAINER, SANDBOX, "web"}
    assert found[SANDBOX].workload.is_pause
    assert found[SANDBOX].workload.pod == "web-0"
    assert found["web"].cgroup == "/default/web"


@pytest.mark.parametrize(
    ("path", "ending"),
    [("/default/web", "/default/web"), ("machine.slice:nerdctl:web", "/nerdctl-web.scope"), ("", None)],
)
def test_cgroup_of_a_container_without_a_long_id(
    server: ContainerdServer, runtime: Containerd, path: str, ending: str | None
) -> None:
    """How the path ends under either driver: the ID in it looks like any other name."""
    server.add("default", "web", {"linux": {"cgroupsPath": path}})

    found = runtime.find("web")

    assert found is not None
    assert found.cgroup == ending


def test_container_outside_kubernetes(server: ContainerdServer, runtime: Containerd) -> None:
    """KubeArmor's words: a namespace of that name, and the container is its own pod."""
    labels = {"nerdctl/name": "shop", "app": "x", "io.containerd.image.config.stop-signal": "SIGTERM"}
    server.add("default", CONTAINER, {}, image="busybox:1", labels=labels)

    found = runtime.find(CONTAINER)

    assert found is not None
    workload = found.workload
    assert (workload.container_name, workload.pod) == ("shop", "shop")
    assert workload.namespace == "container_namespace"
    assert workload.labels == {"app": "x", "nerdctl/name": "shop"}
    assert workload.image == "busybox:1"


def test_changes_name_what_changed(server: ContainerdServer, runtime: Containerd) -> None:
    """A container's birth is told before its start, and the start has a time."""
    add_pod(server)
    changes = runtime.changes()
    server.tell("moby", "/containers/create", wire.ContainerEvent(id="e" * 64))
    server.tell("k8s.io", "/containers/create", wire.ContainerEvent(id=CONTAINER))
    server.tell(
        "k8s.io", "/tasks/start", wire.TaskEvent(container_id=CONTAINER), time_ns=1_700_000_000_000_000_005
    )

    assert next(changes) == CONTAINER
    before = runtime.find(CONTAINER)
    assert next(changes) == CONTAINER
    after = runtime.find(CONTAINER)

    assert before is not None
    assert before.workload.started_ns is None
    assert after is not None
    assert after.workload.started_ns == 1_700_000_000_000_000_005


def test_unknown_container(server: ContainerdServer, runtime: Containerd) -> None:
    add_pod(server)

    assert runtime.find("f" * 64) is None


def test_nobody_there(tmp_path: Path) -> None:
    runtime = Containerd(tmp_path / "nothing.sock")

    with pytest.raises(RuntimeUnreachable, match=r"nothing\.sock"):
        runtime.find(CONTAINER)
    runtime.close()


def test_end_of_the_daemon_ends_the_changes(server: ContainerdServer, runtime: Containerd) -> None:
    changes = runtime.changes()
    server.stop()

    with pytest.raises((RuntimeUnreachable, StopIteration)):
        next(changes)


@pytest.mark.parametrize(
    ("topic", "value", "seconds"),
    [
        ("/tasks/start", b"\xff", 0),
        ("/containers/create", b"\x0a\x7f", 0),
        ("/containers/create", b"", 0),
        ("/tasks/start", b"\x0a\xff\xff", 0),
        ("/tasks/start", wire.TaskEvent(container_id="web").SerializeToString(), 1 << 62),
    ],
)
def test_odd_event_costs_itself_only(
    server: ContainerdServer, runtime: Containerd, topic: str, value: bytes, seconds: int
) -> None:
    """It is told as something that nobody can read, and what comes after it as ever."""
    changes = runtime.changes()
    odd = wire.Envelope(namespace="default", topic=topic)
    odd.event.value = value
    odd.timestamp.seconds = seconds
    server.events.put(odd)
    server.tell("default", "/containers/create", wire.ContainerEvent(id="web"))

    assert [next(changes), next(changes)] == ["", "web"]


@pytest.mark.parametrize(
    "specification", [b"\xff", b"[]", b'{"linux": 7}', b'{"annotations": {"a": 7}}', b"[" * 10_000]
)
def test_odd_specification_is_as_good_as_none(
    server: ContainerdServer, runtime: Containerd, specification: bytes
) -> None:
    server.add("default", "web", {})
    server.containers["default", "web"].spec.value = specification
    server.add("default", "other", {})

    assert {each.id for each in runtime.containers()} == {"web", "other"}
