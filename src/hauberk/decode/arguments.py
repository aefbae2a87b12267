"""Arguments of system calls: how the kernel programs treat each kind, and how it is shown."""

import errno
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from hauberk.abi import ArgumentKind
from hauberk.decode.text import decode_text

Render = Callable[[int], str]


class Kind(NamedTuple):
    """One kind of argument."""

    treatment: ArgumentKind = ArgumentKind.NUMBER
    render: Render = str
    """Shows the register's value; what lies in user memory is shown from the record's items."""


# ---- renderers ---------------------------------------------------------------------------------


def signed32(value: int) -> str:
    """An `int` of C: descriptors, PIDs, UIDs (so that -1, "leave it", is seen as such)."""
    value &= 0xFFFFFFFF
    return str(value - (value >> 31 << 32))


def unsigned32(value: int) -> str:
    return str(value & 0xFFFFFFFF)


def octal(value: int) -> str:
    """A file mode, `0644`."""
    return f"0{value & 0xFFFF:o}"


def number_of(names: Mapping[int, str]) -> Render:
    """One of a few named numbers; others in decimal."""

    def render(value: int) -> str:
        value &= 0xFFFFFFFF
        return names.get(value) or signed32(value)

    return render


def flags_of(names: Mapping[int, str], *, mask: int = 0, choices: Mapping[int, str] | None = None) -> Render:
    """A set of bits, joined by `|`; unknown bits are shown in hex, never lost.

    The bits of `mask` hold one of `choices` and not a set, such as the access mode of open(2).
    """

    @lru_cache(maxsize=1024)
    def render(value: int) -> str:
        value &= 0xFFFFFFFF
        shown = []
        if choices:
            shown.append(choices.get(value & mask, hex(value & mask)))
        rest = value & ~mask
        for bit, name in names.items():
            if bit & rest == bit:
                shown.append(name)
                rest &= ~bit
        if rest:
            shown.append(hex(rest))
        return "|".join(shown)

    return render


def prefixed(module: object, prefix: str) -> dict[int, str]:
    """The names of a module's numbers that begin alike."""
    return {getattr(module, name): name for name in dir(module) if name.startswith(prefix)}


# ---- named numbers; headers are of include/uapi/ ------------------------------------------------

