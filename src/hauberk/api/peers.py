"""Who is at the other end of a connection from this machine."""

import ipaddress
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

_ESTABLISHED = "01"


class Peer(NamedTuple):
    """An address and a port."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int


def parse_peer(text: str) -> Peer | None:
    """As gRPC names it: ``ipv4:127.0.0.1:48312``, ``ipv6:%5B::1%5D:48312``; None for anything else."""
    family, _, rest = unquote(text).partition(":")
    host, _, port = rest.rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return Peer(address, int(port))


def user_of(peer: Peer, port: int, tables: Path = Path("/proc/net")) -> int | None:
    """The UID that owns the socket from which `peer` is connected to our `port`; None: nobody here does."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (tables / name).read_text().splitlines()[1:]
        except OSError:  # as without IPv6
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _ESTABLISHED and _parse(fields[1]) == peer and _parse(fields[2]).port == port:
                return int(fields[7])
    return None


def _parse(text: str) -> Peer:
    """``0100007F:BCB8``: words of the address in the machine's own order, and the port."""
    digits, _, port = text.partition(":")
    words = (int(digits[at : at + 8], 16) for at in range(0, len(digits), 8))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return Peer(address, int(port, 16))
