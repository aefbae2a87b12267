"""What this kernel and host can do, what each missing piece costs, and what to do about it.

`ask_host` tries and asks; `find_all` makes findings of the answers and of files below a root directory.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from hauberk.abi import RuleClass
from hauberk.errors import KernelError
from hauberk.sensor.attempt import Answers, attempt, find_libbpf_version
from hauberk.sensor.btf import BTF, Btf

ROOT: Final = Path("/")

MINIMUM: Final = (5, 17)
"""The first kernel with all that our programs use: the helper bpf_loop came last."""

_CONTROLLERS: Final = ("pids", "memory", "devices", "freezer", "cpu")
"""Container runtimes put a container into all v1 hierarchies; we look at the first of these."""

# The inode numbers of the first namespaces: include/linux/proc_ns.h
_FIRST_NAMESPACES: Final = {"cgroup": 0xEFFFFFFB, "pid": 0xEFFFFFFC, "user": 0xEFFFFFFD}

_CAP_DAC_READ_SEARCH: Final = 2
_CAP_SYS_PTRACE: Final = 19
_CAP_SYS_ADMIN: Final = 21
_CAP_PERFMON: Final = 38
_CAP_BPF: Final = 39

_FUNCTIONS: Final = ("do_fast_syscall_32",)
_TRACEPOINTS: Final = ("io_uring_submit_req", "io_uring_submit_sqe", "io_uring_complete", "cap_capable")

State = Literal["ok", "degraded", "missing", "unknown"]
"""`missing`: Hauberk does not run without. `degraded`: it runs, with the loss that is named. `unknown`: it
could not be asked."""


class Finding(msgspec.Struct, frozen=True):
    """One piece, and what it means for the user."""

    name: str
    state: State
    found: str
    cost: str = ""
    """A sentence: what is lost. Empty if nothing is."""

    remedy: str = ""
    """A sentence: what to do."""


class CgroupPlacement(msgspec.Struct, frozen=True):
    """The cgroup hierarchy that containers are looked for in."""

    version: str
    """`v2`, `hybrid`, `v1`, or `none` if no hierarchy of use is mounted."""

    controller: int = -1
    """The kernel's number of the v1 controller whose hierarchy it is; -1: the unified hierarchy."""

    hierarchy: int = 0
    mount: str = ""
    """Directory where it is mounted."""

    name: str = ""
    """The v1 controller's name."""


BPF_LSM: Final = "BPF-LSM"
POLICIES: Final = "policies"


class Report(msgspec.Struct, frozen=True):
    """All that was found."""

    cgroups: CgroupPlacement
    findings: tuple[Finding, ...]

    @property
    def missing(self) -> list[Finding]:
        """What Hauberk cannot do without, and is not there."""
        return [finding for finding in self.findings if finding.state == "missing"]

    @property
    def denies(self) -> bool:
        """Whether the kernel denies what our LSM programs say."""
        return any(finding.name == BPF_LSM and finding.state == "ok" for finding in self.findings)

    @property
    def unseen(self) -> frozenset[int]:
        """The rule classes of what is neither decided nor observed here, as far as that could be asked."""
        is_short = any(finding.name == POLICIES and finding.state == "degraded" for finding in self.findings)
        return frozenset({RuleClass.CAPABILITIES} if is_short else ())


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine answers; all else is read from its files."""

    root: Path = ROOT
    machine: str
    release: str
    libbpf: str | None
    """Its version, if it is there."""

    known: frozenset[str]
    """Those functions and tracepoints of interest that the kernel has."""

    answers: Answers | None
    """None: we could not try."""

    cgroups: CgroupPlacement

    @property
    def asked(self) -> bool:
        """Whether the kernel's types could be read; without them there is not much to ask."""
        return self.libbpf is not None and (self.root / BTF).exists()


class _Mount(msgspec.Struct, frozen=True):
    directory: str
    kind: str
    options: frozenset[str]


def probe() -> Report:
    """Ask this kernel and host. Changes nothing."""
    host = ask_host()
    return Report(host.cgroups, find_all(host))


def kernel_functions(names: Iterable[str], root: Path = ROOT) -> set[str]:
    """Those of the names that are functions of this kernel, which fentry programs may attach to."""
    with Btf(root / BTF) as btf:
        return {name for name in names if btf.find_function(name)}


