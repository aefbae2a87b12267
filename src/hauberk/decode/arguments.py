"""Kinds of arguments: how the kernel programs treat one, and how it reads as text.

The texts are KubeArmor's where it has one. A number that has no name, or a bit of a set, is shown
as it is: nothing is lost.
"""

import os
import signal
import socket
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from hauberk import constants
from hauberk.abi import ArgumentKind
from hauberk.decode.text import decode_text

Arguments: TypeAlias = tuple[int, ...]
Render: TypeAlias = Callable[[Arguments, int], str]
"""The text of one argument, by all of them and its index: some mean nothing without their neighbour."""


class Place(Enum):
    """Where an argument is told."""

    DATA = "Data and EventData"
    RESOURCE = "Resource; in EventData if it is a number"
    BOTH = "Resource, Data and EventData"
    NOWHERE = "not told, but the kernel programs or a neighbour need it"


class Kind(msgspec.Struct, frozen=True):
    """What an argument is."""

    render: Render | None = None
    """The text of a number; None if what is told is no number."""

    read: Callable[[bytes], str] | None = None
    """The text of what user memory held; None if it held none, or a path."""

    treatment: ArgumentKind = ArgumentKind.NUMBER
    place: Place = Place.DATA
    names: tuple[str, Render] | None = None
    """For EventData: a second value, with its key, that says more than the number."""

    words: int = 1
    """How many arguments a number takes: the first and those after it."""


def of(render: Callable[[int], str]) -> Render:
    """A renderer that needs the argument alone: the 32 bits of a C `int`, as most are."""
    return lambda arguments, i: render(arguments[i] & 0xFFFFFFFF)


def signed(bits: int) -> Render:
    """A number that may be negative."""
    half, mask = 1 << bits - 1, (1 << bits) - 1
    return lambda arguments, i: str(((arguments[i] & mask) ^ half) - half)


def _length(arguments: Arguments, i: int) -> str:
    """A 64-bit number in two 32-bit registers, low word first."""
    return str(arguments[i] & 0xFFFFFFFF | (arguments[i + 1] & 0xFFFFFFFF) << 32)


def flags(
    names: Mapping[int, str], *, mask: int = 0, choices: Mapping[int, str] | None = None, none: str = ""
) -> Callable[[int], str]:
    """A renderer of bit sets; unknown bits are shown in hex, never lost.

    The bits of `mask` hold a number and not a set, such as the access mode of open(2).
    """

    def render(value: int) -> str:
        shown = []
        if choices:
            shown.append(choices.get(value & mask, hex(value & mask)))
        rest = value & ~mask
        for bits, name in names.items():
            if rest & bits == bits:
                shown.append(name)
                rest &= ~bits
        if rest:
            shown.append(hex(rest))
        return "|".join(shown) or none

    return render


def choice(names: Mapping[int, str]) -> Callable[[int], str]:
    """A renderer of numbers that stand for a name."""
    return lambda value: names.get(value) or str(value)


_ACCESS = {
    os.O_RDONLY: "O_RDONLY",
    os.O_WRONLY: "O_WRONLY",
    os.O_RDWR: "O_RDWR",
    os.O_ACCMODE: "O_ACCMODE",  # neither to read nor to write: for ioctl(2) alone
}

_OPEN = {
    os.O_CREAT: "O_CREAT",
    os.O_EXCL: "O_EXCL",
    os.O_NOCTTY: "O_NOCTTY",
    os.O_TRUNC: "O_TRUNC",
    os.O_APPEND: "O_APPEND",
    os.O_NONBLOCK: "O_NONBLOCK",
    os.O_SYNC: "O_SYNC",  # two bits, one of them that of O_DSYNC
    os.O_DSYNC: "O_DSYNC",
    os.O_ASYNC: "O_ASYNC",
    constants.O_LARGEFILE: "O_LARGEFILE",
    os.O_DIRECTORY: "O_DIRECTORY",
    os.O_NOFOLLOW: "O_NOFOLLOW",
    os.O_CLOEXEC: "O_CLOEXEC",
    os.O_DIRECT: "O_DIRECT",
    os.O_NOATIME: "O_NOATIME",
    os.O_PATH: "O_PATH",
    os.O_TMPFILE & ~os.O_DIRECTORY: "O_TMPFILE",
}
"""In KubeArmor's order."""

