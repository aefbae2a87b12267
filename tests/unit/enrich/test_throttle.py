from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.abi import Operation
from hauberk.enrich.throttle import Throttle
from hauberk.model.event import Event, Folded, Node
from hauberk.model.policy import DEFAULT_POSTURE, Verdict
from hauberk.model.process import Process
from hauberk.model.workload import HOST, Workload

SECOND = 10**9
START = 1_687_868_507 * SECOND

RULE = Verdict(policy="watch-etc", action="Audit", enforcer="eBPF Monitor", rule_id=1)
OTHER_RULE = replace(RULE, rule_id=2)
OTHER_POLICY = replace(RULE, policy="watch-etc-too")
BLOCK = replace(RULE, action="Block", enforcer="BPFLSM")
POSTURE = replace(RULE, policy=DEFAULT_POSTURE, rule_id=0)
CONTAINER = Workload("7aca8d52d35a")


def alert(
    time_ns: int = 0,
    verdict: Verdict | None = RULE,
    workload: Workload = HOST,
    operation: Operation = Operation.FILE,
) -> Event:
    """An alert so many nanoseconds after the start; its resource tells it from all others."""
    return Event(
        time_ns=START + time_ns,
        operation=operation,
        node=Node("node-1"),
        workload=workload,
        process=Process(42, 8_410_000_000, 2, "/usr/bin/cat", "/bin/cat"),
        parent_executable="/usr/bin/bash",
        host_pid=42,
        host_ppid=7,
        pid=42,
        ppid=7,
        uid=0,
        user="root",
        source="/bin/cat",
        resource=f"/etc/{time_ns}",
        data="syscall=SYS_OPENAT",
        details={"syscall": "openat"},
        error=0,
        cwd="/",
        tty=None,
        verdict=verdict,
    )


def offer(throttle: Throttle, *times_ns: int) -> list[bool]:
    """Which alerts of one rule are delivered at once."""
    return [throttle.offer(alert(time_ns)) is not None for time_ns in times_ns]


def folds_of(events: list[Event]) -> list[Folded | None]:
    return [event.folded for event in events]


def test_what_is_delivered_is_what_was_offered() -> None:
    throttle = Throttle()
    first = alert()

    assert throttle.offer(first) is first


def test_ten_a_second_pass() -> None:
    throttle = Throttle()

    assert offer(throttle, *range(12)) == [True] * 10 + [False] * 2
    assert (throttle.held, throttle.folded_count) == (2, 2)


