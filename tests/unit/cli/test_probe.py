"""How the findings are shown, and what the exit code says."""

import json

import pytest
import typer
from typer.testing import CliRunner

import hauberk.sensor.probe as sensor
from hauberk.cli.probe import probe
from hauberk.sensor.probe import CgroupPlacement, Finding, Report

OK = Finding("BTF", "ok", "5.5 MB")
DEGRADED = Finding("fentry", "degraded", "refused [EPERM]", "Paths are less exact.", "Use another kernel.")
MISSING = Finding("libbpf", "missing", "not installed", "Nothing can be loaded.", "Install it.")

app = typer.Typer()
app.command()(probe)


def run(monkeypatch: pytest.MonkeyPatch, findings: list[Finding], *arguments: str) -> tuple[int, str]:
    report = Report(CgroupPlacement("v2", mount="/sys/fs/cgroup"), tuple(findings))
    monkeypatch.setattr(sensor, "probe", lambda: report)
    monkeypatch.setattr("hauberk.cli.probe.find_runtimes", list)
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.stdout


@pytest.mark.parametrize(
    ("findings", "exit_code", "last"),
    [
        ([OK, DEGRADED], 0, "Hauberk can run here."),
        ([OK, MISSING], 5, "Hauberk cannot run here. Missing: libbpf."),
    ],
)
def test_exit_code(
    monkeypatch: pytest.MonkeyPatch, findings: list[Finding], exit_code: int, last: str
) -> None:
    """Only what is needed and missing is a failure; the last line says it in words."""
    code, text = run(monkeypatch, findings)

    assert code == exit_code
    assert text.splitlines()[-1] == last


def test_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Piped, there is no colour, no broken line and nothing at the end of one; brackets are not markup."""
    _, text = run(monkeypatch, [OK, DEGRADED])

    assert text.splitlines() == [
        "ok        BTF     5.5 MB",
        "degraded  fentry  refused [EPERM]",
        "                  costs: Paths are less exact.",
        "                  to do: Use another kernel.",
        "",
        "Hauberk can run here.",
    ]


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read the same findings, and get the same exit code."""
    code, text = run(monkeypatch, [OK, MISSING], "--format", "json")
    report = json.loads(text)

    assert code == 5
    assert report["cgroups"]["mount"] == "/sys/fs/cgroup"
    assert [(finding["name"], finding["state"]) for finding in report["findings"]] == [
        ("BTF", "ok"),
        ("libbpf", "missing"),
    ]
