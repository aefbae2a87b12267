"""A cluster for tests: the server of our own, or a real one if KUBECONFIG says where it is."""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from hauberk.kube.access import Access, read_kubeconfig
from tests.kube.server import ApiServer

Object = dict[str, Any]
PATIENCE_S = 60
CRDS = list(yaml.safe_load_all(files("hauberk").joinpath("manifests/crds.yaml").read_text()))
GROUPS = {"v1": "/api/v1"}
PLURALS = {
    "Namespace": "namespaces",
    "Node": "nodes",
    "Pod": "pods",
    "ReplicaSet": "replicasets",
    "Job": "jobs",
    "KubeArmorPolicy": "kubearmorpolicies",
    "KubeArmorHostPolicy": "kubearmorhostpolicies",
    "KubeArmorClusterPolicy": "kubearmorclusterpolicies",
    "CustomResourceDefinition": "customresourcedefinitions",
}


def wait_until(happened: Callable[[], object], what: str) -> None:
    """Ask again and again, with a generous limit."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


class Api:
    """What a person does with a cluster."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._pool = urllib3.PoolManager(ssl_context=access.tls, retries=False)
        self._made: list[Object] = []

    def ask(self, method: str, path: str, body: Object | None = None) -> tuple[int, Object]:
        headers = {**self.access.headers(), "Content-Type": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        content = json.dumps(body) if body is not None else None
        answer = self._pool.request(method, self.access.url + path, body=content, headers=headers)
        return answer.status, json.loads(answer.data or b"{}")

    def path(self, thing: Object, *, named: bool = True) -> str:
        version = thing["apiVersion"]
        meta = thing["metadata"]
        parts = [GROUPS.get(version, f"/apis/{version}")]
        parts += ["namespaces", meta["namespace"]] if "namespace" in meta else []
        parts += [PLURALS[thing["kind"]], *([meta["name"]] if named else [])]
        return "/".join(parts)

    def create(self, thing: Object) -> Object:
        status, found = self.ask("POST", self.path(thing, named=False) + "?fieldValidation=Strict", thing)
        assert status == 201, found
        self._made.append(thing)
        return found

    def serves(self, plural: str) -> bool:
        return self.ask("GET", f"/apis/security.kubearmor.com/v1/{plural}")[0] == 200

    def apply(self, text: str) -> list[Object]:
        """As `kubectl apply`, of what is not there yet."""
        return [self.create(thing) for thing in yaml.safe_load_all(text) if thing]

    def refuses(self, thing: Object) -> str:
        """Why it does not take it."""
        status, found = self.ask("POST", self.path(thing, named=False) + "?fieldValidation=Strict", thing)
        assert status in (400, 422), f"it takes it: {found}"
        return str(found["message"])

    def get(self, thing: Object) -> Object:
        status, found = self.ask("GET", self.path(thing))
        assert status == 200, found
        return found

    def change(self, thing: Object, change: Object, part: str = "") -> Object:
        status, found = self.ask("PATCH", self.path(thing) + part, change)
        assert status == 200, found
        return found

    def delete(self, thing: Object) -> None:
        status, found = self.ask("DELETE", self.path(thing))
        assert status in (200, 202, 404), found

    def clean_up(self) -> None:
        for thing in reversed(self._made):
            self.delete(thing)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """The server of our own, for what cannot be asked of a real one."""
    running = ApiServer()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def access(request: pytest.FixtureRequest) -> Access:
    if os.environ.get("KUBECONFIG") and "server" not in request.fixturenames:
        return read_kubeconfig(Path(os.environ["KUBECONFIG"]))
    return Access(request.getfixturevalue("server").url, None, token="secret")


@pytest.fixture
def api(access: Access) -> Iterator[Api]:
    """A cluster that knows our CRDs."""
    found = Api(access)
    for crd in CRDS:
        status, answer = found.ask("POST", found.path(crd, named=False), crd)
        assert status in (201, 409), answer
        kind, plural = crd["spec"]["names"]["kind"], crd["spec"]["names"]["plural"]
        wait_until(
            partial(found.serves, plural),
            f"{kind} is served",
        )
    yield found
    found.clean_up()


@pytest.fixture
def node() -> str:
    """A node that no kubelet answers for: its pods stay as they are made."""
    return f"hauberk-{secrets.token_hex(4)}"


@pytest.fixture
def namespace(api: Api) -> Object:
    name = f"hauberk-{secrets.token_hex(4)}"
    return api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


ID = "ab" * 32


def make_pod(
    api: Api,
    namespace: Object,
    node: str,
    name: str = "web-1",
    *,
    container_id: str = ID,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    owner: Object | None = None,
) -> Object:
    """A pod on the node, with one container that runs."""
    meta: Object = {
        "name": name,
        "namespace": namespace["metadata"]["name"],
        "labels": labels if labels is not None else {"app": "web", "pod-template-hash": "5d9"},
        "annotations": annotations or {},
    }
    if owner:
        reference = {key: owner[key] for key in ("apiVersion", "kind")}
        reference |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
        meta["ownerReferences"] = [reference]
    pod = api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta,
            "spec": {"nodeName": node, "containers": [{"name": "web", "image": "nginx:1"}]},
        }
    )
    status = {
        "name": "web",
        "image": "docker.io/library/nginx:1",
        "imageID": f"docker.io/library/nginx@sha256:{'cd' * 32}",
        "containerID": f"containerd://{container_id}",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    return api.change(pod, {"status": {"phase": "Running", "containerStatuses": [status]}}, "/status")
