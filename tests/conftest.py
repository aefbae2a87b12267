"""What all tests share: `--accept`, tiers that are required, one time zone."""

import os
import signal
import time
from collections.abc import Generator

import pytest

pytest.register_assert_rewrite("tests.kernel.acts")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # whom a shell starts in the background ignores Ctrl-C, and so would all that is started here
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("HAUBERK_GRPC", "off")
# agents that are under test keep off the well-known ports: others may run beside them

REQUIRED = set(filter(None, os.environ.get("HAUBERK_REQUIRE", "").split(",")))
"""Tiers whose tests must run here: a test of theirs that is skipped has failed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="rewrite the expected files of golden tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    tiers = {marker.args[0] for marker in item.iter_markers("tier")}
    if report.skipped and not hasattr(report, "wasxfail") and tiers & REQUIRED:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (and HAUBERK_REQUIRE={','.join(sorted(REQUIRED))})"
    return report


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> bool:
    """Whether what is found becomes what is expected."""
    return bool(request.config.getoption("--accept"))


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Local time is UTC, whatever the machine thinks."""
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
