"""What is heard of a cluster: of our server, and unchanged of a real one when KUBECONFIG says where it is."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from hauberk.enrich.visibility import EVERYTHING
from hauberk.kube.access import Access
from hauberk.model.policy import Action
from hauberk.model.workload import HOST, Owner, Workload
from hauberk.policy.decide import Posture
from hauberk.policy.treatment import Treatment
from tests.kube.conftest import ID, Api, Object, make_pod, wait_until
from tests.kube.follower import Follower

EXAMPLES = sorted((Path(__file__).parents[2] / "examples/policies").glob("*.yaml"))
OTHER = "ef" * 32


def policy(namespace: Object, name: str = "one", **spec: Any) -> Object:
    return {
        "apiVersion": "security.kubearmor.com/v1",
        "kind": "KubeArmorPolicy",
        "metadata": {"name": name, "namespace": namespace["metadata"]["name"]},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "action": "Block",
            "file": {"matchPaths": [{"path": "/etc/shadow"}]},
        }
        | spec,
    }


def replica_set(namespace: Object, owner: Object | None = None) -> Object:
    labels = {"app": "web"}
    meta: Object = {"name": "web-5d9", "namespace": namespace["metadata"]["name"]}
    if owner:
        meta["ownerReferences"] = [owner]
    container = {"name": "web", "image": "nginx:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": meta,
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@pytest.fixture
def follower(api: Api, access: Access, node: str) -> Iterator[Follower]:
    found = Follower(access, node)
    yield found
    found.close()


def test_a_pod_gives_its_containers_their_names(
    api: Api, namespace: Object, node: str, follower: Follower
) -> None:
    """Its own, with the topmost of its owners, and the labels that people gave it."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": "d",
        "controller": True,
    }
    owner = api.create(replica_set(namespace, deployment))
    made = make_pod(api, namespace, node, owner=owner)
    name = namespace["metadata"]["name"]

    wait_until(lambda: follower.find(ID), "the container is known")

    assert follower.containers[ID] == Workload(
        container_id=ID,
        container_name="web",
        image=f"docker.io/library/nginx:1@sha256:{'cd' * 32}",
        namespace=name,
        pod="web-1",
        labels={"app": "web"},
        owner=Owner("Deployment", "web", name),
        pod_uid=made["metadata"]["uid"],
    )


def test_what_changes_is_heard_of(api: Api, namespace: Object, node: str, follower: Follower) -> None:
    pod = make_pod(api, namespace, node)
    wait_until(lambda: follower.find(ID), "the container is known")
    assert follower.containers[ID].owner == Owner("Pod", "web-1", namespace["metadata"]["name"])

    api.change(pod, {"metadata": {"labels": {"tier": "front"}}})
    wait_until(lambda: "tier" in (follower.find(ID) or HOST).labels, "its labels have changed")
    api.delete(pod)
    wait_until(lambda: follower.find(ID) is None, "it is gone")


def test_pods_of_other_nodes_are_none_of_our_business(
    api: Api, namespace: Object, node: str, follower: Follower
) -> None:
    make_pod(api, namespace, "another-node", "theirs", container_id=OTHER)
    make_pod(api, namespace, node)

    wait_until(lambda: follower.find(ID), "our own is known")
    assert follower.find(OTHER) is None


def test_annotations_say_what_is_visible_and_how_policies_are_treated(
    api: Api, namespace: Object, node: str, follower: Follower
) -> None:
    """A pod before its namespace, a namespace before the settings; at once when they change."""
    make_pod(api, namespace, node)
    quiet = {"kubearmor-visibility": "none", "kubearmor-policy": "audited"}
    make_pod(api, namespace, node, "quiet", container_id=OTHER, annotations=quiet)
    wait_until(lambda: follower.find(ID) and follower.find(OTHER), "the containers are known")
    state, web, other = follower.state, follower.containers[ID], follower.containers[OTHER]
    assert (state.hidden_of(web), state.treatment_of(web)) == (0, Treatment())
    assert (state.hidden_of(other), state.treatment_of(other).mode) == (EVERYTHING, "audited")

    state.treatment_changed = False
    wanted = {"kubearmor-visibility": "process,network", "kubearmor-file-posture": "block"}
    api.change(namespace, {"metadata": {"annotations": wanted}})

    def is_heard() -> bool:
        follower.hear()
        return state.treatment_changed

    wait_until(is_heard, "the namespace has changed")
    assert state.treatment_of(web) == Treatment(Posture(file=Action.BLOCK))
    assert 0 < state.hidden_of(web) < EVERYTHING
    assert state.hidden_of(other) == EVERYTHING


