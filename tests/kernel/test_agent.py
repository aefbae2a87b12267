"""The real agent as a process of its own: what it tells, what it counts, and what it survives."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from hauberk.abi import ABI_VERSION
from hauberk.config import Config, Selection
from hauberk.errors import HauberkError
from hauberk.metrics import Ledger, total
from hauberk.sensor.recording import MAGIC
from tests.kernel.actors import ACTOR, ROOT, Actors
from tests.kernel.conftest import Watch

Line = dict[str, Any]
PATIENCE_S = 180
NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
)  # fmt: skip
"""Nobody, who may read everything: the interpreter may lie in somebody's home."""

STRINGS = {"UpdatedTime", "ClusterName", "HostName", "Type", "Source", "Operation", "Data", "Result", "Cwd"}
NUMBERS = {"Timestamp", "HostPPID", "HostPID", "PPID", "PID", "UID"}


class Program:
    """A running `hauberk`, and after `with` what became of it."""

    def __init__(self, arguments: tuple[str, ...], scratch: Path, environment: dict[str, str]) -> None:
        self.scratch = scratch
        self.output = scratch / "events.json"
        self._stderr = (scratch / "stderr").open("w+")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HAUBERK_")}
        with self.output.open("ab") as stdout:
            self.process = subprocess.Popen(
                arguments,
                stdout=stdout,
                stderr=self._stderr,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=inherited | {"PYTHONPATH": str(ROOT / "src"), "HAUBERK_GRPC": "off"} | environment,
            )

    @property
    def stderr(self) -> str:
        return (self.scratch / "stderr").read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._stderr.close()

    def lines(self, path: Path | None = None) -> list[Line]:
        """All that it told; each line must be whole."""
        content = (path or self.output).read_bytes()
        assert not content or content.endswith(b"\n")
        return [json.loads(line) for line in content.splitlines()]

    def count(self, pattern: str) -> int:
        """A number of the ledger on standard error."""
        found = re.search(pattern, self.stderr)
        assert found, self.stderr
        return int(found[1].replace(",", ""))

    def kernel(self, operation: str) -> tuple[int, int, int, int]:
        """Seen, filtered, lost, sent."""
        found = re.search(rf"^{operation} +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)", self.stderr, re.M)
        assert found, self.stderr
        seen, filtered, lost, sent = (int(number.replace(",", "")) for number in found.groups())
        return seen, filtered, lost, sent

    def assert_clean(self) -> None:
        """Ended well, without a word but the ledger, which adds up."""
        assert 0 == self.process.returncode, self.stderr
        assert "ledger  adds up" in self.stderr, self.stderr
        assert "Traceback" not in self.stderr


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Ask again and again, with a generous limit."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def tells(path: Path, marker: Path, act: Callable[[], object] | None = None) -> Callable[[], bool]:
    """Whether the file speaks of the marker, which is opened for it to be seen."""

    def told() -> bool:
        if act:
            act()
        else:
            with suppress(OSError):
                marker.open().close()
        return path.exists() and bytes(marker) in path.read_bytes()

    return told


@contextmanager
def hauberk(
    scratch: Path,
    *arguments: str | Path,
    before: tuple[str, ...] = (),
    ready: Callable[[], bool] | None = None,
    **environment: str,
) -> Iterator[Program]:
    """`hauberk ARGUMENTS`, once it sees something; stopped at the end."""
    program = Program((*before, sys.executable, "-m", "hauberk", *map(str, arguments)), scratch, environment)
    ready = ready or tells(program.output, scratch / "ready")

    def sees_or_ended() -> bool:
        assert program.process.poll() is None, program.stderr
        return ready()

    try:
        wait_until(sees_or_ended, "it sees something")
        yield program
    finally:
        program.stop()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory with a short name, on a tmpfs if there is one."""
    if os.geteuid():
        pytest.skip("needs root")
    tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
    with tempfile.TemporaryDirectory(prefix="hauberk-", dir=tmpfs) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def players() -> Iterator[Actors]:
    """Actors without another sensor beside the agent's."""
    if os.geteuid():
        pytest.skip("needs root")
    if not ACTOR.exists():
        pytest.skip("make -C tests/actors")
    tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
    with (
        tempfile.TemporaryDirectory(prefix="hauberk-", dir=tmpfs) as directory,
        Actors(Path(directory)) as running,
    ):
        yield running


