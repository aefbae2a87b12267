"""Events to try things with."""

from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.model.event import Event, Node
from hauberk.model.policy import Verdict
from hauberk.model.process import Process
from hauberk.model.workload import HOST

EVENT = Event(
    time_ns=1_687_868_507_932_526_417,
    operation=Operation.FILE,
    node=Node("node-1"),
    workload=HOST,
    process=Process(42, 8_410_000_000, 2, "/usr/bin/bash", "/bin/bash"),
    parent_executable="/usr/sbin/sshd",
    host_pid=42,
    host_ppid=7,
    pid=42,
    ppid=7,
    uid=1000,
    user="ada",
    source="/bin/bash",
    resource="/etc/passwd",
    data="syscall=SYS_OPENAT fd=-100 flags=O_RDONLY",
    details={"syscall": "openat", "fd": "-100", "flags": "O_RDONLY"},
    error=0,
    cwd="/home/ada",
    tty="pts0",
)
"""A shell of the host reads a file."""

ALERT = replace(
    EVENT,
    error=13,
    verdict=Verdict(
        policy="no-passwd",
        action="Block",
        enforcer="BPFLSM",
        severity=5,
        tags=("MITRE", "T1003"),
        message="Hands off!",
        rule_id=7,
    ),
)
"""A rule does not let the shell."""
