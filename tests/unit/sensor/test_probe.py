"""What is made of the files and answers of machines that we do not have, and of the one that we run on."""

import errno
import re
from pathlib import Path

import msgspec
import pytest

from hauberk.errors import KernelError
from hauberk.sensor.attempt import Answers, find_libbpf_version
from hauberk.sensor.btf import BTF
from hauberk.sensor.probe import (
    ROOT,
    CgroupPlacement,
    Finding,
    Host,
    Report,
    cgroup_placement,
    find_all,
    kernel_functions,
    kernel_tracepoints,
    probe,
)

ALL_TAKEN = Answers(ring_buffer=0, task_storage=0, bpf_loop=0, tp_btf=0, fentry=0, lsm=0)
GOOD_FILES = {
    "proc/self/status": "Name:\thauberk\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n",
    "proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
    "proc/cmdline": "quiet\n",
    "sys/kernel/btf/vmlinux": "types",
    "sys/kernel/security/lsm": "lockdown,capability,yama,bpf",
    "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
}
NAMESPACES = {"pid": 4026531836, "cgroup": 4026531835, "user": 4026531837}

UNIFIED = "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
TMPFS = "25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755"
BESIDE = "26 25 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
SYSTEMD = "27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd"
PIDS = "28 25 0:25 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids"
CPU = r"29 25 0:26 / /sys/fs/cgroup/cpu\040time rw - cgroup cgroup rw,cpu,cpuacct"
FREEZER = "30 1 0:27 / /mnt/freezer rw - cgroup cgroup rw,freezer"
PART = "31 25 0:25 /docker/0123 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids"
CGROUPS = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + "".join(
    f"{name}\t{number}\t1\t1\n" for name, number in (("cpuset", 3), ("cpu", 1), ("freezer", 6), ("pids", 8))
)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def good_host(tmp_path: Path) -> Host:
    """A machine where nothing is missing."""
    write(tmp_path, GOOD_FILES)
    (tmp_path / "proc/self/ns").mkdir()
    for kind, number in NAMESPACES.items():
        (tmp_path / f"proc/self/ns/{kind}").symlink_to(f"{kind}:[{number}]")
    return Host(
        root=tmp_path,
        machine="x86_64",
        release="6.12.1-amd64",
        libbpf="1.5",
        known=frozenset({"do_fast_syscall_32", "io_uring_submit_req", "io_uring_complete"}),
        answers=ALL_TAKEN,
        cgroups=CgroupPlacement("v2", mount="/sys/fs/cgroup"),
    )


def find(host: Host, name: str) -> Finding:
    return next(finding for finding in find_all(host) if finding.name == name)


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ([UNIFIED], CgroupPlacement("v2", mount="/sys/fs/cgroup")),
        ([UNIFIED, FREEZER], CgroupPlacement("v2", mount="/sys/fs/cgroup")),
        ([TMPFS, BESIDE, CPU, PIDS], CgroupPlacement("hybrid", 104, 8, "/sys/fs/cgroup/pids", "pids")),
        ([TMPFS, SYSTEMD, CPU, PIDS], CgroupPlacement("v1", 104, 8, "/sys/fs/cgroup/pids", "pids")),
        ([TMPFS, CPU], CgroupPlacement("v1", 103, 1, "/sys/fs/cgroup/cpu time", "cpu")),
        ([TMPFS, CPU, FREEZER], CgroupPlacement("v1", 107, 6, "/mnt/freezer", "freezer")),
        ([TMPFS, SYSTEMD, BESIDE], CgroupPlacement("v2", mount="/sys/fs/cgroup/unified")),
        ([TMPFS, PART], CgroupPlacement("none")),
        ([], CgroupPlacement("none")),
    ],
    ids=["v2", "v2-and-one-v1", "hybrid", "v1", "v1-few", "v1-order", "unified-only", "part", "nothing"],
)
def test_cgroup_placement(mounts: list[str], expected: CgroupPlacement, tmp_path: Path) -> None:
    """The hierarchy is the one that container runtimes use."""
    write(tmp_path, {"proc/self/mountinfo": "\n".join(mounts), "proc/cgroups": CGROUPS})

    assert cgroup_placement(tmp_path, lambda name: 100 + len(name)) == expected


def test_good_host_lacks_nothing(good_host: Host) -> None:
    """Where all is there, no finding says anything else."""
    findings = find_all(good_host)

    assert [finding for finding in findings if finding.state != "ok" or finding.cost] == []
    assert len({finding.name for finding in findings}) == len(findings)


