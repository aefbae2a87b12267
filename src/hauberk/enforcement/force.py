"""Which policies are in force: those of files and those of the cluster, as one set for the kernel."""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from secrets import randbelow
from typing import Final, Literal, Protocol, TypeAlias

from hauberk.abi import HASH_PRIME
from hauberk.config import Config
from hauberk.enforcement.directory import PolicyDirectory
from hauberk.enforcement.installed import Installed
from hauberk.errors import PolicyError
from hauberk.kube.state import Defaults, State
from hauberk.model.cluster import ClusterPolicy, NodeStatus
from hauberk.model.policy import Policy
from hauberk.model.workload import Workload
from hauberk.policy.check import check_kernel
from hauberk.policy.decide import Numbered
from hauberk.policy.document import Problem
from hauberk.sensor.loader import Kernel
from hauberk.sensor.pins import MOUNT as PINS_MOUNT
from hauberk.sensor.pins import Pins
from hauberk.sensor.ring import Ring
from hauberk.sensor.tables import TRACED, TRACED_ALL

Level: TypeAlias = Literal["INFO", "WARN", "ERROR"]
_SMALLEST_SECRET: Final = 256


class Complain(Protocol):
    """Takes one line for the operator."""

    def __call__(self, text: str, level: Level = "WARN") -> None: ...


