"""Events as a busy node has them, made up, the same in every run."""

import random

from hauberk.abi import Operation
from hauberk.model.event import Event, Node
from hauberk.model.policy import Verdict
from hauberk.model.process import Process
from hauberk.model.workload import HOST, Owner, Workload


class World:
    """A node with 40 pods, of which a few do most; a third of the files that are opened were never seen before."""

    def __init__(self) -> None:
        self._chance = random.Random(20_231_127)
        self._node = Node("node-1", "production", "4c4c454400354410805ac8c04f463732")
        self._workloads = [HOST, *map(self._pod, range(40))]
        self._processes = [self._process(number) for number in range(400)]
        self._paths = [f"/usr/lib/part-{i % 61}/module-{i}.so" for i in range(4_000)]
        self._count = 0

    def _pod(self, number: int) -> Workload:
        app = f"app-{number}"
        return Workload(
            container_id=f"{number:064x}",
            container_name=app,
            image=f"registry.example/team/{app}:1.{number}@sha256:{number:064x}",
            namespace=f"team-{number % 7}",
            pod=f"{app}-787f45786f-2q9wf",
            labels={"app.kubernetes.io/name": app, "pod-template-hash": "787f45786f"},
            owner=Owner("Deployment", app, f"team-{number % 7}"),
            pod_uid=f"0f6a2f2e-7d5b-4c0e-9a4b-{number:012x}",
        )

    def _process(self, number: int) -> tuple[Process, Workload]:
        workload = self._workloads[min(int(self._chance.paretovariate(0.8)) - 1, 40)]
        executable = f"/usr/bin/tool-{number % 90}"
        return Process(10_000 + number, number, 1, executable, f"{executable} --serve -v"), workload

    def events(self, count: int) -> list[Event]:
        """The next ones."""
        return [self._event() for _ in range(count)]

    def _event(self) -> Event:
        chance = self._chance
        self._count += 1
        process, workload = self._processes[int(400 * chance.random() ** 2)]
        operation, resource, data, details = self._act(process)
        refused = chance.random() < 0.05
        return Event(
            time_ns=1_687_868_507_000_000_000 + self._count * 41_017,
            operation=operation,
            node=self._node,
            workload=workload,
            process=process,
            parent_executable="/usr/bin/containerd-shim-runc-v2",
            host_pid=process.host_pid,
            host_ppid=7,
            pid=12,
            ppid=0,
            uid=1000,
            user=None,
            source=process.command_line,
            resource=resource,
            data=data,
            details=details,
            error=13 if refused else 0,
            cwd="/srv",
            tty=None,
            sequence=self._count,
            verdict=Verdict(
                policy="harden",
                action="Block",
                enforcer="BPFLSM",
                severity=5,
                tags=("NIST",),
                message="Denied",
            )
            if refused
            else None,
        )

    def _act(self, process: Process) -> tuple[Operation, str, str, dict[str, str]]:
        chance = self._chance
        what = chance.random()
        if what < 0.75:
            is_new = chance.random() < 1 / 3
            path = f"/var/cache/entry-{self._count}" if is_new else chance.choice(self._paths)
            return (
                Operation.FILE,
                path,
                "syscall=SYS_OPENAT fd=-100 flags=O_RDONLY|O_CLOEXEC",
                {"syscall": "openat", "fd": "-100", "flags": "O_RDONLY|O_CLOEXEC"},
            )
        if what < 0.9:
            port = chance.choice(("53", "80", "443", "5432"))
            return (
                Operation.NETWORK,
                f"sa_family=AF_INET sin_port={port} sin_addr=10.0.0.{chance.randrange(100)}",
                "syscall=SYS_CONNECT fd=5",
                {"syscall": "connect", "fd": "5", "sa_family": "AF_INET", "port": port},
            )
        argv = f"--job {self._count}"
        return (
            Operation.PROCESS,
            f"{process.executable} {argv}",
            "syscall=SYS_EXECVE",
            {"syscall": "execve", "argv": argv},
        )
