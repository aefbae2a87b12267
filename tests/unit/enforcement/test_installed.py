"""Which tables workloads have, and in which order the kernel is told."""

import pytest
from msgspec.structs import replace

from hauberk.abi import LIST_SIZE, Operation, RuleClass
from hauberk.enforcement.installed import NO_RULES, RETIRED_KEPT, Installed
from hauberk.errors import PolicyError
from hauberk.model.policy import Action, ExactPath, Kind, Policy, Rule, Selector
from hauberk.model.workload import HOST as HOST_WORKLOAD
from hauberk.model.workload import Workload
from hauberk.policy.compile import Table
from hauberk.policy.decide import Posture
from hauberk.policy.treatment import Treatment
from hauberk.sensor.libbpf import Libbpf
from hauberk.sensor.tables import HOST, UNKNOWN, Tables

SECRETS = (1234567891, 1987654321)
FILE_CLASSES = 1 << RuleClass.FILE | 1 << RuleClass.MOVE
WEB, WEB_TOO, DB = 11, 12, 13
WORKLOADS = {
    WEB: Workload("web-1", namespace="shop", labels={"app": "web"}),
    WEB_TOO: Workload("web-2", namespace="shop", labels={"app": "web"}),
    DB: Workload("db-1", namespace="shop", labels={"app": "db"}),
}


class FakeTables(Tables):
    """A kernel that remembers what it was told, and refuses what would leave a gap."""

    def __init__(self) -> None:
        super().__init__(Libbpf.__new__(Libbpf), {})
        self.told: list[str] = []
        self.tables: dict[int, Table] = {}
        self.assigned: dict[int, tuple[int, int]] = {}
        self._ever: set[int] = set()

    def add(self, number: int, table: Table) -> None:
        assert number not in self._ever, "a number is used again: caches of it would be believed"
        self._ever.add(number)
        self.tables[number] = table
        self.told.append(f"add {number}")

    def remove(self, number: int) -> None:
        assert number not in {held for held, _ in self.assigned.values()}, "it goes while somebody has it"
        del self.tables[number]
        self.told.append(f"remove {number}")

    def assign(self, cgroup_id: int, number: int, classes: int) -> None:
        assert number == NO_RULES or number in self.tables, "it is handed over before it is there"
        self.assigned[cgroup_id] = (number, classes)
        self.told.append(f"assign {cgroup_id} {number if number != NO_RULES else 'nothing'}")

    def unassign(self, cgroup_id: int) -> None:
        del self.assigned[cgroup_id]
        self.told.append(f"unassign {cgroup_id}")

    def since(self) -> list[str]:
        """What it was told since the last call."""
        told, self.told = self.told, []
        return told


def policy(
    name: str,
    path: str = "/etc/shadow",
    *,
    app: str | None = "web",
    kind: Kind = "KubeArmorPolicy",
    message: str = "",
) -> Policy:
    rule = Rule(operation=Operation.FILE, target=ExactPath(path), action=Action.BLOCK, message=message)
    return Policy(kind=kind, name=name, selector=Selector({"app": app} if app else {}), rules=(rule,))


def host_policy(name: str, path: str = "/etc/shadow", labels: dict[str, str] | None = None) -> Policy:
    return replace(policy(name, path, kind="KubeArmorHostPolicy"), selector=Selector(labels or {}))


UNFIT = replace(
    policy("unfit", app="db"),
    rules=tuple(
        Rule(
            operation=Operation.PROCESS,
            target=ExactPath("/bin/a"),
            action=Action.ALLOW,
            allowed_args=(str(number),),
            line=number,
        )
        for number in range(LIST_SIZE + 1)
    ),
)
"""What the kernel cannot hold."""


@pytest.fixture
def tables() -> FakeTables:
    return FakeTables()


@pytest.fixture
def installed(tables: FakeTables) -> Installed:
    """Three containers, and no policies yet."""
    found = Installed(tables, SECRETS, host_name="node-1", posture=Posture(), host_posture=Posture())
    found.replace(())
    for cgroup_id, workload in WORKLOADS.items():
        found.learn(cgroup_id, workload)
    tables.since()
    return found