def assert_kubearmor(line: Line) -> None:
    """The fields that every event has, of the right kind."""
    assert [] == [name for name in STRINGS if not isinstance(line.get(name), str)], line
    assert [] == [name for name in NUMBERS if not isinstance(line.get(name), int)], line
    assert line["Type"] in ("HostLog", "ContainerLog")
    assert line["Operation"] in ("Process", "File", "Network", "Syscall")
    assert all(isinstance(value, str) for value in line.get("EventData", {}).values()), line


def shell(script: str, *arguments: str | Path) -> int:
    """Run it; its PID."""
    process = subprocess.Popen(["sh", "-c", script, "sh", *map(str, arguments)], stderr=subprocess.DEVNULL)
    process.wait(PATIENCE_S)
    return process.pid


def test_events_of_a_child(scratch: Path) -> None:
    """A child's opens come out as KubeArmor's JSON, in order, and every event is accounted for."""
    (scratch / "a").touch()
    with hauberk(scratch, "agent") as program:
        pid = shell(': < "$1/a"; : > "$1/b"; : < "$1/none"', scratch)
    program.assert_clean()
    lines = program.lines()
    for line in lines:
        assert_kubearmor(line)
    found = [line for line in lines if line["HostPID"] == pid and str(scratch) in line.get("Resource", "")]
    opened = [line for line in found if line["Operation"] == "File"]

    assert [
        (str(scratch / "a"), "Passed"),
        (str(scratch / "b"), "Passed"),
        (str(scratch / "none"), "No such file or directory"),
    ] == [(line["Resource"], line["Result"]) for line in opened]
    assert {os.getpid()} == {line["HostPPID"] for line in found}
    assert {str(Path("/bin/sh").resolve())} == {line["ProcessName"] for line in opened}
    assert {str(Path(sys.executable).resolve())} == {line["ParentProcessName"] for line in opened}
    own = [line["UpdatedTime"] for line in lines if line["HostPID"] == pid]
    assert sorted(own) == own
    assert program.count(r"delivered ([\d,]+)") == len(lines)


