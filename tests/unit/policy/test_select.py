"""Which workloads policies hold for."""

import pytest

from hauberk.model.policy import Expression, Kind, Policy, Selector
from hauberk.model.workload import Workload
from hauberk.policy.document import parse_documents
from hauberk.policy.select import Identity, holds_for, holds_for_container, holds_for_host

WEB = Identity("shop", {"app": "web", "group": "group-1"}, "nginx")


def policy(
    kind: Kind = "KubeArmorPolicy", namespace: str | None = None, selector: Selector = Selector()
) -> Policy:
    return Policy(kind=kind, name="p", namespace=namespace, selector=selector)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, True),
        ({"app": "web"}, True),
        ({"app": "web", "group": "group-1"}, True),
        ({"app": "web", "group": "group-2"}, False),
        ({"app": "Web"}, False),
        ({"app": ""}, False),
        ({"tier": "web"}, False),
    ],
)
def test_all_match_labels_must_be_so(labels: dict[str, str], expected: bool) -> None:
    assert holds_for(policy(selector=Selector(labels)), WEB) is expected


@pytest.mark.parametrize(
    ("namespace", "of_workload", "expected"),
    [
        ("shop", "shop", True),
        ("shop", "bank", False),
        ("shop", None, False),
        (None, "shop", True),
        (None, None, True),
    ],
)
def test_a_policy_is_for_its_namespace(
    namespace: str | None, of_workload: str | None, expected: bool
) -> None:
    """One without a namespace, as outside Kubernetes, is for all."""
    assert holds_for(policy(namespace=namespace), Identity(of_workload, {}, None)) is expected


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ((), True),
        ((Expression("label", "In", ("app=web",)),), True),
        ((Expression("label", "In", ("app=db", "group=group-1")),), True),
        ((Expression("label", "In", ("app=db",)),), False),
        ((Expression("label", "In", ("app",)),), False),
        ((Expression("label", "NotIn", ("app=db",)),), True),
        ((Expression("label", "NotIn", ("app=db", "app=web")),), False),
        ((Expression("namespace", "In", ("bank", "shop")),), True),
        ((Expression("namespace", "In", ("bank",)),), False),
        ((Expression("namespace", "NotIn", ("bank",)),), True),
        ((Expression("namespace", "NotIn", ("shop",)),), False),
        ((Expression("namespace", "In", ("shop",)), Expression("label", "In", ("app=web",))), True),
        ((Expression("namespace", "In", ("shop",)), Expression("label", "In", ("app=db",))), False),
        ((Expression("namespace", "In", ("bank",)), Expression("label", "In", ("app=web",))), False),
        ((Expression("namespace", "NotIn", ("bank",)), Expression("label", "NotIn", ("app=web",))), False),
        # one key's In does not hide another's NotIn
        ((Expression("namespace", "In", ("shop",)), Expression("label", "NotIn", ("app=web",))), False),
        # what one label lets in, another keeps out; only of namespaces is NotIn not looked at behind In
        ((Expression("label", "In", ("app=web",)), Expression("label", "NotIn", ("app=web",))), False),
        ((Expression("label", "In", ("app=web",)), Expression("label", "NotIn", ("app=db",))), True),
        ((Expression("namespace", "NotIn", ("shop",)), Expression("namespace", "In", ("shop",))), True),
    ],
)
def test_expressions_of_a_cluster_policy(expressions: tuple[Expression, ...], expected: bool) -> None:
    found = policy("KubeArmorClusterPolicy", selector=Selector(expressions=expressions))

    assert holds_for(found, WEB) is expected


def test_labels_and_expressions_must_both_be_so() -> None:
    expressions = (Expression("label", "NotIn", ("group=group-1",)),)

    assert not holds_for(policy(selector=Selector({"app": "web"}, expressions)), WEB)


