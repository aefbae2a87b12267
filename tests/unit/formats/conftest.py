"""Events to try formats with."""

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.model.event import Event, Folded, Node
from hauberk.model.policy import Verdict
from hauberk.model.process import Process
from hauberk.model.workload import HOST, Workload

_YEAR_9999_NS = 253_402_300_800 * 10**9
_OPERATIONS = [operation for operation in Operation if operation is not Operation.COUNT]

_texts = st.text()
_some_text = st.none() | _texts
_ids = st.integers(0, 2**32 - 1)
_few_pids = st.integers(0, 2)
"""So few that one event follows another of the same PID."""

_times_ns = st.integers(0, _YEAR_9999_NS - 1)
_verdicts = st.builds(
    Verdict,
    policy=st.text(min_size=1),
    action=st.sampled_from(["Audit", "Block", "Audit (Block)"]),
    enforcer=st.text(min_size=1),
    severity=st.integers(0, 10),
    tags=st.lists(_texts, max_size=3).map(tuple),
    message=_texts,
)
_mappings = st.dictionaries(_texts, _texts, max_size=3)
st.register_type_strategy(
    Event,
    st.builds(
        Event,
        time_ns=_times_ns,
        operation=st.sampled_from(_OPERATIONS),
        node=st.builds(Node, host=_texts, cluster=_texts, node_id=_some_text),
        workload=st.just(HOST)
        | st.builds(
            Workload,
            container_id=_some_text,
            container_name=_some_text,
            image=_some_text,
            namespace=_some_text,
            pod=_some_text,
            labels=_mappings,
        ),
        process=st.builds(
            Process, host_pid=_few_pids, start_ns=_ids, exec_id=_ids, executable=_texts, command_line=_texts
        ),
        parent_executable=_some_text,
        host_pid=_few_pids,
        host_ppid=_ids,
        pid=_ids,
        ppid=_ids,
        uid=_ids,
        user=_some_text,
        source=_texts,
        resource=_some_text,
        data=_texts,
        details=_mappings,
        error=st.integers(0, 4095),
        cwd=_texts,
        tty=_some_text,
        verdict=st.none() | _verdicts,
        folded=st.none() | st.builds(Folded, count=st.integers(1), first_ns=_times_ns, last_ns=_times_ns),
    ),
)


@pytest.fixture
def event() -> Event:
    """A shell of the host reads a file."""
    return Event(
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


@pytest.fixture
def alert(event: Event) -> Event:
    """A rule does not let the shell."""
    verdict = Verdict(
        policy="no-passwd",
        action="Block",
        enforcer="BPFLSM",
        severity=5,
        tags=("MITRE", "T1003"),
        message="Hands off!",
        rule_id=7,
    )
    return replace(event, error=13, verdict=verdict)