FILTERS: dict[str, tuple[list[str], Callable[[Line, Path], bool]]] = {
    "operation": (["--operation", "process"], lambda line, _: line["Operation"] == "Process"),
    "path-exact": (
        ["--path", "{}/wanted/a"],
        lambda line, scratch: line["Resource"] == f"{scratch}/wanted/a",
    ),
    "path-directory": (
        ["--path", "{}/wanted/"],
        lambda line, scratch: line["Resource"].startswith(f"{scratch}/wanted/"),
    ),
    "path-glob": (
        ["--path", "{}/w*/a*"],
        lambda line, scratch: bool(re.fullmatch(rf"{scratch}/w.*/a.*", line["Resource"])),
    ),
    "paths": (
        ["--path", "{}/wanted/a", "--path", "{}/other/b"],
        lambda line, scratch: line["Resource"] in (f"{scratch}/wanted/a", f"{scratch}/other/b"),
    ),
    "process": (
        ["--process", "{}/bin/sh"],
        lambda line, scratch: line["ProcessName"] == f"{scratch}/bin/sh",
    ),
    "process-directory": (
        ["--process", "{}/bin/"],
        lambda line, scratch: line["ProcessName"].startswith(f"{scratch}/bin/"),
    ),
    "failed": (["--result", "failed"], lambda line, _: line["Result"] != "Passed"),
    "passed": (["--result", "passed"], lambda line, _: line["Result"] == "Passed"),
    "one-error": (
        ["--result", "ENOENT"],
        lambda line, _: line["Result"] == "No such file or directory",
    ),
    "host": (["--host"], lambda line, _: line["Type"] == "HostLog"),
    "all-of-them": (
        ["--operation", "file", "--path", "{}/wanted/", "--process", "{}/bin/sh", "--result", "passed"],
        lambda line, scratch: (
            line["Operation"] == "File"
            and line["Resource"].startswith(f"{scratch}/wanted/")
            and line["ProcessName"] == f"{scratch}/bin/sh"
            and line["Result"] == "Passed"
        ),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filter(name: str, scratch: Path) -> None:
    """Only what is wanted is told, and the rest is counted."""
    options, wanted = FILTERS[name]
    for directory in ("wanted", "other", "bin"):
        (scratch / directory).mkdir()
    for file in ("wanted/a", "wanted/b", "other/a", "other/b"):
        (scratch / file).touch()
    shutil.copy(Path("/bin/sh").resolve(), scratch / "bin/sh")
    script = ": < wanted/a; : < wanted/b; : < other/a; : < other/b; : < wanted/none"
    output = scratch / "out"

    def act() -> None:
        for image in (scratch / "bin/sh", "sh"):
            subprocess.run([image, "-c", f"cd {scratch}; ({script})"], stderr=subprocess.DEVNULL, check=False)

    def ready() -> bool:
        act()
        return output.exists() and output.stat().st_size > 0

    arguments = [option.format(scratch) for option in options]
    with hauberk(scratch, "agent", "-o", output, *arguments, ready=ready) as program:
        act()
    program.assert_clean()
    lines = program.lines(output)

    assert [] == [line for line in lines if not wanted(line, scratch)]
    assert lines


def test_refused_opens(scratch: Path, players: Actors) -> None:
    """`--result EACCES` tells of what was refused, and of nothing else."""
    output = scratch / "out"

    def ready() -> bool:
        players.act("openat-denied")
        return output.exists() and output.stat().st_size > 0

    with hauberk(scratch, "agent", "-o", output, "--result", "EACCES", ready=ready) as program:
        done = players.act("openat-denied")
    program.assert_clean()
    lines = program.lines(output)

    assert {"Permission denied"} == {line["Result"] for line in lines}
    assert done.host_pid in {line["HostPID"] for line in lines}


def test_only_containers(scratch: Path) -> None:
    """With `--container all` nothing of the host is told, however much it does."""
    free = free_port()

    def ready() -> bool:
        shell(": < /dev/null")
        return scrape(free).get("hauberk_decoded_total", 0) > 0

    with hauberk(
        scratch, "agent", "--container", "all", "--metrics", f"127.0.0.1:{free}", ready=ready
    ) as program:
        shell(": < /etc/passwd")
    program.assert_clean()

    assert [] == [line for line in program.lines() if line["Type"] != "ContainerLog"]


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        (Selection(operations=("process",)), "operation"),
        (Selection(results=("failed",)), "result"),
        (Selection(results=("EACCES",)), "result"),
        (Selection(paths=("/nowhere/at/all/",)), "path"),
        (Selection(processes=("/nowhere/at/all/",)), "process"),
    ],
    ids=["operation", "failed", "EACCES", "path", "process"],
)
def test_filtered_in_the_kernel(selection: Selection, reason: str, players: Actors) -> None:
    """What the kernel can decide never enters the ring: of 2,000 opens next to none arrives."""
    try:
        watching = Watch(selection)
    except HauberkError as error:
        pytest.skip(str(error))
    try:
        done = players.act("openat-flood", 100)
        watching.read()  # learns of the image
        before = total(watching.kernel.counts().values())
        done = players.act("openat-flood", 2_000)
        found = watching.read()
        if reason == "process":  # an image is decided once, and each flood is a process of its own: so ours
            for _ in range(2):
                for _ in range(2_000):
                    os.close(os.open("/dev/null", os.O_RDONLY))
                watching.read()
    finally:
        watching.close()
    kernel = total(watching.ledger.kernel.values())

    assert [] == [
        event
        for event in found
        if event.host_pid == done.host_pid and event.resource and event.resource.endswith("/leaf")
    ]
    assert {} == watching.ledger.differences()
    filtered = {name: count - before.filtered[name] for name, count in kernel.filtered.items()}
    assert sum(filtered.values()) >= 2_000, (reason, filtered)


def test_lost_events_are_counted(scratch: Path, players: Actors) -> None:
    """With a reader that stands still and a tiny ring events are lost, and not one of them uncounted."""
    (scratch / "late").touch()
    with hauberk(scratch, "agent", HAUBERK_RING_BYTES=str(1 << 20)) as program:
        program.process.send_signal(signal.SIGSTOP)
        done = players.act("openat-flood", 50_000)
        unknown = subprocess.Popen(  # born when the ring was full: no record tells of it
            ["sh", "-c", f"read x; : < {scratch}/late; read x"], stdin=subprocess.PIPE
        )
        assert unknown.stdin
        program.process.send_signal(signal.SIGCONT)
        wait_until(tells(program.output, scratch / "again"), "it sees again")
        unknown.stdin.write(b"\n")
        unknown.stdin.flush()
        wait_until(lambda: f"{scratch}/late".encode() in program.output.read_bytes(), "the late open is told")
        unknown.stdin.close()
        unknown.wait(PATIENCE_S)
    program.assert_clean()
    lines = program.lines()
    seen, filtered, lost, sent = program.kernel("file")

    assert 50_000 == done.done - 2
    assert lost > 0
    assert seen == filtered + lost + sent
    flood = [line for line in lines if line["HostPID"] == done.host_pid]
    assert 0 < len(flood) < 50_000
    assert {str(ACTOR)} == {line["ProcessName"] for line in flood}
    late = [line for line in lines if line.get("Resource") == f"{scratch}/late"]
    assert [str(Path("/bin/sh").resolve())] == [line["ProcessName"] for line in late]
    assert [str(Path(sys.executable).resolve())] == [line["ParentProcessName"] for line in late]