class InForce:
    """Puts policies into the kernel, and keeps them there as files, the cluster and workloads change.

    Belongs to the thread that reads what the kernel sends; only `apply` is for others.
    """

    def __init__(
        self,
        config: Config,
        defaults: Defaults,
        kernel: Kernel,
        state: State,
        workloads: Mapping[int, Workload],
        warn: Complain,
        *,
        host_name: str,
        denies: bool,
        is_in_cluster: bool,
        has_runtimes: Callable[[], bool],
        on_alerts: Callable[[Ring], None],
        wake: Callable[[], None],
    ) -> None:
        """`workloads` are those that are known, by cgroup; `on_alerts` is given the ring that verdicts come by."""
        self._directory = PolicyDirectory(Path(config.policies)) if config.enforce != "off" else None
        self._defaults = defaults
        self._kernel = kernel
        self._state = state
        self._workloads = workloads
        self._complain = warn
        self._host_name = host_name
        self._has_lsm = denies and config.enforce == "auto"
        self._is_in_cluster = is_in_cluster
        self._has_runtimes = has_runtimes
        self._on_alerts = on_alerts
        self._wake = wake
        self._installed: Installed | None = None
        self._files: tuple[Policy, ...] = ()
        self._policies: dict[tuple[str, str, str], Policy] = {}
        self._refused: dict[tuple[str, str, str], str] = {}
        self._told_invalid: set[tuple[tuple[str, str, str], int]] = set()
        self._told_unseen: set[Problem] = set()
        """Rules that can never act here, which were told once."""

        self._is_first = True
        self._statuses_stale = True
        self._pins = Pins()
        self._pinned: Path | None = None
        self._asked: deque[Future[None]] = deque()
        """By whom policies are to be put into force."""

        self._ended = False

    # Workloads

    def learn(self, cgroup_id: int, workload: Workload) -> None:
        """A workload has come, or more is known of it."""
        if self._installed:
            self._statuses_stale = True
            try:
                self._installed.learn(cgroup_id, workload)
            except PolicyError as error:
                self._complain(f"container {workload.container_id} keeps the rules it had: {error}")

    def forget(self, cgroup_id: int) -> None:
        """A cgroup is gone."""
        if self._installed:
            self._statuses_stale = True
            self._installed.forget(cgroup_id)

    def review(self) -> None:
        """Hold every workload against what its namespace and its pod want now."""
        if self._installed:
            try:
                self._installed.review(self._state.node.labels)
            except PolicyError as error:
                self._complain(f"the policies in force stay as they are: {error}")
            self._statuses_stale = True

    def find_rule(self, number: int, rule: int) -> Numbered | None:
        """The rule that an alert names."""
        return self._installed.find_rule(number, rule) if self._installed else None

    # Policies

    def apply(self) -> None:
        """Put into force at once what has changed in the directory of policies; raises PolicyError.

        For other threads: it is done by the one that reads what the kernel sends.
        """
        asked: Future[None] = Future()
        self._asked.append(asked)
        self._wake()
        if self._ended:
            _answer(self._take_asked(), PolicyError("the agent stops"))
        asked.result()

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for a `refresh`."""
        return bool(self._asked)

    def end(self) -> None:
        """Nobody will `refresh` any more."""
        self._ended = True
        _answer(self._take_asked(), PolicyError("the agent stops"))

    def _take_asked(self) -> list[Future[None]]:
        """Those who have asked so far: what they have written is there."""
        return [self._asked.popleft() for _ in range(len(self._asked))]

    def refresh(self) -> None:
        """Put into force what has changed in the directory or the cluster; what is bad is said and left out."""
        asked = self._take_asked()
        problem = self._put_into_force()
        if problem:
            self._complain(str(problem), "ERROR")
        _answer(asked, problem)

    def _put_into_force(self) -> PolicyError | None:
        if not self._directory:
            return None
        try:
            files = self._directory.read()
            if files is not None:
                self._files = files
                for problem in self._directory.problems:
                    self._complain(str(problem), "ERROR" if problem.severity == "error" else "WARN")
            elif not self._state.policies_changed and not self._is_first:
                return None
            if self._waits_for_cluster():
                return None
            self._is_first = self._state.policies_changed = False
            return self._decide_by(self._all_policies())
        except PolicyError as error:
            return PolicyError(f"the policies in force stay as they are: {error}")

    def _waits_for_cluster(self) -> bool:
        """Whether what an earlier agent enforced is to stay until the cluster's policies are known."""
        if not self._is_in_cluster or self._installed or self._state.has_heard_of_policies:
            return False
        if not self._pins.are_there:
            return False
        if self._is_first:
            self._is_first = False
            self._complain("what an earlier agent enforced stays until the cluster's policies are known")
        return True

    def _all_policies(self) -> list[Policy]:
        """Those of files, and those of the cluster; where both have one, the file's."""
        policies = {policy.identity: policy for policy in self._files}
        for each in self._state.policies():
            if each.policy is None and (each.identity, each.generation) not in self._told_invalid:
                self._complain(
                    f"{each.kind} {each.name} of the cluster has errors: {'; '.join(each.problems)}"
                )
                self._told_invalid.add((each.identity, each.generation))
            # one that turns bad does not take the good one of before away
            before = self._policies.get(each.identity) if each.policy is None else each.policy
            if before:
                policies.setdefault(each.identity, before)
        return list(policies.values())

    def _decide_by(self, policies: list[Policy]) -> PolicyError | None:
        """Put all of them into force that the kernel can hold; what is wrong with those that it cannot."""
        self._statuses_stale = True
        if policies and not self._installed:
            self._installed = self._begin_deciding()
        if not self._installed:
            if self._pins.remove():
                self._complain(
                    "there are no policies: what an earlier agent enforced is enforced no more", "INFO"
                )
            return None
        self._refused = self._installed.replace_what_fits(policies)
        self._policies = {policy.identity: policy for policy in self._installed.policies}
        if not self._is_in_cluster and not self._has_runtimes():
            for policy in policies:
                if policy.asks_for_pods:
                    self._complain(
                        f"{policy.file}: {policy.name} selects by namespace or label, and no container runtime "
                        "was found that would tell them: it holds for no container so far"
                    )
        self._pins.remove(but=self._pinned)
        for problem in check_kernel(self._installed.policies, self._kernel.unseen):
            if problem not in self._told_unseen:
                self._complain(str(problem))
                self._told_unseen.add(problem)
        mode = "enforced by BPF-LSM" if self._has_lsm else "observed only: nothing is denied"
        self._complain(f"policies in force: {len(self._policies)}, {mode}", "INFO")
        refused = [
            f"{kind} {name} is not put into force: {why}" for (kind, _, name), why in self._refused.items()
        ]
        return PolicyError("; ".join(refused)) if refused else None

    def _begin_deciding(self) -> Installed:
        """Load what decides, and give every workload that is known its rules."""
        if self._has_lsm:
            if self._pins.is_possible:
                self._pinned = self._pins.make()
            else:
                self._complain(f"no bpffs is mounted on {PINS_MOUNT}: what is enforced ends with the agent")
        before = set(self._kernel.missing)
        self._on_alerts(self._kernel.load_deciding(by_lsm=self._has_lsm, pins=self._pinned))
        for name, cost in self._kernel.missing.items():
            if name not in before:
                self._complain(f"without {name}: {cost}; `hauberk probe` tells why")
        keys = _secret(), _secret()
        self._kernel.tables.prepare(keys, TRACED if self._has_lsm else TRACED_ALL)
        installed = Installed(
            self._kernel.tables,
            keys,
            host_name=self._host_name,
            posture=self._defaults.posture,
            host_posture=self._defaults.host_posture,
            treatment_of=self._state.treatment_of,
            host_labels=self._state.node.labels,
        )
        for cgroup_id, workload in self._workloads.items():
            installed.learn(cgroup_id, workload)
        return installed

    # What became of them

    @property
    def outlives_us(self) -> bool:
        """Whether what is blocked stays blocked when the agent ends."""
        return self._pinned is not None

    def take_statuses(self) -> dict[tuple[str, str, str], tuple[ClusterPolicy, NodeStatus | None]] | None:
        """What is to be said of the cluster's policies; None if nothing has changed since the last time."""
        if not self._directory or not self._statuses_stale or not self._state.has_heard_of_policies:
            return None
        self._statuses_stale = False
        installed = self._installed
        return self._state.statuses(
            installed.holders() if installed else {},
            {policy.identity: policy for policy in installed.policies} if installed else {},
            has_lsm=self._has_lsm,
            refused=self._refused,
        )


def _answer(asked: list[Future[None]], problem: PolicyError | None) -> None:
    for each in asked:
        if problem:
            each.set_exception(problem)
        else:
            each.set_result(None)


def _secret() -> int:
    return _SMALLEST_SECRET + randbelow(HASH_PRIME - _SMALLEST_SECRET)