_OPEN: Final = {  # asm-generic/fcntl.h, in KubeArmor's order
    0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY", 0o1000: "O_TRUNC", 0o2000: "O_APPEND",
    0o4000: "O_NONBLOCK", 0o4010000: "O_SYNC", 0o10000: "O_DSYNC", 0o20000: "O_ASYNC", 0o100000: "O_LARGEFILE",
    0o20200000: "O_TMPFILE", 0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW", 0o2000000: "O_CLOEXEC",
    0o40000: "O_DIRECT", 0o1000000: "O_NOATIME", 0o10000000: "O_PATH",
}  # fmt: skip
_ACCESS: Final = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR", 3: "O_ACCMODE"}
_AT: Final = {  # linux/fcntl.h
    0x100: "AT_SYMLINK_NOFOLLOW", 0x400: "AT_SYMLINK_FOLLOW", 0x800: "AT_NO_AUTOMOUNT", 0x1000: "AT_EMPTY_PATH",
}  # fmt: skip
_UNLINK: Final = {0x200: "AT_REMOVEDIR"}
_RENAME: Final = {1: "RENAME_NOREPLACE", 2: "RENAME_EXCHANGE", 4: "RENAME_WHITEOUT"}
_MOUNT: Final = {  # linux/mount.h
    1: "MS_RDONLY", 2: "MS_NOSUID", 4: "MS_NODEV", 8: "MS_NOEXEC", 16: "MS_SYNCHRONOUS", 32: "MS_REMOUNT",
    64: "MS_MANDLOCK", 128: "MS_DIRSYNC", 256: "MS_NOSYMFOLLOW", 1024: "MS_NOATIME", 2048: "MS_NODIRATIME",
    4096: "MS_BIND", 8192: "MS_MOVE", 16384: "MS_REC", 32768: "MS_SILENT", 1 << 16: "MS_POSIXACL",
    1 << 17: "MS_UNBINDABLE", 1 << 18: "MS_PRIVATE", 1 << 19: "MS_SLAVE", 1 << 20: "MS_SHARED",
    1 << 21: "MS_RELATIME", 1 << 24: "MS_STRICTATIME", 1 << 25: "MS_LAZYTIME",
}  # fmt: skip
_UMOUNT: Final = {1: "MNT_FORCE", 2: "MNT_DETACH", 4: "MNT_EXPIRE", 8: "UMOUNT_NOFOLLOW"}
_CLONE: Final = {  # linux/sched.h, what setns and unshare take
    0x80: "CLONE_NEWTIME", 0x100: "CLONE_VM", 0x200: "CLONE_FS", 0x400: "CLONE_FILES", 0x800: "CLONE_SIGHAND",
    0x10000: "CLONE_THREAD", 0x20000: "CLONE_NEWNS", 0x40000: "CLONE_SYSVSEM", 0x2000000: "CLONE_NEWCGROUP",
    0x4000000: "CLONE_NEWUTS", 0x8000000: "CLONE_NEWIPC", 0x10000000: "CLONE_NEWUSER", 0x20000000: "CLONE_NEWPID",
    0x40000000: "CLONE_NEWNET",
}  # fmt: skip
_PTRACE: Final = {  # linux/ptrace.h, asm/ptrace-abi.h
    0: "PTRACE_TRACEME", 1: "PTRACE_PEEKTEXT", 2: "PTRACE_PEEKDATA", 3: "PTRACE_PEEKUSR", 4: "PTRACE_POKETEXT",
    5: "PTRACE_POKEDATA", 6: "PTRACE_POKEUSR", 7: "PTRACE_CONT", 8: "PTRACE_KILL", 9: "PTRACE_SINGLESTEP",
    12: "PTRACE_GETREGS", 13: "PTRACE_SETREGS", 14: "PTRACE_GETFPREGS", 15: "PTRACE_SETFPREGS",
    16: "PTRACE_ATTACH", 17: "PTRACE_DETACH", 18: "PTRACE_GETFPXREGS", 19: "PTRACE_SETFPXREGS",
    24: "PTRACE_SYSCALL", 25: "PTRACE_GET_THREAD_AREA", 26: "PTRACE_SET_THREAD_AREA", 30: "PTRACE_ARCH_PRCTL",
    31: "PTRACE_SYSEMU", 32: "PTRACE_SYSEMU_SINGLESTEP", 33: "PTRACE_SINGLEBLOCK",
    0x4200: "PTRACE_SETOPTIONS", 0x4201: "PTRACE_GETEVENTMSG", 0x4202: "PTRACE_GETSIGINFO",
    0x4203: "PTRACE_SETSIGINFO", 0x4204: "PTRACE_GETREGSET", 0x4205: "PTRACE_SETREGSET", 0x4206: "PTRACE_SEIZE",
    0x4207: "PTRACE_INTERRUPT", 0x4208: "PTRACE_LISTEN", 0x4209: "PTRACE_PEEKSIGINFO",
    0x420A: "PTRACE_GETSIGMASK", 0x420B: "PTRACE_SETSIGMASK", 0x420C: "PTRACE_SECCOMP_GET_FILTER",
    0x420D: "PTRACE_SECCOMP_GET_METADATA", 0x420E: "PTRACE_GET_SYSCALL_INFO",
    0x420F: "PTRACE_GET_RSEQ_CONFIGURATION",
}  # fmt: skip
_BPF: Final = dict(  # linux/bpf.h, enum bpf_cmd
    enumerate(
        "BPF_" + name
        for name in (
            "MAP_CREATE MAP_LOOKUP_ELEM MAP_UPDATE_ELEM MAP_DELETE_ELEM MAP_GET_NEXT_KEY PROG_LOAD OBJ_PIN OBJ_GET "
            "PROG_ATTACH PROG_DETACH PROG_TEST_RUN PROG_GET_NEXT_ID MAP_GET_NEXT_ID PROG_GET_FD_BY_ID "
            "MAP_GET_FD_BY_ID OBJ_GET_INFO_BY_FD PROG_QUERY RAW_TRACEPOINT_OPEN BTF_LOAD BTF_GET_FD_BY_ID "
            "TASK_FD_QUERY MAP_LOOKUP_AND_DELETE_ELEM MAP_FREEZE BTF_GET_NEXT_ID MAP_LOOKUP_BATCH "
            "MAP_LOOKUP_AND_DELETE_BATCH MAP_UPDATE_BATCH MAP_DELETE_BATCH LINK_CREATE LINK_UPDATE "
            "LINK_GET_FD_BY_ID LINK_GET_NEXT_ID ENABLE_STATS ITER_CREATE LINK_DETACH PROG_BIND_MAP TOKEN_CREATE"
        ).split()
    )
)
_MEMFD: Final = {  # linux/memfd.h
    1: "MFD_CLOEXEC", 2: "MFD_ALLOW_SEALING", 4: "MFD_HUGETLB", 8: "MFD_NOEXEC_SEAL", 16: "MFD_EXEC",
}  # fmt: skip
_MODULE: Final = {  # linux/module.h
    1: "MODULE_INIT_IGNORE_MODVERSIONS", 2: "MODULE_INIT_IGNORE_VERMAGIC", 4: "MODULE_INIT_COMPRESSED_FILE",
}  # fmt: skip
_SOCKET_FLAGS: Final = {0o4000: "SOCK_NONBLOCK", 0o2000000: "SOCK_CLOEXEC"}
_SOCKET_TYPES: Final = {  # linux/net.h
    1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 6: "SOCK_DCCP",
    10: "SOCK_PACKET",
}  # fmt: skip
_PROTOCOLS: Final = {  # linux/in.h, in IANA's spelling as KubeArmor has it
    1: "ICMP", 2: "IGMP", 4: "IPv4", 6: "TCP", 8: "EGP", 12: "PUP", 17: "UDP", 22: "XNS-IDP", 29: "ISO-TP4",
    33: "DCCP", 41: "IPv6", 46: "RSVP", 47: "GRE", 50: "ESP", 51: "AH", 58: "IPv6-ICMP", 92: "MTP", 94: "IPIP",
    98: "ENCAP", 103: "PIM", 108: "IPComp", 115: "L2TP", 132: "SCTP", 136: "UDPLite", 137: "MPLS-in-IP",
    143: "Ethernet", 255: "Reserved",
}  # fmt: skip
_FAMILIES: Final = prefixed(socket, "AF_") | {
    0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET",
}  # fmt: skip

