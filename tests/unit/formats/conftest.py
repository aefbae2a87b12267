"""Events to try formats with."""

import string

import pytest
from hypothesis import strategies as st

from hauberk.abi import Operation
from hauberk.model.event import Event, Folded, Node, Relayed
from hauberk.model.policy import Verdict
from hauberk.model.process import ExecSession, Process
from hauberk.model.workload import HOST, Owner, Workload
from tests.events import ALERT, EVENT

_YEAR_9999_NS = 253_402_300_800 * 10**9
_OPERATIONS = [operation for operation in Operation if operation is not Operation.COUNT]

_texts = st.text()
_some_text = st.none() | _texts
_words = st.text(string.ascii_letters, max_size=32)
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
            owner=st.none() | st.builds(Owner, kind=_texts, name=_texts, namespace=_texts),
            pod_uid=_some_text,
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
        sequence=st.integers(0, 2**48 - 1),
        verdict=st.none() | _verdicts,
        exec_session=st.none() | st.builds(ExecSession, id=_texts, command=_texts),
        relayed=st.none()
        | st.builds(
            Relayed,
            type=_words,
            operation=_words,
            result=_texts,
            version=_texts,
            process_hash=_texts,
            max_alerts_per_s=_ids,
            tenant_id=_texts,
        ),
        folded=st.none() | st.builds(Folded, count=st.integers(1), first_ns=_times_ns, last_ns=_times_ns),
    ),
)


@pytest.fixture
def event() -> Event:
    return EVENT


@pytest.fixture
def alert() -> Event:
    return ALERT