def kernel_tracepoints(names: Iterable[str], root: Path = ROOT) -> set[str]:
    """Those of the names that are tracepoints of this kernel."""
    with Btf(root / BTF) as btf:
        return {name for name in names if btf.find_tracepoint(name)}


def ask_host() -> Host:
    """Ask and try all that cannot be read from a file."""
    uname = os.uname()
    known: set[str] = set()
    answers = None
    cgroups = CgroupPlacement("none")
    libbpf = find_libbpf_version()
    if libbpf and (ROOT / BTF).exists():
        cgroups = cgroup_placement()
        known = kernel_functions(_FUNCTIONS) | kernel_tracepoints(_TRACEPOINTS)
        if _privileges(ROOT).state != "missing":
            with Btf(ROOT / BTF) as btf:
                answers = attempt(btf)
    return Host(
        machine=uname.machine,
        release=uname.release,
        libbpf=libbpf,
        known=frozenset(known),
        answers=answers,
        cgroups=cgroups,
    )


# ---- where containers are ------------------------------------------------------------------------


def _controller_number(name: str) -> int:
    with Btf(ROOT / BTF) as btf:
        number = btf.find_enumerator("cgroup_subsys_id", f"{name}_cgrp_id")
    if number is None:
        raise KernelError(f"the kernel's BTF does not know the cgroup controller {name}")
    return number


def cgroup_placement(
    root: Path = ROOT, number_of: Callable[[str], int] = _controller_number
) -> CgroupPlacement:
    """Where container runtimes put containers on this host.

    They ask what is mounted on /sys/fs/cgroup: cgroup2 means the unified hierarchy, anything else v1, even
    with a unified hierarchy mounted beside it (hybrid). So do we.
    """
    mounts = _mounts(root)
    unified = next((mount.directory for mount in mounts if mount.kind == "cgroup2"), "")
    on_top = [mount.kind for mount in mounts if mount.directory == "/sys/fs/cgroup"]
    if on_top[-1:] != ["cgroup2"]:
        for name in _CONTROLLERS:
            at = next(
                (mount.directory for mount in mounts if mount.kind == "cgroup" and name in mount.options), ""
            )
            if at:
                version = "hybrid" if unified else "v1"
                return CgroupPlacement(version, number_of(name), _hierarchy(name, root), at, name)
    return CgroupPlacement("v2", mount=unified) if unified else CgroupPlacement("none")


def _hierarchy(name: str, root: Path) -> int:
    lines = _read(root / "proc/cgroups").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}\t"))


def _mounts(root: Path) -> list[_Mount]:
    """Mounts that show all of a file system, not a part of it; what covers another comes after it."""
    found = []
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        shown, directory = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        if shown == "/":
            found.append(_Mount(_unescape(directory), kind, frozenset(options.split(","))))
    return found