def test_short_lived_processes(scratch: Path, players: Actors) -> None:
    """Ten thousand processes that live for less than a millisecond: all told, all with their names."""
    with hauberk(scratch, "agent", HAUBERK_RING_BYTES=str(64 << 20)) as program:
        done = players.act("execve-flood", 10_000, timeout_s=300)
    program.assert_clean()
    lines = [line for line in program.lines() if line["HostPPID"] == done.host_ppid]
    starts = [line for line in lines if line["Operation"] == "Process" and line["Result"] == "Passed"]

    assert 0 == sum(program.kernel(operation)[2] for operation in ("process", "file", "syscall"))
    assert [] == [line for line in lines if not line.get("ProcessName") or not line.get("ParentProcessName")]
    assert 10_002 == done.done == len({line["HostPID"] for line in starts})
    assert {str(ACTOR)} == {line["ParentProcessName"] for line in starts}


def test_killed_while_writing(scratch: Path) -> None:
    """Killed in the middle of writing, at most the end is torn; the next agent cuts that off."""
    output = scratch / "out"
    arguments = ("agent", "-o", output, "--path", f"{scratch}/")
    for number in range(3):
        (scratch / f"flood-{number}").mkdir()
        with hauberk(scratch, *arguments, ready=tells(output, scratch / f"ready-{number}")) as program:
            flood = subprocess.Popen(
                [ACTOR, "--dir", scratch / f"flood-{number}", "openat-flood-threads 2 1000000"],
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                enough = output.stat().st_size + 1_000_000
                wait_until(lambda enough=enough: output.stat().st_size > enough, "it writes")  # type: ignore[misc]
                program.process.kill()
                program.process.wait()
            finally:
                os.killpg(flood.pid, signal.SIGKILL)
                flood.wait()
        *whole, torn = output.read_bytes().split(b"\n")
        for content in whole:
            assert_kubearmor(json.loads(content))
        assert b"" == torn or torn.startswith(b'{"')
    marker = scratch / "restarted"
    with hauberk(scratch, *arguments, ready=tells(output, marker)) as program:
        pass
    program.assert_clean()

    for line in program.lines(output):
        assert_kubearmor(line)
    assert (f"cut off {len(torn)} bytes" in program.stderr) == bool(torn)


def test_reopened_on_hangup(scratch: Path, players: Actors) -> None:
    """SIGHUP after a rename begins a new file; no event is missing from both, none is in both."""
    output, old = scratch / "out", scratch / "old"
    arguments = ("agent", "-o", output, "--path", f"{players.directory}/", "--path", f"{scratch}/")
    with hauberk(scratch, *arguments, ready=tells(output, scratch / "ready")) as program:
        first = players.act("openat-flood", 1_000)
        output.rename(old)
        program.process.send_signal(signal.SIGHUP)
        wait_until(tells(output, scratch / "again"), "there is a new file")
        second = players.act("openat-flood", 1_000)
    program.assert_clean()
    lines = program.lines(old) + program.lines(output)

    assert program.count(r"delivered ([\d,]+)") == len(lines)
    opened = Counter(
        line["HostPID"]
        for line in lines  # the actor also makes the file and looks at it, with other flags
        if line["Resource"].endswith("/leaf") and line.get("EventData", {}).get("flags") == "O_RDONLY"
    )
    assert (first.done, second.done) == (opened[first.host_pid], opened[second.host_pid])
    assert [] == [line for line in program.lines(old) if line["HostPID"] == second.host_pid]


def test_rotation(scratch: Path, players: Actors) -> None:
    """Files of the size that was asked for, all of whole lines; no more than are to be kept."""
    output = scratch / "out"
    options = ("--rotate-bytes", "200000", "--rotate-keep", "3")
    with hauberk(scratch, "agent", "-o", output, *options, ready=tells(output, scratch / "ready")) as program:
        for _ in range(12):
            before = output.stat()
            players.act("openat-flood", 500)
            wait_until(lambda before=before: output.stat() != before, "it is written")  # type: ignore[misc]
    program.assert_clean()
    files = {path.name for path in scratch.glob("out*")}

    assert {"out", "out.1", "out.2", "out.3"} == files
    times = []
    for name in ("out.3", "out.2", "out.1", "out"):
        lines = program.lines(scratch / name)
        assert lines
        times += [line["Timestamp"] for line in lines]
    assert sorted(times) == times


def test_full_disk(scratch: Path, players: Actors) -> None:
    """A full disk costs one complaint and the events that found no room; room again, it goes on."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare")
    small = scratch / "small"
    small.mkdir()
    before = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=4m none {small} && exec "$@"', "sh")
    arguments = ("agent", "-o", small / "out", "--path", f"{players.directory}/", "--path", f"{scratch}/")
    inside = Path("/")

    def ready() -> bool:
        return tells(inside / "out", scratch / "ready")()

    program = Program(
        (*before, sys.executable, "-m", "hauberk", *map(str, arguments)),
        scratch,
        {"HAUBERK_QUEUE_EVENTS": "1000"},
    )
    inside = Path(f"/proc/{program.process.pid}/root{small}")  # the mount is the agent's alone
    try:
        wait_until(ready, "it sees something")
        for _ in range(20):
            players.act("openat-flood", 900)
            time.sleep(0.1)
        wait_until(lambda: "No space left on device" in program.stderr, "it complains")
        assert program.process.poll() is None
        *whole, _ = (inside / "out").read_bytes().split(b"\n")  # the end may be a write that is taken back
        for content in whole:
            assert_kubearmor(json.loads(content))
        wait_until(lambda: (inside / "out").read_bytes().endswith(b"\n"), "the torn end is taken back")
        os.truncate(inside / "out", 0)
        wait_until(lambda: "the output works again" in program.stderr, "it writes again")
        wait_until(tells(inside / "out", scratch / "room"), "it goes on")
    finally:
        program.stop()
    program.assert_clean()

    assert 1 == program.stderr.count("No space left on device")
    assert 1 == program.stderr.count("the output works again")
    assert program.count(r"dropped ([\d,]+) \(queue full") > 0
    assert program.count(r"events ([\d,]+)") == program.count(r"delivered ([\d,]+)") + program.count(
        r"dropped ([\d,]+)"
    )


def test_output_that_takes_nothing(scratch: Path, players: Actors) -> None:
    """An output that is always full costs one line and all events; the end is clean."""
    with hauberk(
        scratch, "agent", "-o", "/dev/full", ready=lambda: shell(": < /dev/null") > 0 and complained(scratch)
    ) as program:
        players.act("openat-flood", 100)
    program.assert_clean()

    assert 1 == program.stderr.count("No space left on device")
    assert 0 == program.count(r"delivered ([\d,]+)")
    assert program.count(r"events ([\d,]+)") == program.count(r"dropped ([\d,]+)")


def complained(scratch: Path) -> bool:
    return "hauberk: cannot write to /dev/full" in (scratch / "stderr").read_text()


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def scrape(port: int) -> dict[str, float]:
    """Samples by name, summed over labels; empty as long as nobody answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.M):
        found[name] = found.get(name, 0) + float(value)
    return found


