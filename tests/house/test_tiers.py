"""A tier that is required cannot be skipped: else a machine without it would look like one that passed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SKIPPED = """
import pytest

@pytest.mark.tier("kernel")
def test_in_the_body():
    pytest.skip("no root")

@pytest.mark.tier("kernel")
@pytest.mark.skipif(True, reason="no root")
def test_by_mark(): ...

@pytest.mark.tier("guest")
def test_of_another_tier():
    pytest.skip("no QEMU")

def test_of_no_tier():
    pytest.skip("not today")

@pytest.mark.tier("kernel")
@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False
"""


@pytest.mark.parametrize(
    ("required", "summary"),
    [
        ("", "4 skipped, 1 xfailed"),
        ("kernel", "1 failed, 2 skipped, 1 xfailed, 1 error"),
        ("kernel,guest", "2 failed, 1 skipped, 1 xfailed, 1 error"),
    ],
)
def test_required_tier_is_not_skipped(tmp_path: Path, required: str, summary: str) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = tier(name)\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"HAUBERK_REQUIRE": required, "PYTEST_ADDOPTS": ""},
    )

    assert summary in done.stdout
    assert ("Skipped: no root (and HAUBERK_REQUIRE=" in done.stdout) == ("kernel" in required)
