"""Events whose every text wants to be something else: thousands of them, the same in each run."""

from collections.abc import Iterator
from random import Random

from hauberk.abi import Operation
from hauberk.model.event import Event, Folded, Node, Relayed
from hauberk.model.policy import Verdict
from hauberk.model.process import ExecSession, Process
from hauberk.model.workload import HOST, Owner, Workload

_PIECES = (
    "=", "|", "\\", "\\=", "\\\\", "\n", "\r", "\t", "\0", "\x1b[31m", "\u2028", "\u202e", " ", "  ", '"', "'", "{", "}", "]",
    " act=Allow", " act=Audit outcome=success", " cs1=other cs1Label=PolicyName", " rt=0", "CEF:0|a|b|c|d|e|10|", " externalId=0",
    "severity=0", " <0>1 - - - - - -", "\ufeff", "café", "日本", "👾", "\\xe9", "/usr/bin/sh", "a", "7", ",", "sun_path=",
    " sin_addr=1.2.3.4 ", " sa_family=AF_INET ", "remoteip=6.6.6.6 port=1", '","UID":0,"', "%s", "$(id)", "\x7f", "\x85",
)  # fmt: skip
_CALLS = {
    Operation.PROCESS: ("execve", "execveat", "ptrace"),
    Operation.FILE: ("openat", "unlinkat", "mkdir", "chmod"),
    Operation.NETWORK: ("connect", "accept4", "bind", "listen", "socket"),
    Operation.SYSCALL: ("setuid", "mount", "kill"),
    Operation.CAPABILITIES: ("capset",),
}
_ADDRESSES = (
    "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10",
    "sa_family=AF_INET6 sin_port=443 sin_addr=2001:db8::7",
    "domain=AF_INET type=SOCK_STREAM|SOCK_CLOEXEC protocol=0",
    "remoteip=192.0.2.1 port=22 protocol=TCP",
    "tcp",
)


def text(random: Random, most: int = 6) -> str:
    """Some pieces in a row."""
    return "".join(random.choices(_PIECES, k=random.randrange(most)))


def hostile_events(count: int, seed: int = 0) -> Iterator[Event]:
    """Events whose texts are such pieces: those of workloads, and of policies and runtimes too."""
    random = Random(seed)
    for number in range(count):
        operation = random.choice([each for each in Operation if each is not Operation.COUNT])
        call = random.choice(_CALLS[operation])
        resource = text(random)
        if operation is Operation.NETWORK:
            resource = random.choice((*_ADDRESSES, f"sa_family=AF_UNIX sun_path={resource}"))
        container = random.random() < 0.6
        verdict = Verdict(
            policy=f"policy-{number}",
            action=random.choice(("Block", "Audit", "Audit (Block)")),
            enforcer=random.choice(("BPFLSM", "AppArmor", "eBPF Monitor")),
            severity=random.randrange(11),
            tags=tuple(text(random) for _ in range(random.randrange(3))),
            message=text(random),
        )
        pid = random.randrange(1, 50)
        yield Event(
            time_ns=1_700_000_000_000_000_000 + random.randrange(10**15),
            operation=operation,
            node=Node(f"node-{random.randrange(3)}", text(random), random.choice((None, "4c4c4544"))),
            workload=Workload(
                container_id=f"{random.randrange(5):064x}",
                container_name=text(random),
                image=f"{text(random)}:{text(random)}",
                namespace=text(random),
                pod=text(random),
                labels={text(random): text(random) for _ in range(random.randrange(3))},
                owner=random.choice((None, Owner("Deployment", text(random), "default"))),
            )
            if container
            else HOST,
            process=Process(pid, 0, 0, text(random), text(random, 10)),
            parent_executable=random.choice((None, text(random))),
            host_pid=pid,
            host_ppid=random.randrange(4),
            pid=random.randrange(4),
            ppid=random.randrange(4),
            uid=random.choice((0, 1000, 4_294_967_294)),
            user=text(random),
            source=text(random, 10),
            resource=random.choice((None, resource)),
            data=f"syscall=SYS_{call.upper()} {text(random)}",
            details={"syscall": call, "argv": text(random)},
            error=random.choice((0, 1, 13, 2, 41)),
            cwd=text(random),
            tty=random.choice((None, text(random))),
            sequence=number,
            verdict=random.choice((None, verdict)),
            exec_session=random.choice((None, ExecSession(text(random), text(random)))),
            folded=random.choice((None, Folded(3, 1_700_000_000_000_000_000, 1_700_000_000_000_001_000))),
            relayed=random.choice(
                (
                    None,
                    Relayed(process_hash="a" * 64, hash_algorithm="sha256"),
                    Relayed(operation="Device"),
                )
            ),
        )
