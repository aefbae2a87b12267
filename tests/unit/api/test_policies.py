"""KubeArmor's PolicyService over the wire."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from hauberk.api.door import Door
from hauberk.api.feed import Feed
from hauberk.api.peers import Peer, parse_peer, user_of
from hauberk.api.policy_pb2 import PolicyStatus, policy, response
from hauberk.config import Config
from hauberk.enforcement.directory import PolicyDirectory
from hauberk.enforcement.live import LivePolicies
from hauberk.errors import PolicyError
from hauberk.metrics import FeedCounts
from hauberk.model.event import Node
from hauberk.model.policy import Action, Policy
from tests.unit.api.certificates import make_ca, make_certificate

SOON_S = 60.0
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="policies are taken of root")

HOST = {
    "metadata": {"name": "no-nc", "creationTimestamp": None},
    "spec": {
        "nodeSelector": {},
        "process": {"matchPaths": [{"path": "/usr/bin/nc"}]},
        "file": {},
        "network": {},
        "capabilities": {},
        "syscalls": {},
        "severity": 5,
        "action": "Block",
    },
    "status": {},
}
"""What Go's encoder makes of a host policy: fields that nobody has set are there, and kind and version are not."""

CONTAINER = {
    "metadata": {"name": "shadow", "namespace": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "process": {},
        "file": {"matchPaths": [{"path": "/etc/shadow", "readOnly": True}], "action": ""},
        "network": {},
        "capabilities": {},
        "syscalls": {},
        "severity": 0,
        "action": "Audit",
    },
    "status": {},
}


class Taking:
    """A door that takes policies, and the directory where they are."""

    def __init__(self, directory: Path, refresh: Callable[[], None], **settings: Any) -> None:
        self.directory = directory
        self.said: list[str] = []
        config = Config(**({"grpc": "127.0.0.1:0", "grpc_health": "off"} | settings))
        kept = LivePolicies(directory, refresh)
        self.door = Door(config, Feed(Node("node-1"), FeedCounts()), kept, self.said.append)
        self.address = f"127.0.0.1:{self.door.ports[0]}"

    def send(self, method: str, content: bytes, credentials: grpc.ChannelCredentials | None = None) -> str:
        """The name of the status that is the answer."""
        channel = (
            grpc.secure_channel(self.address, credentials)
            if credentials
            else grpc.insecure_channel(self.address)
        )
        with channel:
            call = channel.unary_unary(
                f"/policy.PolicyService/{method}",
                request_serializer=policy.SerializeToString,
                response_deserializer=response.FromString,
            )
            answer = call(policy(policy=content), timeout=SOON_S)
        return PolicyStatus.Name(answer.status)

    def tell(self, method: str, event_type: str, given: dict[str, Any]) -> str:
        return self.send(method, json.dumps({"type": event_type, "object": given}).encode())

    def policies(self) -> tuple[Policy, ...]:
        """What an agent that starts now would put into force."""
        read = PolicyDirectory(self.directory)
        found = read.read() or ()
        assert read.problems == []
        return found


@pytest.fixture
def taking(tmp_path: Path) -> Iterator[Taking]:
    refreshed: list[str] = []
    taking = Taking(tmp_path / "policies", lambda: refreshed.append("asked"))
    yield taking
    taking.door.close()


@needs_root
def test_policy_is_applied_modified_and_deleted(taking: Taking) -> None:
    """With KubeArmor's answers; what is in force is a file, as if an operator had put it there."""
    assert taking.tell("hostPolicy", "ADDED", HOST) == "Applied"
    (found,) = taking.policies()
    assert (found.kind, found.name, found.rules[0].action) == ("KubeArmorHostPolicy", "no-nc", Action.BLOCK)
    assert taking.tell("hostPolicy", "ADDED", HOST) == "Applied"

    changed = json.loads(json.dumps(HOST).replace("/usr/bin/nc", "/usr/bin/ncat"))
    assert taking.tell("hostPolicy", "MODIFIED", changed) == "Modified"
    assert "ncat" in (taking.directory / found.file).read_text()

    assert taking.tell("hostPolicy", "DELETED", HOST) == "Deleted"
    assert taking.policies() == ()
    assert taking.tell("hostPolicy", "DELETED", HOST) == "NotExist"


