"""`hauberk logs` as people meet it: a process of its own against a real server."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.api.door import Door
from hauberk.api.feed import Feed
from hauberk.cli.logs import compile_wanted
from hauberk.config import Config, OutputFilter
from hauberk.formats import kubearmor
from hauberk.metrics import FeedCounts
from hauberk.model.event import Event, Node
from hauberk.model.workload import Workload
from tests.events import ALERT, EVENT
from tests.unit.api.certificates import make_ca, make_certificate

ROOT = Path(__file__).parents[3]
SOON_S = 60.0
WEB = Workload("0123abcd" * 8, "web", "nginx:1", "shop", "web-7f", {"app": "web", "tier": "front"})


def until(condition: Callable[[], Any], what: str = "") -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Agent:
    """The part of one that readers meet."""

    def __init__(self, port: int = 0, **settings: Any) -> None:
        self.counts = FeedCounts()
        self.feed = Feed(Node("node-1"), self.counts)
        config = Config(grpc=f"127.0.0.1:{port}", grpc_health="off", **settings)
        said: list[str] = []
        self.door = Door(config, self.feed, None, said.append)
        assert self.door.ports, said
        (self.port,) = self.door.ports

    def readers(self, stream: str) -> int:
        """How many are there now."""
        return sum(name.startswith(f"{stream} ") for name in list(self.counts.readers))


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()
    yield agent
    agent.door.close()


class Relay:
    """A connection that can be cut while both ends live."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._is_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)

    def cut(self) -> None:
        self._is_cut = True
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def mend(self) -> None:
        self._is_cut = False


class Logs:
    """A running `hauberk logs`."""

    def __init__(self, scratch: Path, *arguments: str) -> None:
        self._out, self._err = scratch / "out", scratch / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hauberk", "logs", *arguments],
                stdout=out,
                stderr=err,
                env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "TZ": "UTC0"},
            )

    @property
    def out(self) -> bytes:
        return self._out.read_bytes()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The whole ones so far."""
        return [json.loads(line) for line in self.out.rpartition(b"\n")[0].splitlines()]

    def end(self) -> int:
        """The exit code that it comes to by itself."""
        return self.process.wait(SOON_S)

    def interrupt(self) -> int:
        """The exit code after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(SOON_S)


@contextmanager
def logs(
    scratch: Path, agent: Agent, *arguments: str, at: int = 0, readers: Sequence[str] = ("alerts",)
) -> Iterator[Logs]:
    """Once the agent knows it."""
    running = Logs(scratch, "--grpc", f"localhost:{at or agent.port}", *arguments)
    try:
        until(lambda: all(map(agent.readers, readers)) or running.process.poll() is not None)
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def numbered(*numbers: int) -> list[Event]:
    return [replace(ALERT, host_pid=number) for number in numbers]


def run(scratch: Path, *arguments: str) -> tuple[int, str]:
    running = Logs(scratch, *arguments)
    return running.process.wait(SOON_S), running.err


def test_what_is_printed_is_what_an_output_would_write(agent: Agent, tmp_path: Path) -> None:
    """The native JSON, alerts and logs in the order in which they came; protobuf knows no order in EventData."""
    events = [
        EVENT,
        ALERT,
        replace(EVENT, workload=WEB, user=None),
        replace(ALERT, workload=WEB, user=None, uid=0),
    ]
    with logs(tmp_path, agent, "--filter", "all", "--limit", "4", readers=("alerts", "logs")) as running:
        for event in events:
            before = len(running.out.splitlines())
            agent.feed.put([event])
            until(lambda before=before: len(running.out.splitlines()) > before)  # type: ignore[misc]
        assert running.end() == 0
        expected = [json.loads(kubearmor.encode(event)) for event in events]
        assert running.lines() == expected
        assert [list(line) for line in running.lines()] == [list(line) for line in expected]
        assert running.err == ""


def test_alerts_are_what_is_shown_unless_asked_otherwise(agent: Agent, tmp_path: Path) -> None:
    """As with karmor. In text: the time, who, what, and by which policy."""
    with logs(tmp_path, agent, "--format", "text", "--limit", "1") as running:
        agent.feed.put([EVENT, ALERT])
        assert running.end() == 0
        assert running.out.decode().startswith("12:21:47.932 File    host")
        assert "Block no-passwd (severity 5)" in running.out.decode()