def adds_up(found: dict[str, float]) -> bool:
    """Seen in the kernel is what was filtered, lost and sent."""
    parts = ("filtered", "lost", "sent")
    return found.get("hauberk_kernel_seen_total", 0) == sum(
        found.get(f"hauberk_kernel_{part}_total", 0) for part in parts
    )


def test_metrics(scratch: Path, players: Actors) -> None:
    """Prometheus reads the ledger: it adds up when it rests, never falls, and ends where the ledger does."""
    port = free_port()
    with hauberk(scratch, "agent", "--metrics", f"127.0.0.1:{port}") as program:
        first = scrape(port)
        players.act("openat-flood", 1_000)
        wait_until(lambda: adds_up(scrape(port)), "it adds up")  # events may come between two reads
        second = scrape(port)
    program.assert_clean()

    assert first["hauberk_kernel_seen_total"] + 1_000 <= second["hauberk_kernel_seen_total"]
    assert [] == [
        name
        for name, value in first.items()
        if name.startswith("hauberk_") and name.endswith("_total") and second[name] < value
    ]
    assert second["hauberk_kernel_seen_total"] <= sum(
        program.kernel(operation)[0] for operation in ("process", "file", "network", "syscall")
    )
    assert second["hauberk_delivered_total"] <= program.count(r"delivered ([\d,]+)")
    assert 0 == second["hauberk_unknown_total"]


