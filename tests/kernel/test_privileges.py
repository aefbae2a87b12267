"""The manifests give the agent no more than it needs, and no less."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hauberk.install import default_values, render
from tests.kernel.actors import ROOT
from tests.kernel.conftest import Watch
from tests.kernel.test_agent import Program, wait_until

POWERS = next(
    each["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]["add"]
    for each in yaml.safe_load_all(render(default_values()))
    if each["kind"] == "DaemonSet"
)
POLICY = """
apiVersion: security.kubearmor.com/v1
kind: KubeArmorHostPolicy
metadata: {name: watched}
spec:
  nodeSelector: {}
  file: {matchPaths: [{path: MARKER, action: Audit}]}
"""


def only(powers: list[str]) -> tuple[str, ...]:
    """Root, but of its powers only these; and no way to get more."""
    bounds = ",".join(["-all", *(f"+{power.lower()}" for power in powers)])
    return "setpriv", f"--bounding-set={bounds}", "--inh-caps=-all", "--no-new-privs"


@pytest.fixture(autouse=True)
def _root(watch: Watch) -> None:
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")


def test_the_powers_in_the_manifests_are_enough(tmp_path: Path) -> None:
    """To see, and to decide by rules, however this kernel does it."""
    marker = tmp_path / "watched"
    marker.touch()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/one.yaml").write_text(POLICY.replace("MARKER", str(marker)))
    settings = {
        "HAUBERK_POLICIES": str(tmp_path / "policies"),
        "HAUBERK_FORMAT": "kubearmor",
        "HAUBERK_GRPC": "off",
        "HAUBERK_GRPC_HEALTH": "off",
    }
    command = (*only(POWERS), sys.executable, "-m", "hauberk", "agent")
    agent = Program(command, tmp_path, settings)
    wait_until(
        lambda: "policies in force: 1" in agent.stderr or agent.process.poll() is not None, "it decides"
    )

    def alerts() -> bool:
        marker.read_bytes()
        return b"MatchedHostPolicy" in agent.output.read_bytes()

    wait_until(alerts, "an alert has come")
    agent.stop()
    agent.assert_clean()
    assert any(line["Type"] == "HostLog" for line in agent.lines())
    subprocess.run(
        [sys.executable, "-m", "hauberk", "agent", "--uninstall"], check=True, stdout=subprocess.DEVNULL
    )


@pytest.mark.parametrize("power", POWERS)
def test_none_of_them_is_too_many(power: str) -> None:
    """Without it the probe says what is missing."""
    command = (*only([each for each in POWERS if each != power]), sys.executable, "-m", "hauberk", "probe")
    done = subprocess.run(
        (*command, "--format", "json"), capture_output=True, text=True, check=False, cwd=ROOT, timeout=180
    )

    assert f"without CAP_{power}" in done.stdout