@needs_root
def test_host_and_container_policies_are_apart(taking: Taking) -> None:
    """Of one name, they are two; namespaces are apart, too."""
    same_name = {**HOST, "metadata": {"name": "shadow"}}
    elsewhere = {**CONTAINER, "metadata": {"name": "shadow", "namespace": "till"}}
    assert taking.tell("containerPolicy", "ADDED", CONTAINER) == "Applied"
    assert taking.tell("containerPolicy", "ADDED", elsewhere) == "Applied"
    assert taking.tell("hostPolicy", "ADDED", same_name) == "Applied"
    assert len(taking.policies()) == 3
    assert taking.tell("containerPolicy", "DELETED", CONTAINER) == "Deleted"

    assert {(each.kind, each.namespace) for each in taking.policies()} == {
        ("KubeArmorPolicy", "till"),
        ("KubeArmorHostPolicy", None),
    }


@needs_root
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "truncated"),
        (b"not json", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, ""),
        (b'{"type":"ADDED","object":' + b'{"spec":' * 20_000, ""),
        (b'{"type":"BOOKMARK","object":{}}', "BOOKMARK"),
        (b'{"type":"ADDED"}', "object"),
        (b'{"type":"ADDED","object":{}}', "metadata.name is missing"),
        (b'{"type":"ADDED","object":{"metadata":{"name":"x"},"spec":[]}}', "nodeSelector is missing"),
        (b'{"type":"ADDED","object":{"metadata":{"name":7},"spec":{}}}', "is missing"),
        (
            json.dumps({"type": "ADDED", "object": {**HOST, "kind": "KubeArmorPolicy"}}).encode(),
            "it says that it is a KubeArmorPolicy",
        ),
        (json.dumps({"type": "ADDED", "object": CONTAINER}).encode(), "no field `selector`"),
        (
            json.dumps({"type": "ADDED", "object": HOST}).replace("/usr/bin/nc", "usr/bin/nc").encode(),
            "not absolute",
        ),
        (b'{"type":"ADDED","object":{"spec":"' + b"x" * 1_100_000 + b'"}}', "longer than"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_policy_is_refused(taking: Taking, content: bytes, problem: str) -> None:
    """The answer is Invalid, the operator is told why, and nothing is written."""
    assert taking.send("hostPolicy", content) == "Invalid"
    assert problem in taking.said[0]
    assert not taking.directory.exists()


@needs_root
def test_names_cannot_leave_the_directory(taking: Taking) -> None:
    """Whatever a policy is called, its file is among the others."""
    for name in ("../../etc/cron.d/x", "/etc/passwd", "a\\..\\b", "x" * 250):
        assert taking.tell("hostPolicy", "ADDED", {**HOST, "metadata": {"name": name}}) == "Applied"
    assert [path.name for path in taking.directory.parent.iterdir()] == ["policies"]
    assert len(list(taking.directory.iterdir())) == 4


@needs_root
def test_what_cannot_be_enforced_is_put_back(tmp_path: Path) -> None:
    """The answer is Failure, and what was kept before still is."""
    refusals: list[str] = []

    def refresh() -> None:
        if refusals:
            raise PolicyError(refusals.pop())

    taking = Taking(tmp_path / "policies", refresh)
    assert taking.tell("hostPolicy", "ADDED", HOST) == "Applied"
    changed = json.loads(json.dumps(HOST).replace("/usr/bin/nc", "/usr/bin/ncat"))
    for given in (changed, {**HOST, "metadata": {"name": "another"}}):
        refusals.append("more rules than a table holds")
        assert taking.tell("hostPolicy", "ADDED", given) == "Failure"
        assert "more rules than a table holds" in taking.said[-1]
        assert ["/usr/bin/nc" in path.read_text() for path in taking.directory.iterdir()] == [True]
    taking.door.close()


@needs_root
def test_directory_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    """And the operator is told."""
    (tmp_path / "file").touch()
    taking = Taking(tmp_path / "file" / "policies", lambda: None)
    assert taking.tell("hostPolicy", "ADDED", HOST) == "Failure"
    assert "cannot write" in taking.said[0]
    taking.door.close()


@needs_root
def test_network_policies_are_none_of_ours(taking: Taking) -> None:
    """As KubeArmor answers where they are off."""
    assert taking.tell("networkPolicy", "ADDED", HOST) == "NotEnabled"


@needs_root
def test_policies_that_do_nothing_are_not_taken() -> None:
    """Where `enforce` is off."""
    config = Config(grpc="127.0.0.1:0", grpc_health="off")
    door = Door(config, Feed(Node("node-1"), FeedCounts()), None, lambda _: None)
    with grpc.insecure_channel(f"127.0.0.1:{door.ports[0]}") as channel:
        call: Any = channel.unary_unary(
            "/policy.PolicyService/hostPolicy", response_deserializer=response.FromString
        )
        assert call(b"", timeout=SOON_S).status == PolicyStatus.NotEnabled
    door.close()


SEND = """
import sys, grpc
from hauberk.api.policy_pb2 import policy, response
with grpc.insecure_channel(sys.argv[1]) as channel:
    call = channel.unary_unary("/policy.PolicyService/hostPolicy",
        request_serializer=policy.SerializeToString, response_deserializer=response.FromString)
    try:
        print(call(policy(policy=b"{}"), timeout=60).status)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
"""


@needs_root
def test_other_users_of_this_machine_may_not(taking: Taking) -> None:
    """They may read the feed, as with KubeArmor, but not take away what holds them."""
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "--no-new-privs",
         "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
         sys.executable, "-c", SEND, taking.address],
        capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip

    assert done.stdout.startswith("PERMISSION_DENIED without client certificates")


