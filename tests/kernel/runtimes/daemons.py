"""Real runtimes, each with a directory of its own, started for a test and taken away with all they left."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.kernel.runtimes.images import build_image, build_layer
from tests.kernel.runtimes.kubelet import Kubelet

LIMIT_S = 300
IMAGE = "docker.io/library/shell:1"
PAUSE = "docker.io/library/pause:1"


def wait_until(happened: Callable[[], object], what: str) -> None:
    """Ask again and again, with a generous limit."""
    limit = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < limit, f"waited in vain until {what}"
        time.sleep(0.02)


def run(*command: str, **environment: str) -> str:
    """What a command printed; it must succeed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


class Daemon:
    """A process that listens on a Unix socket below a directory of its own."""

    def __init__(self) -> None:
        tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
        self.directory = Path(tempfile.mkdtemp(prefix="hauberk-", dir=tmpfs))
        self.socket = self.directory / "its.sock"
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it can be spoken to."""
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                env=os.environ | self.environment,
            )
        wait_until(lambda: self.answers() or self._has_failed(), f"{self.command()[0]} answers")

    def _has_failed(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self.directory / "log").read_text()[-3000:]
        return False

    def kill(self) -> None:
        """As an accident would."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it, all that it left running, and its files."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(LIMIT_S / 10)
            except subprocess.TimeoutExpired:
                self.kill()
        for shim in _speak_of(self.directory):
            for host_pid in (shim, *_children_of(shim)):  # its child is the first process of a container
                with suppress(ProcessLookupError):
                    os.kill(host_pid, signal.SIGKILL)
        for mount in reversed(_mounts_below(self.directory)):
            subprocess.run(["umount", "-l", mount], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)


def _speak_of(directory: Path) -> list[int]:
    """Processes with this directory in their arguments: the shims of its containers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if os.fsencode(directory) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _children_of(host_pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int(_parent(entry)) == host_pid:
                found.append(int(entry.name))
    return found


def _parent(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[1]


def _mounts_below(directory: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [where for line in lines if (where := line.split()[4]).startswith(f"{directory}/")]


class ContainerdDaemon(Daemon):
    """containerd with its CRI plugin, and two images."""

    def __init__(self) -> None:
        super().__init__()
        (self.directory / "config.toml").write_text(
            f"""
version = 2
root = "{self.directory}/root"
state = "{self.directory}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
"""
        )

    def command(self) -> list[str]:
        return ["containerd", "--config", str(self.directory / "config.toml")]

    def start(self) -> None:
        super().start()
        kubelet = Kubelet(self.socket)
        wait_until(kubelet.is_answered, "containerd's CRI is ready")
        kubelet.close()

    def ctr(self, *arguments: str) -> str:
        return run("ctr", "--address", str(self.socket), *arguments)

    def load(self, **files: str) -> str:
        """Give it the images, the second with these files; the digest of that one."""
        archive = self.directory / "image.tar"
        digest = ""
        for name, command in ((PAUSE, ["/bin/busybox", "sleep", "86400"]), (IMAGE, ["/bin/busybox", "true"])):
            digest = build_image(archive, name, command, **(files if name == IMAGE else {}))
            for namespace in ("k8s.io", "default"):
                self.ctr("--namespace", namespace, "images", "import", str(archive))
        return digest


class _Engine(Daemon):
    """What both engines are asked to do, by Docker's API."""

    image = "shell:1"

    def ask(self, method: str, path: str, content: Any = None, *, raw: bytes = b"") -> Any:
        """The answer, which must be good."""
        connection = http.client.HTTPConnection("localhost", timeout=LIMIT_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        body = raw or (json.dumps(content).encode() if content is not None else None)
        kind = "application/x-tar" if raw else "application/json"
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status < 400, (method, path, answer.status, said)
        try:
            return json.loads(said)
        except ValueError:
            return said

    def load(self, **files: str) -> None:
        repository, _, tag = self.image.partition(":")
        self.ask("POST", f"/images/create?fromSrc=-&repo={repository}&tag={tag}", raw=build_layer(**files))

    def create(self, name: str, *command: str, **labels: str) -> str:
        """The ID of a container that is not started yet."""
        content = {
            "Image": self.image,
            "Cmd": list(command),
            "Labels": labels,
            "HostConfig": {"NetworkMode": "host"},
        }
        return str(self.ask("POST", f"/containers/create?name={name}", content)["Id"])

    def start_container(self, container_id: str) -> None:
        self.ask("POST", f"/containers/{container_id}/start")

    def wait(self, container_id: str) -> int:
        """The exit code of its first process."""
        return int(self.ask("POST", f"/containers/{container_id}/wait")["StatusCode"])

    def execute(self, container_id: str, *command: str, tty: bool = False) -> None:
        session = self.ask(
            "POST",
            f"/containers/{container_id}/exec",
            {"Cmd": list(command), "AttachStdout": True, "Tty": tty},
        )
        self.ask("POST", f"/exec/{session['Id']}/start", {"Detach": False, "Tty": tty})

    def remove(self, container_id: str) -> None:
        self.ask("DELETE", f"/containers/{container_id}?force=true")


class DockerDaemon(_Engine):
    """dockerd, above a containerd of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._containerd = ContainerdDaemon()

    def command(self) -> list[str]:
        directory = self.directory
        return [
            "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2",
            f"--data-root={directory}/data", f"--exec-root={directory}/exec", f"--pidfile={directory}/pid",
            f"--containerd={self._containerd.socket}", f"--host=unix://{self.socket}",
        ]  # fmt: skip

    def start(self) -> None:
        self._containerd.start()
        super().start()
        wait_until(lambda: self.ask("GET", "/_ping") == b"OK", "dockerd is ready")

    def close(self) -> None:
        super().close()
        self._containerd.close()


class PodmanDaemon(_Engine):
    """The service of Podman's API."""

    image = "localhost/shell:1"

    def __init__(self) -> None:
        super().__init__()
        # of itself it asks for more open files than one may have where limits cannot be raised
        (self.directory / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nruntime = "runc"\n'
        )
        self.environment = {"CONTAINERS_CONF": str(self.directory / "containers.conf")}

    def command(self) -> list[str]:
        return [*self._podman, "system", "service", "--time=0", f"unix://{self.socket}"]

    def load(self, **files: str) -> None:
        layer = self.directory / "layer.tar"
        layer.write_bytes(build_layer(**files))
        self.podman("import", str(layer), self.image)

    def podman(self, *arguments: str) -> str:
        """What the command line tool printed, which works without the service too."""
        return run(*self._podman, *arguments, **self.environment)

    @property
    def _podman(self) -> list[str]:
        directory = self.directory
        return [
            "podman", f"--root={directory}/root", f"--runroot={directory}/run", f"--tmpdir={directory}/tmp",
            "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file",
        ]  # fmt: skip
