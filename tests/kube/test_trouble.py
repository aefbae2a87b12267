"""What goes wrong between an agent and its cluster: it keeps what it knows, says so once, and catches up."""

import time
from collections.abc import Iterator
from functools import partial

import pytest

from hauberk.kube import watch
from hauberk.kube.access import Access
from tests.kube.conftest import ID, Api, Object, make_pod, wait_until
from tests.kube.follower import Follower
from tests.kube.server import ApiServer
from tests.kube.test_cluster import OTHER, policy, replica_set


@pytest.fixture
def access(server: ApiServer) -> Access:
    """Always our own: a real one does not fail when it is told to."""
    return Access(server.url, None, token="secret")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(watch, "_LAST_RETRY_S", 0.2)
    monkeypatch.setattr(watch, "_FORBIDDEN_RETRY_S", 0.2)


@pytest.fixture
def follower(api: Api, access: Access, node: str) -> Iterator[Follower]:
    found = Follower(access, node)
    yield found
    found.close()


def problem(follower: Follower, resource: str) -> str | None:
    follower.hear()
    return follower.cluster.problems()[resource]


def settled(follower: Follower, server: ApiServer) -> None:
    """All watches are open."""
    wait_until(
        lambda: all(
            server.count("watch", plural) for plural in ("pods", "namespaces", "nodes", "kubearmorpolicies")
        ),
        "everything is watched",
    )


def test_a_server_that_is_gone_and_comes_back(
    api: Api, server: ApiServer, namespace: Object, node: str, follower: Follower
) -> None:
    first = make_pod(api, namespace, node)
    wait_until(lambda: follower.find(ID), "the first is known")

    server.stop()
    wait_until(lambda: problem(follower, "pods"), "it is noticed")
    assert follower.find(ID), "what was known is forgotten"
    assert follower.said_of("cannot follow pods of the cluster, what was known of them stays so") == 1
    server.start()
    api.delete(first)
    make_pod(api, namespace, node, "web-2", container_id=OTHER)

    wait_until(lambda: follower.find(OTHER) and not follower.find(ID), "it has caught up")
    wait_until(lambda: problem(follower, "pods") is None, "all is well")
    assert follower.said_of("pods of the cluster are followed again") == 1


def test_a_server_that_is_slow(
    api: Api, server: ApiServer, namespace: Object, node: str, access: Access
) -> None:
    """Is waited for by threads of its own: who takes what they found never waits."""
    make_pod(api, namespace, node)
    server.delay_s = 1.0
    follower = Follower(access, node)
    try:
        begun = time.monotonic()
        for _ in range(100):
            follower.hear()
        assert time.monotonic() - begun < server.delay_s
        wait_until(lambda: follower.find(ID), "it is known in the end")
        assert follower.said == []
    finally:
        server.delay_s = 0.0
        follower.close()


def test_history_that_is_forgotten(
    api: Api, server: ApiServer, namespace: Object, node: str, follower: Follower
) -> None:
    """What went while nobody looked is gone, what came is there; and nobody is told of a problem."""
    gone = make_pod(api, namespace, node)
    wait_until(lambda: follower.find(ID), "the first is known")

    fault = server.fail(503, "watch", "pods")
    server.end_watches()
    wait_until(lambda: problem(follower, "pods"), "it does not follow any more")
    api.delete(gone)
    make_pod(api, namespace, node, "web-2", container_id=OTHER)
    server.forget_history()
    server.faults.remove(fault)

    wait_until(lambda: follower.find(OTHER) and not follower.find(ID), "it has caught up")
    assert server.count("list", "pods") >= 2
    wait_until(lambda: problem(follower, "pods") is None, "all is well")


def test_bookmarks_spare_a_list(
    api: Api, server: ApiServer, namespace: Object, node: str, follower: Follower
) -> None:
    """Who was told how far time has gone can resume from there, though nothing happened to its own objects."""
    make_pod(api, namespace, node)
    wait_until(lambda: follower.find(ID), "the first is known")
    settled(follower, server)
    lists = server.count("list", "pods")

    for _ in range(20):
        make_pod(api, namespace, "another-node", f"p{server.version}", container_id=OTHER)
    server.bookmark("pods")
    watches = server.count("watch", "pods")
    server.forgotten = server.version - 1
    server.end_watches()

    wait_until(lambda: server.count("watch", "pods") > watches, "it watches again")
    make_pod(api, namespace, node, "web-2", container_id="cc" * 32)
    wait_until(lambda: follower.find("cc" * 32), "it follows")
    assert server.count("list", "pods") == lists


