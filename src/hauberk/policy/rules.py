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
from hauberk.decode.arguments import CAPABILITIES, effective_protocol
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

SOCKET_TYPES: Final = {"stream": 1, "dgram": 2, "raw": 3, "rdm": 4, "seqpacket": 5, "dccp": 6, "packet": 10}
"""linux/net.h; of any family."""

PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
"""linux/in.h; of internet sockets."""

ANY_PROTOCOL: Final = "all"

PRESETS: Final = {
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
_CALLS: Final = frozenset(row.name for row in SLOTS.values() if row.is_event)
_SYNONYMS: Final = {"umount": "umount2"}


def rule_classes(rule: Rule) -> tuple[int, ...]:
    """The classes of access that a rule is about: one, but a system call has several numbers."""
    match rule.target:
        case Preset(name):
            return (PRESETS[name],)
        case Calls(names):
            wanted = {_SYNONYMS.get(name, name) for name in names}
            return tuple(RuleClass.SYSCALL + slot for slot, row in SLOTS.items() if row.name in wanted)
        case _:
            of = _CLASSES[rule.operation]
    if rule.action is Action.ALLOW:
        return (of,)
    if of == RuleClass.PROCESS and not isinstance(rule.target, Directory):
        # whole directories hold libraries, too
        return of, RuleClass.MAP_EXEC
    if of == RuleClass.FILE and isinstance(rule.target, ExactPath | Directory):
        return of, RuleClass.MOVE
    return (of,)


def is_known_call(name: str) -> bool:
    """Whether a rule can be about this system call."""
    return _SYNONYMS.get(name, name) in _CALLS


def call_names() -> tuple[str, ...]:
    """The system calls that a rule can be about."""
    return tuple(sorted({*_CALLS, *_SYNONYMS}))


def matches(rule: Rule, access: Access) -> bool:
    """Whether a rule holds for an access."""
    return (
        access.rule_class in rule_classes(rule)
        and (
            _is_below(rule.target, access.path)
            if access.rule_class == RuleClass.MOVE
            else _matches_target(rule.target, access)
        )
        and (not rule.sources or _has_source(rule, access.source))
        and _matches_conditions(rule, access)
    )


def _has_source(rule: Rule, image: bytes) -> bool:
    """An image that nobody knows is none of those that a rule names."""
    return image != b"" and any(matches_path(source, image) for source in rule.sources)


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


def _is_below(target: Target, directory: bytes) -> bool:
    """Whether a directory takes along what a rule is about when it is renamed or mounted over."""
    if not directory or not isinstance(target, ExactPath | Directory):
        return False
    path = target.path.encode().rstrip(b"/")
    return path != b"" and path.startswith(directory.rstrip(b"/") + b"/")


def condition_count(rule: Rule) -> int:
    """How many conditions a rule has."""
    return rule.owner_only + rule.read_only + rule.terminal_only + (rule.allowed_args is not None)


def _matches_conditions(rule: Rule, access: Access) -> bool:
    if access.rule_class == RuleClass.MOVE:
        return True  # they are about what lies below, not about the directory
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
