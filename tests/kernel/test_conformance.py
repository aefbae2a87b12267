"""What KubeArmor is tested for: a policy, an action, what comes of it, and every alert there is.

Where KubeArmor's own tests take the first alert that fits, here the errno is asserted, the one alert, and that there is no
other. They are played in a real container, in a directory with copies of busybox; its group of pods is this one workload, and its
users are root and `nobody`; the postures are those of its tests: block. Those of hosts are played on the host.

Left out, and why: rules of names that are asked for (DNS), `KubeArmorNetworkPolicy` and native AppArmor rules, which are not
supported; visibility, annotations of namespaces and throttling, which are no policies and have tests of their own; selectors by
label and namespace (`tests/unit/policy/test_select.py`); and what only AppArmor denies by default (mount).
"""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hauberk.errors import HauberkError
from hauberk.model.policy import Action
from tests.kernel.guard import Guard

TRUE = Path(__file__).parents[2] / "tests/actors/build/true"
NOBODY = 65534
REFUSALS = (errno.EACCES, errno.EPERM)
APPLETS = ("cat", "sleep", "ls", "touch", "unlink", "id")
ROOT_FILES = ("secret.txt", "etc/shadow", "etc/hostname", "credentials/password", "credentials/keys/priv.key")
USER_FILES = ("home/user1/secret_data1.txt", "home/user1/dir1/key1.txt")


@pytest.fixture(scope="module")
def lsm(request: pytest.FixtureRequest) -> Iterator[Guard]:
    """In a place."""
    if os.geteuid():
        pytest.skip("needs root")
    if not shutil.which("busybox"):
        pytest.skip("needs busybox")
    try:
        guarding = Guard(request.param)
    except HauberkError as error:
        pytest.skip(str(error))
    with guarding:
        if not guarding.denies:
            pytest.skip("this kernel takes no LSM programs; the guests' do")
        yield guarding
    assert guarding.ledger.differences() == {}


@pytest.fixture
def root(lsm: Guard) -> Iterator[Path]:
    """What a container of KubeArmor's tests holds; it is cleaned up when no rules are in force any more."""
    with tempfile.TemporaryDirectory(prefix="hauberk-", dir="/dev/shm") as directory:
        path = Path(directory).resolve()
        path.chmod(0o755)
        for name in (*ROOT_FILES, *USER_FILES):
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
            file.chmod(0o666)
        for name in USER_FILES:
            os.chown(path / name, NOBODY, NOBODY)
        busybox = shutil.which("busybox") or ""
        (path / "bin").mkdir()
        for name in APPLETS:
            shutil.copy(busybox, path / "bin" / name)
        (path / "sbin/deep").mkdir(parents=True)
        for name in ("sbin/route", "sbin/deep/route", "home/user1/hello"):
            shutil.copy(TRUE, path / name)
        os.chown(path / "home/user1/hello", NOBODY, NOBODY)
        (path / "tmp").mkdir(mode=0o777)
        (path / "tmp").chmod(0o777)
        yield path
        lsm.installed.replace(())


class Step(NamedTuple):
    """One action and what is expected of it."""

    does: str
    """A command below the root; ``read PATH``, ``write PATH`` and ``socket KIND`` are done by the test itself."""

    told: str = ""
    """The action of the one alert: ``Block`` is denied; empty: it passes, and nothing is told."""

    by: str = ""
    """The policy, if it is not the scenario's only one."""

    as_user: bool = False
    on_terminal: bool = False
    resource: str = ""


class Scenario(NamedTuple):
    """Policies and steps; `spec` is that of one policy, which has the scenario's name."""

    spec: str
    steps: tuple[Step, ...]
    severity: int = 5
    message: str = ""


POSTURE = "DefaultPosture"
ALLOWED = (
    "process:\n  matchDirectories: [{dir: /R/bin/, recursive: true}, {dir: /R/home/, recursive: true}]\n"
)
"""What allow lists need besides what they are about."""

TOOLS = "{dir: /R/bin/, recursive: true}, {dir: /proc/, recursive: true}"