def test_a_line_that_is_cut_in_its_middle(
    api: Api, server: ApiServer, namespace: Object, node: str, follower: Follower
) -> None:
    """Is no line: what it would have said is said again."""
    settled(follower, server)
    server.cuts.add("pods")
    make_pod(api, namespace, node)

    wait_until(lambda: follower.find(ID), "it is known all the same")
    assert not server.cuts


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_patience(
    api: Api, server: ApiServer, namespace: Object, node: str, access: Access, status: int
) -> None:
    """Is left alone for as long as it says: here for longer than the tests' retries would."""
    server.fail(status, "list", "pods", times=2, Retry_After="1")
    make_pod(api, namespace, node)
    follower = Follower(access, node)
    try:
        wait_until(lambda: server.count("list", "pods") == 1, "it has asked")
        wait_until(lambda: follower.find(ID), "it is known in the end")
        assert server.count("list", "pods") == 3
        assert follower.said_of("cannot follow pods") == 1
    finally:
        follower.close()


def test_a_verb_that_is_missing_to_watch(
    api: Api, server: ApiServer, namespace: Object, node: str, access: Access
) -> None:
    """Who may only list looks again and again, says so once, and watches when it may."""
    fault = server.fail(403, "watch", "pods")
    follower = Follower(access, node)
    try:
        wait_until(lambda: problem(follower, "pods"), "it is noticed")
        make_pod(api, namespace, node)
        wait_until(lambda: follower.find(ID), "it is found by looking")
        assert follower.said_of("cannot follow pods") == 1
        assert follower.said_of("cannot watch pods") == 1, follower.said
        server.faults.remove(fault)
        wait_until(lambda: problem(follower, "pods") is None, "it is let")
    finally:
        follower.close()


@pytest.mark.parametrize("plural", ["pods", "namespaces", "nodes", "kubearmorpolicies"])
def test_a_verb_that_is_missing_to_list(
    api: Api, server: ApiServer, namespace: Object, node: str, access: Access, plural: str
) -> None:
    """All else is followed; what is missing is named; it is caught up with when somebody has mended it."""
    fault = server.fail(403, "list", plural)
    follower = Follower(access, node)
    try:
        wait_until(lambda: problem(follower, plural), "it is noticed")
        others = {name for name, found in follower.cluster.problems().items() if found} - {plural}
        assert others == set()
        assert follower.said_of(f"cannot follow {plural} of the cluster, nothing is known of them") == 1
        assert not follower.state.has_heard_of_policies or plural != "kubearmorpolicies"
        server.faults.remove(fault)
        wait_until(lambda: problem(follower, plural) is None, "it is followed")
    finally:
        follower.close()