_AT = {
    constants.AT_SYMLINK_NOFOLLOW: "AT_SYMLINK_NOFOLLOW",
    constants.AT_SYMLINK_FOLLOW: "AT_SYMLINK_FOLLOW",
    constants.AT_EMPTY_PATH: "AT_EMPTY_PATH",
}

_UMOUNT = {1: "MNT_FORCE", 2: "MNT_DETACH", 4: "MNT_EXPIRE", 8: "UMOUNT_NOFOLLOW"}
"""include/linux/fs.h; in none of the headers for programs."""

_MS_MGC_VAL = 0xC0ED0000
"""What old programs put into the upper half of mount flags; the kernel takes no notice of it."""

_MEMFD = {
    os.MFD_CLOEXEC: "MFD_CLOEXEC",
    os.MFD_ALLOW_SEALING: "MFD_ALLOW_SEALING",
    os.MFD_HUGETLB: "MFD_HUGETLB",
    0x8: "MFD_NOEXEC_SEAL",  # since Linux 6.3
    0x10: "MFD_EXEC",
}

_MAP: dict[int, str] = {  # asm-generic/mman.h, asm/mman.h of x86
    0x10: "MAP_FIXED",
    0x20: "MAP_ANONYMOUS",
    0x40: "MAP_32BIT",
    0x100: "MAP_GROWSDOWN",
    0x800: "MAP_DENYWRITE",
    0x1000: "MAP_EXECUTABLE",
    0x2000: "MAP_LOCKED",
    0x4000: "MAP_NORESERVE",
    0x8000: "MAP_POPULATE",
    0x10000: "MAP_NONBLOCK",
    0x20000: "MAP_STACK",
    0x40000: "MAP_HUGETLB",
    0x80000: "MAP_SYNC",
    0x100000: "MAP_FIXED_NOREPLACE",
}

_SOCKET_TYPE_MASK = 0xF
_SOCKET_TYPES: dict[int, str] = {
    socket.SOCK_STREAM: "SOCK_STREAM",
    socket.SOCK_DGRAM: "SOCK_DGRAM",
    socket.SOCK_RAW: "SOCK_RAW",
    socket.SOCK_RDM: "SOCK_RDM",
    socket.SOCK_SEQPACKET: "SOCK_SEQPACKET",
    6: "SOCK_DCCP",
    10: "SOCK_PACKET",
}
_SOCKET_FLAGS: dict[int, str] = {socket.SOCK_NONBLOCK: "SOCK_NONBLOCK", socket.SOCK_CLOEXEC: "SOCK_CLOEXEC"}

_PROTOCOLS = {
    socket.IPPROTO_ICMP: "ICMP",
    socket.IPPROTO_IGMP: "IGMP",
    socket.IPPROTO_TCP: "TCP",
    socket.IPPROTO_EGP: "EGP",
    socket.IPPROTO_UDP: "UDP",
    33: "DCCP",
    socket.IPPROTO_IPV6: "IPv6",
    socket.IPPROTO_GRE: "GRE",
    socket.IPPROTO_ESP: "ESP",
    socket.IPPROTO_AH: "AH",
    socket.IPPROTO_ICMPV6: "IPv6-ICMP",
    89: "OSPFIGP",
    socket.IPPROTO_PIM: "PIM",
    112: "VRRP",
    socket.IPPROTO_SCTP: "SCTP",
    socket.IPPROTO_UDPLITE: "UDPLite",
    socket.IPPROTO_RAW: "Reserved",
    262: "MPTCP",
}
"""IANA's names, as KubeArmor shows them. 0 is no protocol but leaves the choice to the kernel."""

_USUAL_PROTOCOLS: dict[int, int] = {
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
}

_CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot "
    "sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease "
    "audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read "
    "perfmon bpf checkpoint_restore"
)
CAPABILITIES: Final = tuple(_CAPABILITIES.split())
"""By number: linux/capability.h."""

_FILE_TYPES = {
    0o010000: "S_IFIFO",
    0o020000: "S_IFCHR",
    0o040000: "S_IFDIR",
    0o060000: "S_IFBLK",
    0o100000: "S_IFREG",
    0o120000: "S_IFLNK",
    0o140000: "S_IFSOCK",
}