SCENARIOS = {
    # k8s_env/ksp
    "ksp-group-1-block-proc-path": Scenario(
        "process: {matchPaths: [{path: /R/bin/sleep}]}\naction: Block",
        (Step("/bin/sleep 0", "Block"), Step("/bin/id")),
    ),
    "ksp-ubuntu-1-block-proc-dir": Scenario(
        "process: {matchDirectories: [{dir: /R/sbin/}]}\naction: Block",
        (Step("/sbin/route", "Block"), Step("/sbin/deep/route")),
        severity=6,
    ),
    "ksp-ubuntu-1-block-proc-dir-recursive": Scenario(
        "process: {matchDirectories: [{dir: /R/sbin/, recursive: true}]}\naction: Block",
        (Step("/sbin/deep/route", "Block"), Step("/bin/id")),
        severity=2,
    ),
    "ksp-group-1-block-proc-path-from-source": Scenario(
        "process: {matchPaths: [{path: /R/bin/ls, fromSource: [{path: PYTHON}]}]}\naction: Block",
        (Step("/bin/ls", "Block"), Step("/bin/id")),
    ),
    "ksp-ubuntu-3-block-proc-path-owner": Scenario(
        "process: {matchPaths: [{path: /R/home/user1/hello, ownerOnly: true}]}\naction: Block",
        (Step("/home/user1/hello", "Block"), Step("/home/user1/hello", as_user=True)),
        severity=7,
    ),
    "ksp-ubuntu-3-allow-proc-path-owner": Scenario(
        "process:\n  matchPaths: [{path: /R/home/user1/hello, ownerOnly: true}]\n"
        "  matchDirectories: [{dir: /R/bin/, recursive: true}]\naction: Allow",
        (Step("/home/user1/hello", "Block", POSTURE), Step("/home/user1/hello", as_user=True), Step("/bin/id")),
        severity=7,
    ),
    "ksp-ubuntu-1-block-proc-execname": Scenario(
        "process: {matchPaths: [{execname: touch}]}\naction: Block",
        (Step("/bin/touch /R/tmp/x", "Block"), Step("/bin/id")),
    ),
    "ksp-group-1-block-proc-pts": Scenario(
        "process: {matchPaths: [{path: /R/bin/sleep, pts: false}]}\naction: Block",
        (Step("/bin/sleep 0", "Block", on_terminal=True), Step("/bin/sleep 0")),
    ),
    "ksp-group-1-block-file-pts": Scenario(
        "file: {matchPaths: [{path: /R/etc/hostname, pts: false}]}\naction: Block",
        (Step("/bin/cat /R/etc/hostname", "Block", on_terminal=True), Step("/bin/cat /R/etc/hostname")),
    ),
    "ksp-group-2-audit-proc-path": Scenario(
        "process: {matchPaths: [{path: /R/bin/sleep}]}\naction: Audit",
        (Step("/bin/sleep 0", "Audit", resource="/R/bin/sleep 0"),),
        severity=4,
    ),
    "ksp-ubuntu-1-allow-proc-args": Scenario(
        "process: {matchPaths: [{path: /R/bin/ls, allowedArgs: ['-a', '/R/etc']}]}\naction: Block",
        (Step("/bin/ls -a /R/etc"), Step("/bin/ls -l /R/etc", "Block")),
    ),
    "ksp-group-2-allow-file-path-from-source-path": Scenario(
        ALLOWED + "file:\n  matchPaths: [{path: /R/secret.txt, fromSource: [{path: /R/bin/cat}]}]\n"
        f"  matchDirectories: [{TOOLS}]\naction: Allow",
        (
            Step("/bin/cat /R/etc/hostname", "Block", POSTURE, resource="/R/etc/hostname"),
            Step("/bin/cat /R/secret.txt"),
            Step("read /secret.txt", "Block", POSTURE),
        ),
    ),
    "ksp-group-2-audit-file-path-from-source-path": Scenario(
        "file: {matchPaths: [{path: /R/secret.txt, fromSource: [{path: /R/bin/cat}]}]}\naction: Audit",
        (Step("/bin/cat /R/secret.txt", "Audit", resource="/R/secret.txt"), Step("read /secret.txt")),
    ),
    "ksp-group-2-block-file-path-from-source-path": Scenario(
        "file: {matchPaths: [{path: /R/secret.txt, fromSource: [{path: /R/bin/cat}]}]}\naction: Block",
        (Step("/bin/cat /R/secret.txt", "Block"), Step("read /secret.txt")),
    ),
    "ksp-group-2-audit-file-path-owner-from-source-path": Scenario(
        "file: {matchPaths: [{path: /R/home/user1/secret_data1.txt, ownerOnly: true, fromSource: [{path: /R/bin/cat}]}]}\n"
        "action: Audit",
        (Step("/bin/cat /R/home/user1/secret_data1.txt", "Audit"),),
        severity=7,
    ),
    "ksp-group-2-block-file-path-owner-from-source-path": Scenario(
        "file: {matchPaths: [{path: /R/home/user1/secret_data1.txt, ownerOnly: true, fromSource: [{path: /R/bin/cat}]}]}\n"
        "action: Block",
        (
            Step("/bin/cat /R/home/user1/secret_data1.txt", "Block"),
            Step("/bin/cat /R/home/user1/secret_data1.txt", as_user=True),
        ),
        severity=7,
    ),
    "ksp-ubuntu-3-block-file-dir-recursive-owner-readonly": Scenario(
        "file: {matchDirectories: [{dir: /R/home/user1/, recursive: true, ownerOnly: true, readOnly: true}]}\naction: Block",
        (
            Step("/bin/cat /R/home/user1/dir1/key1.txt", "Block"),
            Step("/bin/cat /R/home/user1/secret_data1.txt", as_user=True),
            Step("/bin/cat /R/home/user1/dir1/key1.txt", as_user=True),
            Step("write /home/user1/secret_data1.txt", "Block"),
            Step("write /home/user1/secret_data1.txt", "Block", as_user=True),
            Step("write /home/user1/dir1/key1.txt", "Block", as_user=True),
        ),
        severity=7,
    ),
    "ksp-ubuntu-3-block-file-dir-owner-readonly": Scenario(
        "file: {matchDirectories: [{dir: /R/home/user1/, ownerOnly: true, readOnly: true}]}\naction: Block",
        (
            Step("/bin/cat /R/home/user1/secret_data1.txt", "Block"),
            Step("/bin/cat /R/home/user1/secret_data1.txt", as_user=True),
            Step("/bin/cat /R/home/user1/dir1/key1.txt"),
        ),
        severity=7,
    ),
    "ksp-ubuntu-4-allow-file-path-owner-readonly-from-source-path": Scenario(
        ALLOWED
        + "file:\n  matchPaths: [{path: /R/home/user1/secret_data1.txt, ownerOnly: true, readOnly: true, "
        f"fromSource: [{{path: /R/bin/cat}}]}}]\n  matchDirectories: [{TOOLS}]\naction: Allow",
        (
            Step("/bin/cat /R/home/user1/secret_data1.txt", "Block", POSTURE),
            Step("write /home/user1/secret_data1.txt", "Block", POSTURE),
            Step("/bin/cat /R/home/user1/secret_data1.txt", as_user=True),
        ),
        severity=10,
    ),
    "ksp-ubuntu-4-block-file-path-owner-readonly-from-source-path": Scenario(
        "file: {matchPaths: [{path: /R/home/user1/secret_data1.txt, ownerOnly: true, readOnly: true, "
        "fromSource: [{path: PYTHON}]}]}\naction: Block",
        (
            Step("write /home/user1/secret_data1.txt", "Block", as_user=True),
            Step("write /home/user1/secret_data1.txt", "Block"),
            Step("read /home/user1/secret_data1.txt", as_user=True),
            Step("/bin/cat /R/home/user1/secret_data1.txt"),
        ),
        severity=10,
    ),
    "ksp-ubuntu-3-allow-file-path-owner": Scenario(
        ALLOWED + "file:\n  matchPaths: [{path: /R/home/user1/secret_data1.txt, ownerOnly: true}]\n"
        f"  matchDirectories: [{TOOLS}]\naction: Allow",
        (
            Step("/bin/cat /R/home/user1/secret_data1.txt", "Block", POSTURE),
            Step("/bin/cat /R/home/user1/secret_data1.txt", as_user=True),
            Step("write /home/user1/secret_data1.txt", as_user=True),
        ),
        severity=7,
    ),
    "ksp-ubuntu-4-allow-file-path-readonly": Scenario(
        ALLOWED + "file:\n  matchPaths: [{path: /R/credentials/password, readOnly: true}]\n"
        f"  matchDirectories: [{TOOLS}]\naction: Allow",
        (
            Step("write /credentials/password", "Block", POSTURE, resource="/R/credentials/password"),
            Step("/bin/cat /R/credentials/password"),
            Step("/bin/cat /R/secret.txt", "Block", POSTURE, resource="/R/secret.txt"),
        ),
        severity=10,
    ),
    "ksp-ubuntu-4-block-file-path-readonly": Scenario(
        "file: {matchPaths: [{path: /R/credentials/password, readOnly: true}]}\naction: Block",
        (Step("write /credentials/password", "Block"), Step("/bin/cat /R/credentials/password")),
        severity=10,
    ),
    "ksp-ubuntu-4-audit-file-path-readonly": Scenario(
        "file: {matchDirectories: [{dir: /R/tmp/, readOnly: true}]}\naction: Audit",
        (Step("write /tmp/new", "Audit"), Step("/bin/cat /R/tmp/new")),
        severity=10,
    ),
    "ksp-ubuntu-1-audit-file-access-owner-readonly": Scenario(
        "file: {matchDirectories: [{dir: /R/home/user1/, ownerOnly: true, readOnly: true}]}\naction: Audit",
        (
            Step("/bin/cat /R/home/user1/secret_data1.txt", "Audit"),
            Step("/bin/cat /R/home/user1/secret_data1.txt", as_user=True),
        ),
    ),
    "ksp-ubuntu-1-block-file-dir-recursive": Scenario(
        "file: {matchDirectories: [{dir: /R/credentials/, recursive: true}]}\naction: Block",
        (Step("/bin/cat /R/credentials/keys/priv.key", "Block"), Step("/bin/cat /R/secret.txt")),
        severity=8,
    ),
    "ksp-ubuntu-1-audit-file-dir": Scenario(
        "file: {matchDirectories: [{dir: /R/credentials/, recursive: true}]}\naction: Audit",
        (Step("/bin/cat /R/credentials/password", "Audit"),),
    ),
    "ksp-ubuntu-1-block-file-pattern": Scenario(
        "file: {matchPatterns: [{pattern: '/R/etc/*hado?'}]}\naction: Block",
        (Step("/bin/cat /R/etc/shadow", "Block"), Step("/bin/cat /R/etc/hostname")),
    ),
    "ksp-ubuntu-1-block-file-pattern-owner-readonly": Scenario(
        "file: {matchPatterns: [{pattern: '/R/home/user1/secret_data*', ownerOnly: true, readOnly: true}]}\naction: Block",
        (
            Step("/bin/cat /R/home/user1/secret_data1.txt", "Block"),
            Step("/bin/cat /R/home/user1/secret_data1.txt", as_user=True),
            Step("write /home/user1/secret_data1.txt", "Block", as_user=True),
        ),
    ),
    # ... its network tests, and what there is of capabilities
    "ksp-ubuntu-1-block-net-raw-cap": Scenario(
        "capabilities: {matchCapabilities: [{capability: net_raw}]}\naction: Block",
        (Step("socket raw", "Block"), Step("socket tcp")),
        severity=1,
    ),
    "ksp-ubuntu-1-block-net-raw-cap-from-source": Scenario(
        "capabilities: {matchCapabilities: [{capability: net_raw, fromSource: [{path: PYTHON}]}]}\naction: Block",
        (Step("socket raw", "Block"),),
        severity=1,
    ),
    "ksp-ubuntu-1-block-net-raw": Scenario(
        "network: {matchProtocols: [{protocol: raw}]}\naction: Block",
        (Step("socket raw", "Block"), Step("socket udp")),
        severity=8,
    ),
    "ksp-ubuntu-1-audit-net-raw": Scenario(
        "network: {matchProtocols: [{protocol: raw}]}\naction: Audit",
        (Step("socket raw", "Audit"), Step("socket tcp")),
        severity=8,
    ),
    "ksp-ubuntu-1-audit-net-icmp": Scenario(
        "network: {matchProtocols: [{protocol: icmp}]}\naction: Audit",
        (Step("socket raw", "Audit"), Step("socket udp")),
        severity=8,
    ),
    "ksp-ubuntu-1-block-net-all": Scenario(
        "network: {matchProtocols: [{protocol: all}]}\naction: Block",
        (Step("socket raw", "Block"), Step("socket tcp", "Block"), Step("socket unix", "Block")),
        severity=8,
    ),
    "ksp-ubuntu-1-allow-net-tcp-from-source": Scenario(
        "network: {matchProtocols: [{protocol: tcp, fromSource: [{path: PYTHON}]}]}\naction: Allow",
        (Step("socket tcp"), Step("socket udp", "Block", POSTURE)),
        severity=8,
    ),
    # k8s_env/smoke
    "ksp-mysql-audit-dir": Scenario(
        "file: {matchDirectories: [{dir: /R/tmp/, recursive: true}]}\naction: Audit",
        (Step("write /tmp/new", "Audit"), Step("/bin/unlink /R/tmp/new", "Audit")),
    ),
    "ksp-wordpress-block-config": Scenario(
        "message: blocked access to wordpress configuration file\n"
        "file: {matchPaths: [{path: /R/secret.txt, fromSource: [{path: /R/bin/cat}]}]}\naction: Block",
        (Step("/bin/cat /R/secret.txt", "Block"),),
        severity=10,
        message="blocked access to wordpress configuration file",
    ),
    "ksp-wordpress-lenient-allow-sa": Scenario(
        "process: {matchDirectories: [{dir: /, recursive: true}]}\n"
        "file:\n  matchDirectories:\n  - {dir: /R/credentials/, recursive: true, action: Block}\n"
        "  - {dir: /, recursive: true}\n  - {dir: /R/credentials/, recursive: true, fromSource: [{path: /R/bin/cat}]}\n"
        "action: Allow",
        (Step("/bin/cat /R/credentials/password"), Step("read /credentials/password", "Block"), Step("/bin/id")),
        severity=7,
    ),
    # k8s_env/syscalls
    "audit-all-unlink": Scenario(
        "syscalls: {matchSyscalls: [{syscall: [unlink]}]}\naction: Audit",
        (Step("/bin/unlink /R/etc/hostname", "Audit"), Step("/bin/cat /R/secret.txt")),
        severity=3,
    ),
    "audit-unlink-fromsource-path": Scenario(
        "syscalls: {matchSyscalls: [{syscall: [unlink], fromSource: [{path: /R/bin/unlink}]}]}\naction: Audit",
        (Step("/bin/unlink /R/etc/hostname", "Audit"), Step("unlink /etc/shadow")),
        severity=4,
    ),
    "audit-unlink-dir-recursive": Scenario(
        "syscalls: {matchPaths: [{syscall: [unlink], path: /R/home/, recursive: true}]}\naction: Audit",
        (Step("/bin/unlink /R/home/user1/dir1/key1.txt", "Audit"), Step("/bin/unlink /R/etc/hostname")),
    ),
    "audit-unlink-file-path": Scenario(
        "syscalls: {matchPaths: [{syscall: [unlink], path: /R/secret.txt}]}\naction: Audit",
        (Step("/bin/unlink /R/secret.txt", "Audit"), Step("/bin/unlink /R/etc/hostname")),
    ),
    "audit-unlink-global-information": Scenario(
        "message: Global message\nsyscalls: {matchPaths: [{syscall: [unlink], path: /R/home/, recursive: true}]}\naction: Audit",
        (Step("/bin/unlink /R/home/user1/secret_data1.txt", "Audit"),),
        severity=8,
        message="Global message",
    ),
    "audit-unlink-local-trumps-global-information": Scenario(
        "message: Global message\nsyscalls:\n  severity: 7\n  message: Local message\n"
        "  matchPaths: [{syscall: [unlink], path: /R/home/, recursive: true}]\naction: Audit",
        (Step("/bin/unlink /R/home/user1/secret_data1.txt", "Audit"),),
        severity=7,
        message="Local message",
    ),
    # k8s_env/presets: what is in /dev/shm is fileless, and so is all that is here
    "ksp-preset-block-fileless": Scenario(
        "presets: [{name: filelessExec, action: Block}]", (Step("/bin/id", "Block"),), severity=8
    ),
    "ksp-preset-audit-fileless": Scenario(
        "presets: [{name: filelessExec, action: Audit}]", (Step("/bin/id", "Audit"),), severity=8
    ),
    # k8s_env/blockposture
    "ksp-nginx-allow-index": Scenario(
        ALLOWED + f"file: {{matchDirectories: [{TOOLS}, {{dir: /R/etc/, recursive: true}}]}}\naction: Allow",
        (
            Step("/bin/cat /R/etc/hostname"),
            Step("/bin/cat /R/secret.txt", "Block", POSTURE),
            Step("/sbin/route", "Block", POSTURE),
        ),
        severity=10,
    ),
    # nonk8s_env
    "ksp-audit-exec-dir": Scenario(
        "process: {matchDirectories: [{dir: /R/bin/, recursive: true}]}\naction: Audit",
        (Step("/bin/ls /R/etc", "Audit"), Step("/sbin/route")),
        severity=7,
    ),
    "ksp-audit-file-pattern": Scenario(
        "file: {severity: 4, message: file event, matchPatterns: [{pattern: '/R/tmp/*'}]}\naction: Audit",
        (Step("write /tmp/karmor_test_file", "Audit"),),
        severity=4,
        message="file event",
    ),
    "ksp-audit-process-apt-pattern": Scenario(
        "process: {matchPatterns: [{pattern: '/R/bin/sl*'}]}\naction: Audit",
        (Step("/bin/sleep 0", "Audit"), Step("/bin/id")),
        severity=7,
    ),
}  # fmt: skip