def test_a_token_that_is_renewed(api: Api, server: ApiServer, node: str, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "token"
    path.write_text("secret\n")
    follower = Follower(Access(server.url, None, token_file=path), node)
    try:
        settled(follower, server)
        server.tokens = {"renewed"}
        server.end_watches()
        wait_until(lambda: problem(follower, "pods"), "the old one does not hold any more")
        path.write_text("renewed\n")
        wait_until(lambda: problem(follower, "pods") is None, "the new one is used")
    finally:
        follower.close()


def test_crds_that_are_not_there(server: ApiServer, node: str, access: Access) -> None:
    """Then there are no policies; nobody waits for them."""
    follower = Follower(access, node)
    try:

        def heard() -> bool:
            follower.hear()
            return follower.state.has_heard_of_policies

        wait_until(heard, "it is known that there are none")
        assert follower.said_of("cannot follow kubearmorpolicies") == 1
    finally:
        follower.close()


def test_an_owner_that_may_not_be_asked_for(
    api: Api, server: ApiServer, namespace: Object, node: str, follower: Follower
) -> None:
    """Is the nearest that the pod itself names."""
    server.fail(403, "get", "replicasets")
    owner = api.create(replica_set(namespace))
    for number in range(3):
        make_pod(api, namespace, node, f"web-{number}", container_id=f"{number:064x}", owner=owner)

    wait_until(lambda: len([n for n in range(3) if follower.find(f"{n:064x}")]) == 3, "all are known")
    assert {each.owner.kind for each in follower.containers.values() if each.owner} == {"ReplicaSet"}
    assert follower.said_of("the owner of replicasets cannot be asked for") == 1


def test_a_list_of_many_pages(
    api: Api, server: ApiServer, namespace: Object, node: str, access: Access
) -> None:
    """Is one list, though its history is forgotten while it is read."""
    for number in range(7):
        make_pod(api, namespace, node, f"web-{number}", container_id=f"{number:064x}")
    server.page_size = 2
    follower = Follower(access, node)
    try:
        wait_until(lambda: follower.find(f"{6:064x}"), "the last is known")
        assert len(follower.containers) == 7
        assert server.count("list", "pods") == 4
    finally:
        follower.close()


def test_a_status_that_many_write(
    api: Api, server: ApiServer, namespace: Object, node: str, follower: Follower
) -> None:
    """The server says 409 when it has tried often enough itself; then we try again."""
    made = api.create(policy(namespace))
    wait_until(lambda: follower.policy(made), "the policy is known")
    server.fail(409, "patch", "kubearmorpolicies", times=3)
    follower.publish()

    wait_until(lambda: node in api.get(made).get("status", {}).get("nodes", {}), "it is written")
    assert server.count("patch", "kubearmorpolicies") == 4


def test_a_status_that_may_not_be_written(
    api: Api, server: ApiServer, namespace: Object, follower: Follower
) -> None:
    made = api.create(policy(namespace))
    wait_until(lambda: follower.policy(made), "the policy is known")
    server.fail(403, "patch", "kubearmorpolicies")
    follower.publish()

    wait_until(lambda: problem(follower, "statuses"), "it is noticed")
    assert follower.said_of("cannot write the status of policies") == 1
    assert follower.policy(made)


def test_a_status_is_written_once(
    api: Api, server: ApiServer, namespace: Object, node: str, follower: Follower
) -> None:
    made = api.create(policy(namespace))
    wait_until(lambda: follower.policy(made), "the policy is known")
    follower.publish()
    wait_until(lambda: node in api.get(made).get("status", {}).get("nodes", {}), "it is written")
    for _ in range(3):
        before = follower.changes
        api.change(namespace, {"metadata": {"labels": {"n": str(before)}}})
        wait_until(partial(follower.has_heard_more_than, before), "something else happened")
        follower.publish()

    other = api.create(policy(namespace, "two"))
    wait_until(lambda: follower.policy(other), "another policy is known")
    follower.publish()
    wait_until(lambda: node in api.get(other).get("status", {}).get("nodes", {}), "it is written")
    assert server.count("patch", "kubearmorpolicies") == 2


def test_bytes_that_are_no_kubernetes(server: ApiServer, node: str) -> None:
    """A web server that answers everything with a page: one line, and no thread that dies."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>\x1b[31m")

        def log_message(self, format: str, *args: object) -> None:
            pass

    other = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
    follower = Follower(Access(f"http://127.0.0.1:{other.server_port}", None), node)
    try:
        wait_until(lambda: problem(follower, "pods"), "it is noticed")
        assert follower.said_of("not what Kubernetes documents") > 0
        assert all(line.isprintable() for line in follower.said)
    finally:
        follower.close()
        other.shutdown()
        other.server_close()


def test_an_object_that_is_none(
    api: Api, server: ApiServer, namespace: Object, node: str, access: Access
) -> None:
    """One that is not as documented is named; the others are known."""
    with server.changed:
        server.keep("pods", ("x", "broken"), {"metadata": {"name": 1}, "spec": {"nodeName": node}}, "ADDED")
    make_pod(api, namespace, node)
    follower = Follower(access, node)
    try:
        wait_until(lambda: follower.find(ID), "the good one is known")
        assert follower.said_of("an object of pods is not what Kubernetes documents") == 1
    finally:
        follower.close()
