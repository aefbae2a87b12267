"""Errors as the operator meets them: one line that says what to do, and the exit code of the document."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NONE: Mapping[str, str] = {}
NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
)  # fmt: skip
"""Nobody, who may read everything: the interpreter may lie in somebody's home."""

WITHOUT_LIBBPF = """
import ctypes

load = ctypes.CDLL

def refuse(name, *others, **options):
    if name and "bpf" in str(name):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    return load(name, *others, **options)

ctypes.CDLL = refuse
from hauberk.cli.main import main
main()
"""


def run(
    *arguments: str | Path, before: tuple[str, ...] = (), environment: Mapping[str, str] = NONE
) -> tuple[int, list[str]]:
    """Exit code and lines on standard error of a `python` that was called so."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HAUBERK_")}
    done = subprocess.run(
        [*before, sys.executable, *map(str, arguments)],
        env=inherited
        | {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1", "HAUBERK_GRPC": "off"}
        | dict(environment),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "" == done.stdout
    return done.returncode, done.stderr.splitlines()


def hauberk(
    *arguments: str | Path, before: tuple[str, ...] = (), environment: Mapping[str, str] = NONE
) -> tuple[int, str]:
    """Exit code of `hauberk`, and the one line that it must have written."""
    code, lines = run("-m", "hauberk", *arguments, before=before, environment=environment)
    assert 1 == len(lines), lines
    assert lines[0].startswith("hauberk: ")
    return code, lines[0].removeprefix("hauberk: ")


def needs_root() -> None:
    """Skip where a process cannot become another user."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """An empty recording that is whole."""
    from hauberk.model.event import Node
    from hauberk.model.machine import Machine
    from hauberk.sensor.recording import Recorder

    path = tmp_path / "recording"
    Recorder(path, Machine(Node("test"), 0, 0)).close()
    return path


@pytest.mark.parametrize("command", [["agent"], ["record", "/dev/null"]], ids=lambda command: str(command[0]))
def test_without_privileges(command: list[str]) -> None:
    """Who may not load programs is told so, and about `hauberk probe`: exit code 5."""
    needs_root()
    code, line = hauberk(*command, before=NOBODY)

    assert 5 == code
    assert "root" in line
    assert "hauberk probe" in line


def test_without_libbpf() -> None:
    """A missing libbpf is named, with the package that has it: exit code 5."""
    needs_root()
    code, lines = run("-c", WITHOUT_LIBBPF, "agent")

    assert 5 == code
    assert 1 == len(lines), lines
    assert "libbpf" in lines[0]
    assert "install" in lines[0].lower()


def test_output_in_a_missing_directory(recording: Path, tmp_path: Path) -> None:
    """An output that cannot be made is named with the reason: exit code 6."""
    output = tmp_path / "missing" / "events.json"

    assert (6, f"cannot open the output {output}: No such file or directory") == hauberk(
        "replay", recording, "--output", output
    )


def test_output_that_is_a_directory(recording: Path, tmp_path: Path) -> None:
    """A directory is no output: exit code 6."""
    assert (6, f"cannot open the output {tmp_path}: Is a directory") == hauberk(
        "replay", recording, "--output", tmp_path
    )


def test_output_without_permission(recording: Path) -> None:
    """An output that is somebody else's is named with the reason: exit code 6."""
    needs_root()
    with tempfile.TemporaryDirectory() as directory:  # tmp_path is closed to others
        Path(directory).chmod(0o755)
        output = Path(directory, "events.json")

        assert (6, f"cannot open the output {output}: Permission denied") == hauberk(
            "replay", shutil.copy(recording, directory), "--output", output, before=NOBODY
        )


@pytest.mark.parametrize("command", ["agent", "replay"])
def test_unwritable_output_of_root(command: str, recording: Path) -> None:
    """What not even root may write to is exit code 6, for the agent too, and before anything is told."""
    if command == "agent":
        needs_root()
    code, line = hauberk(
        *([command] if command == "agent" else [command, recording]), "--output", "/proc/missing/events"
    )

    assert (6, "cannot open the output /proc/missing/events: No such file or directory") == (code, line)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("HAUBERK_RING_BYTES", "3000000", "power of two"),
        ("HAUBERK_RING_BYTES", "much", "int"),
        ("HAUBERK_ROTATE_BYTES", "-1", ">= 0"),
        ("HAUBERK_OPERATIONS", "process,dance", "dance"),
        ("HAUBERK_RESULTS", "EMPTY", "EMPTY"),
    ],
)
def test_bad_environment(name: str, value: str, what: str) -> None:
    """A bad variable is named, with what is wrong: exit code 2, whoever runs it."""
    code, line = hauberk("agent", environment={name: value})

    assert 2 == code
    assert line.startswith(f"environment variable {name}: ")
    assert what in line