HOST_SCENARIOS = {
    # nonk8s_env/host_policy
    "hsp-block-curl-exec": Scenario(
        "process: {matchPaths: [{path: /R/bin/sleep}]}\naction: Block",
        (Step("/bin/sleep 0", "Block"), Step("/bin/id")),
    ),
    "hsp-block-process-dir": Scenario(
        "process:\n  message: process-msg\n  matchDirectories: [{dir: /R/sbin/, recursive: true, severity: 3}]\naction: Block",
        (Step("/sbin/route", "Block"), Step("/sbin/deep/route", "Block"), Step("/bin/id")),
        severity=3,
        message="process-msg",
    ),
    "hsp-block-apt-commands": Scenario(
        "process: {matchPatterns: [{pattern: '/R/bin/sl*'}]}\naction: Block",
        (Step("/bin/sleep 0", "Block"), Step("/bin/id")),
    ),
    "hsp-audit-hosts-fromsource": Scenario(
        "file: {matchPaths: [{path: /R/etc/hostname, fromSource: [{path: /R/bin/cat}]}]}\naction: Audit",
        (Step("/bin/cat /R/etc/hostname", "Audit"), Step("read /etc/hostname")),
        severity=7,
    ),
    "hsp-block-file-dir": Scenario(
        "file: {matchDirectories: [{dir: /R/etc/, recursive: true}]}\naction: Block",
        (Step("/bin/cat /R/etc/shadow", "Block"), Step("/bin/cat /R/secret.txt")),
    ),
    "hsp-kubearmor-dev-file-path-block": Scenario(
        "file: {matchPaths: [{path: /R/etc/shadow}]}\naction: Block",
        (Step("read /etc/shadow", "Block"), Step("read /etc/hostname")),
    ),
    "hsp-block-file-pattern": Scenario(
        "file: {severity: 4, message: file event, matchPatterns: [{pattern: '/R/tmp/*'}]}\naction: Block",
        (Step("write /tmp/new", "Block"), Step("read /secret.txt")),
        severity=4,
        message="file event",
    ),
    "hsp-audit-network-protocol": Scenario(
        "network: {severity: 7, message: UDP is being monitored, matchProtocols: [{protocol: udp}]}\naction: Audit",
        (Step("socket udp", "Audit"), Step("socket tcp")),
        severity=7,
        message="UDP is being monitored",
    ),
    "hsp-audit-syscall": Scenario(
        "syscalls:\n  severity: 7\n  message: Unlink used\n"
        "  matchPaths: [{syscall: [unlink], path: /R/home/, recursive: true}]\naction: Audit",
        (Step("/bin/unlink /R/home/user1/dir1/key1.txt", "Audit"), Step("/bin/unlink /R/etc/hostname")),
        severity=7,
        message="Unlink used",
    ),
}

