#!/usr/bin/env python3
"""Run every test tier that this machine can run; what `make test` does.

    python3 tools/test.py [pytest arguments…]

HAUBERK_REQUIRE names the tiers (kernel, guest) that must run: one that cannot is then a failure, not a skip.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

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
        passed += [
            step(f"guest {kernel}", str(BIN / "python"), "tools/guest.py", "test", kernel)
            for kernel in KERNELS
        ]
    elif "guest" in REQUIRED:
        print("the guest tier needs root")
        passed.append(False)
    else:
        print("\n== guest: skipped, it needs root")
    passed.append(step("tests on this kernel", *pytest(*arguments)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