family: Final = number_of(_FAMILIES)
socket_type: Final = flags_of(_SOCKET_FLAGS, mask=0xF, choices=_SOCKET_TYPES)


def protocol(domain: int, value: int) -> str:
    """The protocol of socket(2): a name for IP families, else a number; 0 is "unspecified" everywhere."""
    value &= 0xFFFFFFFF
    if domain & 0xFFFFFFFF in (socket.AF_INET, socket.AF_INET6):
        return _PROTOCOLS.get(value) or signed32(value)
    return signed32(value)


# ---- kinds -------------------------------------------------------------------------------------

NUMBER: Final = Kind(render=signed32)
SIZE: Final = Kind(render=str)
OFFSET: Final = Kind(render=lambda value: str(value - (value >> 63 << 64)))
FD: Final = Kind(render=signed32)
FILE_FD: Final = Kind(ArgumentKind.FD, signed32)
DIRFD: Final = Kind(ArgumentKind.DIRFD, signed32)
PATH: Final = Kind(ArgumentKind.PATH)
STRING: Final = Kind(ArgumentKind.STRING)
ADDRESS: Final = Kind(ArgumentKind.ADDRESS)
ARGV: Final = Kind(ArgumentKind.ARGV)
BUFFER: Final = Kind(ArgumentKind.BUFFER)
MESSAGE: Final = Kind(ArgumentKind.MESSAGE)
MESSAGES: Final = Kind(ArgumentKind.MESSAGES)
OPEN_HOW: Final = Kind(ArgumentKind.HOW)
UID: Final = Kind(render=signed32)
PID: Final = Kind(render=signed32)
POINTER: Final = Kind(render=hex)
MODE: Final = Kind(render=octal)
DEVICE: Final = Kind(render=lambda value: f"{os.major(value & 0xFFFFFFFF)}:{os.minor(value & 0xFFFFFFFF)}")
OPEN_FLAGS: Final = Kind(render=flags_of(_OPEN, mask=3, choices=_ACCESS))
AT_FLAGS: Final = Kind(render=flags_of(_AT))
UNLINK_FLAGS: Final = Kind(render=flags_of(_UNLINK))
RENAME_FLAGS: Final = Kind(render=flags_of(_RENAME))
EXEC_FLAGS: Final = Kind(render=lambda value: flags_of(_AT)(value) or "0")
MOUNT_FLAGS: Final = Kind(render=unsigned32)
UMOUNT_FLAGS: Final = Kind(render=unsigned32)
CLONE_FLAGS: Final = Kind(render=flags_of(_CLONE))
PTRACE_REQUEST: Final = Kind(render=number_of(_PTRACE))
BPF_COMMAND: Final = Kind(render=number_of(_BPF))
MEMFD_FLAGS: Final = Kind(render=flags_of(_MEMFD))
MODULE_FLAGS: Final = Kind(render=flags_of(_MODULE))
DELETE_FLAGS: Final = Kind(render=flags_of({0o4000: "O_NONBLOCK", 0o1000: "O_TRUNC"}))
SIGNAL: Final = Kind(render=number_of({number.value: number.name for number in signal.Signals}))
ACCEPT_FLAGS: Final = Kind(render=flags_of(_SOCKET_FLAGS))