SOCKETS = {
    "tcp": (socket.AF_INET, socket.SOCK_STREAM, 0),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM, 0),
    "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM, 0),
}


def act_of(step: Step, root: Path) -> Callable[[], object]:
    """What the process in the workload does."""
    verb, _, rest = step.does.replace("/R/", f"{root}/").partition(" ")
    path = f"{root}{rest}"

    def act() -> None:
        os.setsid()
        if step.on_terminal:
            master, terminal = os.openpty()
            os.set_inheritable(master, True)  # with its end the terminal would go
            os.open(os.ttyname(terminal), os.O_RDWR)
        reader, output = os.pipe()  # a file would be written to, and that is for rules to decide
        os.set_inheritable(reader, True)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if step.as_user:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        match verb:
            case "read":
                os.close(os.open(path, os.O_RDONLY))
            case "write":
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666))
            case "unlink":
                Path(path).unlink()
            case "socket":
                socket.socket(*SOCKETS[rest]).close()
            case program:
                os.execv(f"{root}{program}", [program, *rest.split()])

    return act


@pytest.mark.parametrize("lsm", ["container"], indirect=True, scope="module")
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(lsm: Guard, root: Path, name: str) -> None:
    """Each action gets the errno it should, one alert with the right fields, and no other."""
    play(lsm, root, name, SCENARIOS[name])