@pytest.mark.parametrize(
    ("label", "containers"),
    [
        ("[container-1]", ("container-1",)),
        ("[container-1,container-2]", ("container-1", "container-2")),
        ("[ container-1 , container-2 ]", ("container-1", "container-2")),
        ("['container-1', \"container-2\"]", ("container-1", "container-2")),
        ("wordpress-mysql", ("wordpress-mysql",)),
        ("[]", ()),
        ("", ()),
        ("[container-1,,]", ("container-1",)),
        ("[,container-1", ("container-1",)),
        ("container-1]", ("container-1",)),
        ("[,]", ()),
    ],
)
def test_names_of_containers_are_read_however_they_are_written(
    label: str, containers: tuple[str, ...]
) -> None:
    """A malformed list is tolerated, and an empty one means any."""
    quoted = label.replace("'", "''")
    parsed = parse_documents(
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: p}\nspec:\n"
        f"  selector: {{matchLabels: {{app: web, kubearmor.io/container.name: '{quoted}'}}}}\n"
        "  process: {matchPaths: [{path: /bin/ls}]}\n",
        "p.yaml",
    )
    assert parsed.problems == ()
    (found,) = parsed.policies

    assert found.selector == Selector({"app": "web"}, (), containers)
    for name in ("container-1", "container-2", "wordpress-mysql", "other", None):
        assert holds_for(found, Identity(None, {"app": "web"}, name)) is (
            not containers or name in containers
        )
    assert not holds_for(found, Identity(None, {"app": "db"}, "container-1"))


def test_policies_for_hosts_are_not_for_containers() -> None:
    assert not holds_for(policy("KubeArmorHostPolicy"), WEB)


@pytest.mark.parametrize("kind", ["KubeArmorPolicy", "KubeArmorClusterPolicy"])
def test_policies_for_containers_are_not_for_hosts(kind: Kind) -> None:
    assert not holds_for_host(policy(kind), "node-1", {})


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, True),
        ({"kubernetes.io/hostname": "*"}, True),
        ({"kubearmor.io/hostname": "*"}, True),
        ({"kubernetes.io/hostname": "node-1"}, True),
        ({"kubearmor.io/hostname": "node-1"}, True),
        ({"kubernetes.io/hostname": "node-2"}, False),
        ({"kubearmor.io/hostname": "node"}, False),
        ({"kubernetes.io/hostname": "labelled"}, True),
        ({"kubernetes.io/hostnamereg": "node-*"}, True),
        ({"kubernetes.io/hostnamereg": "node-.*"}, True),
        ({"kubearmor.io/hostnamereg": "*-1"}, True),
        ({"kubearmor.io/hostnamereg": "*"}, True),
        ({"kubearmor.io/hostnamereg": "node"}, False),
        ({"kubearmor.io/hostnamereg": "db-*"}, False),
        ({"zone": "a"}, True),
        ({"zone": "b"}, False),
        ({"rack": "1"}, False),
        ({"kubernetes.io/hostname": "*", "zone": "b"}, False),
        ({"kubernetes.io/hostname": "node-1", "zone": "a"}, True),
    ],
)
def test_a_host_policy_is_for_the_nodes_it_names(labels: dict[str, str], expected: bool) -> None:
    found = policy("KubeArmorHostPolicy", selector=Selector(labels))

    assert holds_for_host(found, "node-1", {"kubernetes.io/hostname": "labelled", "zone": "a"}) is expected


NAMED = Selector(containers=("web",))


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        (Workload("c1", "web"), True),
        (Workload("c1", "other"), False),
        (Workload("web"), True),
        (Workload("c1", "other", labels={"kubearmor.io/container.name": "web"}), True),
        (Workload("c1", "web", labels={"kubearmor.io/container.name": "other"}), False),
        (Workload("c1", "other", labels={"kubearmor.io/container.name": "web"}, pod_uid="u"), False),
        (Workload("c1", "web", is_pause=True), False),
        (Workload(container_name="web"), False),
    ],
    ids=["name", "another", "id", "by-label", "label-first", "labels-of-pods-do-not", "pause", "host"],
)
def test_container_is_selected_by_name(workload: Workload, expected: bool) -> None:
    """By its name; outside Kubernetes by the label that says one, as in KubeArmor; by the ID if there is no name."""
    assert holds_for_container(policy(selector=NAMED), workload) == expected
