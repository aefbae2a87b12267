"""The house rules that a tool can check."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hauberk.config import SETTINGS
from hauberk.decode.syscalls import SLOTS
from hauberk.formats import FORMATS
from hauberk.runtimes import RUNTIMES
from hauberk.sinks import SINKS

ROOT = Path(__file__).parents[2]
C_FILES = sorted([*ROOT.glob("bpf/*.[ch]"), *ROOT.glob("bpf/lib/*.h"), *ROOT.glob("bpf/tests/*.c")])
PROGRAM = re.compile(r'SEC\("([^"]+)"\)\s*\n\s*int BPF_PROG\((\w+)')
MAP = re.compile(r"\} (\w+) SEC\(\"\.maps\"\)")


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_kernel_source_names_its_licence(path: Path) -> None:
    """Each C file begins with the dual licence."""
    first = path.read_text().splitlines()[0]

    assert "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause" in first


@pytest.mark.parametrize("path", sorted(ROOT.glob("bpf/*.bpf.c")), ids=lambda path: path.name)
def test_program_file_lists_its_hooks(path: Path) -> None:
    """The comment at the top names every hook that a file attaches to."""
    text = path.read_text()
    head = text[: text.index("*/")]
    # a family of functions is listed by its first name in full and the endings of the others
    missing = {
        hook
        for hook, _ in PROGRAM.findall(text)
        if hook.split("/")[1] not in head and "_" + hook.rpartition("_")[2] not in head
    }

    assert missing == set()


def test_every_call_with_a_hook_has_its_program() -> None:
    """What the catalogue says that rules can deny, a program does."""
    text = (ROOT / "bpf/lsm_call.bpf.c").read_text()
    decided = set(re.findall(r"(?:, |judge_call\()LSM_(\w+)\)", text))

    assert decided == {row.hook.name for row in SLOTS.values() if row.hook}


def test_kernel_names_are_shown_whole() -> None:
    """Programs and maps have names of at most 15 characters; the kernel cuts longer ones."""
    names = [name for path in C_FILES for _, name in PROGRAM.findall(path.read_text())]
    names += [name for path in C_FILES for name in MAP.findall(path.read_text())]

    assert names
    assert [name for name in names if len(name) > 15] == []


def test_formats_are_documented() -> None:
    """Each format has its page; another way to write the same, as `otel-protobuf` is, stands on the page of `otel`."""
    pages = {page.stem: page.read_text() for page in ROOT.glob("docs/formats/*.md")}
    page_of = {name: name.partition("-")[0] for name in FORMATS.names()}

    assert set(page_of.values()) == pages.keys()
    assert [name for name, page in page_of.items() if name not in pages[page]] == []


def test_settings_are_documented() -> None:
    """Each setting stands in docs/configuration.md."""
    text = (ROOT / "docs/configuration.md").read_text()
    missing = [name for name in SETTINGS if f"`{name}`" not in text]

    assert missing == []


def test_shelves_load() -> None:
    """Every name on a shelf stands for something that exists."""
    for shelf in (FORMATS, RUNTIMES, SINKS):
        for name in shelf.names():
            assert callable(shelf.load(name))


@pytest.mark.parametrize(
    "command", ["agent", "convert", "logs", "outputs", "policy", "probe", "record", "replay", "workloads"]
)
def test_commands_have_help(command: str) -> None:
    """Each command says what it does."""
    done = subprocess.run(
        [sys.executable, "-m", "hauberk", command, "--help"], capture_output=True, text=True, check=True
    )

    assert "Usage" in done.stdout


def test_help_needs_no_kernel() -> None:
    """The command line can be imported without the agent, its programs or the metrics server."""
    code = "import sys, hauberk.cli.main; print(*sorted(m for m in sys.modules if m.startswith('hauberk') or 'prom' in m or 'grpc' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()

    assert "hauberk.agent" not in loaded
    assert "prometheus_client" not in loaded
    assert "grpc" not in loaded


@pytest.mark.parametrize(
    ("generated", "command"),
    [
        ("src/hauberk/abi.py", ["tools/gen_abi.py", "build/abi.bpf.o"]),
        ("src/hauberk/constants.py", ["tools/gen_constants.py"]),
        ("src/hauberk/manifests/crds.yaml", ["tools/gen_crds.py"]),
    ],
)
def test_generated_file_is_fresh(generated: str, command: list[str], tmp_path: Path) -> None:
    """What is generated is what the generator would write today."""
    if "abi" in generated:
        subprocess.run(["make", "--silent", "build/abi.bpf.o"], cwd=ROOT, check=True)
    target = tmp_path / "generated.py"
    subprocess.run([sys.executable, *command, str(target)], cwd=ROOT, check=True)

    assert target.read_text() == (ROOT / generated).read_text()


def test_deploy_is_fresh(tmp_path: Path) -> None:
    """The chart, the manifests and the unit are what their templates give today."""
    subprocess.run([sys.executable, "tools/gen_chart.py", str(tmp_path)], cwd=ROOT, check=True)
    generated = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())

    assert len(generated) > 8
    for path in generated:
        assert (tmp_path / path).read_text() == (ROOT / "deploy" / path).read_text()
    kept = {path.relative_to(ROOT / "deploy") for path in (ROOT / "deploy").rglob("*") if path.is_file()}
    assert kept - set(generated) == {Path("Dockerfile")}


def test_wire_contracts_are_fresh(tmp_path: Path) -> None:
    """What is generated from the rooms' folders of proto/ is what the generator would write today."""
    contracts = sorted(str(path.relative_to(ROOT / "proto")) for path in ROOT.glob("proto/*/*.proto"))
    flags = [f"-I{ROOT / 'proto'}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, *contracts], check=True)
    generated = sorted(path for path in tmp_path.rglob("*_pb2.py*"))

    assert len(generated) == 2 * len(contracts)
    for path in generated:
        assert path.read_text() == (ROOT / "src/hauberk" / path.relative_to(tmp_path)).read_text()


def test_wire_contract_of_tests_is_fresh(tmp_path: Path) -> None:
    """The same for what the tests speak to runtimes."""
    source = ROOT / "tests/kernel/runtimes"
    flags = [f"-I{source}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, "cri_calls.proto"], check=True)

    for path in tmp_path.iterdir():
        assert path.read_text() == (source / path.name).read_text()
