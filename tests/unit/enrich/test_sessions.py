"""Who came into a container from outside, and who was born there."""

import pytest

from hauberk.abi import Hook, ItemKind
from hauberk.enrich.sessions import Sessions
from hauberk.model.process import ExecSession
from hauberk.model.record import Record

HOST_PID_NS = 1
HOST_MNT_NS = 2
WEB_PID_NS = 3
WEB_MNT_NS = 4


class Machine:
    """Processes that are born, execute and end, each in a place."""

    def __init__(self) -> None:
        self.sessions = Sessions(HOST_PID_NS)
        self._now = 1 << 32

    def _record(self, hook: Hook, host_pid: int, *, forker: int = 0, name: str = "", inside: bool) -> Record:
        self._now += 1 << 32
        items = ((int(ItemKind.FILENAME), 0, name.encode()),) if name else ()
        return Record(
            self._now, 0, 0, 0, 0, (forker, 0, 0, 0, 0, 0), host_pid, host_pid, 1, host_pid, 1,
            WEB_PID_NS if inside else HOST_PID_NS, WEB_MNT_NS if inside else HOST_MNT_NS,
            0, 1, hook, 59, 0, 0, items,
        )  # fmt: skip

    def fork(
        self, forker: int, child: int, container: str | None, *, by: str | None = None, inside: bool = False
    ) -> ExecSession | None:
        record = self._record(Hook.FORK, child, forker=forker, inside=inside)
        return self.sessions.apply(record, container, by, lambda: "runc")

    def execute(
        self, host_pid: int, name: str, container: str | None, *, inside: bool = True
    ) -> ExecSession | None:
        record = self._record(Hook.EXEC, host_pid, name=name, inside=inside)
        return self.sessions.apply(record, container, None, lambda: "runc")

    def end(self, host_pid: int) -> None:
        self.sessions.apply(self._record(Hook.EXIT, host_pid, inside=False), None, None, lambda: "")

    def start(self, container: str, first: int) -> ExecSession | None:
        """As runc does: a helper is moved into the cgroup, and its child becomes the container's first process."""
        self.fork(1, first - 1, None)
        self.fork(first - 1, first, container, by=container, inside=True)
        self.end(first - 1)
        return self.execute(first, "/bin/nginx", container)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_containers_own_processes_are_in_no_session(machine: Machine) -> None:
    assert machine.start("web", 100) is None
    assert machine.fork(100, 101, "web", by="web", inside=True) is None
    assert machine.execute(101, "/bin/worker", "web") is None


def test_exec_into_a_container(machine: Machine) -> None:
    """It and all below it are of one session, which is called by what was executed."""
    machine.start("web", 100)
    machine.fork(1, 200, None)
    early = machine.fork(200, 201, "web", by="web", inside=True)
    session = machine.execute(201, "/bin/bash", "web")
    child = machine.fork(201, 202, "web", by="web", inside=True)
    grandchild = machine.execute(202, "/usr/bin/curl", "web")

    assert early is not None
    assert early.command == "runc"
    assert session == ExecSession(early.id, "bash")
    assert child == grandchild == session
    assert machine.fork(100, 102, "web", by="web", inside=True) is None


def test_two_sessions_are_two(machine: Machine) -> None:
    machine.start("web", 100)
    found = []
    for helper in (200, 300):
        machine.fork(1, helper, None)
        machine.fork(helper, helper + 1, "web", by="web", inside=True)
        found.append(machine.execute(helper + 1, "/bin/sh", "web"))

    first, second = found
    assert first
    assert second
    assert first.id != second.id
    assert int(first.id) < 1 << 64


def test_child_that_is_cloned_into_the_cgroup(machine: Machine) -> None:
    """Newer runtimes do so: who forks it stays outside."""
    machine.start("web", 100)
    machine.fork(1, 200, None)
    machine.fork(200, 201, "web", inside=False)
    assert machine.execute(201, "/proc/self/exe", "web", inside=False) is not None  # `runc init`
    session = machine.execute(201, "/bin/bash", "web")

    assert session is not None
    assert session.command == "bash"
    assert machine.fork(200, 202, None) is None


def test_entering_namespaces_without_the_cgroup(machine: Machine) -> None:
    """nsenter: the cgroup stays the host's."""
    machine.start("web", 100)
    machine.fork(1, 200, None)
    machine.execute(200, "/usr/bin/nsenter", None, inside=False)

    session = machine.execute(200, "/bin/sh", None)

    assert session is not None
    assert session.command == "sh"


def test_host_pid_container_has_a_first_process_too(machine: Machine) -> None:
    machine.fork(1, 99, None)
    machine.fork(99, 100, "web", by="web")

    assert machine.execute(100, "/bin/agent", "web", inside=False) is None


def test_containers_that_were_there_before(machine: Machine) -> None:
    """Their processes belong there; who comes after them does not."""
    machine.sessions.begin("web")

    assert machine.fork(100, 101, "web", by="web", inside=True) is None
    machine.fork(1, 200, None)
    assert machine.fork(200, 201, "web", by="web", inside=True) is not None


def test_restarted_container_begins_anew(machine: Machine) -> None:
    machine.start("web", 100)
    machine.end(100)
    machine.sessions.forget("web")

    assert machine.start("web", 110) is None


def test_pid_of_a_session_that_is_reused(machine: Machine) -> None:
    machine.start("web", 100)
    machine.fork(1, 200, None)
    machine.fork(200, 201, "web", by="web", inside=True)
    machine.end(201)

    assert machine.fork(1, 201, None) is None
    assert machine.execute(201, "/bin/ls", None, inside=False) is None


def test_name_is_what_the_kernel_keeps_of_it(machine: Machine) -> None:
    machine.start("web", 100)
    machine.fork(1, 200, None)
    machine.fork(200, 201, "web", by="web", inside=True)

    session = machine.execute(201, "/opt/a-very-long-name-of-a-program", "web")

    assert session is not None
    assert session.command == "a-very-long-nam"