@pytest.mark.parametrize(
    ("change", "name", "state", "found"),
    [
        ({"machine": "aarch64"}, "architecture", "missing", "aarch64"),
        ({"release": "5.15.0-91-generic"}, "kernel", "degraded", "5.15.0"),
        ({"release": "5.17.0"}, "kernel", "ok", "5.17.0"),
        ({"libbpf": None}, "libbpf", "missing", "not installed"),
        ({"libbpf": None, "answers": None}, "bpf_loop", "unknown", "not tried"),
        ({"libbpf": None, "cgroups": CgroupPlacement("none")}, "cgroups", "unknown", "not asked"),
        ({"cgroups": CgroupPlacement("none")}, "cgroups", "missing", "no hierarchy"),
        ({"cgroups": CgroupPlacement("v1", 5, 8, "/x", "pids")}, "cgroups", "ok", "v1: .*pids, number 8"),
        ({"known": frozenset[str]()}, "io_uring", "ok", "has none"),
        ({"known": frozenset({"io_uring_submit_sqe", "io_uring_complete"})}, "io_uring", "ok", "submit_sqe"),
        ({"known": frozenset[str]()}, "32-bit programs", "ok", "cannot run"),
    ],
)
def test_answers(good_host: Host, change: dict[str, object], name: str, state: str, found: str) -> None:
    """What one different answer of the machine makes of its finding."""
    finding = find(msgspec.structs.replace(good_host, **change), name)

    assert finding.state == state
    assert re.search(found, finding.found)
    assert state in ("ok", "unknown") or (finding.cost and finding.remedy)


@pytest.mark.parametrize(
    ("field", "name", "state"),
    [
        ("ring_buffer", "ring buffer", "missing"),
        ("task_storage", "task storage", "missing"),
        ("bpf_loop", "bpf_loop", "missing"),
        ("tp_btf", "tracepoints with BTF", "missing"),
        ("fentry", "fentry", "degraded"),
        ("lsm", "BPF-LSM", "degraded"),
    ],
)
@pytest.mark.parametrize("answer", [errno.EPERM, errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP])
def test_refusals(good_host: Host, field: str, name: str, state: str, answer: int) -> None:
    """What the kernel does not take is told with its cost and what to do."""
    answers = msgspec.structs.replace(ALL_TAKEN, **{field: answer})
    finding = find(msgspec.structs.replace(good_host, answers=answers), name)

    assert finding.state == state
    assert finding.cost.endswith(".")
    assert finding.remedy.endswith(".")
    assert ("seccomp" in finding.remedy) == (answer == errno.EPERM)


@pytest.mark.parametrize(
    ("lsm", "fentry", "tracepoint", "hidden", "state", "found"),
    [
        (0, 0, False, False, "ok", "enforced: .*capabilities"),
        (errno.EPERM, 0, False, True, "ok", "only observed: .*, capabilities$"),
        (errno.EPERM, errno.EPERM, True, False, "ok", "only observed: .*, capabilities$"),
        (errno.EPERM, errno.EPERM, True, True, "degraded", "hides its symbols"),
        (errno.EPERM, errno.EPERM, False, False, "degraded", "; not capabilities$"),
    ],
)
def test_what_becomes_of_policies(
    good_host: Host, lsm: int, fentry: int, tracepoint: bool, hidden: bool, state: str, found: str
) -> None:
    """By type of rule, whether it is enforced, observed, or neither."""
    write(good_host.root, {"proc/sys/kernel/kptr_restrict": "2\n" if hidden else "1\n"})
    host = msgspec.structs.replace(
        good_host,
        answers=msgspec.structs.replace(ALL_TAKEN, lsm=lsm, fentry=fentry),
        known=good_host.known | ({"cap_capable"} if tracepoint else set()),
    )

    finding = find(host, "policies")

    assert finding.state == state
    assert re.search(found, finding.found)
    assert (state == "degraded") == bool(finding.cost and finding.remedy)


