"""The LSM hooks that decide, in KubeArmor's words. To add one, add a row here, to `enum lsm_hook` and a program.

KubeArmor's forms: ``lsm=FILE_OPEN``, ``lsm=SOCKET_CREATE protocol=TCP type=SOCK_STREAM``,
``lsm=CAPABLE CAP_NET_RAW``. System calls that are denied are told by ours: ``lsm=BPF syscall=SYS_BPF``.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from hauberk.abi import LsmHook, Operation, RuleClass
from hauberk.decode.arguments import (
    capability_name,
    family_name,
    map_flags,
    memory_protection,
    open_flags,
    protocol_name,
    socket_type,
)
from hauberk.decode.syscalls import SLOTS
from hauberk.model.record import Record

Details: TypeAlias = dict[str, str]


class Told(NamedTuple):
    """What the numbers of a decision say."""

    resource: str | None
    """None: the path that was acted upon is the resource, if there is one."""

    more: str
    """What follows the hook in Data."""

    details: Details


class Row(NamedTuple):
    """One hook."""

    label: str
    """As KubeArmor's Data has it."""

    tell: Callable[[tuple[int, ...]], Told]
    """From the numbers that the program sends along."""


def _nothing(_numbers: tuple[int, ...]) -> Told:
    return Told(None, "", {})


_O_LARGEFILE: Final = 0o100000
"""The kernel adds it to every open of a 64-bit process."""


def _open(numbers: tuple[int, ...]) -> Told:
    return Told(None, "", {"flags": open_flags(numbers[0] & ~_O_LARGEFILE)})


def _mmap(numbers: tuple[int, ...]) -> Told:
    asked, protection, flags = (
        memory_protection(numbers[0]),
        memory_protection(numbers[1]),
        map_flags(numbers[2]),
    )
    return Told(None, "", {"reqprot": asked, "prot": protection, "flags": flags})


def _mprotect(numbers: tuple[int, ...]) -> Told:
    return Told(None, "", {"reqprot": memory_protection(numbers[0]), "prot": memory_protection(numbers[1])})


def _socket(numbers: tuple[int, ...]) -> Told:
    family, kind, protocol = numbers[:3]
    details = {"domain": family_name(family), "type": socket_type(kind)}
    named = protocol_name(family, kind, protocol)
    if named:
        details["protocol"] = named
    text = f"protocol={named} type={details['type']}" if named else f"type={details['type']}"
    return Told(text, f" {text}", details)


def _capable(numbers: tuple[int, ...]) -> Told:
    name = capability_name(numbers[0])
    return Told(name, f" {name}", {"capability": name})


HOOKS: Final = {
    LsmHook.BPRM_CHECK_SECURITY: Row("SECURITY_BPRM_CHECK", _nothing),
    LsmHook.FILE_OPEN: Row("FILE_OPEN", _open),
    LsmHook.FILE_PERMISSION: Row("FILE_PERMISSION", _nothing),
    LsmHook.MMAP_FILE: Row("MMAP_FILE", _mmap),
    LsmHook.FILE_MPROTECT: Row("FILE_MPROTECT", _mprotect),
    LsmHook.PATH_MKNOD: Row("FILE_MKNOD", _nothing),
    LsmHook.PATH_MKDIR: Row("FILE_MKDIR", _nothing),
    LsmHook.PATH_RMDIR: Row("FILE_RMDIR", _nothing),
    LsmHook.PATH_UNLINK: Row("FILE_UNLINK", _nothing),
    LsmHook.PATH_SYMLINK: Row("FILE_SYMLINK", _nothing),
    LsmHook.PATH_LINK: Row("FILE_LINK", _nothing),
    LsmHook.PATH_RENAME: Row("FILE_RENAME", _nothing),
    LsmHook.PATH_CHMOD: Row("FILE_CHMOD", _nothing),
    LsmHook.PATH_CHOWN: Row("FILE_CHOWN", _nothing),
    LsmHook.PATH_TRUNCATE: Row("FILE_TRUNCATE", _nothing),
    LsmHook.SOCKET_CREATE: Row("SOCKET_CREATE", _socket),
    LsmHook.SOCKET_CONNECT: Row("SOCKET_CONNECT", _socket),
    LsmHook.SOCKET_BIND: Row("SOCKET_BIND", _socket),
    LsmHook.SOCKET_LISTEN: Row("SOCKET_LISTEN", _socket),
    LsmHook.SOCKET_ACCEPT: Row("SOCKET_ACCEPT", _socket),
    LsmHook.SOCKET_SENDMSG: Row("SOCKET_SENDMSG", _socket),
    LsmHook.CAPABLE: Row("CAPABLE", _capable),
    LsmHook.SB_MOUNT: Row("SB_MOUNT", _nothing),
    LsmHook.MOVE_MOUNT: Row("MOVE_MOUNT", _nothing),
    LsmHook.SB_UMOUNT: Row("SB_UMOUNT", _nothing),
    LsmHook.SB_PIVOTROOT: Row("SB_PIVOTROOT", _nothing),
    LsmHook.PTRACE_ACCESS_CHECK: Row("PTRACE_ACCESS_CHECK", _nothing),
    LsmHook.BPF: Row("BPF", _nothing),
    LsmHook.KERNEL_LOAD_DATA: Row("KERNEL_LOAD_DATA", _nothing),
    LsmHook.KERNEL_READ_FILE: Row("KERNEL_READ_FILE", _nothing),
    LsmHook.PATH_CHROOT: Row("PATH_CHROOT", _nothing),
    LsmHook.TASK_KILL: Row("TASK_KILL", _nothing),
    LsmHook.CAPSET: Row("CAPSET", _nothing),
}


def tell(record: Record, rule_class: int) -> tuple[str, Told]:
    """What a decision was about: the hook's label, and what its numbers say. Of a call, whatever the hook, its slot."""
    row = HOOKS[LsmHook(record.arguments[0])]
    numbers = record.arguments[1:]
    if rule_class < RuleClass.SYSCALL:
        return row.label, row.tell(numbers)
    call = SLOTS.get(numbers[0])
    name = call.name if call else str(numbers[0])  # damaged
    return row.label, Told(None, f" syscall=SYS_{name.upper()}", {"syscall": name})


def operation_of(rule_class: int) -> Operation:
    """KubeArmor's operation of what a rule class is about."""
    match rule_class:
        case RuleClass.PROCESS | RuleClass.FILELESS_EXEC | RuleClass.EXEC:
            return Operation.PROCESS
        case RuleClass.NETWORK:
            return Operation.NETWORK
        case RuleClass.CAPABILITIES:
            return Operation.CAPABILITIES
        case _ if rule_class < RuleClass.SYSCALL:
            return Operation.FILE
        case _:
            return Operation.SYSCALL