@pytest.mark.parametrize("lsm", ["host"], indirect=True, scope="module")
@pytest.mark.parametrize("name", HOST_SCENARIOS)
def test_scenario_of_the_host(lsm: Guard, root: Path, name: str) -> None:
    """The same, by policies of the host and on it."""
    play(lsm, root, name, HOST_SCENARIOS[name])


def play(lsm: Guard, root: Path, name: str, scenario: Scenario) -> None:
    kind, selector = (
        ("KubeArmorHostPolicy", "nodeSelector") if lsm.place == "host" else ("KubeArmorPolicy", "selector")
    )
    spec = scenario.spec.replace("/R/", f"{root}/").replace("PYTHON", str(Path("/proc/self/exe").readlink()))
    outer = 9 if "severity:" in spec else scenario.severity  # what a section says wins
    body = "\n".join(f"  {line}" for line in spec.splitlines())
    lsm.rule(
        f"apiVersion: security.kubearmor.com/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
        f"spec:\n  {selector}: {{}}\n  severity: {outer}\n{body}\n",
        Action.BLOCK,
    )
    for step in scenario.steps:
        done = lsm.act(act_of(step, root))
        told = [
            (event.verdict.policy, event.verdict.action, event.error)
            for event in done.alerts
            if event.verdict
        ]
        where = f"{step.does}: {[(event.resource, event.data) for event in done.alerts]}"
        if not step.told:
            assert (told, done.error, done.code) == ([], 0, 0), where
            continue
        is_denied = step.told == "Block"
        assert told == [(step.by or name, step.told, errno.EACCES if is_denied else 0)], where
        # a program that was denied something says so by its exit code
        assert (done.error in REFUSALS or done.code != 0) == is_denied, where
        verdict = done.alerts[0].verdict
        if verdict and not step.by:
            assert (verdict.severity, verdict.message) == (scenario.severity, scenario.message)
        if step.resource:
            assert done.alerts[0].resource == step.resource.replace("/R/", f"{root}/")