mount_flag_names: Final = flags_of(_MOUNT)
umount_flag_names: Final = flags_of(_UMOUNT)
open_flag_names: Final = OPEN_FLAGS.render


# ---- addresses ---------------------------------------------------------------------------------


class Address(NamedTuple):
    """A `struct sockaddr`, as far as it could be read."""

    family: str
    port: int | None = None
    ip: str | None = None
    path: str | None = None
    """Of AF_UNIX; an abstract name begins with @."""


@lru_cache(maxsize=4096)
def decode_address(content: bytes) -> Address:
    """From the bytes that the kernel, or a caller, holds; what is missing stays None."""
    if len(content) < 2:
        return Address("AF_UNSPEC")
    number = struct.unpack_from("<H", content)[0]
    name = family(number)
    if number == socket.AF_INET and len(content) >= 8:
        port, ip = struct.unpack_from("!H4s", content, 2)
        return Address(name, port, str(IPv4Address(ip)))
    if number == socket.AF_INET6 and len(content) >= 24:
        port, ip6 = struct.unpack_from("!H4x16s", content, 2)
        return Address(name, port, str(IPv6Address(ip6)))
    if number == socket.AF_UNIX:
        path = content[2:]
        if path.startswith(b"\0"):
            return Address(name, path="@" + decode_text(path[1:]).replace("\0", "@") if len(path) > 1 else "")
        return Address(name, path=decode_text(path.partition(b"\0")[0]))
    return Address(name)


def error_name(number: int) -> str:
    """EACCES for 13; the number where it has no name."""
    return errno.errorcode.get(number, str(number))