WANTED: list[tuple[dict[str, Any], str]] = [
    ({"operations": ("network",)}, "net"),
    ({"operations": ("network", "process")}, "net exec"),
    ({"namespaces": ("sh*",)}, "web"),
    ({"policies": ("no-p*",)}, "alert"),
    ({"min_severity": 5}, "alert"),
    ({"min_severity": 6}, ""),
    ({"pods": ("web-*",)}, "web"),
    ({"containers": ("web",)}, "web"),
    ({"containers": ("0123abcd0123",)}, "web"),
    ({"containers": ("all",)}, "web"),
    ({"containers": ("other",)}, ""),
    ({"labels": ("tier=front", "app=other")}, "web"),
    ({"labels": ("tier=back",)}, ""),
    ({"processes": ("/usr/sbin/",)}, "net"),
    ({"resources": ("/srv/",)}, "exec"),
    ({"resources": ("*passwd",), "namespaces": ("shop",)}, "web"),
    ({}, "web alert net exec"),
]


@pytest.mark.parametrize(("asked", "wanted"), WANTED, ids=str)
def test_filters(asked: dict[str, Any], wanted: str) -> None:
    """Everything must hold; of several of one kind, one must."""
    events = {
        "web": replace(EVENT, workload=WEB),
        "alert": ALERT,
        "net": replace(
            EVENT,
            operation=Operation.NETWORK,
            resource="1.2.3.4",
            process=replace(EVENT.process, executable="/usr/sbin/sshd"),
        ),
        "exec": replace(EVENT, operation=Operation.PROCESS, resource="/srv/run"),
    }
    common = {name: asked[name] for name in asked if name in OutputFilter.__struct_fields__}
    others = {name: asked[name] for name in asked if name not in common}
    wants = compile_wanted(OutputFilter(**common), **others)

    assert [name for name, event in events.items() if wants(event)] == wanted.split()


def test_agent_that_is_started_anew_is_followed(tmp_path: Path) -> None:
    """What comes while nobody is connected is there afterwards, once; a gap is said."""
    first = Agent()
    with logs(tmp_path, first, "--filter", "policy") as running:
        first.feed.put(numbered(1, 2))
        until(lambda: len(running.lines()) == 2)
        first.door.close()
        until(lambda: "trying again" in running.err)
        second = Agent(first.port)
        second.feed.put(numbered(3, 4))
        until(lambda: len(running.lines()) == 4)
        assert [line["HostPID"] for line in running.lines()] == [1, 2, 3, 4]
        assert "the agent stops; trying again" in running.err
        assert "connected again" in running.err
        assert "the agent was started anew" in running.err
        assert running.interrupt() == 0
    second.door.close()


def test_break_of_the_connection_costs_nothing(agent: Agent, tmp_path: Path) -> None:
    """With the agent still there, it goes on behind the last that it has printed."""
    with Relay(agent.port) as relay, logs(tmp_path, agent, at=relay.port) as running:
        agent.feed.put(numbered(1, 2))
        until(lambda: len(running.lines()) == 2)
        relay.cut()
        until(lambda: not agent.readers("alerts"))
        agent.feed.put(numbered(3, 4))
        relay.mend()
        until(lambda: len(running.lines()) == 4)
        agent.feed.put(numbered(5))
        until(lambda: len(running.lines()) == 5)
        assert [line["HostPID"] for line in running.lines()] == [1, 2, 3, 4, 5]
        assert "missing" not in running.err


def test_what_is_missing_is_said(agent: Agent, tmp_path: Path) -> None:
    """Exactly how many."""
    with Relay(agent.port) as relay, logs(tmp_path, agent, at=relay.port) as running:
        agent.feed.put(numbered(1))
        until(lambda: len(running.lines()) == 1)
        relay.cut()
        until(lambda: not agent.readers("alerts"))
        agent.feed.put(numbered(*range(2, 20_000)))
        relay.mend()
        until(lambda: running.lines()[-1]["HostPID"] == 19_999)
        pids = [line["HostPID"] for line in running.lines()]
        assert f"{19_999 - len(pids):,} are missing" in running.err
        assert pids[1:] == list(range(pids[1], 20_000))


def test_messages_and_recent(agent: Agent, tmp_path: Path) -> None:
    """What the agent keeps, and what it says of itself; its words cannot move a terminal's cursor."""
    agent.feed.say("the policies in force \x1b[2J stay", "ERROR")
    agent.feed.put([ALERT])
    with logs(tmp_path, agent, "--recent", "--messages", readers=("alerts", "messages")) as running:
        until(lambda: running.out and running.err)
        assert running.err == "hauberk: ERROR the policies in force \\x1b[2J stay\n"
        assert len(running.lines()) == 1


