"""Visibility: what is told of whom, and that alerts do not depend on it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.conftest import Watch
from tests.kernel.test_agent import Program, wait_until

AGENT = (sys.executable, "-m", "hauberk", "agent")


@pytest.fixture
def root() -> None:
    if os.geteuid():
        pytest.skip("needs root")


def test_what_is_not_visible_is_left_out_in_the_kernel_and_alerts_still_come(
    root: None, watch: Watch, tmp_path: Path
) -> None:
    marker = tmp_path / "watched"
    marker.touch()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/one.yaml").write_text(f"""
apiVersion: security.kubearmor.com/v1
kind: KubeArmorHostPolicy
metadata: {{name: watch-it}}
spec:
  nodeSelector: {{}}
  action: Audit
  file: {{matchPaths: [{{path: {marker}}}]}}
""")
    settings = {
        "HAUBERK_FORMAT": "kubearmor",
        "HAUBERK_POLICIES": str(tmp_path / "policies"),
        "HAUBERK_ENFORCE": "observe",
        "HAUBERK_HOST_VISIBILITY": "process",
        "HAUBERK_VISIBILITY": "process",
    }
    agent = Program(AGENT, tmp_path, settings)
    wait_until(lambda: "policies in force: 1" in agent.stderr, "the policy is in force")

    def alerts() -> list[str]:
        marker.read_bytes()
        return [line["PolicyName"] for line in agent.lines() if line["Type"] == "MatchedHostPolicy"]

    wait_until(lambda: bool(alerts()), "an alert has come")
    subprocess.run(["cat", str(marker)], check=True)
    # nobody may not become root; somebody who is refused is told of, whatever is visible
    refused = "import os; os.setuid(65534); os.setuid(0)"
    subprocess.run([sys.executable, "-c", refused], check=False, stderr=subprocess.DEVNULL)
    agent.stop()

    agent.assert_clean()
    told = [line for line in agent.lines() if line["Type"] in ("HostLog", "ContainerLog")]
    assert {line["Operation"] for line in told} == {"Process"}
    assert any(line["Resource"].endswith(f"cat {marker}") for line in told)
    assert agent.count(r"(?m)^file .* visibility ([\d,]+)") > 0
    assert {line["PolicyName"] for line in agent.lines() if "PolicyName" in line} == {
        "watch-it",
        "DefaultPosture",
    }
