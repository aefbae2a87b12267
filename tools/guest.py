#!/usr/bin/env python3
"""The virtual-machine tier: the kernel tests under other kernels, with the same user space.

    python3 tools/guest.py prepare              install QEMU and Debian's kernels, where they are missing
    python3 tools/guest.py run KERNEL COMMAND…  run a command under KERNEL (6.1, 6.12) in this directory
    python3 tools/guest.py test KERNEL          run the kernel tests there

The guest is QEMU without KVM: it sees this machine's files read-only under an overlay. It takes some ten
seconds to boot, so it is booted once for all tests.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = ROOT / ".venv/bin"
CACHE = ROOT / "build/guest"
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "kmod": "kmod",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "runc": "runc",
    "containerd": "containerd",
    "dockerd": "docker.io",
    "podman": "podman",
    "conmon": "conmon",
}
META_PACKAGES = {"6.1": "linux-image-amd64", "6.12": "linux-image-6.12-amd64"}
LSM = "lockdown,yama,landlock,apparmor,bpf"
ACCELERATOR = "tcg,thread=single"
"""Both processors of the guest in one thread, in turn. With a thread each, QEMU may run instructions that the kernel
is just rewriting (a tracepoint that is switched on), and the kernel meets its own breakpoint: `Oops: int3`."""

TIMEOUT_S = 2400


def say(text: str) -> None:
    print(f"  guest  {text}", flush=True)


def apt(*arguments: str, cwd: Path | None = None) -> str:
    """Run apt; its last words are the error if it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"guest: `{shlex.join(arguments)}` failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def image_package(kernel: str) -> str:
    """The package of the kernel that the meta package names today."""
    meta = META_PACKAGES[kernel]
    for line in apt("apt-cache", "depends", meta).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    sys.exit(f"guest: {meta} names no kernel image; Debian 12 with its updates has it")


def release(kernel: str) -> str | None:
    """The release of this kernel if it was fetched before."""
    found = sorted((CACHE / kernel).glob("boot/vmlinuz-*"))
    return found[-1].name.removeprefix("vmlinuz-") if found else None


def prepare(kernel: str) -> str:
    """Install what the guest needs and fetch its kernel; the kernel's release."""
    if os.geteuid():
        sys.exit("guest: needs root, to install packages and kernel modules")
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    found = release(kernel)
    if missing or not found:
        apt("apt-get", "update", "-qq")
    if missing:
        say(f"apt {' '.join(missing)}")
        apt("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
    if not found:
        package = image_package(kernel)
        directory = CACHE / kernel
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            say(f"fetching {package}")
            Path(temporary).chmod(0o755)  # apt fetches as a user of its own
            apt("apt-get", "download", "-qq", package, cwd=Path(temporary))
            (archive,) = Path(temporary).glob("*.deb")
            apt("dpkg", "-x", str(archive), str(directory))
        found = release(kernel)
        if not found:
            sys.exit(f"guest: {package} holds no kernel")
    modules = Path("/lib/modules") / found
    if not (modules / "modules.dep").exists():
        say(f"installing the modules of {found}")
        shutil.copytree(CACHE / kernel / "lib/modules" / found, modules, symlinks=True, dirs_exist_ok=True)
        subprocess.run(["depmod", found], check=True)
    return found


def run(kernel: str, command: list[str], timeout_s: float = TIMEOUT_S) -> int:
    """Run a command under this kernel and stream what it prints; its exit code.

    A guest that does not start, hangs or panics ends the program with a sentence.
    """
    found = prepare(kernel)
    with tempfile.TemporaryDirectory(prefix="hauberk-guest-") as exchange:
        code, output, script = (Path(exchange) / name for name in ("code", "output", "script"))
        output.touch()
        script.write_text(
            "\n".join(
                [
                    "mount -t tmpfs tmpfs /dev/shm 2>/dev/null",
                    "mount -t securityfs none /sys/kernel/security 2>/dev/null",
                    "mount -t bpf bpf /sys/fs/bpf 2>/dev/null",
                    "mount -t tracefs none /sys/kernel/tracing 2>/dev/null",
                    "ip link set lo up",
                    f"cd {shlex.quote(str(ROOT))}",
                    f"export HAUBERK_GUEST={kernel} PYTHONDONTWRITEBYTECODE=1",
                    f"{shlex.join(command)} >{shlex.quote(str(output))} 2>&1",
                    f"echo $? >{shlex.quote(str(code))}",
                ]
            )
            + "\n"
        )
        say(f"booting {found}")
        begin = time.monotonic()
        machine = subprocess.Popen(
            [
                str(BIN / "vng"), "-v", "-r", str(CACHE / kernel / "boot" / f"vmlinuz-{found}"), "--disable-kvm",
                "--force-9p", f"--rwdir={exchange}", "--memory", "3G", "--cpus", "2", f"--qemu-opts=-accel {ACCELERATOR}",
                "--append", f"lsm={LSM}",
                "--", f"bash {script}",
            ],
            env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=(console := (Path(exchange) / "console").open("wb")),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            with output.open("rb") as printed:
                while machine.poll() is None and time.monotonic() - begin < timeout_s:
                    sys.stdout.buffer.write(printed.read())
                    sys.stdout.flush()
                    time.sleep(0.2)
                sys.stdout.buffer.write(printed.read())
                sys.stdout.flush()
        finally:
            if machine.poll() is None:
                os.killpg(machine.pid, signal.SIGKILL)
                machine.wait()
            console.close()
        say(f"{found} ran for {time.monotonic() - begin:.0f} s")
        if not code.exists():
            tail = (Path(exchange) / "console").read_bytes()[-2000:].decode(errors="replace")
            sys.exit(f"guest: {found} ended without finishing its command; its console ended so:\n{tail}")
        return int(code.read_text())


def main() -> int:
    match sys.argv[1:]:
        case ["prepare"]:
            for kernel in META_PACKAGES:
                prepare(kernel)
            return 0
        case ["run", kernel, *command] if kernel in META_PACKAGES and command:
            return run(kernel, command)
        case ["test", kernel] if kernel in META_PACKAGES:
            # what depends on the kernel; the agent's own behaviour is tested where starting it is quick
            pytest = [
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "tests/kernel/test_calls.py",
                "tests/kernel/test_conformance.py",
                "tests/kernel/test_containers.py",
                "tests/kernel/test_denied_calls.py",
                "tests/kernel/test_enforcement.py",
                "tests/kernel/test_evasions.py",
                "tests/kernel/test_matrix.py",
                "tests/kernel/test_rules.py",
                "tests/unit/sensor",
                "tests/kernel/runtimes/test_containerd.py::test_short_lived_containers",
                "tests/kernel/runtimes/test_containerd.py::test_policy_holds_from_the_first_instruction",
            ]
            # the same matcher as everywhere: a part of the generated cases will do
            environment = [
                "HAUBERK_REQUIRE=kernel,lsm,containers",
                "HAUBERK_TWIN_TABLES=40",
                "HAUBERK_PODS=1",
            ]
            return run(kernel, ["env", *environment, str(BIN / "python"), *pytest])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
