from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from hauberk.abi import Operation
from hauberk.formats.network import NO_FLOW, Endpoint, flow_of
from hauberk.model.event import Event

PEER = Endpoint("10.0.0.10", 53)
PEER_6 = Endpoint("2001:db8::7", 443)


def told(event: Event, resource: str | None, **details: str) -> dict[str, Any]:
    """What a network event says, without what it leaves open."""
    flow = flow_of(replace(event, operation=Operation.NETWORK, resource=resource, details=details))
    return {key: value for key, value in asdict(flow).items() if value and value != Endpoint()}


@pytest.mark.parametrize(
    ("resource", "details", "expected"),
    [
        ("sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10", {"syscall": "connect"},
         {"destination": PEER, "family": "ipv4", "direction": "outbound"}),
        ("sin_addr=2001:db8::7 sa_family=AF_INET6 sin_port=443", {"syscall": "connect"},
         {"destination": PEER_6, "family": "ipv6", "direction": "outbound"}),
        ("sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10", {"syscall": "accept4"},
         {"source": PEER, "family": "ipv4", "direction": "inbound"}),
        ("sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10", {"syscall": "bind"},
         {"destination": PEER, "family": "ipv4", "direction": "inbound"}),
        ("sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10", {"io_uring": "connect"},
         {"destination": PEER, "family": "ipv4", "direction": "outbound"}),
        ("remoteip=10.0.0.10 port=53 protocol=TCP", {"kprobe": "tcp_connect"},
         {"destination": PEER, "family": "ipv4", "transport": "tcp", "direction": "outbound"}),
        ("remoteip=2001:db8::7 port=22 protocol=TCPv6", {"kprobe": "tcp_accept"},
         {"source": Endpoint("2001:db8::7"), "destination": Endpoint(port=22), "family": "ipv6", "transport": "tcp",
          "direction": "inbound"}),
        ("domain=AF_INET type=SOCK_STREAM|SOCK_CLOEXEC protocol=0", {"syscall": "socket"},
         {"family": "ipv4", "transport": "tcp"}),
        ("domain=AF_INET type=SOCK_RAW protocol=ICMP", {"syscall": "socket"}, {"family": "ipv4", "transport": "icmp"}),
        ("domain=AF_UNIX type=SOCK_STREAM protocol=0", {"syscall": "socket"}, {"transport": "unix"}),
        ("protocol=UDP type=SOCK_DGRAM", {"lsm": "socket_create"}, {"transport": "udp"}),
        ("tcp", {}, {"transport": "tcp"}),
        ("sa_family=AF_INET sin_port=53", {"kfunc": "udp_sendskb", "domain": "a.b", "daddr": "10.0.0.10", "qtype": "A"},
         {"destination": PEER, "family": "ipv4", "transport": "udp", "direction": "outbound", "domain": "a.b"}),
        ("EGRESS", {"sourceIP": "10.0.0.1", "sourcePort": "1", "destinationIP": "10.0.0.10", "destinationPort": "53",
                    "protocol": "UDP"},
         {"source": Endpoint("10.0.0.1", 1), "destination": PEER, "family": "ipv4", "transport": "udp"}),
        (None, {"syscall": "listen"}, {"direction": "inbound"}),
        (None, {}, {}),
    ],
)  # fmt: skip
def test_what_is_told(
    event: Event, resource: str | None, details: dict[str, str], expected: dict[str, object]
) -> None:
    assert told(event, resource, **details) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/x sin_addr=6.6.6.6 sin_port=1",
        "sa_family=AF_INET sin_addr=6.6.6.6",
        "",
        "remoteip=6.6.6.6 port=1",
    ],
)
def test_a_path_is_only_a_path(event: Event, path: str) -> None:
    """In our order, and in the other that KubeArmor may write."""
    expected = {"transport": "unix", "direction": "outbound"} | ({"path": path} if path else {})

    assert told(event, f"sa_family=AF_UNIX sun_path={path}", syscall="connect") == expected
    assert told(event, f"sun_path={path} sa_family=AF_UNIX", syscall="connect") == expected


def test_a_name_is_only_a_name(event: Event) -> None:
    """Asked of DNS, and the resource of a rule that matched it."""
    name = "tcp"
    found = told(event, name, lsm="socket_sendmsg", domain=name)

    assert found == {"direction": "outbound", "domain": name}


@pytest.mark.parametrize("text", ["6.6.6", "6.6.6.6.6", "::g", "0x7f000001", "1", "localhost", ""])
def test_what_is_no_address_is_none(event: Event, text: str) -> None:
    assert told(event, f"remoteip={text} port=1 protocol=TCP")["destination"] == Endpoint("", 1)


@pytest.mark.parametrize("text", ["65536", "-1", "1e3", "١", "", "0000000000001"])
def test_what_is_no_port_is_none(event: Event, text: str) -> None:
    assert told(event, f"remoteip=::1 port={text} protocol=TCP")["destination"] == Endpoint("::1", 0)


@given(st.from_type(Event))
def test_other_events_tell_nothing(event: Event) -> None:
    flow = flow_of(event)

    assert flow is NO_FLOW or event.operation is Operation.NETWORK
