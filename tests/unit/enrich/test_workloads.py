"""Where events belong."""

import pytest

from hauberk.enrich.workloads import container_id_of, plain_container_id_of

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