_SIGNALS = {number.value: number.name for number in signal.Signals}

family_name: Final = choice(constants.FAMILIES)
open_flags = flags(_OPEN, mask=os.O_ACCMODE, choices=_ACCESS)
signal_name: Final = choice(_SIGNALS)
socket_type: Final = flags(_SOCKET_FLAGS, mask=_SOCKET_TYPE_MASK, choices=_SOCKET_TYPES)
memory_protection: Final = flags({1: "PROT_READ", 2: "PROT_WRITE", 4: "PROT_EXEC"}, none="PROT_NONE")
map_flags: Final = flags(
    _MAP, mask=0xF, choices={1: "MAP_SHARED", 2: "MAP_PRIVATE", 3: "MAP_SHARED_VALIDATE"}
)


def capability_name(number: int) -> str:
    """``CAP_NET_RAW``."""
    return f"CAP_{CAPABILITIES[number].upper()}" if number < len(CAPABILITIES) else f"CAP_{number}"


def effective_protocol(family: int, kind: int, protocol: int) -> int:
    """The protocol of an internet socket; 0 for any other."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    return protocol or _USUAL_PROTOCOLS.get(kind, 0)


def protocol_name(family: int, kind: int, protocol: int) -> str:
    """``TCP``; empty for what is no internet socket."""
    number = effective_protocol(family, kind, protocol)
    return _PROTOCOLS.get(number, str(number)) if number else ""


def _mode(value: int) -> str:
    """Permission bits as chmod(1) takes them."""
    return f"{value & 0xFFFF:04o}"


def _node_mode(value: int) -> str:
    """Permission bits and the type of a file to be made."""
    kind = value & 0o170000
    return f"{_FILE_TYPES.get(kind, oct(kind))}|{value & 0o7777:04o}" if kind else _mode(value)


def _device(value: int) -> str:
    """Major and minor number, as the kernel packs them into 32 bits."""
    return f"{value >> 8 & 0xFFF}:{value & 0xFF | value >> 12 & 0xFFF00}"


def _protocol(arguments: Arguments, i: int) -> str:
    """IP protocols have names; the numbers of other families mean something else in each of them."""
    family, number = arguments[i - 2] & 0xFFFFFFFF, arguments[i] & 0xFFFFFFFF
    is_ip = family in (socket.AF_INET, socket.AF_INET6)
    return _PROTOCOLS.get(number, str(number)) if is_ip else str(number)


def _how(content: bytes) -> str:
    """The flags of a struct open_how; what could not be read is nothing."""
    return open_flags(int.from_bytes(content[:8], "little")) if len(content) >= 8 else ""


def _numbered(names: Mapping[int, str], key: str) -> Kind:
    """Flags that KubeArmor shows as a number; EventData has their names too."""
    return Kind(of(str), names=(key, of(flags(names))))


class Address(msgspec.Struct, frozen=True):
    """What a struct sockaddr says."""

    text: str | None
    """As KubeArmor's Resource: ``sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10``."""

    details: dict[str, str]
    """As its EventData."""

    host: str = ""


@lru_cache(maxsize=4096)
def decode_address(content: bytes, path: bytes | None = None) -> Address:
    """Decode a struct sockaddr; `path` is where the name of a UNIX socket led to, if the kernel said so."""
    if len(content) < 2:
        return Address(None, {})
    number = int.from_bytes(content[:2], "little")
    family = family_name(number)
    if number == socket.AF_UNIX:
        name = decode_text(path) if path else _unix_name(content[2:])
        return Address(f"sa_family={family} sun_path={name}", {"sa_family": family, "sun_path": name})
    if number == socket.AF_INET and len(content) >= 8:
        host = socket.inet_ntop(socket.AF_INET, content[4:8])
    elif number == socket.AF_INET6 and len(content) >= 24:
        host = socket.inet_ntop(socket.AF_INET6, content[8:24])
    else:
        return Address(f"sa_family={family}", {"sa_family": family})
    port = str(int.from_bytes(content[2:4], "big"))
    return Address(
        f"sa_family={family} sin_port={port} sin_addr={host}", {"sa_family": family, "port": port}, host
    )


