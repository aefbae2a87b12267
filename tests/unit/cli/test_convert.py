import gzip
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hauberk.cli.main import app
from hauberk.errors import ConfigError, DecodeError, HauberkError, SinkError
from hauberk.formats.cef import Cef
from hauberk.formats.kubearmor import encode
from hauberk.formats.kubearmor_reader import read_line
from tests.events import ALERT, EVENT

ONE, TWO = encode(EVENT), encode(ALERT)
BOTH = ONE + b"\n" + TWO + b"\n"


def run(*arguments: str, given: bytes = b"") -> tuple[int, bytes, str]:
    """Exit code, standard output, standard error."""
    command = [sys.executable, "-m", "hauberk", "convert", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def test_our_own_lines_stay_as_they_are() -> None:
    assert run("--to", "kubearmor", given=BOTH) == (
        0,
        BOTH,
        "hauberk: 2 events converted, 0 lines rejected\n",
    )


def test_into_a_format_with_settings() -> None:
    code, written, _ = run("--to", "cef", "--set", "profile=minimal", "--set", "event_id=false", given=BOTH)
    form = Cef(profile="minimal", event_id=False).make()

    assert code == 0
    assert written == form.join([form.encode(read_line(line)) for line in (ONE, TWO)])


def test_syslog() -> None:
    _, written, _ = run("--to", "cef", "--syslog", "rfc3164", given=BOTH)

    assert [line[:42] for line in written.splitlines()] == [
        b"<166>Jun 27 12:21:47 node-1 CEF:0|Hauberk|",
        b"<164>Jun 27 12:21:47 node-1 CEF:0|Hauberk|",
    ]


def test_files_packed_or_not(tmp_path: Path) -> None:
    plain, packed, output = tmp_path / "plain", tmp_path / "packed.gz", tmp_path / "output"
    plain.write_bytes(BOTH)
    packed.write_bytes(gzip.compress(BOTH))

    assert run("--to", "kubearmor", "-o", str(output), str(plain), str(packed))[0] == 0
    assert output.read_bytes() == BOTH + BOTH
    assert output.stat().st_mode & 0o777 == 0o600
    assert run("--to", "kubearmor", given=gzip.compress(BOTH))[1] == BOTH


def test_bad_lines_are_named_and_kept(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects"
    code, written, told = run(
        "--to", "kubearmor", "--rejects", str(rejects), given=b"\x1b[2J\n" + BOTH + b"{}\n"
    )

    assert code == DecodeError.exit_code
    assert written == BOTH
    assert rejects.read_bytes() == b"\x1b[2J\n{}\n"
    assert told.splitlines()[1:] == [
        "hauberk: -:4: no event of KubeArmor's: it names no Operation",
        f"hauberk: 2 events converted, 2 lines rejected, kept in {rejects}",
    ]
    assert told.startswith("hauberk: -:1: ")
    assert told.replace("\n", "").isprintable()


def test_only_the_first_bad_lines_are_named() -> None:
    told = run("--to", "kubearmor", given=b"bad\n" * 1000)[2].splitlines()

    assert len(told) == 22
    assert told[-1] == "hauberk: 0 events converted, 1,000 lines rejected"


def test_damaged_gzip_gives_what_it_held() -> None:
    content = gzip.compress(os.urandom(100) + b"\n" + BOTH * 1000, compresslevel=0)
    code, written, told = run("--to", "kubearmor", given=content[: len(content) // 2])

    assert code == DecodeError.exit_code
    assert written.startswith(BOTH)
    assert told.splitlines()[-1] == (
        "hauberk: -: its gzip is damaged: Compressed file ended before the end-of-stream marker was reached"
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "problem"),
    [
        ((), ConfigError, "say into what: --to cef"),
        (("--to", "html"), ConfigError, "no format is named 'html'"),
        (("--to", "cef", "--set", "profile"), ConfigError, "NAME=VALUE"),
        (("--to", "cef", "--set", "colour=1"), ConfigError, "its settings are version"),
        (("--to", "cef", "/nowhere/at/all"), ConfigError, "cannot read /nowhere/at/all: No such file"),
        (("--to", "cef", "/"), ConfigError, "cannot read /: Is a directory"),
        (("--to", "cef", "-o", "/nowhere/at/all"), SinkError, "cannot write /nowhere/at/all: No such file"),
        (("--to", "otel-protobuf", "--syslog", "rfc5424"), ConfigError, "lines of text"),
    ],
)
def test_what_cannot_be(arguments: tuple[str, ...], kind: type[HauberkError], problem: str) -> None:
    done = CliRunner().invoke(app, ["convert", *arguments])

    assert isinstance(done.exception, kind)
    assert re.search(problem, str(done.exception))


def test_reader_that_has_enough_ends_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(BOTH * 20_000)
    command = [sys.executable, "-m", "hauberk", "convert", "--to", "kubearmor", str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == ONE + b"\n"
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(BOTH * 5000)
    main, terminal = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "hauberk",
        "convert",
        "--to",
        "text",
        "-o",
        str(tmp_path / "output"),
        str(source),
    ]
    with os.fdopen(main, "rb", buffering=0) as screen, os.fdopen(terminal, "wb") as far:
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
        subprocess.run(command, stderr=far, check=True, env=environment)
        shown = screen.read(1 << 16)

    assert b"converting" in shown
    assert b"10,000 events converted" in shown
