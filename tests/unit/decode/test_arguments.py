"""Arguments as text."""

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.decode import arguments
from hauberk.decode.arguments import Address, Kind, decode_address

U32 = 0xFFFFFFFF


def text_of(kind: Kind, *values: int) -> str:
    assert kind.render
    return kind.render(values, 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "O_RDONLY"),
        (1, "O_WRONLY"),
        (2, "O_RDWR"),
        (3, "O_ACCMODE"),
        (0o2000000, "O_RDONLY|O_CLOEXEC"),
        (os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, "O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC"),
        (os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND, "O_WRONLY|O_CREAT|O_EXCL|O_TRUNC|O_APPEND"),
        (os.O_SYNC, "O_RDONLY|O_SYNC"),
        (os.O_DSYNC, "O_RDONLY|O_DSYNC"),
        (os.O_TMPFILE | os.O_RDWR, "O_RDWR|O_DIRECTORY|O_TMPFILE"),
        (0o100000 | os.O_DIRECT | os.O_NOATIME | os.O_PATH, "O_RDONLY|O_LARGEFILE|O_DIRECT|O_NOATIME|O_PATH"),
        (os.O_NOCTTY | os.O_NONBLOCK | os.O_ASYNC, "O_RDONLY|O_NOCTTY|O_NONBLOCK|O_ASYNC"),
        (0x40000000, "O_RDONLY|0x40000000"),
        (0xFFFFFFFF00000001, "O_WRONLY"),
    ],
)  # fmt: skip
def test_open_flags(value: int, expected: str) -> None:
    """KubeArmor's names in KubeArmor's order; a C int, whatever the register's upper half holds."""
    assert expected == text_of(arguments.OPEN_FLAGS, value)


@given(st.integers(0, U32))
def test_no_bit_is_lost(value: int) -> None:
    """The names and the rest add up to the number again."""
    names = {name: bits for bits, name in (arguments._OPEN | arguments._ACCESS).items()}
    total = 0
    for word in text_of(arguments.OPEN_FLAGS, value).split("|"):
        total |= names[word] if word in names else int(word, 16)

    assert value == total


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (arguments.FD, [0xFFFFFF9C], "-100"),
        (arguments.DIRFD, [0xFFFFFFFFFFFFFF9C], "-100"),
        (arguments.ID, [U32], "-1"),
        (arguments.ID, [1000], "1000"),
        (arguments.ID16, [0xFFFF], "-1"),
        (arguments.ID16, [0x10001], "1"),
        (arguments.SIZE, [0xFFFFFFFFFFFFFFFF], "-1"),
        (arguments.SIZE, [1 << 40], str(1 << 40)),
        (arguments.SIZE32, [U32], "-1"),
        (arguments.SIZE64, [1, 2], str(1 + (2 << 32))),
        (arguments.MODE, [0o644], "0644"),
        (arguments.MODE, [0o4755], "4755"),
        (arguments.MODE, [0], "0000"),
        (arguments.NODE_MODE, [0o020600], "S_IFCHR|0600"),
        (arguments.NODE_MODE, [0o644], "0644"),
        (arguments.NODE_MODE, [0o170644], "0o170000|0644"),
        (arguments.DEVICE, [os.makedev(8, 1)], "8:1"),
        (arguments.DEVICE, [os.makedev(259, 70000) & U32], "259:70000"),
        (arguments.UNLINK_FLAGS, [0], ""),
        (arguments.UNLINK_FLAGS, [0x200], "AT_REMOVEDIR"),
        (arguments.EXEC_FLAGS, [0], "0"),
        (arguments.EXEC_FLAGS, [0x1000], "AT_EMPTY_PATH"),
        (arguments.EXEC_FLAGS, [0x100], "AT_SYMLINK_NOFOLLOW"),
        (arguments.MOUNT_FLAGS, [4096 | 16384], "20480"),
        (arguments.NAMESPACES, [0], "0"),
        (arguments.NAMESPACES, [0x40020000], "CLONE_NEWNS|CLONE_NEWNET"),
        (arguments.SIGNAL, [9], "SIGKILL"),
        (arguments.SIGNAL, [0], "0"),
        (arguments.SIGNAL, [40], "40"),
        (arguments.PTRACE_REQUEST, [16], "PTRACE_ATTACH"),
        (arguments.PTRACE_REQUEST, [0x4206], "PTRACE_SEIZE"),
        (arguments.PTRACE_REQUEST, [99], "99"),
        (arguments.BPF_COMMAND, [5], "BPF_PROG_LOAD"),
        (arguments.BPF_COMMAND, [999], "999"),
        (arguments.SOCKET_TYPE, [1], "SOCK_STREAM"),
        (arguments.SOCKET_TYPE, [0o2004001], "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC"),
        (arguments.SOCKET_TYPE, [10], "SOCK_PACKET"),
        (arguments.SOCKET_TYPE, [0x1F], "0xf|0x10"),
        (arguments.DOMAIN, [44], "AF_XDP"),
        (arguments.DOMAIN, [1], "AF_UNIX"),
        (arguments.DOMAIN, [99], "99"),
    ],
)
def test_numbers(kind: Kind, values: list[int], expected: str) -> None:
    """Each kind reads as KubeArmor or, where that has no word, the manual page has it."""
    assert expected == text_of(kind, *values)