def without_times(lines: list[Line]) -> list[Line]:
    """Two processes round the time of boot differently, by some microseconds."""
    return [
        {name: value for name, value in line.items() if name not in ("Timestamp", "UpdatedTime")}
        for line in lines
    ]


def replay_as_nobody(recording: Path, scratch: Path) -> tuple[list[Line], str]:
    """What is told of a recording, and standard error."""
    with recording.open("rb") as stdin:
        done = subprocess.run(
            [*NOBODY, sys.executable, "-m", "hauberk", "replay", "/dev/stdin", "--format", "kubearmor"],
            stdin=stdin,
            capture_output=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            check=False,
            timeout=PATIENCE_S,
        )
    assert 0 == done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_record_and_replay(scratch: Path, players: Actors) -> None:
    """A replay needs no privileges, and tells what the agent told that watched at the same time."""
    (scratch / "agent").mkdir()
    (scratch / "record").mkdir()
    recording = scratch / "recording"
    with (
        hauberk(scratch / "agent", "agent") as live,
        hauberk(
            scratch / "record", "record", recording, ready=tells(recording, scratch / "record" / "ready")
        ) as recorder,
    ):
        played = {
            players.act(case).host_pid
            for case in ("openat-symlinked", "openat-denied", "connect-ipv4", "unlink-file")
        }
        flood = players.act("openat-flood", 500)
    live.assert_clean()
    assert 0 == recorder.process.returncode, recorder.stderr
    replayed, said = replay_as_nobody(recording, scratch)
    played.add(flood.host_pid)
    told = [line for line in live.lines() if line["HostPID"] in played]

    assert "ledger  adds up" in said
    assert len(told) > 500
    assert without_times(told) == without_times([line for line in replayed if line["HostPID"] in played])


def test_ledger_of_a_recording(scratch: Path) -> None:
    """What the kernel sent is what the recording holds, so this ledger adds up too."""
    recording = scratch / "recording"
    with hauberk(scratch, "record", recording, ready=tells(recording, scratch / "ready")) as program:
        pass

    program.assert_clean()


def test_damaged_recording(scratch: Path, players: Actors, capfd: pytest.CaptureFixture[str]) -> None:
    """Cut off or with one bit changed, a recording is replayed as far as it goes, and the damage is told."""
    from hauberk.agent import replay

    recording, damaged, output = scratch / "recording", scratch / "damaged", scratch / "told"
    with hauberk(
        scratch,
        "record", recording, "--path", f"{scratch}/",
        ready=tells(recording, scratch / "ready"),
    ) as program:  # fmt: skip
        for number in range(20):
            shell(': < "$1"', scratch / f"file-{number}")
    assert 0 == program.process.returncode, program.stderr
    whole = recording.read_bytes()
    assert whole.startswith(MAGIC + ABI_VERSION.to_bytes(4, "little"))
    header = len(MAGIC) + 12 + int.from_bytes(whole[12:16], "little")
    between, at = set(), header
    while at < len(whole):
        between.add(whole[:at])
        at += 8 + int.from_bytes(whole[at : at + 4], "little")
    chance = random.Random(7)
    contents = [whole[: chance.randrange(header + 1, len(whole))] for _ in range(40)]
    for at in [chance.randrange(header * 8) for _ in range(80)] + [
        chance.randrange(header * 8, len(whole) * 8) for _ in range(120)
    ]:
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        contents.append(bytes(flipped))
    for content in contents:
        damaged.write_bytes(content)
        output.unlink(missing_ok=True)
        try:
            replay(Config(output=str(output), format="kubearmor"), damaged, Ledger())
        except HauberkError:
            continue
        said = capfd.readouterr().err
        assert [] == [line for line in program.lines(output) if not isinstance(line["Operation"], str)]
        # the header is text without a checksum, and a cut may fall between two chunks: nobody can see that
        if content[:header] == whole[:header] and content not in between:
            assert "damaged" in said or "cut off" in said
