"""Who talks to whom, as far as a network event tells: its texts taken apart, for formats with typed fields.

KubeArmor writes this in four ways: what was asked of socket(2) (``domain=AF_INET type=SOCK_STREAM protocol=TCP``), an
address (``sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10``, in any order), a peer (``remoteip=… port=… protocol=TCP``),
or one word (``tcp``). What a workload chose among this, the path of a UNIX socket and the name asked of DNS, cannot
pass for anything else.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias

import msgspec

from hauberk.abi import Operation
from hauberk.formats.names import call_name
from hauberk.model.event import Event

Family: TypeAlias = Literal["ipv4", "ipv6", ""]
Direction: TypeAlias = Literal["outbound", "inbound", ""]


class Endpoint(msgspec.Struct, frozen=True):
    """One side."""

    address: str = ""
    """An IP address, or nothing."""

    port: int = 0
    """0: not known."""

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address


class Flow(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a network event tells. Events that tell the same share it, so one is quickly known again."""

    source: Endpoint = Endpoint()
    """Who begins; this machine, unless the direction is inbound."""

    destination: Endpoint = Endpoint()
    transport: str = ""
    """``tcp``, ``udp``, ``icmp``, ``unix`` …, lower case."""

    family: Family = ""
    direction: Direction = ""
    path: str = ""
    """Of a UNIX socket."""

    domain: str = ""
    """The name that DNS was asked for."""


NO_FLOW: Final = Flow()

_OUTBOUND: Final = {
    "connect", "sendto", "sendmsg", "sendmmsg", "write", "tcp_connect", "udp_sendskb", "socket_connect", "socket_sendmsg",
}  # fmt: skip
_ACCEPTS: Final = {"accept", "accept4", "tcp_accept", "socket_accept"}
_LISTENS: Final = {"bind", "listen", "socket_bind", "socket_listen"}
_PROTOCOLS: Final = {
    "tcp": "tcp", "tcpv6": "tcp", "udp": "udp", "icmp": "icmp", "icmpv6": "ipv6-icmp", "ipv6-icmp": "ipv6-icmp",
    "sctp": "sctp", "dccp": "dccp", "udplite": "udplite", "igmp": "igmp", "gre": "gre", "mptcp": "mptcp",
}  # fmt: skip
_STREAMS: Final = {"SOCK_STREAM": "tcp", "SOCK_DGRAM": "udp"}
_FAMILIES: Final[dict[str, Family]] = {"AF_INET": "ipv4", "AF_INET6": "ipv6"}


def flow_of(event: Event) -> Flow:
    """What there is to tell; nothing of an event of another operation."""
    if event.operation != Operation.NETWORK:
        return NO_FLOW
    details = event.details
    if "destinationIP" in details or "sourceIP" in details:  # of KubeArmor's firewall
        return _firewall(
            details.get("sourceIP", ""),
            details.get("sourcePort", ""),
            details.get("destinationIP", ""),
            details.get("destinationPort", ""),
            details.get("protocol", ""),
        )
    call = call_name(event)
    is_dns = "qtype" in details or (
        call == "socket_sendmsg" and "domain" in details and "type" not in details
    )
    return _flow(
        event.resource or "",
        call,
        details.get("domain", "") if is_dns else "",
        details.get("daddr", "") if is_dns else "",
    )


@lru_cache(maxsize=8192)
def _flow(resource: str, call: str, domain: str, daddr: str) -> Flow:
    if domain and resource == domain:  # as of a rule that matched it: the asker's own words
        resource = ""
    path = _unix_path(resource)
    if path is not None:
        return Flow(transport="unix", path=path, direction=_direction(call))
    said = dict(pair.split("=", 1) for pair in resource.split() if "=" in pair)
    kind = said.get("type", "").partition("|")[0]
    family: Family = _FAMILIES.get(said.get("sa_family", "") or said.get("domain", ""), "")
    transport = _PROTOCOLS.get((said.get("protocol") or resource).lower(), "")
    if not transport and said.get("protocol") in (None, "0", "HOPOPT") and family:
        transport = _STREAMS.get(kind, "")
    if said.get("domain") == "AF_UNIX":
        transport = "unix"
    if domain:
        transport = "udp" if call == "udp_sendskb" else transport
    address = _address(daddr or said.get("sin_addr", "") or said.get("remoteip", ""))
    there = Endpoint(address, _port(said.get("sin_port", "") or said.get("port", "")))
    if address:
        family = "ipv6" if there.is_ipv6 else "ipv4"
    here = Endpoint()
    if call == "tcp_accept":  # its port is the local one
        there, here = Endpoint(there.address), Endpoint(port=there.port)
    accepts = call in _ACCEPTS
    return Flow(
        source=there if accepts else here,
        destination=here if accepts else there,
        transport=transport,
        family=family,
        direction=_direction(call),
        domain=domain,
    )


@lru_cache(maxsize=1024)
def _firewall(source: str, source_port: str, destination: str, destination_port: str, protocol: str) -> Flow:
    there = Endpoint(_address(destination), _port(destination_port))
    address = there.address or _address(source)
    return Flow(
        source=Endpoint(_address(source), _port(source_port)),
        destination=there,
        transport=_PROTOCOLS.get(protocol.lower(), ""),
        family=("ipv6" if ":" in address else "ipv4") if address else "",
    )


def _unix_path(resource: str) -> str | None:
    """All that follows ``sun_path=``, whatever that is; None if nothing does."""
    before, found, path = resource.partition("sun_path=")
    if not found or before not in ("", "sa_family=AF_UNIX "):
        return None
    return path if before else path.removesuffix(" sa_family=AF_UNIX")


def _direction(call: str) -> Direction:
    if call in _OUTBOUND:
        return "outbound"
    return "inbound" if call in _ACCEPTS or call in _LISTENS else ""


def _address(text: str) -> str:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 65536 else 0