def test_a_policy_comes_changes_and_goes(api: Api, namespace: Object, follower: Follower) -> None:
    made = api.create(policy(namespace))
    wait_until(lambda: follower.policy(made), "the policy is known")
    found = follower.policy(made)
    assert found and found.policy and found.problems == ()
    assert (found.policy.namespace, found.policy.selector.labels) == (
        namespace["metadata"]["name"],
        {"app": "web"},
    )

    api.change(made, {"spec": {"action": "Audit"}})
    wait_until(lambda: (follower.policy(made) or found).generation == 2, "it has changed")
    changed = follower.policy(made)
    assert changed and changed.policy and {rule.action for rule in changed.policy.rules} == {Action.AUDIT}
    api.delete(made)
    wait_until(lambda: follower.policy(made) is None, "it is gone")


def test_a_status_says_which_nodes_hold_a_policy(
    api: Api, namespace: Object, node: str, follower: Follower
) -> None:
    """Each node its own entry, beside those of others; it goes when the node has nothing to do with it any more."""
    made = api.create(policy(namespace))
    theirs = {"state": "Observed", "generation": 1, "workloads": 2}
    api.change(made, {"status": {"nodes": {"another": theirs}}}, "/status")
    wait_until(lambda: follower.policy(made), "the policy is known")

    follower.publish(held=3)
    wait_until(lambda: node in api.get(made)["status"]["nodes"], "the node has written")
    assert api.get(made)["status"] == {
        "status": "OK",
        "nodes": {"another": theirs, node: {"state": "Enforced", "generation": 1, "workloads": 3}},
    }

    wait_until(lambda: (follower.policy(made) or made).node_status, "its own words have come back")  # type: ignore[union-attr]
    follower.publish(held=3, refused="too much for a table")
    wait_until(lambda: "problems" in api.get(made)["status"]["nodes"][node], "it says what is wrong")
    assert api.get(made)["status"]["nodes"][node]["problems"] == ["too much for a table"]
    wait_until(
        lambda: getattr(getattr(follower.policy(made), "node_status", None), "problems", None), "heard of it"
    )
    follower.publish(held=0)
    wait_until(lambda: node not in api.get(made)["status"]["nodes"], "the node has taken its entry away")
    assert api.get(made)["status"]["nodes"] == {"another": theirs}


def test_what_is_wrong_with_a_policy_stands_in_its_status(
    api: Api, namespace: Object, follower: Follower
) -> None:
    """What the schema lets pass and the agent does not, by field."""
    wrong = {"matchCapabilities": [{"capability": "net_row"}]}
    made = api.create(policy(namespace, capabilities=wrong))
    wait_until(lambda: follower.policy(made), "the policy is known")
    follower.publish()

    wait_until(lambda: api.get(made).get("status"), "the status is written")
    status = api.get(made)["status"]
    assert status["status"] == "Invalid"
    (problem,) = status["problems"]
    assert problem.startswith("spec.capabilities.matchCapabilities[0].capability: no capability is called")
    assert "did you mean" in problem
    assert "nodes" not in status


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_server_takes_every_example(api: Api, namespace: Object, follower: Follower, path: Path) -> None:
    """And what it gives back is still the same policy."""
    for thing in yaml.safe_load_all(path.read_text()):
        thing["metadata"]["name"] += f"-{namespace['metadata']['name'][-8:]}"
        if thing["kind"] == "KubeArmorPolicy":
            thing["metadata"]["namespace"] = namespace["metadata"]["name"]
        made = api.create(thing)
        wait_until(partial(follower.policy, made), "the policy is known")
        found = follower.policy(made)
        assert found and found.policy and found.problems == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"action": "Blok"}, "Blok"),
        ({"severity": 11}, "11"),
        ({"file": {"matchPath": [{"path": "/etc/shadow"}]}}, "matchPath"),
        ({"file": {"matchPaths": [{"path": "/etc/shadow", "readonly": True}]}}, "readonly"),
        ({"file": {"matchPaths": [{"path": "etc/shadow"}]}}, "etc/shadow"),
        ({"process": {"matchDirectories": [{"recursive": True}]}}, "dir"),
        ({"presets": [{"name": "filelesExec"}]}, "filelesExec"),
        ({"selector": {"matchExpressions": [{"key": "label", "operator": "NotInn", "values": ["a=b"]}]}}, "NotInn"),
        ({"syscalls": {"matchSyscalls": [{"syscall": []}]}}, "syscall"),
        ({"nodeSelector": {}}, "nodeSelector"),
    ],
)  # fmt: skip
def test_the_server_refuses_a_slip(api: Api, namespace: Object, change: Object, expected: str) -> None:
    assert expected in api.refuses(policy(namespace, **change))