def test_slow_alerts_all_pass() -> None:
    throttle = Throttle(per_second=2)

    assert all(offer(throttle, *range(0, 60 * SECOND, SECOND // 2)))
    assert throttle.due(START + 100 * SECOND) == []


def test_hold_is_counted_from_the_first_alert() -> None:
    throttle = Throttle(per_second=1, hold_s=30)

    assert offer(throttle, 0, SECOND - 1, 30 * SECOND - 1, 30 * SECOND) == [True, False, False, True]


def test_summary_is_the_last_alert_with_count_and_times() -> None:
    throttle = Throttle(per_second=1)
    offer(throttle, 0, 5, 6, 20 * SECOND)

    assert throttle.due(START + 30 * SECOND - 1) == []
    assert throttle.held == 3
    assert throttle.due(START + 30 * SECOND) == [
        replace(alert(20 * SECOND), folded=Folded(3, START + 5, START + 20 * SECOND))
    ]
    assert (throttle.held, throttle.folded_count) == (0, 3)
    assert throttle.due(START + 31 * SECOND) == []


def test_summary_outlives_the_next_window() -> None:
    """An alert after the hold passes at once, though the summary of what was before it was not asked for yet."""
    throttle = Throttle(per_second=1, hold_s=30)

    assert offer(throttle, 0, 1, 40 * SECOND, 40 * SECOND + 1) == [True, False, True, False]
    assert folds_of(throttle.due(START + 41 * SECOND)) == [Folded(1, START + 1, START + 1)]
    assert throttle.held == 1
    assert folds_of(throttle.flush()) == [Folded(1, START + 40 * SECOND + 1, START + 40 * SECOND + 1)]


def test_times_of_a_summary_are_ordered_though_alerts_are_not() -> None:
    throttle = Throttle(per_second=1)
    offer(throttle, 0, 500, 900, 100)

    assert throttle.flush() == [replace(alert(100), folded=Folded(3, START + 100, START + 900))]


def test_flush_tells_all_and_forgets() -> None:
    throttle = Throttle(per_second=1)
    offer(throttle, 0, 1)

    assert folds_of(throttle.flush()) == [Folded(1, START + 1, START + 1)]
    assert throttle.flush() == []
    assert offer(throttle, 2) == [True]


@pytest.mark.parametrize(
    "other",
    [
        alert(2, verdict=OTHER_RULE),
        alert(2, verdict=OTHER_POLICY),
        alert(2, workload=CONTAINER),
    ],
    ids=["rule", "policy", "workload"],
)
def test_noise_hides_no_alert_of_another(other: Event) -> None:
    throttle = Throttle(per_second=1)
    offer(throttle, 0, 1)

    assert throttle.offer(other) is other


def test_posture_of_one_operation_hides_none_of_another() -> None:
    throttle = Throttle(per_second=1)
    network = alert(2, verdict=POSTURE, operation=Operation.NETWORK)

    assert throttle.offer(alert(0, verdict=POSTURE)) is not None
    assert throttle.offer(alert(1, verdict=POSTURE)) is None
    assert throttle.offer(network) is network


@pytest.mark.parametrize("verdict", [None, BLOCK], ids=["log", "block"])
def test_logs_and_blocks_are_let_through(verdict: Verdict | None) -> None:
    throttle = Throttle(per_second=1)

    assert all(throttle.offer(alert(0, verdict=verdict)) for _ in range(100))
    assert throttle.flush() == []


def test_blocks_are_throttled_if_asked() -> None:
    throttle = Throttle(per_second=1, blocks=True)

    assert throttle.offer(alert(0, verdict=BLOCK)) is not None
    assert throttle.offer(alert(1, verdict=BLOCK)) is None


def test_block_that_was_only_observed_is_throttled() -> None:
    throttle = Throttle(per_second=1)
    observed = replace(RULE, action="Audit (Block)")

    assert throttle.offer(alert(0, verdict=observed)) is not None
    assert throttle.offer(alert(1, verdict=observed)) is None


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_step_of_the_clock_ends_a_hold(step_s: int) -> None:
    """Nothing is held for an hour because the clock was set back by one."""
    throttle = Throttle(per_second=1, hold_s=30)

    assert offer(throttle, 0, 1, step_s * SECOND) == [True, False, True]
    assert folds_of(throttle.due(START + step_s * SECOND)) == [Folded(1, START + 1, START + 1)]


def test_oldest_key_is_told_before_it_is_forgotten() -> None:
    throttle = Throttle(per_second=1, keys=2)
    for verdict in (RULE, RULE, OTHER_RULE, OTHER_RULE, RULE, OTHER_POLICY):
        throttle.offer(alert(1, verdict=verdict))

    told = throttle.due(START + 2)

    assert [(event.verdict, event.folded) for event in told] == [
        (OTHER_RULE, Folded(1, START + 1, START + 1))
    ]
    assert throttle.held == 2


def test_keys_are_bounded() -> None:
    throttle = Throttle(keys=3)
    for rule_id in range(100):
        throttle.offer(alert(0, verdict=replace(RULE, rule_id=rule_id)))

    assert len(throttle._windows) == 3


def test_idle_keys_are_forgotten() -> None:
    throttle = Throttle()
    offer(throttle, 0)
    throttle.due(START + SECOND)

    assert not throttle._windows


@pytest.mark.parametrize(("per_second", "keys"), [(0, 1), (1, 0)])
def test_settings_under_which_nothing_would_pass_are_refused(per_second: int, keys: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Throttle(per_second=per_second, keys=keys)


class Step(NamedTuple):
    """Time passes, in steps that may go back; then an alert comes, or somebody asks what is due."""

    passed_ns: int
    rule_id: int | None


steps = st.builds(
    Step,
    st.integers(0, SECOND // 4) | st.integers(-2 * SECOND, 8 * SECOND),
    st.none() | st.integers(0, 3) | st.just(0),
)


@given(
    steps=st.lists(steps, max_size=80),
    per_second=st.integers(1, 3),
    hold_s=st.sampled_from([0, 0.5, 1, 5]),
    keys=st.integers(1, 5),
)
def test_every_alert_is_delivered_or_told(
    steps: list[Step], per_second: int, hold_s: float, keys: int
) -> None:
    """By rule, offered is delivered plus the counts of the summaries; and first alerts never wait."""
    throttle = Throttle(per_second=per_second, hold_s=hold_s, keys=keys)
    offered: Counter[int] = Counter()
    delivered: Counter[int] = Counter()
    told: Counter[int] = Counter()

    def tell(summaries: list[Event]) -> None:
        for event in summaries:
            assert event.verdict is not None
            assert event.folded is not None
            assert event.folded.first_ns <= event.time_ns <= event.folded.last_ns
            told[event.verdict.rule_id] += event.folded.count

    time_ns = 0
    for step in steps:
        time_ns += step.passed_ns
        if step.rule_id is None:
            tell(throttle.due(START + time_ns))
        else:
            found = throttle.offer(alert(time_ns, verdict=replace(RULE, rule_id=step.rule_id)))
            if not offered[step.rule_id]:
                assert found is not None
            offered[step.rule_id] += 1
            delivered[step.rule_id] += found is not None
        assert throttle.folded_count == offered.total() - delivered.total()
        assert throttle.held == throttle.folded_count - told.total()
    tell(throttle.flush())

    assert delivered + told == offered
    assert throttle.held == 0
