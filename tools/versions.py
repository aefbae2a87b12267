#!/usr/bin/env python3
"""The tests that need no kernel, with other versions of what we depend on than those of requirements.lock.

    python3 tools/versions.py    once with the oldest that pyproject.toml allows, once with the newest

An old version that fails is a range that is not honest: raise it in pyproject.toml. What we depend on brings its own
dependencies, which are the newest in both cases.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = str(ROOT / ".venv/bin/uv")
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
TESTS = ("tests/unit", "tests/golden", "tests/conformance", "tests/house")


def run(*arguments: str, environment: Path) -> bool:
    return not subprocess.run(
        arguments, cwd=ROOT, env=os.environ | {"VIRTUAL_ENV": str(environment)}, check=False
    ).returncode


def test(name: str) -> bool:
    """Make an environment of these versions and run the tests in it."""
    environment = ROOT / "build/versions" / name
    print(f"\n== {name} versions", flush=True)
    made = run(
        UV, "venv", "--quiet", "--clear", "--seed", "--python", sys.executable, str(environment), environment=environment
    ) and run(
        UV, "pip", "install", "--quiet", "--upgrade", "--resolution", RESOLUTIONS[name], "--editable", ".[dev]",
        environment=environment,
    )  # fmt: skip
    passed = made and run(
        str(environment / "bin/python"), "-m", "pytest", "-q", *TESTS, environment=environment
    )
    print(f"== {name} versions: {'passed' if passed else 'FAILED'}", flush=True)
    return passed


def main() -> int:
    passed = [test(name) for name in RESOLUTIONS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
