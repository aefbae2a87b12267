"""hauberk outputs."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hauberk.cli.main import app
from hauberk.delivery.sample import POLICY
from hauberk.errors import HauberkError


def hauberk(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def configured(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hauberk.yaml"
    path.write_text(text.replace("DIR", str(tmp_path)))
    return path


def test_each_output_is_tried(tmp_path: Path) -> None:
    """The sample arrives, marked as a test; an output that fails is named and costs the others nothing."""
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        path = configured(
            tmp_path,
            f"""
spool_directory: DIR/spool
outputs:
- {{name: first, sink: {{file: {{path: DIR/first}}}}, filter: {{type: log}}}}
- {{name: dead, sink: {{webhook: {{url: "http://127.0.0.1:{bound.getsockname()[1]}/"}}}}}}
- {{name: third, sink: {{file: {{path: DIR/third}}}}, format: text}}
""",
        )
        result = hauberk("outputs", "test", "--config", path)

    assert isinstance(result.exception, HauberkError)
    assert 6 == result.exception.exit_code
    assert "1 of 3 outputs failed" == str(result.exception)
    alert = json.loads((tmp_path / "first").read_text())
    assert POLICY == alert["PolicyName"]
    assert alert["Message"].startswith("This is only a test")
    assert "MatchedHostPolicy" == alert["Type"]
    assert POLICY in (tmp_path / "third").read_text()
    first, dead, third = result.output.splitlines()[-3:]
    assert "taken in" in first
    assert "its filter leaves this test out" in first
    assert "dead" in dead
    assert "efused" in dead
    assert "taken in" in third
    assert not (tmp_path / "spool").exists()


def test_all_is_well(tmp_path: Path) -> None:
    """Then the exit code says so."""
    result = hauberk("outputs", "test", "--output", tmp_path / "events")

    assert 0 == result.exit_code
    assert "taken in" in result.output


def test_list(tmp_path: Path) -> None:
    """What there is, in few words."""
    path = configured(
        tmp_path,
        """
outputs:
- {name: all, sink: {file: {path: DIR/all}}}
- {name: siem, sink: {webhook: {url: "http://127.0.0.1:9/"}}, filter: {type: alert, namespaces: [shop], min_severity: 5}}
""",
    )
    result = hauberk("outputs", "list", "--config", path)

    assert 0 == result.exit_code, result.output
    words = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "all file kubearmor everything none" in words
    assert any(
        line.startswith("siem webhook ") and line.endswith("alerts; shop; severity 5 and more 256 MiB")
        for line in words
    )


def test_wrong_settings(tmp_path: Path) -> None:
    """Nothing is sent anywhere."""
    path = configured(
        tmp_path,
        "outputs:\n- {name: a, sink: {file: {path: DIR/a}}}\n- {name: b, sink: {file: {pfad: DIR/b}}}\n",
    )
    result = hauberk("outputs", "test", "--config", path)

    assert "hauberk.yaml:3: no setting is named 'pfad'" in str(result.exception)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("command", ["list", "test"])
def test_help(command: str) -> None:
    assert "Usage" in hauberk("outputs", command, "--help").output
