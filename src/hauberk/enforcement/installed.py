"""Which rule table each workload has."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from hauberk.abi import SET_COUNT, SET_NONE, SUBJECT_COUNT
from hauberk.errors import PolicyError
from hauberk.model.policy import Policy
from hauberk.model.workload import HOST as HOST_WORKLOAD
from hauberk.model.workload import Workload
from hauberk.policy.compile import Secrets, Table, compile_table
from hauberk.policy.decide import Numbered, Posture, RuleSet
from hauberk.policy.select import holds_for_container, holds_for_host
from hauberk.policy.treatment import Treatment, audited
from hauberk.sensor.tables import HOST, UNKNOWN, Tables

RETIRED_KEPT: Final = 256
"""How many replaced tables stay known: alerts that name their rules may still be on the way."""

NO_RULES: Final = SET_NONE
"""The set of a container that no policy selects. It has no table; but what lies below it is not the host's."""

_Alike: TypeAlias = int | tuple[str | None, frozenset[tuple[str, str]], str | None, bool]
"""All that policies can select a container by; or the cgroup ID of what is none."""

_ANY_CONTAINER: Final = Workload(container_id="")

_Versions: TypeAlias = frozenset[tuple[tuple[str, str, str], int]]
"""Policies, each in one of the versions it has had."""


