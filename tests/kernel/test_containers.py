"""Policies under the real agent: in a real container, started by runc; and when the agent is gone."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hauberk.sensor.probe import probe
from tests.kernel.actors import ROOT
from tests.kernel.test_agent import Program, wait_until

ID = "feedface" * 8
POLICY = f"""
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: in-the-container}}
spec:
  selector: {{matchLabels: {{kubearmor.io/container.name: "[{ID}]"}}}}
  severity: 4
  file:
    matchPaths: [{{path: /secret, action: Block}}, {{path: /watched, action: Audit}}]
---
apiVersion: security.kubearmor.com/v1
kind: KubeArmorHostPolicy
metadata: {{name: on-the-host}}
spec:
  nodeSelector: {{}}
  file:
    matchPaths: [{{path: /open, action: Block}}]
"""


@pytest.fixture
def lsm() -> None:
    if os.geteuid() or not probe().denies:
        pytest.skip("this kernel takes no LSM programs; the guests' do")
    if not shutil.which("runc") or not shutil.which("busybox"):
        pytest.skip("needs runc and busybox")


@pytest.fixture
def bundle(lsm: None) -> Iterator[Path]:
    """A container with a shell and three files."""
    with tempfile.TemporaryDirectory(prefix="hauberk-", dir="/dev/shm") as directory:
        path = Path(directory)
        root = path / "rootfs"
        for name in ("bin", "proc", "sys", "dev", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", root / "bin/busybox")
        for name in ("secret", "watched", "open"):
            (root / name).write_text(f"content of {name}\n")
        subprocess.run(["runc", "spec", "--bundle", str(path)], check=True)
        yield path


@pytest.fixture(autouse=True)
def _clean(lsm: None) -> Iterator[None]:
    yield
    subprocess.run([sys.executable, "-m", "hauberk", "agent", "--uninstall"], check=True, cwd=ROOT)


def run(bundle: Path, script: str) -> str:
    """What a shell script in the container printed."""
    config: dict[str, Any] = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["/bin/busybox", "sh", "-c", script]}
    config["process"].pop("rlimits", None)
    config["root"]["readonly"] = False
    (bundle / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        ["runc", "run", "--bundle", str(bundle), ID], capture_output=True, text=True, check=False, timeout=300
    )
    return done.stdout + done.stderr


def test_policy_holds_in_a_container(bundle: Path, tmp_path: Path) -> None:
    """It is denied what its policy blocks, told what it audits, and left alone by the host's policies."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/both.yaml").write_text(POLICY)
    settings = {
        "HAUBERK_POLICIES": str(tmp_path / "policies"),
        "HAUBERK_FORMAT": "kubearmor",
        "HAUBERK_OPERATIONS": "process",
    }
    agent = Program((sys.executable, "-m", "hauberk", "agent"), tmp_path, settings)
    wait_until(
        lambda: "policies in force: 2, enforced by BPF-LSM" in agent.stderr, "the policies are in force"
    )

    printed = run(bundle, "for f in secret watched open; do /bin/busybox cat /$f; done")
    agent.stop()

    assert "'/secret': Permission denied" in printed
    assert "content of secret" not in printed
    assert "content of watched" in printed
    assert "content of open" in printed
    agent.assert_clean()
    alerts = [line for line in agent.lines() if line["Type"].startswith("Matched")]
    found = [(line["PolicyName"], line["Action"], line["Resource"], line["Result"]) for line in alerts]
    assert found == [
        ("in-the-container", "Block", "/secret", "Permission denied"),
        ("in-the-container", "Audit", "/watched", "Passed"),
    ]
    for line in alerts:
        assert (line["Type"], line["ContainerID"], line["Severity"]) == ("MatchedPolicy", ID, "4")
        assert (line["ProcessName"], line["Source"]) == (
            "/bin/busybox",
            f"/bin/busybox cat {line['Resource']}",
        )


FROM_THE_BEGINNING = """
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {name: for-all}
spec:
  selector: {}
  file:
    matchPaths: [{path: /secret, action: Block}]
    matchDirectories: [{dir: /proc/, recursive: true, readOnly: true, action: Block}]
  process:
    matchPaths: [{path: /bin/busybox, action: Allow}]
"""


def test_policy_holds_from_the_first_instruction(bundle: Path, tmp_path: Path) -> None:
    """Of a container that has just come, whether an agent runs or not; and the runtime is not in its own way."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/all.yaml").write_text(FROM_THE_BEGINNING)
    settings = {
        "HAUBERK_POLICIES": str(tmp_path / "policies"),
        "HAUBERK_OPERATIONS": "process",
        "HAUBERK_DEFAULT_FILE_POSTURE": "block",
    }
    agent = Program((sys.executable, "-m", "hauberk", "agent"), tmp_path, settings)
    wait_until(lambda: "policies in force: 1, enforced by BPF-LSM" in agent.stderr, "the policy is in force")
    script = "read x </secret; read y </open; echo $x $y; echo 1 >/proc/self/oom_score_adj; exec /bin/other"
    shutil.copy(bundle / "rootfs/bin/busybox", bundle / "rootfs/bin/other")

    watched = run(bundle, script)
    agent.process.kill()
    agent.stop()
    unwatched = run(bundle, script)

    for printed in (watched, unwatched):
        assert "secret: Permission denied" in printed
        assert "content of open" in printed
        assert "oom_score_adj: Permission denied" in printed
        assert "other: Permission denied" in printed


def test_enforcement_outlives_the_agent(tmp_path: Path) -> None:
    """Killed or stopped, and while the next one starts: what is blocked stays blocked, until it is uninstalled."""
    secret = Path("/dev/shm/hauberk-secret")
    secret.write_text("s")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/host.yaml").write_text(POLICY.partition("---")[2].replace("/open", str(secret)))
    settings = {"HAUBERK_POLICIES": str(tmp_path / "policies"), "HAUBERK_OPERATIONS": "process"}
    command = (sys.executable, "-m", "hauberk", "agent")
    in_force = "policies in force: 1, enforced by BPF-LSM"

    first = Program(command, tmp_path, settings)
    wait_until(lambda: in_force in first.stderr, "the policy is in force")
    first.process.kill()
    first.stop()
    assert _is_denied(secret)

    (tmp_path / "second").mkdir()
    second = Program(command, tmp_path / "second", settings)
    while in_force not in second.stderr:
        assert _is_denied(secret)
        assert second.process.poll() is None, second.stderr
    second.stop()
    second.assert_clean()
    assert _is_denied(secret)

    subprocess.run([*command, "--uninstall"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_until(lambda: not _is_denied(secret), "the kernel has let go of the programs")
    secret.unlink()


def _is_denied(path: Path) -> bool:
    try:
        path.read_text()
    except PermissionError:
        return True
    return False