@pytest.mark.parametrize(
    ("domain", "number", "expected"),
    [
        (socket.AF_INET, 0, "0"),
        (socket.AF_INET, 6, "TCP"),
        (socket.AF_INET6, 17, "UDP"),
        (socket.AF_INET6, 58, "IPv6-ICMP"),
        (socket.AF_INET, 200, "200"),
        (socket.AF_UNIX, 0, "0"),
        (socket.AF_NETLINK, 6, "6"),
    ],
)
def test_protocol(domain: int, number: int, expected: str) -> None:
    """IP protocols have names; 0 leaves the choice to the kernel, and other families have their own numbers."""
    assert arguments.PROTOCOL.render
    assert expected == arguments.PROTOCOL.render((domain, 1, number), 2)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (arguments.MOUNT_FLAGS, 0, ("mountflags", "")),
        (arguments.MOUNT_FLAGS, 4096 | 16384, ("mountflags", "MS_BIND|MS_REC")),
        (arguments.MOUNT_FLAGS, 0xC0ED0001, ("mountflags", "MS_MGC_VAL|MS_RDONLY")),
        (arguments.UMOUNT_FLAGS, 2, ("flags", "MNT_DETACH")),
        (arguments.CHOWN_FLAGS, 0x100, ("flags", "AT_SYMLINK_NOFOLLOW")),
    ],
)
def test_names_of_numbered_flags(kind: Kind, value: int, expected: tuple[str, str]) -> None:
    """Flags that Data has as a number have names for EventData."""
    assert kind.names
    key, render = kind.names

    assert expected == (key, render((value,), 0))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (struct.pack("<QQQ", 0o2000001, 0, 0), "O_WRONLY|O_CLOEXEC"),
        (b"", ""),
    ],
)
def test_open_how(content: bytes, expected: str) -> None:
    """The flags of openat2 are those of open."""
    assert arguments.OPEN_HOW.read
    assert expected == arguments.OPEN_HOW.read(content)


INET = struct.pack("<H", 2) + struct.pack(">H", 53) + bytes([10, 0, 0, 10])
INET6 = struct.pack("<H", 10) + struct.pack(">HI", 443, 0) + bytes(15) + b"\x01"
UNIX = struct.pack("<H", 1)


@pytest.mark.parametrize(
    ("content", "path", "expected"),
    [
        (
            INET,
            None,
            Address(
                "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10",
                {"sa_family": "AF_INET", "port": "53"},
                "10.0.0.10",
            ),
        ),
        (
            INET + bytes(8),
            None,
            Address(
                "sa_family=AF_INET sin_port=53 sin_addr=10.0.0.10",
                {"sa_family": "AF_INET", "port": "53"},
                "10.0.0.10",
            ),
        ),
        (
            INET6,
            None,
            Address(
                "sa_family=AF_INET6 sin_port=443 sin_addr=::1",
                {"sa_family": "AF_INET6", "port": "443"},
                "::1",
            ),
        ),
        (
            UNIX + b"/run/x.sock\0junk",
            None,
            Address(
                "sa_family=AF_UNIX sun_path=/run/x.sock", {"sa_family": "AF_UNIX", "sun_path": "/run/x.sock"}
            ),
        ),
        (
            UNIX + b"x.sock",
            b"/run/x.sock",
            Address(
                "sa_family=AF_UNIX sun_path=/run/x.sock", {"sa_family": "AF_UNIX", "sun_path": "/run/x.sock"}
            ),
        ),
        (
            UNIX + b"\0a\0b",
            None,
            Address("sa_family=AF_UNIX sun_path=@a@b", {"sa_family": "AF_UNIX", "sun_path": "@a@b"}),
        ),
        (UNIX, None, Address("sa_family=AF_UNIX sun_path=", {"sa_family": "AF_UNIX", "sun_path": ""})),
        (struct.pack("<H", 16), None, Address("sa_family=AF_NETLINK", {"sa_family": "AF_NETLINK"})),
        (INET[:7], None, Address("sa_family=AF_INET", {"sa_family": "AF_INET"})),
        (INET6[:23], None, Address("sa_family=AF_INET6", {"sa_family": "AF_INET6"})),
        (b"\x02", None, Address(None, {})),
    ],
)
def test_decode_address(content: bytes, path: bytes | None, expected: Address) -> None:
    """Family, port and host in that order; the path of a UNIX socket as the kernel found it, else as written."""
    assert expected == decode_address(content, path)
