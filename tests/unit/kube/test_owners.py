"""Who keeps a pod alive, whatever those who may make pods claim."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.errors import ClusterError
from hauberk.kube.objects import Owners, decode_pod
from hauberk.model.workload import Owner

Reference = dict[str, Any]


def owned_by(kind: str, name: str, uid: str = "", version: str = "apps/v1") -> Reference:
    return {
        "apiVersion": version,
        "kind": kind,
        "name": name,
        "uid": uid or f"uid-{name}",
        "controller": True,
    }


class Server:
    """ReplicaSets by namespace and name; counts what it is asked."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[str, list[Reference]]] = {}
        self.asked: list[str] = []
        self.broken: ClusterError | None = None
        self.said: list[str] = []
        self.owners = Owners(self.get, self.said.append)

    def add(self, name: str, *above: Reference, namespace: str = "shop", uid: str = "") -> None:
        self.objects[namespace, name] = uid or f"uid-{name}", list(above)

    def get(self, path: str) -> bytes:
        self.asked.append(path)
        if self.broken:
            raise self.broken
        for (namespace, name), (uid, above) in self.objects.items():
            if path == f"/apis/apps/v1/namespaces/{namespace}/replicasets/{quote(name, safe='')}":
                return json.dumps({"metadata": {"name": name, "uid": uid, "ownerReferences": above}}).encode()
        raise ClusterError("not found", status=404)

    def owner(self, *references: Reference, namespace: str = "shop") -> Owner | None:
        meta = {"name": "web-0", "namespace": namespace, "uid": "u", "ownerReferences": list(references)}
        pod = decode_pod(self.owners, json.dumps({"metadata": meta}).encode())
        assert pod
        return pod.itself.owner


POD = Owner("Pod", "web-0", "shop")


def test_topmost_controller() -> None:
    server = Server()
    server.add("web-1", owned_by("Deployment", "web"))

    assert server.owner(owned_by("ReplicaSet", "web-1")) == Owner("Deployment", "web", "shop")
    assert server.owner(owned_by("ReplicaSet", "web-1")) == Owner("Deployment", "web", "shop")
    assert len(server.asked) == 1


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50])
def test_rings_of_owners_end(length: int) -> None:
    """ReplicaSets that own each other, or themselves."""
    server = Server()
    for number in range(length):
        server.add(f"rs-{number}", owned_by("ReplicaSet", f"rs-{(number + 1) % length}"))

    found = server.owner(owned_by("ReplicaSet", "rs-0"))

    assert found and found.kind == "ReplicaSet"
    assert len(server.asked) <= 8


def test_claim_of_what_is_not_there_is_none() -> None:
    server = Server()

    assert server.owner(owned_by("ReplicaSet", "web-1")) == POD
    server.add("web-1", owned_by("Deployment", "web"))
    assert server.owner(owned_by("ReplicaSet", "web-1")) == Owner("Deployment", "web", "shop")


def test_claim_with_the_uid_of_another_is_none() -> None:
    """Nor does it say anything about the pods of that other."""
    server = Server()
    server.add("theirs", owned_by("Deployment", "billing"), namespace="billing", uid="known")
    server.add("mine", owned_by("Deployment", "evil"), uid="mine")

    assert server.owner(owned_by("ReplicaSet", "mine", uid="known")) == POD
    theirs = owned_by("ReplicaSet", "theirs", uid="known")
    assert server.owner(theirs, namespace="billing") == Owner("Deployment", "billing", "billing")


def test_claim_of_another_api_is_no_look_up() -> None:
    """Somebody's own kind may be called as one of Kubernetes."""
    server = Server()
    server.add("web-1", owned_by("Deployment", "web"))

    found = server.owner(owned_by("ReplicaSet", "web-1", version="example.org/v1"))

    assert found == Owner("ReplicaSet", "web-1", "shop")
    assert server.asked == []


@pytest.mark.parametrize(
    "name", ["../../../../../../api/v1/pods?watch=true", "..", "a/b", "a?b", "a#b", "%2e%2e", "", "é"]
)
def test_what_is_no_name_is_not_asked_for(name: str) -> None:
    server = Server()

    assert server.owner(owned_by("ReplicaSet", name)) == POD
    assert server.asked == []


@given(st.lists(st.fixed_dictionaries({"kind": st.sampled_from(["ReplicaSet", "Job", "X"]), "name": st.text()},
       optional={"apiVersion": st.sampled_from(["apps/v1", "batch/v1", "../v1"]), "uid": st.text(), "controller": st.booleans()}),
       max_size=3))  # fmt: skip
def test_any_claim_is_answered(references: list[Reference]) -> None:
    server = Server()
    assert server.owner(*references)
    assert all(
        path.startswith("/apis/") and path.count("/") == 7 and "?" not in path for path in server.asked
    )


def test_what_cannot_be_asked_for_is_asked_again() -> None:
    server = Server()
    server.add("web-1", owned_by("Deployment", "web"))
    server.broken = ClusterError("forbidden", status=403)

    assert server.owner(owned_by("ReplicaSet", "web-1")) == Owner("ReplicaSet", "web-1", "shop")
    assert server.owners.problem
    assert len(server.said) == 1
    server.broken = None
    assert server.owner(owned_by("ReplicaSet", "web-1")) == Owner("Deployment", "web", "shop")
    assert not server.owners.problem
