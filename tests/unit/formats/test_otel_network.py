"""The spellings of a network resource: those of the document, of KubeArmor's code and of ours."""

import pytest

from hauberk.formats.otel.network import network_attributes


@pytest.mark.parametrize(
    ("resource", "details", "expected"),
    [
        (
            "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10",
            {"syscall": "connect", "sa_family": "AF_INET", "port": "53"},
            {
                "network.peer.address": "10.0.0.10",
                "network.peer.port": 53,
                "network.type": "ipv4",
                "kubearmor.network.direction": "outbound",
            },
        ),
        (
            "sin_addr=2001:db8::7 sa_family=AF_INET6 sin_port=51544",
            {"Syscall": "SYS_CONNECT"},
            {
                "network.peer.address": "2001:db8::7",
                "network.peer.port": 51544,
                "network.type": "ipv6",
            },
        ),
        (
            "remoteip=2001:db8::7 port=51544 protocol=TCP",
            {"kprobe": "tcp_accept", "domain": "AF_INET6"},
            {
                "network.peer.address": "2001:db8::7",
                "network.peer.port": 51544,
                "network.type": "ipv6",
                "network.transport": "tcp",
                "kubearmor.network.direction": "inbound",
            },
        ),
        (
            "sa_family=AF_INET sin_port=8080 sin_addr=0.0.0.0",
            {"syscall": "bind", "sa_family": "AF_INET", "port": "8080"},
            {"network.local.address": "0.0.0.0", "network.local.port": 8080, "network.type": "ipv4"},
        ),
        (
            "sa_family=AF_UNIX sun_path=/run/docker.sock",
            {"syscall": "connect", "sa_family": "AF_UNIX", "sun_path": "/run/docker.sock"},
            {
                "network.peer.address": "/run/docker.sock",
                "network.transport": "unix",
                "kubearmor.network.direction": "outbound",
            },
        ),
        (
            "sa_family=AF_UNIX sun_path=/tmp/x sa_family=AF_INET sin_port=22 sin_addr=10.0.0.1",
            {"syscall": "bind", "sa_family": "AF_UNIX"},
            {
                "network.local.address": "/tmp/x sa_family=AF_INET sin_port=22 sin_addr=10.0.0.1",
                "network.transport": "unix",
            },
        ),
        (
            "domain=AF_UNIX type=SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC protocol=0",
            {},
            {"network.transport": "unix"},
        ),
        (
            "domain=AF_INET type=SOCK_DGRAM|SOCK_CLOEXEC protocol=0",
            {"syscall": "socket", "domain": "AF_INET", "type": "SOCK_DGRAM|SOCK_CLOEXEC", "protocol": "0"},
            {"network.type": "ipv4", "network.transport": "udp"},
        ),
        (
            "domain=AF_INET type=SOCK_RAW protocol=ICMP",
            {"syscall": "socket", "domain": "AF_INET", "type": "SOCK_RAW", "protocol": "ICMP"},
            {"network.type": "ipv4", "kubearmor.network.protocol": "icmp"},
        ),
        (
            "protocol=TCP type=SOCK_STREAM",
            {"lsm": "socket_connect", "domain": "AF_INET", "type": "SOCK_STREAM", "protocol": "TCP"},
            {"network.type": "ipv4", "network.transport": "tcp", "kubearmor.network.direction": "outbound"},
        ),
        ("domain=AF_NETLINK type=SOCK_RAW protocol=0", {"syscall": "socket"}, {}),
        ("tcp", {}, {"network.transport": "tcp"}),
        ("raw", {}, {"kubearmor.network.protocol": "raw"}),
        ("EGRESS", {}, {"kubearmor.network.direction": "outbound"}),
        (
            "sa_family=AF_INET sin_port=53",
            {
                "kfunc": "udp_sendskb",
                "domain": "example.org",
                "daddr": "10.0.0.10",
                "qtype": "A",
                "sa_family": "AF_INET",
                "port": "53",
            },
            {
                "dns.question.name": "example.org",
                "network.peer.address": "10.0.0.10",
                "network.peer.port": 53,
                "network.type": "ipv4",
            },
        ),
        ("sa_family=AF_INET sin_port=many sin_addr=10.0.0.1", {}, {"network.peer.address": "10.0.0.1", "network.type": "ipv4"}),
        ("sin_port=99999999999999999999", {}, {}),
        ("sin_port=٣", {}, {}),
        ("", {}, {}),
    ],
)  # fmt: skip
def test_addresses(resource: str, details: dict[str, str], expected: dict[str, object]) -> None:
    assert network_attributes(resource, details) == expected
