"""`hauberk workloads` and what `hauberk probe` says of runtimes, against one that answers over its socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hauberk.cli.main import app
from hauberk.cli.probe import find_runtimes
from hauberk.errors import RuntimeUnreachable
from tests.unit.runtimes.servers import EngineServer

WEB = "a" * 64
POLICY = """
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: APP}}
  file: {matchPaths: [{path: /secret}]}
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineServer]:
    running = EngineServer(tmp_path / "docker.sock")
    running.answers["/containers/json"] = [{"Id": WEB}]
    running.answers[f"/containers/{WEB}/json"] = {
        "Id": WEB,
        "Name": "/web",
        "Config": {"Image": "nginx:1", "Labels": {"app": "web", "evil": "\x1b[2J"}},
        "State": {"StartedAt": "2026-11-25T01:55:13Z"},
    }
    (tmp_path / "policies").mkdir()
    for name, label in (("for-web", "web"), ("for-db", "db")):
        text = POLICY.replace("NAME", name).replace("APP", label)
        (tmp_path / "policies" / f"{name}.yaml").write_text(text)
    monkeypatch.setenv("HAUBERK_RUNTIMES", f"docker:{tmp_path / 'docker.sock'}")
    monkeypatch.setenv("HAUBERK_POLICIES", str(tmp_path / "policies"))
    yield running
    running.stop()


def test_text(server: EngineServer) -> None:
    """One line a container, with the policies that select it; nothing in it moves the cursor."""
    done = CliRunner().invoke(app, ["workloads"])

    assert done.exit_code == 0
    (_, line) = done.stdout.splitlines()
    assert line.split()[:5] == [WEB[:12], "web", "container_namespace", "web", "nginx:1"]
    assert line.endswith("for-web")
    assert "2026-11-25 01:55:13" in line
    assert "\x1b" not in line


def test_json(server: EngineServer) -> None:
    done = CliRunner().invoke(app, ["workloads", "--format", "json"])

    (listed,) = json.loads(done.stdout)
    assert (listed["runtime"], listed["policies"]) == ("docker", ["for-web"])
    assert listed["workload"]["container_id"] == WEB
    assert listed["workload"]["labels"]["app"] == "web"


@pytest.mark.parametrize("runtimes", ["off", "docker:/nowhere/docker.sock"])
def test_nobody_to_ask(server: EngineServer, monkeypatch: pytest.MonkeyPatch, runtimes: str) -> None:
    monkeypatch.setenv("HAUBERK_RUNTIMES", runtimes)

    done = CliRunner().invoke(app, ["workloads"])

    assert isinstance(done.exception, RuntimeUnreachable)
    assert "`runtimes`" in str(done.exception)
    assert [finding.found for finding in find_runtimes()] == ["none is there"]


def test_one_that_does_not_answer(server: EngineServer) -> None:
    """Said by both commands; an exit code says it, too."""
    server.answers["/containers/json"] = b"not JSON"

    done = CliRunner().invoke(app, ["workloads"])
    (finding,) = find_runtimes()

    assert isinstance(done.exception, RuntimeUnreachable)
    assert "docker.sock" in str(done.exception)
    assert finding.state == "degraded"
    assert "docker.sock" in finding.found


def test_probe(server: EngineServer, tmp_path: Path) -> None:
    (finding,) = find_runtimes()

    assert (finding.name, finding.state) == ("docker", "ok")
    assert finding.found == f"{tmp_path / 'docker.sock'}, 1 containers"