class Installed:
    """Keeps the kernel's tables as the policies and the workloads want them.

    Every change is made in the order that leaves no gap: a table is complete before a workload gets it,
    and goes when no workload has it.
    """

    def __init__(
        self,
        tables: Tables,
        secrets: Secrets,
        *,
        host_name: str,
        posture: Posture,
        host_posture: Posture,
        treatment_of: Callable[[Workload], Treatment] | None = None,
        host_labels: Mapping[str, str] = {},
        first_set: int = 1,
    ) -> None:
        self._tables = tables
        self._secrets = secrets
        self._host_name = host_name
        self._posture = posture
        self._host_posture = host_posture
        self._treatment_of = treatment_of
        """What namespaces and pods want; None: the postures hold for all."""

        self._host_labels = host_labels
        self._next_set = first_set
        self._policies: dict[tuple[str, str, str], tuple[Policy, int]] = {}
        """By identity: the policy and the number of its version."""

        self._held: dict[_Alike, list[tuple[Policy, int]]] = {}
        """Policies that hold for a workload, by all that they can select it by."""

        self._by_name = False
        """Whether a policy selects by the names of containers."""

        self._versions = 0
        self._workloads: dict[int, Workload] = {}
        self._sets: dict[tuple[Treatment, _Versions], int] = {}
        """Treatment and policies -> number of the set."""

        self._compiled: dict[int, Table] = {}
        self._assigned: dict[int, int] = {}
        self._uses: Counter[int] = Counter()
        """How many cgroups have a set."""

        self._retired: OrderedDict[int, RuleSet] = OrderedDict()

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Those that are in force."""
        return tuple(policy for policy, _ in self._policies.values())

    def replace(self, policies: Iterable[Policy]) -> None:
        """From now on these policies are in force, and no others; raises PolicyError and changes nothing."""
        before = self._policies
        after: dict[tuple[str, str, str], tuple[Policy, int]] = {}
        for policy in policies:
            known = before.get(policy.identity)
            if known and known[0] == policy:
                after[policy.identity] = known
            else:
                self._versions += 1
                after[policy.identity] = (policy, self._versions)
        self._select_by(after)
        try:
            wanted = {each: self._set_for(each) for each in (HOST, UNKNOWN)}
            wanted |= {cgroup_id: self._set_for(cgroup_id) for cgroup_id in self._workloads}
        except PolicyError:
            self._select_by(before)
            self._forget_unused()
            raise
        for cgroup_id, number in wanted.items():
            self._assign(cgroup_id, number)
        self._forget_unused()

    def replace_what_fits(self, policies: Iterable[Policy]) -> dict[tuple[str, str, str], str]:
        """The same, but a policy that the kernel cannot hold is left out, in the version it had if that was held.

        Those that were left out, and why.
        """
        wanted = {policy.identity: policy for policy in policies}
        try:
            self.replace(wanted.values())
            return {}
        except PolicyError:
            pass
        held = {policy.identity: policy for policy in self.policies if policy.identity in wanted}
        self.replace(held.values())
        refused = {}
        for identity, policy in wanted.items():
            if held.get(identity) == policy:
                continue
            try:
                self.replace((held | {identity: policy}).values())
                held[identity] = policy
            except PolicyError as error:
                refused[identity] = str(error)
        return refused

    def set_posture(self, posture: Posture, host_posture: Posture) -> None:
        """Take other postures from now on; the next `replace` puts them into force."""
        self._posture, self._host_posture = posture, host_posture

    def review(self, host_labels: Mapping[str, str]) -> None:
        """Treatments or the host's labels have changed; raises PolicyError and changes nothing."""
        before = self._host_labels
        self._host_labels = host_labels
        try:
            self.replace(self.policies)
        except PolicyError:
            self._host_labels = before
            raise

    def holders(self) -> dict[tuple[str, str, str], int]:
        """By policy: how many containers it holds for, the host being one more."""
        containers: dict[int, set[str | None]] = {}
        for cgroup_id, number in self._assigned.items():
            if cgroup_id == UNKNOWN:
                continue
            workload = self._workloads.get(cgroup_id)
            containers.setdefault(number, set()).add(workload.container_id if workload else None)
        found: dict[tuple[str, str, str], int] = {}
        for (_, versions), number in self._sets.items():
            for identity, _ in versions:
                found[identity] = found.get(identity, 0) + len(containers.get(number, ()))
        return found

    def learn(self, cgroup_id: int, workload: Workload) -> None:
        """A container has come, or more is known of it.

        Raises PolicyError if its policies do not fit into a table: it keeps what it had; if that was nothing,
        it has no rules, and not the host's.
        """
        before = self._workloads.get(cgroup_id)
        if workload.is_host or before == workload:
            return
        self._workloads[cgroup_id] = workload
        try:
            wanted = self._set_for(cgroup_id)
        except PolicyError:
            if before:
                self._workloads[cgroup_id] = before
            else:
                del self._workloads[cgroup_id]
                self._assign(cgroup_id, NO_RULES)
            raise
        self._assign(cgroup_id, wanted)
        self._forget_unused()

    def forget(self, cgroup_id: int) -> None:
        """A cgroup is gone."""
        self._workloads.pop(cgroup_id, None)
        number = self._assigned.pop(cgroup_id, None)
        if number is not None:
            self._uses[number] -= 1
            self._tables.unassign(cgroup_id)
            self._forget_unused()

    def find_rule(self, number: int, rule: int) -> Numbered | None:
        """The rule that an alert names; None if its set is long gone."""
        table = self._compiled.get(number)
        rules = table.rules if table else self._retired.get(number, ())
        return rules[rule - 1] if 0 < rule <= len(rules) else None

    def rules_of(self, cgroup_id: int) -> RuleSet:
        """The rules that a workload has now."""
        table = self._compiled.get(self._assigned.get(cgroup_id, NO_RULES))
        return table.rules if table else ()

    def _set_for(self, cgroup_id: int) -> int:
        held = self._held_by(cgroup_id)
        treatment = self._treatment(cgroup_id)
        if not held or treatment.mode == "disabled":
            return NO_RULES
        key = treatment, frozenset((policy.identity, version) for policy, version in held)
        if key not in self._sets:
            policies = [policy for policy, _ in held]
            if treatment.mode == "audited":
                policies = [audited(policy) for policy in policies]
            if len(self._sets) >= SET_COUNT:
                raise PolicyError(
                    f"more than {SET_COUNT:,} workloads would have rules that no other has, with those that are "
                    "about to be replaced; fewer or wider selectors mend it"
                )
            table = compile_table(policies, treatment.effective_posture, self._secrets)
            number = self._next_set
            self._tables.add(number, table)
            self._next_set += 1
            self._compiled[number] = table
            self._sets[key] = number
        return self._sets[key]

    def _held_by(self, cgroup_id: int) -> list[tuple[Policy, int]]:
        """The policies that hold for a workload, with their versions; found once for all that are alike."""
        workload = self._workloads.get(cgroup_id)
        alike: _Alike = cgroup_id
        if workload:
            name = (workload.container_name or workload.container_id) if self._by_name else None
            alike = (workload.namespace, frozenset(workload.labels.items()), name, workload.is_pause)
        if alike not in self._held:
            self._held[alike] = [
                (policy, version)
                for policy, version in self._policies.values()
                if policy.rules and self._holds(policy, cgroup_id)
            ]
        return self._held[alike]

    def _select_by(self, policies: dict[tuple[str, str, str], tuple[Policy, int]]) -> None:
        """Take these policies for those that are in force."""
        self._policies = policies
        self._by_name = any(policy.selector.containers for policy, _ in policies.values())
        self._held.clear()

    def _treatment(self, cgroup_id: int) -> Treatment:
        if self._treatment_of:
            stand_in = _ANY_CONTAINER if cgroup_id == UNKNOWN else HOST_WORKLOAD
            return self._treatment_of(self._workloads.get(cgroup_id, stand_in))
        return Treatment(self._host_posture if cgroup_id == HOST else self._posture)

    def _holds(self, policy: Policy, cgroup_id: int) -> bool:
        if cgroup_id == HOST:
            return policy.kind == "KubeArmorHostPolicy" and holds_for_host(
                policy, self._host_name, self._host_labels
            )
        if cgroup_id == UNKNOWN:
            return policy.selects_any_container
        return holds_for_container(policy, self._workloads[cgroup_id])

    def _assign(self, cgroup_id: int, number: int) -> None:
        before = self._assigned.get(cgroup_id)
        if before == number:
            return
        if before is None and len(self._assigned) >= SUBJECT_COUNT:
            raise PolicyError(f"more than {SUBJECT_COUNT:,} cgroups would have rules of their own")
        table = self._compiled.get(number)
        self._tables.assign(cgroup_id, number, table.classes if table else 0)
        self._assigned[cgroup_id] = number
        self._uses[number] += 1
        if before is not None:
            self._uses[before] -= 1

    def _forget_unused(self) -> None:
        for key, number in list(self._sets.items()):
            if not self._uses[number]:
                del self._sets[key]
                del self._uses[number]
                self._retired[number] = self._compiled.pop(number).rules
                self._tables.remove(number)
        while len(self._retired) > RETIRED_KEPT:
            self._retired.popitem(last=False)
