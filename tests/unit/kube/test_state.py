"""What is known of a cluster, and how workloads are treated by it."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from hauberk.enrich.visibility import EVERYTHING, hidden_operations
from hauberk.kube.changes import Changed, Gone, Listed
from hauberk.kube.state import Defaults, State, Told
from hauberk.model.cluster import ClusterNode, ClusterPolicy, Mode, Namespace, NodeStatus, Pod
from hauberk.model.policy import Action, Policy
from hauberk.model.workload import HOST, Workload
from hauberk.policy.decide import Posture
from hauberk.policy.treatment import Treatment

BLOCK, AUDIT = Action.BLOCK, Action.AUDIT
ALL = ("process", "file", "network", "capabilities")
POD = Workload(namespace="shop", pod="web-1", labels={"app": "web"}, pod_uid="u1")
WEB = replace(POD, container_id="c1", container_name="web")
SIDECAR = replace(POD, container_id="c2", container_name="sidecar")
POLICY = Policy(kind="KubeArmorPolicy", name="p", namespace="shop", file="kubearmorpolicies/shop/p")
KNOWN = ClusterPolicy("KubeArmorPolicy", "p", "shop", 3, POLICY)


def pod(*containers: Workload, visibility: tuple[str, ...] | None = None, mode: Mode = "enabled") -> Pod:
    return Pod(
        "u1", "shop", "web-1", POD, {str(each.container_id): each for each in containers}, visibility, mode
    )


@pytest.fixture
def state() -> State:
    defaults = Defaults(ALL, ("process",), Posture(network=BLOCK), Posture(file=BLOCK), frozenset({"dark"}))
    return State(defaults, "node-1")


def test_pods_and_containers_come_change_and_go(state: State) -> None:
    assert state.apply(Listed("pods", {"u1": pod()})) == [Told("pod", "u1", POD)]
    assert state.apply(Changed("pods", "u1", pod(WEB))) == [Told("container", "c1", WEB)]
    assert state.apply(Changed("pods", "u1", pod(WEB))) == []
    assert state.apply(Changed("pods", "u1", pod(SIDECAR))) == [
        Told("container", "c1", None),
        Told("container", "c2", SIDECAR),
    ]
    assert state.apply(Gone("pods", "u1")) == [Told("pod", "u1", None), Told("container", "c2", None)]
    assert state.apply(Gone("pods", "u1")) == []


def test_what_a_list_does_not_hold_is_gone(state: State) -> None:
    state.apply(Listed("pods", {"u1": pod(WEB)}))

    assert state.apply(Listed("pods", {})) == [Told("pod", "u1", None), Told("container", "c1", None)]


@pytest.mark.parametrize(
    ("of_pod", "of_namespace", "expected"),
    [
        (None, None, ALL),
        (None, ("none",), ("none",)),
        (("file",), None, ("file",)),
        (("file",), ("none",), ("file",)),
        (("none",), ("file",), ("none",)),
    ],
)
def test_visibility_is_the_nearest_that_says_something(
    state: State,
    of_pod: tuple[str, ...] | None,
    of_namespace: tuple[str, ...] | None,
    expected: tuple[str, ...],
) -> None:
    state.apply(Changed("namespaces", "shop", Namespace("shop", visibility=of_namespace)))
    state.apply(Changed("pods", "u1", pod(WEB, visibility=of_pod)))

    assert state.hidden_of(WEB) == hidden_operations(expected)


def test_the_host_is_as_visible_as_its_node_says(state: State) -> None:
    assert state.hidden_of(HOST) == hidden_operations(["process"])
    state.apply(Listed("nodes", {"node-1": ClusterNode("node-1", {"zone": "a"}, ("file",), "audited")}))

    assert state.hidden_of(HOST) == hidden_operations(["file"])
    assert state.treatment_of(HOST) == Treatment(Posture(file=BLOCK), "audited")
    assert state.node.labels == {"zone": "a"}


def test_untracked_namespaces_are_left_alone(state: State) -> None:
    """Whatever their pods say of themselves."""
    dark = replace(WEB, namespace="dark")
    state.apply(Changed("pods", "u1", pod(dark, visibility=ALL)))

    assert state.hidden_of(dark) == EVERYTHING
    assert state.treatment_of(dark).mode == "disabled"


def test_nothing_is_blocked_in_the_system_namespace(state: State) -> None:
    system = replace(WEB, namespace="kube-system")

    assert state.treatment_of(system).mode == "audited"
    assert state.treatment_of(WEB).mode == "enabled"


def test_a_namespace_has_the_postures_that_it_names(state: State) -> None:
    assert state.treatment_of(WEB).posture == Posture(network=BLOCK)
    state.apply(Listed("namespaces", {"shop": Namespace("shop", file_posture=BLOCK, network_posture=AUDIT)}))

    assert state.treatment_of(WEB).posture == Posture(file=BLOCK)
    assert state.treatment_of(replace(WEB, namespace="other")).posture == Posture(network=BLOCK)


def test_what_changes_treatment_is_noticed_and_nothing_else(state: State) -> None:
    def changes(change: Listed[Pod] | Changed[Pod] | Changed[Namespace] | Changed[ClusterNode]) -> bool:
        state.treatment_changed = False
        state.apply(change)
        return state.treatment_changed

    assert not changes(Changed("pods", "u1", pod(WEB)))
    assert changes(Changed("pods", "u1", pod(WEB, mode="audited")))
    assert not changes(Changed("pods", "u1", pod(WEB, SIDECAR, mode="audited")))
    assert changes(Changed("namespaces", "shop", Namespace("shop", visibility=("none",))))
    assert not changes(Changed("namespaces", "shop", Namespace("shop", visibility=("none",))))
    assert changes(Changed("nodes", "node-1", ClusterNode("node-1", {"zone": "a"})))
    assert not changes(Changed("nodes", "node-1", ClusterNode("node-1", {"zone": "a"})))


def test_a_status_that_comes_back_is_no_change_of_policies(state: State) -> None:
    state.apply(Changed("kubearmorpolicies", "shop/p", KNOWN))
    assert state.policies_changed
    state.policies_changed = False
    state.apply(Changed("kubearmorpolicies", "shop/p", replace(KNOWN, status="OK")))
    assert not state.policies_changed
    state.apply(Gone("kubearmorpolicies", "shop/p"))
    assert state.policies_changed


def test_policies_are_known_when_all_kinds_were_listed(state: State) -> None:
    for plural in ("kubearmorpolicies", "kubearmorhostpolicies", "kubearmorclusterpolicies"):
        assert not state.has_heard_of_policies
        state.apply(Listed[ClusterPolicy](plural, {}))
    assert state.has_heard_of_policies


IDENTITY = KNOWN.identity
OF_A_FILE = replace(POLICY, file="/etc/p.yaml")


@pytest.mark.parametrize(
    ("held", "in_force", "has_lsm", "refused", "expected"),
    [
        (2, {IDENTITY: POLICY}, True, {}, NodeStatus("Enforced", 3, 2)),
        (
            2,
            {IDENTITY: POLICY},
            False,
            {},
            NodeStatus(
                "Observed",
                3,
                2,
                ("BPF-LSM is missing, or `enforce` is not auto: what should be blocked is only audited",),
            ),
        ),
        (0, {IDENTITY: POLICY}, True, {}, None),
        (0, {}, True, {IDENTITY: "too much"}, NodeStatus("Refused", 3, 0, ("too much",))),
        (
            1,
            {IDENTITY: OF_A_FILE},
            True,
            {},
            NodeStatus(
                "Refused",
                3,
                0,
                ("the node has a policy of the same name in /etc/p.yaml, which counts there",),
            ),
        ),
    ],
)
def test_a_nodes_word_on_a_policy(
    state: State,
    held: int,
    in_force: Mapping[tuple[str, str, str], Policy],
    has_lsm: bool,
    refused: Mapping[tuple[str, str, str], str],
    expected: NodeStatus | None,
) -> None:
    state.apply(Changed("kubearmorpolicies", "shop/p", KNOWN))
    found = state.statuses({IDENTITY: held}, in_force, has_lsm=has_lsm, refused=refused)

    assert found == {IDENTITY: (KNOWN, expected)}
