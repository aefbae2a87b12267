"""What a rule means: which accesses it matches, and which of two rules comes first.

The only place that says so. The kernel's matcher (bpf/lib/rules.bpf.h) is held against it.

The order of rules, from the first to the last; the first that matches decides:

1. rules that name a source before those for any image
2. the more specific target: a path, then a name, then a glob, then a directory; among globs and directories
   the longer one
3. the one with more conditions (`ownerOnly`, `readOnly`, `allowedArgs`, `pts`)
4. Block, then Audit, then Allow
5. by kind, namespace and name of the policy, then by place in the file
"""

from typing import Final

from hauberk.abi import Operation, RuleClass
from hauberk.constants import SYSCALLS
from hauberk.decode.syscalls import SLOTS
from hauberk.model.access import Access
from hauberk.model.policy import (
    Action,
    Calls,
    Capability,
    Directory,
    ExactPath,
    Glob,
    Name,
    Policy,
    Preset,
    Protocol,
    Rule,
    Source,
    Target,
)
from hauberk.policy.globs import compile_glob, literal_length

_CAPABILITIES: Final = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot "
    "sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease "
    "audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read "
    "perfmon bpf checkpoint_restore"
)
CAPABILITIES: Final = tuple(_CAPABILITIES.split())
"""By number: linux/capability.h."""

_INET: Final = (2, 10)  # AF_INET, AF_INET6
SOCKET_TYPES: Final = {"stream": 1, "dgram": 2, "raw": 3, "rdm": 4, "seqpacket": 5, "dccp": 6, "packet": 10}
"""linux/net.h; of any family."""

PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
"""linux/in.h; of internet sockets."""

ANY_PROTOCOL: Final = "all"
_USUAL_PROTOCOLS: Final = {SOCKET_TYPES["stream"]: PROTOCOLS["tcp"], SOCKET_TYPES["dgram"]: PROTOCOLS["udp"]}

_PRESETS: Final = {
    "filelessExec": RuleClass.FILELESS_EXEC,
    "anonymousMapExec": RuleClass.ANONYMOUS_MAP_EXEC,
    "protectEnv": RuleClass.PROTECT_ENV,
    "protectProc": RuleClass.PROTECT_PROC,
    "exec": RuleClass.EXEC,
}
_CLASSES: Final = {
    Operation.PROCESS: RuleClass.PROCESS,
    Operation.FILE: RuleClass.FILE,
    Operation.NETWORK: RuleClass.NETWORK,
    Operation.CAPABILITIES: RuleClass.CAPABILITIES,
}
_SYNONYMS: Final = {"umount": "umount2"}


def rule_classes(rule: Rule) -> tuple[int, ...]:
    """The classes of access that a rule is about: one, but a system call has several numbers."""
    match rule.target:
        case Preset(name):
            return (_PRESETS[name],)
        case Calls(names):
            wanted = {_SYNONYMS.get(name, name) for name in names}
            return tuple(RuleClass.SYSCALL + slot for slot, row in SLOTS.items() if row.name in wanted)
        case _:
            return (_CLASSES[rule.operation],)


def is_known_call(name: str) -> bool:
    """Whether a rule can be about this system call."""
    return _SYNONYMS.get(name, name) in SYSCALLS


def effective_protocol(family: int, socket_type: int, protocol: int) -> int:
    """The protocol of an internet socket; 0 for any other."""
    if family not in _INET:
        return 0
    return protocol or _USUAL_PROTOCOLS.get(socket_type, 0)


def matches(rule: Rule, access: Access) -> bool:
    """Whether a rule holds for an access."""
    return (
        access.rule_class in rule_classes(rule)
        and _matches_target(rule.target, access)
        and (not rule.sources or any(matches_path(source, access.source) for source in rule.sources))
        and _matches_conditions(rule, access)
    )


def _matches_target(target: Target, access: Access) -> bool:
    match target:
        case Protocol(name):
            if name == ANY_PROTOCOL:
                return True
            if name in SOCKET_TYPES:
                return access.socket_type == SOCKET_TYPES[name]
            effective = effective_protocol(access.family, access.socket_type, access.protocol)
            return effective == PROTOCOLS[name]
        case Capability(name):
            return access.capability == CAPABILITIES.index(name)
        case Calls(path=path):
            return path is None or (access.path != b"" and matches_path(path, access.path))
        case Preset():
            return True
        case _:
            return access.path != b"" and matches_path(target, access.path)


def matches_path(target: Source | Glob | Name, path: bytes) -> bool:
    """Whether a path is meant by a target."""
    match target:
        case ExactPath(wanted):
            return path == wanted.encode()
        case Directory(wanted, recursive):
            directory = wanted.encode()
            if path + b"/" == directory:
                return True
            rest = path.removeprefix(directory)
            return len(rest) < len(path) and (recursive or b"/" not in rest)
        case Glob(pattern):
            return compile_glob(pattern).fullmatch(path) is not None
        case Name(name):
            return path.rpartition(b"/")[2] == name.encode()


def condition_count(rule: Rule) -> int:
    """How many conditions a rule has."""
    return rule.owner_only + rule.read_only + rule.terminal_only + (rule.allowed_args is not None)


def _matches_conditions(rule: Rule, access: Access) -> bool:
    if rule.terminal_only and not access.has_terminal:
        return False
    if not (rule.owner_only or rule.read_only or rule.allowed_args is not None):
        return True
    holds = (
        (not rule.owner_only or access.is_owner)
        and (not rule.read_only or not access.writes)
        and (rule.allowed_args is None or _allows_arguments(rule.allowed_args, access.arguments))
    )
    # an owner's file is allowed to the owner, or forbidden to all others
    return holds == (rule.action is Action.ALLOW)


def _allows_arguments(allowed: tuple[str, ...], arguments: tuple[bytes, ...] | None) -> bool:
    return arguments is not None and set(arguments) <= {text.encode() for text in allowed}


_ACTION_ORDER: Final = (Action.BLOCK, Action.AUDIT, Action.ALLOW)


def order(policy: Policy, rule: Rule) -> tuple[object, ...]:
    """The place of a rule among all rules: the lowest comes first."""
    kind, length = _specificity(rule.target)
    return (
        not rule.sources,
        kind,
        -length,
        -condition_count(rule),
        _ACTION_ORDER.index(rule.action),
        policy.identity,
        rule.line,
    )


def _specificity(target: Target) -> tuple[int, int]:
    match target:
        case ExactPath() | Calls(path=ExactPath()):
            return 0, 0
        case Name():
            return 1, 0
        case Glob(pattern):
            return 2, literal_length(pattern)
        case Directory(path, recursive) | Calls(path=Directory(path, recursive)):
            return 3, 2 * len(path.encode()) + (not recursive)
        case Calls() | Protocol("all"):
            return 4, 0
        case _:
            return 0, 0
