"""A workload under rules: real tables, real programs, and processes that act in a cgroup of their own.

Where the kernel takes LSM programs it denies; elsewhere the same decisions are observed after the fact. The workload is
a cgroup, a real container that runc has started, or the host.
"""

import os
import secrets
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, NoReturn, Self, TypeAlias

from hauberk.abi import HASH_PRIME
from hauberk.config import Selection
from hauberk.decode.records import decode_batch
from hauberk.enforcement.installed import Installed
from hauberk.metrics import Ledger
from hauberk.model.event import Event, Node
from hauberk.model.machine import Machine
from hauberk.model.policy import Action
from hauberk.model.workload import Workload
from hauberk.pipeline import Pipeline
from hauberk.pipeline.host import Host
from hauberk.policy.decide import Numbered, Posture
from hauberk.policy.document import parse_documents
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import probe
from hauberk.sensor.procfs import Procfs
from hauberk.sensor.tables import TRACED, TRACED_ALL
from tests.kernel.container import Container

RING_BYTES = 16 << 20
CONTAINER = "c0ffee" + "0" * 58
"""What the workload's cgroup is called, as a container runtime would."""

_RESULT = struct.Struct("<i")

Place: TypeAlias = Literal["cgroup", "container", "host"]


class Act(NamedTuple):
    """What a process in the workload did."""

    host_pid: int
    error: int
    """0, or the errno that it got."""

    code: int
    """How it ended; of a program that it executed, its exit code."""

    alerts: list[Event]
    logs: list[Event]


class _Host(Host):
    """The host, as far as these tests ask it."""

    def __init__(self, procfs: Procfs, installed: Installed) -> None:
        self._procfs = procfs
        self._installed = installed

    def process(self, host_pid: int) -> bytes:
        return self._procfs.process(host_pid)

    def find_rule(self, number: int, rule: int) -> Numbered | None:
        return self._installed.find_rule(number, rule)


