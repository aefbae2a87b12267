#!/usr/bin/env python3
"""Run every test tier that this machine can run; what `make test` does.

    python3 tools/test.py [pytest arguments…]

HAUBERK_REQUIRE names the tiers (kernel, guest, containers, receivers) that must run: one that cannot is then a failure, not a skip.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
BIN = ROOT / ".venv/bin"
KERNELS = ("6.1", "6.12")
REQUIRED = set(filter(None, os.environ.get("HAUBERK_REQUIRE", "").split(",")))


def step(name: str, *command: str) -> bool:
    """Run one command and say how it went."""
    print(f"\n== {name}", flush=True)
    begin = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(
        f"== {name}: {'passed' if code == 0 else f'FAILED ({code})'} in {time.monotonic() - begin:.0f} s",
        flush=True,
    )
    return code == 0


def guests() -> list[bool]:
    """The tests of the kernel in all virtual machines at once: each keeps one core busy."""
    guest = (str(BIN / "python"), "tools/guest.py")
    if not step("guests", *guest, "prepare"):
        return [False]
    with ExitStack() as stack:
        runs = []
        for kernel in KERNELS:
            output = stack.enter_context(tempfile.TemporaryFile())
            command = (*guest, "test", kernel)
            runs.append((kernel, output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)))
        passed = []
        for kernel, output, running in runs:
            print(f"\n== guest {kernel}", flush=True)
            passed.append(not _follow(running, output))
            print(f"== guest {kernel}: {'passed' if passed[-1] else 'FAILED'}", flush=True)
    return passed


def _follow(running: subprocess.Popen[bytes], output: IO[bytes]) -> int:
    """Show what a program prints to a file until it ends; its exit code."""
    read = 0
    while True:
        code = running.poll()
        printed = os.pread(output.fileno(), 1 << 20, read)
        read += len(printed)
        sys.stdout.buffer.write(printed)
        sys.stdout.flush()
        if code is not None and not printed:
            return code
        if not printed:
            time.sleep(0.2)


def pytest(*arguments: str) -> tuple[str, ...]:
    return (str(BIN / "python"), "-m", "pytest", "-q", *arguments)


def main() -> int:
    arguments = sys.argv[1:]
    passed = [
        step("style", str(BIN / "ruff"), "check", "."),
        step("format", str(BIN / "ruff"), "format", "--check", "--quiet", "."),
        step("types", str(BIN / "mypy")),
        step("rooms", str(BIN / "lint-imports"), "--no-cache"),
    ]
    if os.geteuid() == 0:
        passed += guests()
    elif "guest" in REQUIRED:
        print("the guest tier needs root")
        passed.append(False)
    else:
        print("\n== guest: skipped, it needs root")
    passed.append(step("receivers", str(BIN / "python"), "tools/receivers.py", "prepare"))
    passed.append(step("tests on this kernel", *pytest(*arguments)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