def _unix_name(name: bytes) -> str:
    """A path; or a name in no file system, which begins with NUL and may hold more of them."""
    if name.startswith(b"\0"):
        return decode_text(name.replace(b"\0", b"@"))
    return decode_text(name.partition(b"\0")[0])


# What user memory or the kernel's objects hold
PATH: Final = Kind(treatment=ArgumentKind.PATH, place=Place.RESOURCE)
OTHER_PATH: Final = Kind(treatment=ArgumentKind.PATH)
TOLD_PATH: Final = Kind(treatment=ArgumentKind.PATH, place=Place.BOTH)
STRING: Final = Kind(read=decode_text, treatment=ArgumentKind.STRING)
OPEN_HOW: Final = Kind(read=_how, treatment=ArgumentKind.HOW)
ARGV: Final = Kind(treatment=ArgumentKind.ARGV, place=Place.RESOURCE)
ADDRESS: Final = Kind(treatment=ArgumentKind.ADDRESS, place=Place.RESOURCE)

# What the calls that may send a DNS query send
BUFFER: Final = Kind(treatment=ArgumentKind.BUFFER, place=Place.NOWHERE)
MESSAGE: Final = Kind(treatment=ArgumentKind.MESSAGE, place=Place.NOWHERE)
MESSAGES: Final = Kind(treatment=ArgumentKind.MESSAGES, place=Place.NOWHERE)
DESTINATION: Final = Kind(treatment=ArgumentKind.ADDRESS, place=Place.NOWHERE)

# Numbers
UNUSED: Final = Kind(place=Place.NOWHERE)
FD: Final = Kind(signed(32), treatment=ArgumentKind.FD)
DIRFD: Final = Kind(signed(32), treatment=ArgumentKind.DIRFD)
UNTOLD_DIRFD: Final = Kind(treatment=ArgumentKind.DIRFD, place=Place.NOWHERE)
PID: Final = Kind(signed(32))
ID: Final = Kind(signed(32))
ID16: Final = Kind(signed(16))
SIZE: Final = Kind(signed(64))
SIZE32: Final = Kind(signed(32))
SIZE64: Final = Kind(_length, words=2)
MODE: Final = Kind(of(_mode))
NODE_MODE: Final = Kind(of(_node_mode))
DEVICE: Final = Kind(of(_device))
OPEN_FLAGS: Final = Kind(of(open_flags))
UNLINK_FLAGS: Final = Kind(of(flags({constants.AT_REMOVEDIR: "AT_REMOVEDIR"})))
AT_FLAGS: Final = Kind(of(flags(_AT)))
CHOWN_FLAGS: Final = _numbered(_AT, "flags")
EXEC_FLAGS: Final = Kind(of(flags(_AT, none="0")))
RENAME_FLAGS: Final = Kind(of(flags(constants.RENAME_FLAGS)))
MOUNT_FLAGS: Final = _numbered({_MS_MGC_VAL: "MS_MGC_VAL"} | constants.MOUNT_FLAGS, "mountflags")
UMOUNT_FLAGS: Final = _numbered(_UMOUNT, "flags")
MODULE_FLAGS: Final = Kind(of(flags(constants.MODULE_FLAGS)))
UNLOAD_FLAGS: Final = Kind(of(flags({os.O_NONBLOCK: "O_NONBLOCK", os.O_TRUNC: "O_TRUNC"})))
MEMFD_FLAGS: Final = Kind(of(flags(_MEMFD)))
PROTECTION: Final = Kind(of(memory_protection))
MAP_FLAGS: Final = Kind(of(map_flags))
NAMESPACES: Final = Kind(of(flags(constants.CLONE_FLAGS, none="0")))
SIGNAL: Final = Kind(of(signal_name))
PTRACE_REQUEST: Final = Kind(of(choice(constants.PTRACE_REQUESTS)))
BPF_COMMAND: Final = Kind(of(choice(constants.BPF_COMMANDS)))
DOMAIN: Final = Kind(of(family_name), place=Place.RESOURCE)
SOCKET_TYPE: Final = Kind(of(socket_type), place=Place.RESOURCE)
PROTOCOL: Final = Kind(_protocol, place=Place.RESOURCE)
SOCKET_FLAGS: Final = Kind(of(flags(_SOCKET_FLAGS)))