class Guard:
    """One workload whose policies and posture can be changed."""

    def __init__(self, place: Place = "cgroup", *, observe: bool = False) -> None:
        report = probe()
        self.place = place
        self.denies = report.denies and not observe
        self.mount = Path(report.cgroups.mount)
        self.cgroup = self.mount / CONTAINER
        self.workload = Workload(container_id=CONTAINER, container_name="guarded")
        self.kernel = Kernel(report.cgroups, RING_BYTES)
        selection = Selection(operations=("process", "file", "network", "syscall"))
        self._ring = self.kernel.load(selection)
        self._alerts = self.kernel.load_deciding(by_lsm=self.denies)
        keys = (secrets.randbelow(HASH_PRIME - 256) + 256, secrets.randbelow(HASH_PRIME - 256) + 256)
        self.kernel.tables.prepare(keys, TRACED if self.denies else TRACED_ALL)
        self.ledger = Ledger()
        self.installed = Installed(
            self.kernel.tables, keys, host_name="test", posture=Posture(), host_posture=Posture()
        )
        self._container = Container(CONTAINER) if place == "container" else None
        self.cgroup.mkdir(exist_ok=True)
        self.installed.learn(self.cgroup.stat().st_ino, self.workload)
        procfs = Procfs(self.mount)
        self._pipeline = Pipeline(
            Machine(
                Node("test"),
                time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME),
                procfs.host_pid_ns,
            ),
            selection,
            self.ledger,
            host=_Host(procfs, self.installed),
        )
        for batch in (*procfs.cgroups(), *procfs.processes()):
            self._pipeline.events(decode_batch(batch))
        if place == "cgroup":
            self._begin()

    def _begin(self) -> None:
        """What was executed first in the workload, by a runtime that executed itself before: this is its home."""
        pid = os.fork()
        if not pid:
            (self.cgroup / "cgroup.procs").write_text("0")
            os.execv("/bin/sh", ["sh", "-c", "exec sh -c 'exec true'"])
        os.waitpid(pid, 0)

    @property
    def container_id(self) -> str | None:
        """Of who acts."""
        return None if self.place == "host" else CONTAINER

    @property
    def strictest(self) -> Action:
        """The posture for lists of what is allowed: on a host that denies, the machine itself must go on."""
        return Action.AUDIT if self.place == "host" and self.denies else Action.BLOCK

    def rule(self, policies: str, posture: Action = Action.AUDIT, *, kind: str | None = None) -> None:
        """Put these policies into force, and no others. `policies` is a spec, or whole documents."""
        kind = kind or ("KubeArmorHostPolicy" if self.place == "host" else "KubeArmorPolicy")
        if "apiVersion" not in policies:
            body = "\n".join("  " + line for line in policies.strip("\n").splitlines())
            selector = "nodeSelector: {}" if kind == "KubeArmorHostPolicy" else "selector: {}"
            policies = (
                f"apiVersion: security.kubearmor.com/v1\nkind: {kind}\nmetadata: {{name: under-test}}\n"
                f"spec:\n  {selector}\n  severity: 7\n  tags: [a, b]\n  message: says so\n{body}\n"
            )
        parsed = parse_documents(policies, "test.yaml")
        assert all(problem.severity != "error" for problem in parsed.problems), parsed.problems
        self.installed.set_posture(Posture(posture, posture, posture), Posture(posture, posture, posture))
        self.installed.replace(parsed.policies)

    def act(self, action: Callable[[], object], *, inside: bool = True) -> Act:
        """Do something in a process of its own, in the workload; what came of it, and what was told of it."""
        self.read()
        reading, writing = os.pipe()
        pids, telling = os.pipe()
        child = os.fork()
        if not child:
            self._play(action, writing, telling if inside else None)
        os.close(writing)
        os.close(telling)
        content = os.read(reading, 4)
        relayed = os.read(pids, 4)
        os.close(reading)
        os.close(pids)
        pid = _RESULT.unpack(relayed)[0] if relayed else child
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        error = _RESULT.unpack(content)[0] if content else 0  # an exec has closed it
        events = [event for event in self.read() if event.host_pid == pid]
        return Act(
            pid,
            error,
            code,
            [event for event in events if event.is_alert],
            [event for event in events if not event.is_alert],
        )

    def _play(self, action: Callable[[], object], writing: int, telling: int | None) -> NoReturn:
        error = 0
        try:
            if telling is not None:
                self.enter(telling)
            os.set_inheritable(writing, False)
            action()
        except OSError as failure:
            error = failure.errno or -1
        except BaseException:
            error = -1
        finally:
            os.write(writing, _RESULT.pack(error))
            os._exit(0)

    def enter(self, telling: int | None = None) -> None:
        """This process is in the workload from now on, as if it had executed something there.

        In a container it is a child of this one, whose PID on the host is written to `telling`.
        """
        if self.place == "host":
            return
        if self._container:
            self._container.enter(self.cgroup, lambda pid: telling and os.write(telling, _RESULT.pack(pid)))
        else:
            (self.cgroup / "cgroup.procs").write_text("0")
        self.settle()

    def at_home(self, action: Callable[[], object]) -> None:
        """Do something as the container's runtime would: from outside, but among its mounts."""
        child = os.fork()
        if not child:
            try:
                if self._container:
                    self._container.see()
                action()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def settle(self) -> None:
        """This process is no entering task any more."""
        if "entering_tasks" in self.kernel.maps:
            fd = os.pidfd_open(os.getpid())
            self.kernel.maps["entering_tasks"].delete(fd.to_bytes(4, "little"))
            os.close(fd)

    def read(self) -> list[Event]:
        """All events since the last call."""
        found: list[Event] = []
        while True:
            alerts = self._alerts.read()
            batches = []
            while batch := self._ring.read():
                batches.append(batch)
            if not batches and not alerts:
                return found
            found += self._pipeline.events(decode_batch(b"".join((*batches, alerts))))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.installed.replace(())
        self.kernel.detach()
        self.read()
        self._pipeline.finish(self.kernel.sequences())
        self.ledger.kernel = self.kernel.counts()
        self.ledger.alerts = self.kernel.alert_counts()
        self._ring.close()
        self._alerts.close()
        self.kernel.close()
        if self._container:
            self._container.close()
        else:
            self.cgroup.rmdir()