@pytest.mark.parametrize(
    ("content", "at", "what"),
    [
        ("cluster: a\nring_bytes: 5\n", ":2: ", "ring_bytes"),
        ("cluster: a\ncolour: red\n", ":2: ", "no setting is named 'colour'"),
        ("- a\n", ":1: ", "not a list"),
        ("cluster: [\n", ":2: ", ""),
    ],
)
def test_bad_configuration(content: str, at: str, what: str, tmp_path: Path) -> None:
    """A bad setting of a file is told with file and line: exit code 2."""
    path = tmp_path / "hauberk.yaml"
    path.write_text(content)
    code, line = hauberk("agent", "--config", path)

    assert 2 == code
    assert line.startswith(f"{path}{at}")
    assert what in line


def test_missing_configuration(tmp_path: Path) -> None:
    """A configuration that is not there is exit code 2."""
    path = tmp_path / "hauberk.yaml"

    assert (2, f"cannot read the configuration {path}: No such file or directory") == hauberk(
        "agent", "--config", path
    )


def test_bad_result() -> None:
    """A result that does not exist is told with those that do: exit code 2."""
    code, line = hauberk("agent", "--result", "EMPTY")

    assert 2 == code
    assert "'EMPTY' is neither passed, nor failed, nor an error such as EACCES" in line


def test_unknown_option() -> None:
    """What is no option is exit code 2, as everywhere, and no traceback."""
    code, lines = run("-m", "hauberk", "agent", "--nonsense")

    assert 2 == code
    assert any("--nonsense" in line for line in lines)
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize("command", ["agent", "replay"])
def test_unknown_format(command: str, recording: Path) -> None:
    """A format that does not exist is told with those that do: exit code 2."""
    if command == "agent":
        needs_root()
    code, line = hauberk(*([command] if command == "agent" else [command, recording]), "--format", "xml")

    assert 2 == code
    assert "xml" in line
    assert "kubearmor" in line


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("9464", "is not ADDRESS:PORT"),
        ("127.0.0.1:99999", "cannot serve"),
        ("192.0.2.1:9464", "cannot serve"),
    ],
)
def test_bad_metrics_address(address: str, what: str) -> None:
    """An address that metrics cannot be served at is named: exit code 2."""
    needs_root()
    code, line = hauberk("agent", "--metrics", address)

    assert 2 == code
    assert address in line
    assert what in line


def test_missing_recording(tmp_path: Path) -> None:
    """A recording that is not there is exit code 4."""
    path = tmp_path / "recording"

    assert (4, f"cannot read the recording {path}: No such file or directory") == hauberk("replay", path)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"HAUBERK\n", b"HAUBERK\n\1\0\0"], ids=repr)
def test_not_a_recording(content: bytes, tmp_path: Path) -> None:
    """What is no recording is called so, with the command that makes one: exit code 4."""
    path = tmp_path / "recording"
    path.write_bytes(content)

    assert (4, f"{path} is not a recording; `hauberk record FILE` makes one") == hauberk("replay", path)


def test_recording_of_another_version(recording: Path) -> None:
    """A recording of another version says which: exit code 4."""
    content = bytearray(recording.read_bytes())
    content[8:12] = (9999).to_bytes(4, "little")
    recording.write_bytes(content)
    code, line = hauberk("replay", recording)

    assert 4 == code
    assert "ABI 9999" in line


def test_recording_without_its_header(recording: Path) -> None:
    """A header that was cut off or overwritten is damage: exit code 4."""
    whole = recording.read_bytes()
    for content in (
        whole[:20],
        whole[:16] + b"\xff" * len(whole[16:]),
        whole.replace(b"test", b"t\xe2st"),
        whole.replace(b"test", b"te\0t"),
    ):
        recording.write_bytes(content)
        code, line = hauberk("replay", recording)

        assert 4 == code
        assert line.startswith(f"{recording}: the header is damaged")


def test_recording_to_a_missing_directory(tmp_path: Path) -> None:
    """A recording that cannot be made is named with the reason: exit code 6."""
    needs_root()
    path = tmp_path / "missing" / "recording"

    assert (6, f"cannot write the recording {path}: No such file or directory") == hauberk("record", path)


def test_recording_of_an_impossible_time(recording: Path) -> None:
    """A time of boot that is beyond every calendar is damage: exit code 4."""
    whole = recording.read_bytes()
    header = whole[16:].replace(b'"boot_time_ns":0', b'"boot_time_ns":253402300800000000000')
    recording.write_bytes(whole[:12] + len(header).to_bytes(4, "little") + header)
    code, line = hauberk("replay", recording)

    assert 4 == code
    assert line.startswith(f"{recording}: the header is damaged")
