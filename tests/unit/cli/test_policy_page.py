"""What docs/policies.md shows is what runs: each command of its consoles, and what it answers."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hauberk.abi import Hook, ItemKind, RecordFlag
from hauberk.cli.main import app
from hauberk.errors import HauberkError
from hauberk.model.event import Node
from hauberk.model.machine import Machine
from hauberk.policy.check import check
from hauberk.policy.document import parse_documents
from hauberk.sensor.recording import Recorder
from tests.unit.decode.raw import CWD, frame, raw_record

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/policies.md").read_text()
KEPT = "/var/lib/hauberk/policies"
(SHADOW,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CONSOLES = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def steps(console: str) -> list[tuple[str, str]]:
    """Each command of a console with what it answers."""
    parts = re.split(r"(?m)^\$ (.*)\n", console)
    assert parts[0] == ""
    return list(zip(parts[1::2], parts[2::2], strict=True))


def answer(command: str) -> str:
    """As a terminal shows it."""
    name, *arguments = shlex.split(command)
    if name != "hauberk":
        return subprocess.run([name, *arguments], check=True, capture_output=True, text=True).stdout
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, HauberkError):
        return f"{done.output}hauberk: {done.exception}\n"
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.output


def record(path: Path) -> None:
    """A shell that executes this and that, and at last what the page tells of."""
    paths = (b"/usr/bin/bash", b"/usr/bin/ls", b"/usr/bin/bash", b"/tmp/hbtrue")
    with Recorder(path, Machine(Node("here"), 0, 4026531836)) as recorder:
        for each in paths:
            items = (
                (ItemKind.EXECUTABLE, 0, each),
                (ItemKind.ARGV, 0, each + b"\0"),
                (ItemKind.FILENAME, 0, each),
                CWD,
            )
            recorder.write(frame(raw_record(*items, hook=Hook.EXEC, flags=RecordFlag(0))))


@pytest.fixture(autouse=True)
def _as_on_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HAUBERK_POLICIES", str(tmp_path / "kept"))
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.chdir(tmp_path)
    Path("shadow.yaml").write_text(SHADOW)
    Path("examples").symlink_to(ROOT / "examples")
    record(Path("x.rec"))


def test_the_page_has_examples() -> None:
    """So that what follows tries something."""
    told = {
        command.split()[2] for console in CONSOLES for command, _ in steps(console) if "hauberk" in command
    }
    assert told == {"check", "apply", "list", "delete", "explain", "simulate"}


def test_policy_of_the_page_is_sound() -> None:
    parsed = parse_documents(SHADOW, "shadow.yaml")

    assert parsed.problems == ()
    assert check(parsed.policies) == []


@pytest.mark.parametrize("console", [each for each in CONSOLES if "x.rec" not in each])
def test_console(console: str) -> None:
    """Word for word."""
    if "/bin/bash," in console and not Path("/bin").is_symlink():
        pytest.skip("there is no link here to be told of")
    for command, expected in steps(console):
        assert answer(command).replace(str(Path.cwd() / "kept"), KEPT) == expected


@pytest.mark.parametrize("console", [each for each in CONSOLES if "x.rec" in each])
def test_console_about_a_recording(console: str) -> None:
    """But for numbers, which are those of another recording."""

    def bare(text: str) -> str:
        return re.sub(r"\s+", " ", re.sub(r"(?<!:)\b\d[\d,]*", "N", text))

    for command, expected in steps(console):
        assert bare(answer(re.sub(r"--record \d+", "--record 4", command))) == bare(expected)