def test_certificate_opens_from_anywhere(tmp_path: Path) -> None:
    """With mutual TLS it is the certificate that counts."""
    ca = make_ca(tmp_path)
    make_certificate(tmp_path, "server", ca)
    make_certificate(tmp_path, "client", ca)
    files = {"tls_cert": "server.crt", "tls_key": "server.key", "tls_client_ca": "ca.crt"}
    settings = {name: str(tmp_path / file) for name, file in files.items()}
    taking = Taking(tmp_path / "policies", lambda: None, **settings)
    credentials = grpc.ssl_channel_credentials(
        *((tmp_path / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt"))
    )
    content = json.dumps({"type": "ADDED", "object": HOST}).encode()

    assert taking.send("hostPolicy", content, credentials) == "Applied"
    taking.door.close()


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_peer_is_known_by_its_socket(family: int, host: str) -> None:
    """The kernel's own table says whose it is."""
    with socket.socket(family) as listening:
        listening.bind((host, 0))
        listening.listen()
        with socket.create_connection((host, listening.getsockname()[1])) as connected:
            port = connected.getsockname()[1]
            text = f"ipv4:{host}:{port}" if family == socket.AF_INET else f"ipv6:%5B{host}%5D:{port}"
            peer = parse_peer(text)
            assert peer
            assert user_of(peer, listening.getsockname()[1]) == os.geteuid()
            assert user_of(peer, 1) is None
            assert user_of(Peer(peer.address, 1), listening.getsockname()[1]) is None


@pytest.mark.parametrize("text", ["unix:/run/x", "", "ipv4:", "ipv4:127.0.0.1:", "ipv4:x:1", "ipv6:[::1]"])
def test_peer_that_is_none(text: str) -> None:
    """What is no address is nobody."""
    assert parse_peer(text) is None


def test_peer_of_both_families() -> None:
    """A listener for both sees IPv4 addresses in IPv6's clothes."""
    assert parse_peer("ipv6:%5B::ffff:127.0.0.1%5D:4711") == parse_peer("ipv4:127.0.0.1:4711")