def test_what_no_policy_selects_has_no_rules_but_is_not_the_hosts(tables: FakeTables) -> None:
    """A cgroup that nothing is said of has the rules of the one above it, at last the host's."""
    installed = Installed(tables, SECRETS, host_name="node-1", posture=Posture(), host_posture=Posture())
    installed.replace([host_policy("h")])
    installed.learn(WEB, WORKLOADS[WEB])

    assert tables.since() == [
        "add 1",
        f"assign {HOST} 1",
        f"assign {UNKNOWN} nothing",
        f"assign {WEB} nothing",
    ]
    assert tables.assigned == {HOST: (1, FILE_CLASSES), UNKNOWN: (NO_RULES, 0), WEB: (NO_RULES, 0)}
    assert [each.policy.name for each in installed.rules_of(HOST)] == ["h"]
    assert installed.rules_of(WEB) == ()


def test_containers_nobody_has_told_of_have_what_holds_for_all(
    tables: FakeTables, installed: Installed
) -> None:
    """Not what selects by a name, a label or a namespace, which nobody knows when a container begins."""
    by_name = replace(policy("n", app=None), selector=Selector(containers=("nginx",)))
    installed.replace([policy("all", app=None), policy("p"), by_name, host_policy("h")])

    assert [each.policy.name for each in installed.rules_of(UNKNOWN)] == ["all"]


def test_workloads_with_the_same_policies_share_a_table(tables: FakeTables, installed: Installed) -> None:
    installed.replace([policy("p"), policy("q", app="db"), policy("r", "/etc/passwd", app=None)])

    assert sorted(tables.since()) == [
        "add 1",
        "add 2",
        "add 3",
        f"assign {UNKNOWN} 1",
        f"assign {WEB} 2",
        f"assign {WEB_TOO} 2",
        f"assign {DB} 3",
    ]
    assert [each.policy.name for each in installed.rules_of(WEB)] == ["p", "r"]
    assert [each.policy.name for each in installed.rules_of(DB)] == ["q", "r"]


def test_a_change_leaves_no_gap(tables: FakeTables, installed: Installed) -> None:
    """The new table is there before anybody gets it, and the old one goes when nobody has it."""
    installed.replace([policy("p")])
    tables.since()
    installed.replace([policy("p", "/etc/passwd")])

    assert tables.since() == ["add 2", f"assign {WEB} 2", f"assign {WEB_TOO} 2", "remove 1"]


def test_a_change_touches_only_whom_it_is_about(tables: FakeTables, installed: Installed) -> None:
    installed.replace([policy("p"), policy("q", app="db"), host_policy("h")])
    tables.since()
    installed.replace([policy("p"), policy("q", app="db", message="new"), host_policy("h")])

    assert tables.since() == ["add 4", f"assign {DB} 4", "remove 3"]


def test_the_same_policies_again_are_no_change(tables: FakeTables, installed: Installed) -> None:
    installed.replace([policy("p"), host_policy("h")])
    tables.since()
    installed.replace([host_policy("h"), policy("p")])

    assert tables.since() == []


def test_no_policies_any_more_leave_no_tables(tables: FakeTables, installed: Installed) -> None:
    installed.replace([policy("p"), host_policy("h")])
    tables.since()
    installed.replace(())

    assert tables.tables == {}
    assert set(tables.assigned.values()) == {(NO_RULES, 0)}
    assert installed.policies == ()


def test_a_policy_without_rules_is_no_table(tables: FakeTables, installed: Installed) -> None:
    installed.replace([replace(policy("p"), rules=())])

    assert tables.since() == []


def test_what_cannot_be_held_changes_nothing(tables: FakeTables, installed: Installed) -> None:
    """Not even for those whose new table could be."""
    installed.replace([policy("p")])
    before = dict(tables.assigned), dict(tables.tables), installed.policies, installed.rules_of(WEB)
    tables.since()

    with pytest.raises(PolicyError, match="different conditions"):
        installed.replace([policy("p", "/etc/passwd"), UNFIT])
    assert before == (tables.assigned, tables.tables, installed.policies, installed.rules_of(WEB))
    assert not [told for told in tables.since() if told.startswith("assign")]

    installed.replace([policy("p")])
    assert tables.since() == []


