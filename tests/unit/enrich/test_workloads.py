"""Where events belong."""

import pytest
from msgspec.structs import replace

from hauberk.abi import Hook, ItemKind, RecordFlag
from hauberk.enrich.workloads import (
    REMOVED_KEPT,
    Workloads,
    container_id_of,
    plain_container_id_of,
    pod_uid_of,
)
from hauberk.model.record import Record
from hauberk.model.workload import Found, Owner, Workload

ID = "72de193fc8d849cd052affae5a53a27111bcefb75385635dcb374acdf31a5548"
OTHER = "e10d5edb62ac2daa4eb9a2146e2f2cfa87b6a5f30bd3a0123456789abcdef012"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/docker/{ID}", ID),
        (f"/system.slice/docker-{ID}.scope", ID),
        (f"/kubepods/besteffort/pod0d4e5f/{ID}", ID),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0d.slice/cri-containerd-{ID}.scope",
            ID,
        ),
        (f"/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:{ID}", ID),
        (f"/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope", ID),
        (f"/kubepods.slice/kubepods-pod1.slice/crio-conmon-{ID}.scope", None),
        (f"/machine.slice/libpod-{ID}.scope", ID),
        (f"/machine.slice/libpod-{ID}.scope/container", ID),
        (f"/machine.slice/libpod-conmon-{ID}.scope", None),
        (f"/libpod_parent/libpod-{ID}", ID),
        (f"/libpod_parent/{OTHER}/libpod-{ID}", ID),
        (f"/docker/{OTHER}/libpod_parent/libpod-{ID}", OTHER),
        (f"/system.slice/nerdctl-{ID}.scope", ID),
        ("/system.slice/runc-my.container.scope", "my.container"),
        ("/machine.slice/machine-web\\x2d1.scope/payload", "web-1"),
        ("/machine.slice/systemd-nspawn@web.service/payload", "web"),
        ("/lxc.payload.web/init.scope", "web"),
        (f"/docker/{ID}/docker/{OTHER}", ID),
        ("/system.slice/ssh.service", None),
        ("/user.slice/user-1000.slice/session-3.scope", None),
        ("/", None),
        ("", None),
        ("/process_api/16320a0f1959c73b1431f15c7f49ed87", None),
    ],
)
def test_container_id_of(path: str, expected: str | None) -> None:
    """Each runtime's way of naming cgroups gives the container's ID, and nothing else does."""
    assert container_id_of(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/c1", "c1"),
        ("/user.slice/user-0.slice/session-3.scope/c1", "c1"),
        ("/default/web", "web"),
        ("/system.slice/ssh.service", None),
        ("/", None),
    ],
)
def test_plain_container_id_of(path: str, expected: str | None) -> None:
    """What runc alone calls a container is the name of its cgroup, unless systemd gave it."""
    assert plain_container_id_of(path) == expected


HOST_PID_NS = 1
POD = Workload(
    ID,
    container_name="web",
    image="nginx:1",
    namespace="shop",
    pod="web-1",
    labels={"app": "web"},
    owner=Owner("Deployment", "web", "shop"),
    pod_uid="u1",
)
RUNTIME = Workload(
    ID, container_name="k8s_web", image="docker.io/library/nginx:1@sha256:ab", namespace="shop"
)


def born(cgroup_id: int, path: str) -> Record:
    return _record(cgroup_id, Hook.CGROUP, ((int(ItemKind.CGROUP), 0, path.encode()),))


def gone(cgroup_id: int) -> Record:
    return replace(_record(cgroup_id, Hook.CGROUP), flags=int(RecordFlag.DELETED))


def acting(cgroup_id: int) -> Record:
    return _record(cgroup_id, Hook.EXEC)


def on_host(cgroup_id: int) -> Record:
    """With the host's PIDs."""
    return replace(acting(cgroup_id), pid_ns=HOST_PID_NS)


def _record(cgroup_id: int, hook: Hook, items: tuple[tuple[int, int, bytes], ...] = ()) -> Record:
    fields: dict[str, object] = dict.fromkeys(Record.__struct_fields__, 0)
    return Record(**fields | {"cgroup_id": cgroup_id, "hook": int(hook), "items": items, "pid_ns": 2})  # type: ignore[arg-type]


@pytest.fixture
def workloads() -> Workloads:
    return Workloads(HOST_PID_NS)


def test_what_was_told_before_is_there_from_the_first_record(workloads: Workloads) -> None:
    workloads.tell_of_pod(ID, POD)
    workloads.apply(born(7, f"/docker/{ID}"))

    assert workloads.find(acting(7)) == POD


