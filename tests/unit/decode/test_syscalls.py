"""The catalogue, and what the kernel programs are told of it."""

import pytest

from hauberk.abi import (
    COMPAT_SLOT,
    SOCKETCALL_SLOT,
    SYSCALL,
    SYSCALL_SLOTS,
    ArgumentKind,
    ObjectKind,
    Operation,
    SyscallFields,
)
from hauberk.decode.syscalls import SLOTS, URING_SLOTS, kernel_rows

KERNEL = {slot: SyscallFields(*SYSCALL.unpack(row)) for slot, row in kernel_rows()}
NUMBER, DIRFD, PATH, STRING = ArgumentKind.NUMBER, ArgumentKind.DIRFD, ArgumentKind.PATH, ArgumentKind.STRING


@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        (59, "execve"),
        (257, "openat"),
        (520, "execve"),  # x32
        (COMPAT_SLOT + 5, "open"),
        (COMPAT_SLOT + 22, "umount2"),
        (COMPAT_SLOT + 23, "setuid"),
        (COMPAT_SLOT + 213, "setuid"),
        (COMPAT_SLOT + 193, "truncate"),
        (COMPAT_SLOT + 212, "chown"),
        (SOCKETCALL_SLOT + 3, "connect"),
        (SOCKETCALL_SLOT + 9, "sendto"),
    ],
)
def test_slot_has_one_name(slot: int, expected: str) -> None:
    """The same call has the same name, whatever table its number is from."""
    assert expected == SLOTS[slot].name


@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        (257, (1, Operation.FILE, ObjectKind.OPENED, 0, (DIRFD, PATH, NUMBER, NUMBER, NUMBER, NUMBER))),
        (263, (1, Operation.FILE, ObjectKind.NONE, 1, (DIRFD, PATH, NUMBER, NUMBER, NUMBER, NUMBER))),
        (88, (1, Operation.FILE, ObjectKind.NONE, 1, (STRING, PATH, NUMBER, NUMBER, NUMBER, NUMBER))),
        (91, (1, Operation.FILE, ObjectKind.FILE, 0, (ArgumentKind.FD, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER))),
        (105, (1, Operation.SYSCALL, ObjectKind.NONE, 0, (NUMBER,) * 6)),
        (59, (1, Operation.PROCESS, ObjectKind.IMAGE, 1, (PATH, ArgumentKind.ARGV, NUMBER, NUMBER, NUMBER, NUMBER))),
        (
            42,
            (1, Operation.NETWORK, ObjectKind.PEER, 1,
             (ArgumentKind.FD, ArgumentKind.ADDRESS, NUMBER, NUMBER, NUMBER, NUMBER)),
        ),
        (COMPAT_SLOT + 102, (1, Operation.NETWORK, ObjectKind.NONE, 1, (NUMBER,) * 6)),
    ],
)  # fmt: skip
def test_kernel_row(slot: int, expected: tuple[int, int, int, int, tuple[int, ...]]) -> None:
    """The kernel programs learn the class, the object, when to copy, and what each argument is."""
    row = KERNEL[slot]

    assert expected == (*row[:4], tuple(row.arguments))


def test_slots_fit_their_maps() -> None:
    """No slot is beyond its part of the kernel's array, and each is told once."""
    assert len(KERNEL) == len(list(kernel_rows()))
    assert set(SLOTS) | {COMPAT_SLOT + 102} == set(KERNEL)
    assert max(KERNEL) < SYSCALL_SLOTS
    assert not [
        slot for slot in KERNEL if slot >= SOCKETCALL_SLOT and SLOTS[slot].operation != Operation.NETWORK
    ]


def test_strings_are_copied_when_they_are_still_there() -> None:
    """What a call may use up is copied at entry; open tells the file itself, and data that was sent stays."""
    late = {
        row.name for slot, row in SLOTS.items() if any(KERNEL[slot].arguments) and not KERNEL[slot].at_entry
    }

    assert {"open", "openat", "openat2", "creat", "sendto", "sendmsg", "sendmmsg", "write"} <= late
    assert not late & {"execve", "unlink", "rename", "connect", "mount", "memfd_create"}


def test_object_is_behind_argument_0() -> None:
    """The kernel programs look for sockets and files of descriptors behind the first argument only."""
    behind = {ObjectKind.FILE, ObjectKind.PEER, ObjectKind.LOCAL}
    first = {row.arguments[0][1].treatment for row in SLOTS.values() if row.object in behind}

    assert {ArgumentKind.FD} == first


def test_directory_comes_before_its_path() -> None:
    """The kernel programs take a directory for that of the next argument."""
    for row in SLOTS.values():
        for i, (_, kind) in enumerate(row.arguments):
            if kind.treatment == DIRFD:
                assert row.arguments[i + 1][1].treatment == PATH, row.name


def test_no_more_than_two_paths() -> None:
    """The kernel programs keep two paths of a call."""
    assert max(sum(kind.treatment == PATH for _, kind in row.arguments) for row in SLOTS.values()) == 2


def test_requests_of_io_uring() -> None:
    """io_uring tells native calls; some of them hold other arguments than the call."""
    assert set(URING_SLOTS) == set(SLOTS)
    assert {URING_SLOTS[slot].name for slot in SLOTS if URING_SLOTS[slot] != SLOTS[slot]} == {
        "openat2", "connect", "accept4", "ftruncate",
    }  # fmt: skip
    assert all(URING_SLOTS[slot].name == row.name for slot, row in SLOTS.items())