def test_a_new_container_gets_the_table_that_is_there(tables: FakeTables, installed: Installed) -> None:
    installed.replace([policy("p")])
    tables.since()
    installed.learn(14, WORKLOADS[WEB])
    installed.learn(14, WORKLOADS[WEB])

    assert tables.since() == ["assign 14 1"]


def test_a_container_of_which_more_is_known_gets_other_rules(
    tables: FakeTables, installed: Installed
) -> None:
    installed.replace([policy("p"), policy("q", app="db")])
    installed.learn(14, Workload("new"))
    tables.since()
    installed.learn(14, Workload("new", labels={"app": "db"}))

    assert tables.since() == ["assign 14 2"]


def test_a_container_is_called_by_its_id_until_its_name_is_known(
    tables: FakeTables, installed: Installed
) -> None:
    by_id = replace(policy("p"), selector=Selector(containers=("abc",)))
    by_name = replace(policy("q"), selector=Selector(containers=("nginx",)))
    installed.replace([by_id, by_name])

    installed.learn(14, Workload("abc"))
    assert [each.policy.name for each in installed.rules_of(14)] == ["p"]
    installed.learn(14, Workload("abc", container_name="nginx"))
    assert [each.policy.name for each in installed.rules_of(14)] == ["q"]


def test_the_host_is_no_container(tables: FakeTables, installed: Installed) -> None:
    installed.replace([policy("p", app=None)])
    tables.since()
    installed.learn(15, HOST_WORKLOAD)

    assert tables.since() == []


def test_a_table_goes_with_its_last_container(tables: FakeTables, installed: Installed) -> None:
    installed.replace([policy("p")])
    tables.since()

    installed.forget(WEB)
    assert tables.since() == [f"unassign {WEB}"]
    installed.forget(WEB_TOO)
    assert tables.since() == [f"unassign {WEB_TOO}", "remove 1"]
    installed.forget(WEB_TOO)
    installed.forget(99)
    assert tables.since() == []


def test_a_container_that_is_gone_gets_no_new_rules(tables: FakeTables, installed: Installed) -> None:
    installed.forget(WEB)
    tables.since()
    installed.replace([policy("p")])

    assert tables.since() == ["add 1", f"assign {WEB_TOO} 1"]


def test_a_host_policy_is_for_the_nodes_it_names(tables: FakeTables, installed: Installed) -> None:
    here = host_policy("here", labels={"kubernetes.io/hostname": "node-1"})
    there = host_policy("there", labels={"kubernetes.io/hostname": "node-2"})
    installed.replace([here, there])

    assert [each.policy.name for each in installed.rules_of(HOST)] == ["here"]
    assert installed.policies == (here, there)


def test_a_posture_comes_into_force_with_the_next_policies(tables: FakeTables, installed: Installed) -> None:
    """That of the host is the host's alone."""
    installed.replace([policy("p"), host_policy("h")])
    of_host, of_web = tables.assigned[HOST], tables.assigned[WEB]
    tables.since()
    installed.set_posture(Posture(file=Action.BLOCK), Posture())
    assert tables.since() == []

    installed.replace([policy("p"), host_policy("h")])
    assert tables.assigned[HOST] == of_host
    assert tables.assigned[WEB] != of_web
    tables.since()

    installed.set_posture(Posture(file=Action.BLOCK), Posture(file=Action.BLOCK))
    installed.replace([policy("p"), host_policy("h")])
    assert tables.assigned[HOST] != of_host


def test_rules_of_tables_that_are_gone_are_still_found(tables: FakeTables, installed: Installed) -> None:
    """Alerts that name them may be on the way."""
    installed.replace([policy("p", message="old")])
    installed.replace([policy("p", message="new")])

    old, new = installed.find_rule(1, 1), installed.find_rule(2, 1)
    assert old and new
    assert (old.rule.message, new.rule.message) == ("old", "new")


@pytest.mark.parametrize(("number", "rule"), [(1, 0), (1, 2), (1, -1), (2, 1), (0, 1), (NO_RULES, 1)])
def test_a_rule_that_never_was_is_not_found(
    tables: FakeTables, installed: Installed, number: int, rule: int
) -> None:
    installed.replace([policy("p")])

    assert installed.find_rule(1, 1)
    assert installed.find_rule(number, rule) is None