def test_what_is_told_later_reaches_every_cgroup_of_the_container(workloads: Workloads) -> None:
    for cgroup_id, path in ((7, f"/docker/{ID}"), (8, f"/docker/{ID}/inner"), (9, f"/docker/{OTHER}")):
        workloads.apply(born(cgroup_id, path))
        workloads.find(acting(cgroup_id))
    assert workloads.take_news() == [
        Found(7, Workload(ID)),
        Found(8, Workload(ID)),
        Found(9, Workload(OTHER)),
    ]

    workloads.tell_of_pod(ID, POD)

    assert sorted(workloads.take_news()) == [Found(7, POD), Found(8, POD)]
    assert workloads.find(acting(8)) == POD
    assert workloads.find(acting(9)) == Workload(OTHER)
    workloads.tell_of_pod(ID, POD)
    assert workloads.take_news() == [], "it is no news a second time"


@pytest.mark.parametrize("runtime_first", [True, False])
def test_runtime_and_kubernetes_tell_of_one_container(workloads: Workloads, runtime_first: bool) -> None:
    """In whichever order: the image of the runtime, which has its digest; all else as Kubernetes has it."""
    workloads.apply(born(7, f"/docker/{ID}"))
    workloads.find(acting(7))
    if runtime_first:
        workloads.tell_of_runtime(ID, RUNTIME)
    workloads.tell_of_pod(ID, POD)
    if not runtime_first:
        workloads.tell_of_runtime(ID, RUNTIME)

    assert workloads.find(acting(7)) == replace(POD, image=RUNTIME.image)


def test_who_is_told_to_be_gone_keeps_its_name_while_it_has_a_cgroup(workloads: Workloads) -> None:
    workloads.tell_of_pod(ID, POD)
    workloads.apply(born(7, f"/docker/{ID}"))
    workloads.find(acting(7))
    workloads.tell_of_pod(ID, None)

    assert workloads.find(acting(7)) == POD
    for cgroup_id in (7, *range(100, 100 + REMOVED_KEPT)):
        workloads.apply(gone(cgroup_id))
    workloads.apply(born(7, f"/docker/{ID}"))
    assert workloads.find(acting(7)) == Workload(ID)


@pytest.mark.parametrize("told_first", [True, False])
def test_container_by_the_cgroup_that_its_runtime_told(workloads: Workloads, told_first: bool) -> None:
    """Of `ctr run`, one with the host's PIDs too: nothing in the path says that it is a container."""
    named = Workload(container_id="web", container_name="web")
    if told_first:
        workloads.tell_of_runtime("web", named, "/default/web")
    workloads.apply(born(1, "/default/web"))
    workloads.apply(born(2, "/default/web/below"))
    workloads.apply(born(3, "/default/web2"))
    host = [workloads.find(on_host(cgroup_id)) for cgroup_id in (1, 2, 3)]
    if not told_first:
        assert all(each.is_host for each in host)
        workloads.tell_of_runtime("web", named, "/default/web")

    assert [workloads.find(on_host(cgroup_id)).container_name for cgroup_id in (1, 2, 3)] == [
        "web",
        "web",
        None,
    ]
    assert workloads.container_of(2) == "web"
    workloads.tell_of_runtime("web", None)
    assert workloads.find(on_host(1)).container_name == "web"  # until its last cgroup goes


UID = "0d4e5f6a-1b2c-4d3e-8f90-a1b2c3d4e5f6"
SLICE = f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID.replace('-', '_')}.slice"
EXPECTED = Workload(namespace="shop", pod="web-1", labels={"app": "web"}, pod_uid=UID)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{SLICE}/cri-containerd-{ID}.scope", UID),
        (f"/kubepods/besteffort/pod{UID}/{ID}", UID),
        (f"/kubepods/burstable/pod{UID}", UID),
        (f"/machine.slice/libpod-{ID}.scope", None),
        ("/kubepods/besteffort/pod1/x", None),
        ("/", None),
    ],
)
def test_pod_uid_of(path: str, expected: str | None) -> None:
    assert pod_uid_of(path) == expected


@pytest.mark.parametrize("pod_first", [True, False])
def test_a_container_is_its_pods_before_anybody_tells_of_it(workloads: Workloads, pod_first: bool) -> None:
    """Known by the path of its cgroup: so policies that select the pod hold from the first instruction."""
    if pod_first:
        workloads.expect_pod(UID, EXPECTED)
    workloads.apply(born(7, f"{SLICE}/cri-containerd-{ID}.scope"))
    workloads.find(acting(7))
    if not pod_first:
        workloads.expect_pod(UID, EXPECTED)

    assert workloads.find(acting(7)) == replace(EXPECTED, container_id=ID)
    workloads.tell_of_runtime(ID, replace(RUNTIME, container_name="web"))
    assert workloads.find(acting(7)) == replace(
        EXPECTED, container_id=ID, container_name="web", image=RUNTIME.image
    )
    workloads.tell_of_pod(ID, POD)
    assert workloads.find(acting(7)) == replace(POD, image=RUNTIME.image)
    workloads.expect_pod(UID, None)
    assert workloads.find(acting(7)) == replace(POD, image=RUNTIME.image)