def test_next_run_goes_on(agent: Agent, tmp_path: Path) -> None:
    """With a file for its place, what comes between two runs is not missing, and nothing is printed twice."""
    place = tmp_path / "place"
    with logs(tmp_path, agent, "--cursor-file", str(place), "--limit", "2") as running:
        agent.feed.put(numbered(1, 2))
        assert running.end() == 0
        assert [line["HostPID"] for line in running.lines()] == [1, 2]
    agent.feed.put(numbered(3, 4))
    with logs(tmp_path, agent, "--cursor-file", str(place)) as running:
        until(lambda: len(running.lines()) == 2)
        assert [line["HostPID"] for line in running.lines()] == [3, 4]
        until(
            lambda: json.loads(place.read_text())["alerts"].endswith("-4"),
            "the place is written while it waits",
        )
        assert running.interrupt() == 0


def test_next_run_says_what_is_missing(agent: Agent, tmp_path: Path) -> None:
    """If it comes too late for some."""
    place = tmp_path / "place"
    place.write_text(json.dumps({"alerts": f"{agent.feed.run}-5"}))
    agent.feed.put(numbered(*range(1, 20_001)))
    with logs(tmp_path, agent, "--cursor-file", str(place), "--limit", "1", readers=()) as running:
        assert running.end() == 0
        (first,) = running.lines()
        assert (
            running.err
            == f"hauberk: alerts: {first['HostPID'] - 6:,} are missing, for which this reader was too late\n"
        )


def test_interrupted_reader_has_kept_its_place(agent: Agent, tmp_path: Path) -> None:
    """What was not wanted is dealt with, too."""
    place = tmp_path / "place"
    with logs(tmp_path, agent, "--cursor-file", str(place), "--policy", "others") as running:
        agent.feed.put(numbered(1, 2, 3))
        until(
            lambda: (
                agent.counts.readers and all(each.delivered == 3 for each in agent.counts.readers.values())
            )
        )
        until(lambda: place.read_text().endswith('-3"}\n'))
        assert running.interrupt() == 0
        assert running.out == b""


def test_mutual_tls(tmp_path: Path) -> None:
    """With the files that an operator has."""
    ca = make_ca(tmp_path)
    make_certificate(tmp_path, "server", ca)
    make_certificate(tmp_path, "client", ca)
    path = {
        name: str(tmp_path / name)
        for name in ("ca.crt", "server.crt", "server.key", "client.crt", "client.key")
    }
    agent = Agent(tls_cert=path["server.crt"], tls_key=path["server.key"], tls_client_ca=path["ca.crt"])
    agent.feed.put([ALERT])
    address = f"localhost:{agent.port}"
    tls = ("--tls-ca", path["ca.crt"], "--tls-cert", path["client.crt"], "--tls-key", path["client.key"])

    assert run(tmp_path, "--grpc", address, "--recent", "--limit", "1", *tls) == (0, "")
    for others, problem in (
        (tls[:2], "the connection is closed before it begins"),
        (
            (*tls, "--tls-name", "elsewhere.example"),
            "not of an authority that --tls-ca names, or not of that name",
        ),
        ((), "the connection is closed before it begins"),
        (("--tls-ca", str(tmp_path / "nowhere")), "cannot read"),
        (tls[:4], "go together"),
    ):
        code, said = run(tmp_path, "--grpc", address, "--limit", "1", *others)
        assert code in (2, 8) and problem in said, said
        assert said.count("\n") == 1
    agent.door.close()


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--grpc", "localhost:1"), 8, "nothing listens there; start `hauberk agent`"),
        (("--grpc", "{address}", "--cursor-file", "/proc/version"), 2, "holds no cursors"),
        (("--grpc", "{address}", "--cursor-file", "/proc/1/new"), 2, "cannot write the cursors"),
        (("--grpc", "{address}", "--label", "web"), 2, "key=value"),
        (("--grpc", "{address}", "--format", "nonsense"), 2, "no format is named"),
    ],
)
def test_mistakes(agent: Agent, tmp_path: Path, arguments: tuple[str, ...], code: int, problem: str) -> None:
    """One line that says what to do."""
    address = f"localhost:{agent.port}"
    found, said = run(tmp_path, *(argument.format(address=address) for argument in arguments))
    assert (found, said.count("\n")) == (code, 1), said
    assert problem in said


def test_reader_that_has_enough(agent: Agent, tmp_path: Path) -> None:
    """As with `| head -1`: no traceback."""
    agent.feed.put(numbered(*range(5000)))
    command = f"{sys.executable} -m hauberk logs --grpc localhost:{agent.port} --recent | head -1"
    done = subprocess.run(
        command,
        shell=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=True,
        timeout=SOON_S,
    )
    assert (done.stdout.count(b"\n"), done.stderr) == (1, b"")
