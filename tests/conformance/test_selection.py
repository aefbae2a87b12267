"""Whom policies select: those that KubeArmor's own suites use, on the workloads that those suites run.

The facts only: names, selectors, and for whom a scenario expects a policy to hold.
"""

import json
from typing import Any

import pytest

from hauberk.kube.objects import decode_policy
from hauberk.model.policy import Kind
from hauberk.policy.select import Identity, holds_for, holds_for_host

Object = dict[str, Any]
UBUNTUS = {
    f"ubuntu-{number}": Identity(
        "multiubuntu",
        {"container": f"ubuntu-{number}", "group": "group-1" if number <= 3 else "group-2"},
        f"ubuntu-{number}-container",
    )
    for number in range(1, 6)
}
OTHERS = {
    "wordpress": Identity("wordpress-mysql", {"app": "wordpress"}, "wordpress"),
    "mysql": Identity("wordpress-mysql", {"app": "mysql"}, "mysql"),
    "nginx1": Identity("nginx1", {"app": "nginx"}, "nginx"),
    "nginx2": Identity("nginx2", {"app": "nginx"}, "nginx"),
    "debian": Identity("nginx1", {"app": "debian"}, "debian"),
    "container-1": Identity("multicontainer", {"container": "multicontainer"}, "container-1"),
    "container-2": Identity("multicontainer", {"container": "multicontainer"}, "container-2"),
}
WORKLOADS = UBUNTUS | OTHERS


def labels(**wanted: str) -> Object:
    return {"matchLabels": wanted}


def containers(name: str) -> Object:
    return {"matchLabels": {"container": "multicontainer", "kubearmor.io/container.name": name}}


def expressions(*triples: tuple[str, str, list[str]]) -> Object:
    return {
        "matchExpressions": [{"key": key, "operator": op, "values": values} for key, op, values in triples]
    }


IN_NAMESPACE = [
    # policy, its namespace, its selector, whom it holds for
    ("ksp-group-1-block-proc-path", "multiubuntu", labels(group="group-1"), "ubuntu-1 ubuntu-2 ubuntu-3"),
    (
        "ksp-group-2-block-file-path-from-source-path",
        "multiubuntu",
        labels(group="group-2"),
        "ubuntu-4 ubuntu-5",
    ),
    ("ksp-ubuntu-1-block-net-raw-cap", "multiubuntu", labels(container="ubuntu-1"), "ubuntu-1"),
    (
        "ksp-match-expression-in-notin-block-process",
        "multiubuntu",
        expressions(("label", "In", ["container=ubuntu-1"]), ("label", "NotIn", ["container=ubuntu-3"])),
        "ubuntu-1",
    ),
    (
        "ksp-match-expression-notin-block-process",
        "multiubuntu",
        expressions(("label", "NotIn", ["container=ubuntu-1"])),
        "ubuntu-2 ubuntu-3 ubuntu-4 ubuntu-5",
    ),
    ("ksp-wordpress-block-config", "wordpress-mysql", labels(app="wordpress"), "wordpress"),
    ("ksp-mysql-audit-dir", "wordpress-mysql", labels(app="mysql"), "mysql"),
    ("empty-array-ls-block", "multicontainer", containers("[]"), "container-1 container-2"),
    ("empty-label-ls-block", "multicontainer", containers(""), "container-1 container-2"),
    ("malformated-array-ls-block", "multicontainer", containers("[container-1,,]"), "container-1"),
    ("another-namespace", "default", labels(app="wordpress"), ""),
]

IN_CLUSTER = [
    ("csp-in-operator-block-file-access", [("namespace", "In", ["nginx2"])], "nginx2"),
    ("csp-in-operator-block-process", [("namespace", "In", ["nginx1", "nginx-later"])], "nginx1 debian"),
    (
        "csp-matchlabels-in-block-process",
        [("namespace", "In", ["nginx1"]), ("label", "In", ["app=nginx", "app=nginx-dev"])],
        "nginx1",
    ),
    (
        "csp-matchlabels-not-in-block-process",
        [("namespace", "NotIn", ["nginx2"]), ("label", "NotIn", ["app=nginx"])],
        "debian",
    ),
    ("csp-not-in-operator-block-file-access", [("namespace", "NotIn", ["nginx2"])], "nginx1 debian"),
    ("csp-not-in-operator-block-process", [("namespace", "NotIn", ["nginx1"])], "nginx2"),
    ("all-of-the-cluster", [], "nginx1 nginx2 debian"),
]
NGINXES = ("nginx1", "nginx2", "debian")

HOST = [
    ({"kubearmor.io/hostname": "*"}, True),
    ({"kubernetes.io/hostname": "node-1"}, True),
    ({"kubernetes.io/hostname": "node-2"}, False),
    ({"kubernetes.io/hostnamereg": "node-.*"}, True),
    ({"zone": "a"}, True),
    ({"zone": "b"}, False),
    ({"zone": "a", "kubernetes.io/hostname": "node-2"}, False),
    ({}, True),
]


def policy_of(kind: Kind, name: str, namespace: str | None, spec: Object) -> Any:
    """As it comes from the API server."""
    rules = {"action": "Block", "process": {"matchPaths": [{"path": "/usr/bin/apt"}]}}
    thing = {"metadata": {"name": name, "namespace": namespace}, "spec": spec | rules}
    found = decode_policy(kind, "node-1", json.dumps(thing).encode())
    assert found.problems == ()
    assert found.policy
    return found.policy


@pytest.mark.parametrize(
    ("name", "namespace", "selector", "expected"), IN_NAMESPACE, ids=[row[0] for row in IN_NAMESPACE]
)
def test_policies_of_a_namespace(name: str, namespace: str, selector: Object, expected: str) -> None:
    policy = policy_of("KubeArmorPolicy", name, namespace, {"selector": selector})

    assert {each for each, identity in WORKLOADS.items() if holds_for(policy, identity)} == set(
        expected.split()
    )


@pytest.mark.parametrize(("name", "triples", "expected"), IN_CLUSTER, ids=[row[0] for row in IN_CLUSTER])
def test_policies_of_the_cluster(name: str, triples: list[tuple[str, str, list[str]]], expected: str) -> None:
    policy = policy_of("KubeArmorClusterPolicy", name, None, {"selector": expressions(*triples)})

    assert {each for each in NGINXES if holds_for(policy, WORKLOADS[each])} == set(expected.split())


@pytest.mark.parametrize(("selector", "expected"), HOST)
def test_policies_of_hosts(selector: dict[str, str], expected: bool) -> None:
    policy = policy_of("KubeArmorHostPolicy", "hsp", None, {"nodeSelector": {"matchLabels": selector}})

    assert holds_for_host(policy, "node-1", {"zone": "a"}) is expected
    assert not any(holds_for(policy, identity) for identity in WORKLOADS.values())
