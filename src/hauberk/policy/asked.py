"""What people ask about by the word that a rule has for it: a protocol, a capability, a system call, a preset."""

import socket
from typing import Final

from hauberk.abi import Operation, RuleClass
from hauberk.decode.arguments import CAPABILITIES
from hauberk.model.access import Access
from hauberk.model.policy import Action, Calls, Rule
from hauberk.policy.rules import PRESETS, PROTOCOLS, SOCKET_TYPES, call_names, rule_classes

_STREAM, _DGRAM, _RAW = SOCKET_TYPES["stream"], SOCKET_TYPES["dgram"], SOCKET_TYPES["raw"]
_TYPES_OF_PROTOCOLS: Final = {"tcp": _STREAM, "udp": _DGRAM, "icmp": _RAW, "icmpv6": _RAW, "sctp": _STREAM}
_FAMILIES: Final = {"icmpv6": socket.AF_INET6, "packet": socket.AF_PACKET}

NAMES: Final = {
    "protocol": (*PROTOCOLS, *SOCKET_TYPES),
    "capability": CAPABILITIES,
    "syscall": call_names(),
    "preset": tuple(PRESETS),
}
"""By kind of question: what can be asked about."""


def asked(kind: str, name: str, path: bytes = b"") -> Access:
    """The access that a name of `NAMES` stands for: of a protocol, the socket that is usual for it."""
    match kind:
        case "protocol" if name in PROTOCOLS:
            family = _FAMILIES.get(name, socket.AF_INET)
            return _socket(family, _TYPES_OF_PROTOCOLS[name], PROTOCOLS[name])
        case "protocol":  # of local sockets, which no protocol is about
            return _socket(_FAMILIES.get(name, socket.AF_UNIX), SOCKET_TYPES[name], 0)
        case "capability":
            number = CAPABILITIES.index(name)
            return Access(rule_class=RuleClass.CAPABILITIES, capability=number, writes=True)
        case "syscall":
            about = Rule(operation=Operation.SYSCALL, target=Calls((name,)), action=Action.AUDIT)
            return Access(rule_class=rule_classes(about)[0], path=path)
        case _:
            return Access(rule_class=PRESETS[name], path=path)


def _socket(family: int, kind: int, protocol: int) -> Access:
    return Access(
        rule_class=RuleClass.NETWORK, family=family, socket_type=kind, protocol=protocol, writes=True
    )