def _unescape(text: str) -> str:
    """The kernel writes blanks and such in a path as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), text)


# ---- findings ------------------------------------------------------------------------------------


def find_all(host: Host) -> tuple[Finding, ...]:
    """What Hauberk needs, then what it can use, then what is good to know."""
    root = host.root
    security_modules = _security_modules(root)
    bpf_lsm = _bpf_lsm(host.answers, security_modules)
    return (
        _architecture(host.machine),
        _kernel(host.release),
        _privileges(root),
        _libbpf(host.libbpf),
        _btf(root),
        *_needed_of_kernel(host),
        _lockdown(root),
        _cgroups(host),
        _namespaces(root),
        _fentry(host.answers),
        _io_uring(host),
        bpf_lsm,
        _policies(host, bpf_lsm),
        _apparmor(security_modules, bpf_lsm),
        _list_security_modules(security_modules),
        _unprivileged_bpf(root),
        _compat(host),
        _kprobes(root),
        _file_systems(root),
    )


def _architecture(machine: str) -> Finding:
    if machine == "x86_64":
        return Finding("architecture", "ok", machine)
    return Finding(
        "architecture",
        "missing",
        machine,
        "The kernel programs know the system calls and registers of x86-64 only.",
        "Use an x86-64 machine.",
    )


def _kernel(release: str) -> Finding:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) >= MINIMUM:
        return Finding("kernel", "ok", release)
    return Finding(
        "kernel",
        "degraded",
        release,
        f"Older than {MINIMUM[0]}.{MINIMUM[1]}: works only where the distribution has carried bpf_loop back.",
        "See what is said of bpf_loop below, and prefer a newer kernel.",
    )


def _privileges(root: Path) -> Finding:
    name = "privileges"
    status = dict(line.split(":", 1) for line in _read(root / "proc/self/status").splitlines() if ":" in line)
    held = int(status.get("CapEff", "0").strip(), 16)
    user = f"uid {status.get('Uid', '?').split()[0]}"

    def lacks(*numbered: tuple[str, int]) -> list[str]:
        return [capability for capability, number in numbered if not held >> number & 1]

    if not _in_first(root, "user"):
        return Finding(
            name,
            "missing",
            f"{user}, in a user namespace of its own",
            "Capabilities of a user namespace do not count for kernel programs.",
            "Run outside of rootless containers, as the host's root.",
        )
    absent = (
        lacks(("CAP_BPF", _CAP_BPF), ("CAP_PERFMON", _CAP_PERFMON)) if lacks(("", _CAP_SYS_ADMIN)) else []
    )
    if absent:
        return Finding(
            name,
            "missing",
            f"{user}, without {' and '.join(absent)}",
            "Kernel programs cannot be loaded.",
            "Run as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.",
        )
    absent = lacks(("CAP_SYS_PTRACE", _CAP_SYS_PTRACE), ("CAP_DAC_READ_SEARCH", _CAP_DAC_READ_SEARCH))
    if absent:
        return Finding(
            name,
            "degraded",
            f"{user}, without {' and '.join(absent)}",
            "Executables of other users' processes that started before the agent stay unknown.",
            f"Add {' and '.join(absent)}.",
        )
    return Finding(name, "ok", f"{user}, with all capabilities that are needed")


def _libbpf(version: str | None) -> Finding:
    if version:
        return Finding("libbpf", "ok", version)
    return Finding(
        "libbpf",
        "missing",
        "libbpf.so.1 is not installed",
        "Kernel programs cannot be loaded.",
        "Install it: `apt-get install libbpf1` (Debian, Ubuntu), `dnf install libbpf` (Fedora, Red Hat).",
    )


def _btf(root: Path) -> Finding:
    path = root / BTF
    try:
        size = path.stat().st_size
    except OSError:
        return Finding(
            "BTF",
            "missing",
            f"no /{BTF}",
            "Kernel programs cannot be fitted to this kernel's structures.",
            "Use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are.",
        )
    return Finding("BTF", "ok", f"/{BTF}, {size / 1e6:.1f} MB")


def _needed_of_kernel(host: Host) -> Iterable[Finding]:
    answers = host.answers
    for name, answer, cost in (
        ("ring buffer", answers and answers.ring_buffer, "Records cannot reach the agent."),
        (
            "task storage",
            answers and answers.task_storage,
            "Begin and end of a call cannot be brought together.",
        ),
        ("bpf_loop", answers and answers.bpf_loop, "Paths and argument lists cannot be read."),
        ("tracepoints with BTF", answers and answers.tp_btf, "System calls cannot be seen."),
    ):
        if answer is None:
            yield _not_tried(name, cost)
        elif answer:
            yield Finding(name, "missing", _refused(answer), cost, _remedy_for(answer))
        else:
            yield Finding(name, "ok", "the kernel takes it")


def _lockdown(root: Path) -> Finding:
    mode = re.search(r"\[(\w+)\]", _read(root / "sys/kernel/security/lockdown"))
    if mode and mode[1] == "confidentiality":
        return Finding(
            "lockdown",
            "missing",
            mode[1],
            "Kernel programs may not read the kernel's memory.",
            "Boot with lockdown=integrity.",
        )
    if not mode and not _security_modules(root):
        return Finding("lockdown", "unknown", "not shown: securityfs is not mounted", "", _SECURITYFS)
    return Finding("lockdown", "ok", mode[1] if mode else "none")


def _cgroups(host: Host) -> Finding:
    placement = host.cgroups
    where = f"containers are looked for in {placement.mount}"
    if placement.version == "v2":
        return Finding("cgroups", "ok", f"v2: {where}")
    if placement.name:
        hierarchy = f"the v1 hierarchy of {placement.name}, number {placement.hierarchy}"
        return Finding("cgroups", "ok", f"{placement.version}: {where}, {hierarchy}")
    if not host.asked:
        return Finding("cgroups", "unknown", "not asked: libbpf or BTF is missing")
    return Finding(
        "cgroups",
        "missing",
        "no hierarchy that containers could be in is mounted",
        "Containers cannot be told from the host.",
        "Mount it: `mount -t cgroup2 cgroup2 /sys/fs/cgroup`; in a container, take the host's namespace.",
    )


def _namespaces(root: Path) -> Finding:
    own = [name for name in ("pid", "cgroup") if not _in_first(root, name)]
    if not own:
        return Finding("namespaces", "ok", "the host's")
    return Finding(
        "namespaces",
        "degraded",
        f"{' and '.join(own)} namespace of a container",
        "Processes and containers that were there before the agent are not known.",
        "Use the host's: `--pid=host --cgroupns=host`; in Kubernetes `hostPID: true` and `privileged: true`.",
    )


def _fentry(answers: Answers | None) -> Finding:
    cost = "Paths of unlink, rename, mkdir and such are what the caller wrote, not what the kernel found."
    if answers is None:
        return _not_tried("fentry", cost)
    if not answers.fentry:
        return Finding("fentry", "ok", "the kernel takes it")
    remedy = (
        "Use a kernel that can trace its functions (CONFIG_SECURITY_PATH=y and CONFIG_FUNCTION_TRACER=y)."
    )
    return Finding("fentry", "degraded", _refused(answers.fentry), cost, _remedy_for(answers.fentry, remedy))


def _io_uring(host: Host) -> Finding:
    submit = sorted(host.known & {"io_uring_submit_req", "io_uring_submit_sqe"})
    if submit and "io_uring_complete" in host.known:
        off = _read(host.root / "proc/sys/kernel/io_uring_disabled").strip() == "2"
        return Finding("io_uring", "ok", f"{submit[0]}{', switched off by sysctl' if off else ''}")
    if not host.asked:
        return Finding("io_uring", "unknown", "not asked: libbpf or BTF is missing")
    return Finding("io_uring", "ok", "the kernel has none")


def _bpf_lsm(answers: Answers | None, modules: list[str] | None) -> Finding:
    name = BPF_LSM
    cost = "Hauberk can observe, but the kernel will deny nothing on its word."
    if answers is None:
        return _not_tried(name, cost)
    if answers.lsm:
        remedy = "Use a kernel built with CONFIG_BPF_LSM=y."
        return Finding(name, "degraded", _refused(answers.lsm), cost, _remedy_for(answers.lsm, remedy))
    if modules is None:
        return Finding(
            name, "unknown", "the kernel takes it; whether it is active is not shown", cost, _SECURITYFS
        )
    if "bpf" not in modules:
        remedy = f"Boot with lsm={','.join([*modules, 'bpf'])}."
        return Finding(name, "degraded", "the kernel takes it, but it is not active", cost, remedy)
    return Finding(name, "ok", "the kernel takes it, and it is active")


def _policies(host: Host, bpf_lsm: Finding) -> Finding:
    """By type of rule, what becomes of it here."""
    name = POLICIES
    if bpf_lsm.state == "ok":
        found = "enforced: processes, files, sockets, capabilities, presets; audited: system calls"
        return Finding(name, "ok", found)
    cost = "Rules for capabilities do nothing."
    if host.answers is None:
        return _not_tried(name, cost)
    observed = "only observed: processes, files, sockets, presets, system calls"
    by_tracepoint = "cap_capable" in host.known
    if host.answers.fentry and not by_tracepoint:
        remedy = "Use a kernel from 6.14 on, one that can trace its functions, or one with BPF-LSM."
        return Finding(name, "degraded", f"{observed}; not capabilities", cost, remedy)
    if host.answers.fentry and _read(host.root / "proc/sys/kernel/kptr_restrict").strip() == "2":
        found = f"{observed}; not capabilities, as the kernel hides its symbols"
        return Finding(name, "degraded", found, cost, "Show them to root: `sysctl kernel.kptr_restrict=1`.")
    return Finding(name, "ok", f"{observed}, capabilities")


def _apparmor(modules: list[str] | None, bpf_lsm: Finding) -> Finding:
    if modules is None:
        return Finding("AppArmor", "unknown", "whether it is active is not shown", "", _SECURITYFS)
    if "apparmor" in modules:
        return Finding("AppArmor", "ok", "active")
    if bpf_lsm.state == "ok":
        return Finding("AppArmor", "ok", "not active; not needed where BPF-LSM is")
    cost = "The kernel cannot be made to deny by a profile either."
    if "selinux" in modules:  # the kernel runs only one of the two
        return Finding("AppArmor", "degraded", "not active: SELinux is", cost, "See what is said of BPF-LSM.")
    remedy = f"Where the kernel has it, boot with lsm={','.join([*modules, 'apparmor'])}."
    return Finding("AppArmor", "degraded", "not active", cost, remedy)


_SECURITYFS: Final = "Mount securityfs: `mount -t securityfs securityfs /sys/kernel/security`."


def _security_modules(root: Path) -> list[str] | None:
    text = _read(root / "sys/kernel/security/lsm").strip()
    return text.split(",") if text else None


def _list_security_modules(modules: list[str] | None) -> Finding:
    if modules is None:
        return Finding("security modules", "unknown", "not shown: securityfs is not mounted", "", _SECURITYFS)
    return Finding("security modules", "ok", ", ".join(modules))


def _unprivileged_bpf(root: Path) -> Finding:
    value = _read(root / "proc/sys/kernel/unprivileged_bpf_disabled").strip()
    if value == "0":
        remedy = "Not Hauberk's concern, but safer: `sysctl kernel.unprivileged_bpf_disabled=2`."
        return Finding("unprivileged BPF", "ok", "allowed to every user", "", remedy)
    return Finding("unprivileged BPF", "ok", "forbidden" if value else "not told by this kernel")


def _compat(host: Host) -> Finding:
    name = "32-bit programs"
    if not host.asked:
        return Finding(name, "unknown", "not asked: libbpf or BTF is missing")
    if "do_fast_syscall_32" not in host.known:
        return Finding(name, "ok", "cannot run here")
    off = re.search(r"\bia32_emulation=(0|off|false|n)\b", _read(host.root / "proc/cmdline"))
    return Finding(name, "ok", "switched off at boot" if off else "can run; their calls are seen too")


def _kprobes(root: Path) -> Finding:
    there = (root / "sys/bus/event_source/devices/kprobe").exists()
    return Finding("kprobes", "ok", f"{'there' if there else 'not there'}; Hauberk uses none")


def _file_systems(root: Path) -> Finding:
    kinds = {mount.kind for mount in _mounts(root)}
    found = ", ".join(
        f"{kind} {'mounted' if kind in kinds else 'not mounted'}" for kind in ("bpf", "tracefs")
    )
    return Finding("file systems", "ok", f"{found}; Hauberk uses neither")


# ---- words and reading ---------------------------------------------------------------------------


def _not_tried(name: str, cost: str) -> Finding:
    return Finding(name, "unknown", "not tried: privileges, libbpf or BTF are missing", cost)


def _refused(answer: int) -> str:
    if answer == errno.ENOENT:
        return "the kernel's BTF does not know its hook"
    if answer == errno.EOPNOTSUPP:
        return "the kernel does not know it"
    return f"the kernel refuses it: {os.strerror(answer)}"


def _remedy_for(answer: int, else_do: str = f"Use a kernel from {MINIMUM[0]}.{MINIMUM[1]} on.") -> str:
    if answer == errno.EPERM:
        return (
            "The capabilities are there, so something else forbids it: a container's seccomp filter, or "
            "whoever built this kernel. Run outside of that container, or on a distribution's kernel."
        )
    return else_do


def _in_first(root: Path, kind: str) -> bool:
    """Whether we are in the namespace that the machine started with."""
    try:
        return str((root / f"proc/self/ns/{kind}").readlink()) == f"{kind}:[{_FIRST_NAMESPACES[kind]}]"
    except OSError:
        return True  # a kernel without this kind of namespace has only the first


def _read(path: Path) -> str:
    """The text of a file; empty where there is none, or none for us."""
    try:
        return path.read_text()
    except OSError:
        return ""
