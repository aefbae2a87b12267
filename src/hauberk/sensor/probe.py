"""What this kernel and host can do, what each missing piece costs, and what to do about it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from hauberk.errors import KernelError
from hauberk.sensor.btf import BTF, Btf

ROOT: Final = Path("/")

_CONTROLLERS: Final = ("pids", "memory", "devices", "freezer", "cpu")
"""Every container runtime puts its containers in the v1 hierarchies of all of these; we look in the first."""


State = Literal["ok", "degraded", "missing", "unknown"]
"""`missing`: Hauberk does not run without. `degraded`: it runs, with the loss that is named. `unknown`: we may
not look."""


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


class _Mount(msgspec.Struct, frozen=True):
    directory: str
    kind: str
    options: frozenset[str]


class Finding(msgspec.Struct, frozen=True):
    """One piece, and what it means for the user."""

    name: str
    state: State
    found: str
    cost: str = ""
    """A sentence: what is lost. Empty if nothing is."""

    remedy: str = ""
    """A sentence: what to do."""


class Report(msgspec.Struct, frozen=True):
    """All that was found."""

    cgroups: CgroupPlacement
    findings: tuple[Finding, ...]

    @property
    def missing(self) -> list[Finding]:
        """What Hauberk cannot do without, and is not there."""
        return [finding for finding in self.findings if finding.state == "missing"]


def probe(root: Path = ROOT) -> Report:
    """Ask this kernel and host. Changes nothing."""
    return Report(cgroup_placement(root), ())


def kernel_functions(names: Iterable[str], root: Path = ROOT) -> set[str]:
    """Those of the names that are functions of this kernel, which fentry programs may attach to."""
    with Btf(root / BTF) as btf:
        return {name for name in names if btf.find_function(name)}


def kernel_tracepoints(names: Iterable[str], root: Path = ROOT) -> set[str]:
    """Those of the names that are tracepoints of this kernel."""
    with Btf(root / BTF) as btf:
        return {name for name in names if btf.find_tracepoint(name)}


def cgroup_placement(root: Path = ROOT) -> CgroupPlacement:
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
                return CgroupPlacement(version, _controller(name, root), _hierarchy(name, root), at, name)
    return CgroupPlacement("v2", mount=unified) if unified else CgroupPlacement("none")


def _controller(name: str, root: Path) -> int:
    with Btf(root / BTF) as btf:
        number = btf.find_enumerator("cgroup_subsys_id", f"{name}_cgrp_id")
    if number is None:
        raise KernelError(f"the kernel's BTF does not know the cgroup controller {name}")
    return number


def _hierarchy(name: str, root: Path) -> int:
    lines = (root / "proc/cgroups").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}\t"))


def _mounts(root: Path) -> list[_Mount]:
    """Mounts that show all of a file system, not a part of it; what covers another comes after it."""
    found = []
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        shown, directory = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        if shown == "/":
            found.append(_Mount(_unescape(directory), kind, frozenset(options.split(","))))
    return found


def _unescape(text: str) -> str:
    """The kernel writes blanks and such in a path as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), text)
