"""A real container, started by runc: with the machine's own files, at their paths, and namespaces of its own."""

import ctypes
import errno
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

LIBC = ctypes.CDLL(None, use_errno=True)
NAMESPACES = ("ipc", "pid", "mnt")
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2


def _config(identity: str, root: Path) -> dict[str, object]:
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sleep", "3600"],
            "env": [f"PATH={os.defpath}"],
            "cwd": "/",
        },
        "root": {"path": str(root)},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind", "rprivate"]},
        ],
        "linux": {
            "cgroupsPath": f"/{identity}",
            "namespaces": [{"type": name} for name in ("pid", "mount", "ipc")],
        },
    }


class Container:
    """It lasts until it is closed."""

    def __init__(self, identity: str) -> None:
        if not shutil.which("runc"):
            pytest.skip("needs runc")
        self._identity = identity
        self._bundle = Path(tempfile.mkdtemp(prefix="hauberk-"))
        root = self._bundle / "rootfs"
        root.mkdir()
        (self._bundle / "config.json").write_text(json.dumps(_config(identity, root)))
        pid_file = self._bundle / "pid"
        command = (
            "runc",
            "run",
            "--detach",
            "--pid-file",
            str(pid_file),
            "--bundle",
            str(self._bundle),
            identity,
        )
        try:
            self._mount(b"/", root, MS_BIND | MS_REC)
            self._mount(b"none", root, MS_REC | MS_PRIVATE)
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        except BaseException:
            self.close()
            raise
        pid = int(pid_file.read_text())
        self._namespaces = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in NAMESPACES}

    @staticmethod
    def _mount(source: bytes, target: Path, flags: int) -> None:
        if LIBC.mount(source, bytes(target), None, flags, None):
            raise OSError(ctypes.get_errno(), f"cannot mount on {target}")

    def enter(self, cgroup: Path, tell: Callable[[int], object]) -> None:
        """Go on as a process of the container, whose PID on the host is told; this one waits for it and ends as it does."""
        (cgroup / "cgroup.procs").write_text("0")
        for name in NAMESPACES:
            self._join(name)
        inner = os.fork()
        if not inner:
            os.chdir("/")
            return
        self._stand_in(inner, tell)

    def see(self) -> None:
        """This process sees the container's mounts, and is not in it."""
        self._join("mnt")

    def _join(self, name: str) -> None:
        if LIBC.setns(self._namespaces[name], 0):
            raise OSError(ctypes.get_errno(), f"cannot join the {name} namespace")

    @staticmethod
    def _stand_in(inner: int, tell: Callable[[int], object]) -> NoReturn:
        tell(inner)
        os.closerange(3, 1 << 10)  # the ends of pipes are the other's
        code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        os._exit(code if code >= 0 else 128 - code)  # of a signal, as shells say it

    def close(self) -> None:
        """End it, with all that is in it."""
        subprocess.run(["runc", "delete", "--force", self._identity], check=False, stderr=subprocess.DEVNULL)
        root = self._bundle / "rootfs"
        if (
            LIBC.umount2(bytes(root), MNT_DETACH) and ctypes.get_errno() != errno.EINVAL
        ):  # that it is not mounted
            raise OSError(ctypes.get_errno(), f"cannot unmount {root}")
        for name in ("config.json", "pid"):
            (self._bundle / name).unlink(missing_ok=True)
        root.rmdir()  # never what lies in it: it was the machine's root
        self._bundle.rmdir()