def test_only_so_many_tables_that_are_gone_are_kept(tables: FakeTables, installed: Installed) -> None:
    for number in range(RETIRED_KEPT + 2):
        installed.replace([policy("p", message=str(number))])

    assert installed.find_rule(1, 1) is None
    assert installed.find_rule(2, 1)


def test_numbers_go_on_from_the_first_that_is_free(tables: FakeTables) -> None:
    """What an earlier agent left in the kernel keeps its own."""
    installed = Installed(
        tables, SECRETS, host_name="node-1", posture=Posture(), host_posture=Posture(), first_set=40
    )
    installed.replace([host_policy("h")])

    assert list(tables.tables) == [40]


def test_more_than_the_kernel_holds_is_an_error(
    tables: FakeTables, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said of the policies that would need it, and what is in force stays so."""
    monkeypatch.setattr("hauberk.enforcement.installed.SET_COUNT", 1)
    installed.replace([policy("p")])
    with pytest.raises(PolicyError, match="more than 1 workloads would have rules that no other has"):
        installed.replace([policy("p"), policy("q", app="db")])
    assert [each.policy.name for each in installed.rules_of(WEB)] == ["p"]

    monkeypatch.setattr("hauberk.enforcement.installed.SUBJECT_COUNT", len(tables.assigned))
    with pytest.raises(PolicyError, match="cgroups would have rules of their own"):
        installed.learn(99, WORKLOADS[WEB])


def test_each_workload_is_treated_as_its_namespace_and_pod_want(tables: FakeTables) -> None:
    """Another posture is another table; audited, nothing is blocked but told so; disabled, there are no rules."""
    wanted = {
        "web-1": Treatment(Posture(file=Action.BLOCK)),
        "web-2": Treatment(Posture(file=Action.BLOCK), "audited"),
        "db-1": Treatment(mode="disabled"),
        "": Treatment(),  # of whom nobody has told yet
        None: Treatment(),
    }
    installed = Installed(
        tables,
        SECRETS,
        host_name="node-1",
        posture=Posture(),
        host_posture=Posture(),
        treatment_of=lambda workload: wanted[workload.container_id],
    )
    for cgroup_id, workload in WORKLOADS.items():
        installed.learn(cgroup_id, workload)
    installed.replace([policy("p", app=None)])

    assert [each.rule.action for each in installed.rules_of(WEB)] == [Action.BLOCK]
    assert [(each.rule.action, each.rule.is_held_back) for each in installed.rules_of(WEB_TOO)] == [
        (Action.AUDIT, True)
    ]
    assert installed.rules_of(DB) == ()
    assert installed.holders() == {policy("p").identity: 2}

    wanted["web-2"] = wanted["db-1"] = wanted["web-1"]
    installed.review({})
    assert len({tables.assigned[each] for each in WORKLOADS}) == 1
    assert installed.holders() == {policy("p").identity: 3}


def test_the_hosts_labels_select_its_policies(tables: FakeTables, installed: Installed) -> None:
    installed.replace([host_policy("h", labels={"zone": "a"})])
    assert installed.rules_of(HOST) == ()

    installed.review({"zone": "a"})

    assert [each.policy.name for each in installed.rules_of(HOST)] == ["h"]
    assert installed.holders() == {host_policy("h").identity: 1}


def test_what_does_not_fit_keeps_nobody_else_out(tables: FakeTables, installed: Installed) -> None:
    """It is left out and named; others come, change and go; and what was held of it before is held still."""
    installed.replace([policy("p"), policy("unfit", app="db")])
    refused = installed.replace_what_fits([policy("p", "/etc/passwd"), policy("q"), UNFIT])

    assert list(refused) == [UNFIT.identity]
    assert refused[UNFIT.identity]
    assert {each.name for each in installed.policies} == {"p", "q", "unfit"}
    assert [each.policy.name for each in installed.rules_of(DB)] == ["unfit"]
    assert installed.replace_what_fits([policy("q")]) == {}
    assert [each.policy.name for each in installed.rules_of(WEB)] == ["q"]
