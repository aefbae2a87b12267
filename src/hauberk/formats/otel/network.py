"""The addresses in what KubeArmor tells of a network operation, as OpenTelemetry's attributes.

KubeArmor has several spellings of a resource, and ours are among them:

    sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10       connect, bind, accept; in any order
    sa_family=AF_UNIX sun_path=/run/docker.sock
    domain=AF_INET type=SOCK_STREAM|SOCK_CLOEXEC protocol=0                socket
    protocol=TCP type=SOCK_STREAM                                          LSM
    remoteip=10.0.0.10 port=53 protocol=TCP                                kprobe
    tcp, EGRESS                                                            enforcers
"""

from collections.abc import Mapping
from typing import Final

_TYPES: Final = {"AF_INET": "ipv4", "AF_INET6": "ipv6"}
_TRANSPORTS: Final = {"SOCK_STREAM": "tcp", "SOCK_DGRAM": "udp"}
"""Of an internet socket whose protocol is left to the kernel."""

_DIRECTIONS: Final = {"connect": "outbound", "egress": "outbound", "accept": "inbound", "ingress": "inbound"}
_SOURCES: Final = ("syscall", "io_uring", "kprobe", "lsm")
"""Keys of `EventData` that name the call."""


def network_attributes(resource: str, details: Mapping[str, str]) -> dict[str, str | int]:
    """What `resource` and the named values of an event say of both ends."""
    words = _words(resource)
    call = next((details[source] for source in _SOURCES if source in details), "").lower()
    found: dict[str, str | int] = {}
    # named values first: a path within the resource can look like anything
    family = (
        details.get("sa_family") or words.get("sa_family") or details.get("domain") or words.get("domain", "")
    )
    port = details.get("port") or words.get("sin_port") or words.get("port", "")
    if "qtype" in details:  # a question to a name server: its `domain` is the name asked for
        found["dns.question.name"] = details.get("domain", "")
        family = details.get("sa_family", "")
    if family == "AF_UNIX":
        host, port = details.get("sun_path") or resource.partition("sun_path=")[2], ""
    else:
        host = words.get("sin_addr") or words.get("remoteip") or details.get("daddr", "")
    side = "local" if "bind" in call or "listen" in call else "peer"
    found[f"network.{side}.address"] = host
    if port.isascii() and port.isdecimal() and len(port) <= 5:
        found[f"network.{side}.port"] = int(port)
    found["network.type"] = _TYPES.get(family, "")
    found |= _transport(
        family, details.get("type") or words.get("type", ""), _protocol(resource, details, words)
    )
    for word, direction in _DIRECTIONS.items():
        if word in call or word == resource.lower():
            found["kubearmor.network.direction"] = direction
    return {key: value for key, value in found.items() if value != ""}


def _words(resource: str) -> dict[str, str]:
    """The named values in a resource; of two with the same name the first."""
    found: dict[str, str] = {}
    for word in resource.split(" "):
        key, equals, value = word.partition("=")
        if equals:
            found.setdefault(key, value)
    return found


def _protocol(resource: str, details: Mapping[str, str], words: Mapping[str, str]) -> str:
    named = details.get("protocol") or words.get("protocol", "")
    if not named and resource.isalpha() and resource.lower() not in _DIRECTIONS:
        named = resource
    return named.lower()


def _transport(family: str, kind: str, protocol: str) -> dict[str, str]:
    if family == "AF_UNIX":
        return {"network.transport": "unix"}
    if protocol in ("tcp", "udp"):
        return {"network.transport": protocol}
    if protocol not in ("", "0"):
        return {"kubearmor.network.protocol": protocol}
    if family in _TYPES:
        return {"network.transport": _TRANSPORTS.get(kind.partition("|")[0], "")}
    return {}
