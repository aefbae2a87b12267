"""KubeArmor's gRPC services of the real agent: policies come in, alerts and logs go out."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from hauberk.api.kubearmor_pb2 import Alert, Log, Message, RequestMessage
from hauberk.api.policy_pb2 import PolicyStatus, policy, response
from tests.kernel.test_agent import PATIENCE_S, Program, hauberk, scratch, wait_until

__all__ = ["scratch"]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Client:
    """As another program would be."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        grpc.channel_ready_future(self.channel).result(PATIENCE_S)

    def send_policy(self, event_type: str, given: dict[str, Any]) -> str:
        call: Any = self.channel.unary_unary(
            "/policy.PolicyService/hostPolicy",
            request_serializer=policy.SerializeToString,
            response_deserializer=response.FromString,
        )
        content = json.dumps({"type": event_type, "object": given}).encode()
        return PolicyStatus.Name(call(policy(policy=content), timeout=PATIENCE_S).status)

    def watch(self, what: type, cursor: str = "") -> Any:
        """A stream that the agent has begun."""
        call: Any = self.channel.unary_stream(
            f"/feeder.LogService/Watch{what.__name__}s",
            request_serializer=RequestMessage.SerializeToString,
            response_deserializer=what.FromString,  # type: ignore[attr-defined]
        )
        stream = call(RequestMessage(Filter="all", Cursor=cursor), timeout=PATIENCE_S)
        stream.initial_metadata()
        return stream


@contextmanager
def agent(scratch: Path, name: str) -> Iterator[tuple[Program, Client]]:
    """An agent that observes what policies say of the host, and a client of it."""
    (scratch / name).mkdir()
    port = free_port()
    settings: dict[str, Any] = {
        "HAUBERK_GRPC": f"127.0.0.1:{port}",
        "HAUBERK_GRPC_HEALTH": "off",
        "HAUBERK_POLICIES": str(scratch / "policies"),
        "HAUBERK_ENFORCE": "observe",
    }
    with hauberk(scratch / name, "agent", "--path", f"{scratch}/", **settings) as program:
        client = Client(port)
        yield program, client
        client.channel.close()


def of_ours(alerts: Any) -> Any:
    """The next that our policy gave; the machine may have others."""
    return next(alert for alert in alerts if alert.PolicyName == "watched")


def test_policies_in_and_events_out(scratch: Path) -> None:
    """A policy that came by gRPC is in force when the answer comes, and after a kill; its alerts are on the feed, once."""
    watched = scratch / "watched"
    watched.mkdir()
    given = {
        "metadata": {"name": "watched"},
        "spec": {
            "nodeSelector": {},
            "file": {"matchDirectories": [{"dir": f"{watched}/"}]},
            "severity": 3,
            "action": "Audit",
        },
    }
    with agent(scratch, "first-run") as (program, client):
        assert client.send_policy("ADDED", given) == "Applied"
        alerts, logs = client.watch(Alert), client.watch(Log)
        (watched / "first").touch()
        (scratch / "elsewhere").touch()
        first = of_ours(alerts)
        log = next(log for log in logs if log.Resource == str(scratch / "elsewhere"))
        assert "policies in force: 1, observed only" in next(
            text for message in client.watch(Message, "oldest") if "in force" in (text := message.Message)
        )
        program.process.send_signal(signal.SIGKILL)
        program.process.wait(PATIENCE_S)

    assert (first.PolicyName, first.Severity, first.Type) == ("watched", "3", "MatchedHostPolicy")
    assert (first.Resource, first.Action, first.Enforcer) == (str(watched / "first"), "Audit", "eBPF Monitor")
    assert (log.Type, log.HostPID) == ("HostLog", first.HostPID)

    with agent(scratch, "second-run") as (program, client):
        (watched / "second").touch()
        alerts = client.watch(Alert, first.Cursor)
        second = of_ours(alerts)
        assert client.send_policy("DELETED", given) == "Deleted"
        (watched / "third").touch()
        wait_until(lambda: str(watched / "third") in program.output.read_text(), "the third is told")
        assert client.send_policy("DELETED", given) == "NotExist"
        alerts.cancel()
        assert program.stop() == 0
    program.assert_clean()

    assert second.Resource == str(watched / "second")
    assert second.Cursor.split("-")[0] != first.Cursor.split("-")[0]
    told = [line for line in program.lines() if line["Type"] == "MatchedHostPolicy"]
    assert str(watched / "third") not in {line["Resource"] for line in told}
