"""Settings and their sources."""

import errno
from pathlib import Path

import pytest

from hauberk.abi import Operation
from hauberk.config import Selection, read_config
from hauberk.errors import ConfigError


def test_stronger_sources_win(tmp_path: Path) -> None:
    """File, then environment, then flags."""
    path = tmp_path / "hauberk.yaml"
    path.write_text("cluster: of-file\nhost: of-file\nformat: of-file\n")
    found = read_config(
        path,
        environment={"HAUBERK_HOST": "of-environment", "HAUBERK_FORMAT": "of-environment"},
        flags={"format": "of-flag", "cluster": None},
    )

    assert (found.cluster, found.host, found.format) == ("of-file", "of-environment", "of-flag")


def test_lists_in_the_environment() -> None:
    """Commas separate."""
    found = read_config(environment={"HAUBERK_OPERATIONS": "file,network"})

    assert found.operations == ("file", "network")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cluster: a\noperatoins: [file]\n",
            r"hauberk.yaml:2: no setting is named 'operatoins'; there are cluster,",
        ),
        ("cluster: a\n\noperations: [files]\n", r"hauberk.yaml:3: .*'files'"),
        ("cluster: [", r"hauberk.yaml:1: "),
        ("- a\n", r"hauberk.yaml:1: settings are `name: value` lines, not a list"),
        ("ring_bytes: 3000000\n", r"hauberk.yaml:1: ring_bytes 3000000 is not a power of two"),
        ("results: [EWRONG]\n", r"hauberk.yaml:1: result 'EWRONG' is neither passed, nor failed"),
        ("rotate_keep: 0\n", r"hauberk.yaml:1: .*1"),
        ("file: a\n", r"hauberk.yaml:1: no setting is named 'file'"),
        (
            "outputs:\n- name: a\n  sink: stdout\n- name: b\n  sink: stdout\n  filter:\n    type: alarm\n",
            r"hauberk.yaml:7: .*'alarm' in `outputs\[1\].filter.type`",
        ),
        (
            "outputs:\n- name: a\n  sink: stdout\n  filter: {typ: alert}\n",
            r"hauberk.yaml:4: no setting is named 'typ'; there are operations, type, .* in `outputs\[0\].filter.typ`",
        ),
        (
            "cluster: a\noutputs:\n- name: a\n",
            r"hauberk.yaml:3: .*`sink` in `outputs\[0\]`",
        ),
        ("outputs:\n- {name: ../a, sink: stdout}\n", r"hauberk.yaml:2: .* in `outputs\[0\].name`"),
        (
            "outputs:\n- {name: a, sink: stdout}\n- {name: a, sink: stdout}\n",
            r"hauberk.yaml:1: more than one of the outputs is named 'a'",
        ),
        (
            "outputs:\n- {name: a, sink: stdout, spool_bytes: 5}\n",
            r"hauberk.yaml:2: spool_bytes is 0 or at least 1,048,576, not 5",
        ),
        (
            "outputs:\n- {name: a, sink: stdout}\nformat: text\n",
            r"hauberk.yaml:3: format is a short way to say what one output is",
        ),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    """Whoever wrote the file is told where to look."""
    path = tmp_path / "hauberk.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=message):
        read_config(path, environment={})


def test_one_output_of_the_command_line(tmp_path: Path) -> None:
    """Who asks for an output on the command line gets that one, not one more."""
    path = tmp_path / "hauberk.yaml"
    path.write_text("outputs:\n- {name: a, sink: stdout}\n")

    assert ["a"] == [output.name for output in read_config(path, environment={}).outputs]
    assert () == read_config(path, environment={}, flags={"output": "-"}).outputs
    assert () == read_config(path, environment={"HAUBERK_FORMAT": "text"}).outputs


def test_errors_name_the_variable() -> None:
    """The same for the environment."""
    with pytest.raises(ConfigError, match=r"environment variable HAUBERK_RING_BYTES: .*int"):
        read_config(environment={"HAUBERK_RING_BYTES": "many"})


def test_missing_file() -> None:
    """A file that is not there is an error, not an empty configuration."""
    with pytest.raises(ConfigError, match="cannot read the configuration /nonexistent: No such file"):
        read_config(Path("/nonexistent"), environment={})


def test_operation_bits() -> None:
    """One bit an operation, as the kernel programs read them."""
    assert (
        Selection(operations=("file", "network")).operation_bits
        == 1 << Operation.FILE | 1 << Operation.NETWORK
    )


@pytest.mark.parametrize(
    ("results", "passed", "has_eacces", "has_enoent"),
    [
        ((), True, True, True),
        (("passed",), True, False, False),
        (("failed",), False, True, True),
        (("EACCES",), False, True, False),
        (("passed", "EACCES"), True, True, False),
    ],
)
def test_results(results: tuple[str, ...], passed: bool, has_eacces: bool, has_enoent: bool) -> None:
    """Nothing named means everything."""
    selection = Selection(results=results)

    assert selection.passed == passed
    assert (errno.EACCES in selection.errors, errno.ENOENT in selection.errors) == (has_eacces, has_enoent)


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        ((), "/etc/passwd", True),
        (("/etc/passwd",), "/etc/passwd", True),
        (("/etc/passwd",), "/etc/passwd-", False),
        (("/etc/",), "/etc/ssl/key", True),
        (("/etc/",), "/etcetera", False),
        (("/etc/*.conf",), "/etc/a/b.conf", True),
        (("*/python3*",), "/usr/bin/python3.11", True),
        (("/bin/sh", "/etc/"), "/etc/x", True),
        (("/etc/",), None, False),
    ],
)
def test_wants_path(patterns: tuple[str, ...], path: str | None, expected: bool) -> None:
    """A path, a directory with all below it, or a glob."""
    assert Selection(paths=patterns).wants_path(path) == expected


@pytest.mark.parametrize(
    ("paths", "expected"),
    [((), b""), (("/etc/",), b"/etc/"), (("/etc/*.conf",), b"/etc/"), (("/a", "/b"), b""), (("*",), b"")],
)
def test_prefix(paths: tuple[str, ...], expected: bytes) -> None:
    """The kernel is told what all wanted paths begin with, if that is one thing."""
    assert Selection(paths=paths).prefix == expected


@pytest.mark.parametrize(
    ("selection", "host", "container"),
    [
        (Selection(), True, True),
        (Selection(workloads="host"), True, False),
        (Selection(workloads="containers"), False, True),
        (Selection(containers=("72de",)), False, True),
        (Selection(containers=("web",)), False, True),
        (Selection(containers=("beef",)), False, False),
    ],
)
def test_wants_workload(selection: Selection, host: bool, container: bool) -> None:
    """The host, containers by ID, its beginning, or name."""
    assert selection.wants_workload(None, None) == host
    assert selection.wants_workload("72de193fc8d8", "web") == container