@pytest.mark.parametrize(
    ("file", "text", "name", "state", "told"),
    [
        ("proc/self/status", "Uid:\t1000\nCapEff:\t0\n", "privileges", "missing", "CAP_BPF and CAP_PERFMON"),
        (
            "proc/self/status",
            "Uid:\t0\nCapEff:\t0000004000000000\n",
            "privileges",
            "missing",
            "without CAP_BPF",
        ),
        ("proc/self/status", "Uid:\t0\nCapEff:\t000000c000080004\n", "privileges", "ok", "uid 0"),
        ("proc/self/status", "Uid:\t0\nCapEff:\t0000000000280004\n", "privileges", "ok", "uid 0"),
        (
            "proc/self/status",
            "Uid:\t0\nCapEff:\t000000c000000004\n",
            "privileges",
            "degraded",
            "CAP_SYS_PTRACE",
        ),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality", "lockdown", "ok", "integrity"),
        ("sys/kernel/security/lockdown", "none integrity [confidentiality]", "lockdown", "missing", "conf"),
        ("sys/kernel/security/lockdown", "", "lockdown", "ok", "none"),
        ("sys/kernel/security/lsm", "", "security modules", "unknown", "securityfs"),
        ("sys/kernel/security/lsm", "", "BPF-LSM", "unknown", "not shown"),
        ("sys/kernel/security/lsm", "capability,apparmor", "BPF-LSM", "degraded", "not active"),
        ("sys/kernel/security/lsm", "capability,apparmor", "AppArmor", "ok", "active"),
        ("sys/kernel/security/lsm", "capability,selinux", "AppArmor", "degraded", "SELinux"),
        ("sys/kernel/security/lsm", "capability,yama", "AppArmor", "degraded", "not active"),
        ("proc/sys/kernel/unprivileged_bpf_disabled", "0\n", "unprivileged BPF", "ok", "every user"),
        ("proc/sys/kernel/io_uring_disabled", "2\n", "io_uring", "ok", "switched off"),
        ("proc/cmdline", "quiet ia32_emulation=0\n", "32-bit programs", "ok", "switched off"),
        (
            "proc/self/mountinfo",
            UNIFIED.replace("cgroup2", "tracefs"),
            "file systems",
            "ok",
            "tracefs mounted",
        ),
    ],
)
def test_files(good_host: Host, *, file: str, text: str, name: str, state: str, told: str) -> None:
    """What one different file of the machine makes of its finding."""
    write(good_host.root, {file: text})
    finding = find(good_host, name)

    assert finding.state == state
    assert told in finding.found


def test_securityfs_is_not_mounted(good_host: Host) -> None:
    """What only securityfs shows is unknown then, and the advice is how to mount it."""
    for name in ("lsm", "lockdown"):
        (good_host.root / "sys/kernel/security" / name).unlink()
    unknown = [finding for finding in find_all(good_host) if finding.state == "unknown"]

    assert [finding.name for finding in unknown] == ["lockdown", "BPF-LSM", "AppArmor", "security modules"]
    assert all("mount -t securityfs" in finding.remedy for finding in unknown)


def test_boot_parameter_for_bpf_lsm(good_host: Host) -> None:
    """The advice can be copied: it keeps the modules that are active."""
    write(good_host.root, {"sys/kernel/security/lsm": "lockdown,capability,apparmor"})

    assert "lsm=lockdown,capability,apparmor,bpf." in find(good_host, "BPF-LSM").remedy


@pytest.mark.parametrize(
    ("kind", "name", "state"),
    [
        ("user", "privileges", "missing"),
        ("pid", "namespaces", "degraded"),
        ("cgroup", "namespaces", "degraded"),
    ],
)
def test_container_namespaces(good_host: Host, kind: str, name: str, state: str) -> None:
    """In a container's own namespace less can be seen, or nothing be loaded."""
    link = good_host.root / f"proc/self/ns/{kind}"
    link.unlink()
    link.symlink_to(f"{kind}:[4026532000]")

    assert find(good_host, name).state == state


def test_btf_is_missing(good_host: Host) -> None:
    """A kernel without type information cannot run our programs."""
    (good_host.root / BTF).unlink()
    findings = find_all(good_host)

    assert [finding.name for finding in Report(good_host.cgroups, findings).missing] == ["BTF"]
    with pytest.raises(KernelError, match="CONFIG_DEBUG_INFO_BTF"):
        kernel_functions(["vfs_read"], good_host.root)


has_types = pytest.mark.skipif(
    find_libbpf_version() is None or not (ROOT / BTF).exists(), reason="needs libbpf and the kernel's BTF"
)


@has_types
def test_names_of_this_kernel() -> None:
    """What is there is found, what is not is left out, and one is not taken for the other."""
    assert kernel_functions(["vfs_read", "sys_enter", "no_such_function"]) == {"vfs_read"}
    assert kernel_tracepoints(["sys_enter", "vfs_read", "no_such_tracepoint"]) == {"sys_enter"}


@has_types
def test_this_host() -> None:
    """The real thing answers, and leaves nothing open behind."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    report = probe()

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert {finding.state for finding in report.findings if finding.name in ("libbpf", "BTF")} == {"ok"}
    assert all(finding.remedy for finding in report.missing)
    if report.cgroups.mount:
        assert Path(report.cgroups.mount).is_dir()
