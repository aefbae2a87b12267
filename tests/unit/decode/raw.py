"""Raw records, written as the kernel programs write them."""

import struct

from hauberk.abi import ARGUMENT_COUNT, ITEM, RECORD, Hook, ItemKind, RecordFlag
from hauberk.decode.records import decode_batch
from hauberk.model.record import Record

CWD = (ItemKind.CWD, 0, b"/home/ada")


def item(kind: ItemKind, index: int, content: bytes) -> bytes:
    return ITEM.pack(kind, index, len(content)) + content


def frame(raw: bytes) -> bytes:
    """A raw record as an entry of a batch."""
    return struct.pack("<II", len(raw), 3) + raw + bytes(-len(raw) % 8)


def raw_record(
    *items: tuple[ItemKind, int, bytes],
    hook: int = Hook.SYSCALL,
    syscall: int = 0,
    arguments: tuple[int, ...] = (),
    result: int = 0,
    flags: RecordFlag = RecordFlag(0),
) -> bytes:
    """One record; numbers that a test does not care for are all different."""
    content = b"".join(item(*each) for each in items)
    registers = [argument & 0xFFFFFFFFFFFFFFFF for argument in arguments]
    registers += [0xBAD] * (ARGUMENT_COUNT - len(registers))
    return (
        RECORD.pack(
            1001, 1002, 1003, 1004, result, *registers,
            2001, 2002, 2003, 2004, 2005, 4026531836, 4026531841, 2006, 2007,
            hook, syscall, 2008, flags, RECORD.size + len(content),
        )
        + content
    )  # fmt: skip


def record(
    *items: tuple[ItemKind, int, bytes],
    hook: int = Hook.SYSCALL,
    syscall: int = 0,
    arguments: tuple[int, ...] = (),
    result: int = 0,
    flags: RecordFlag = RecordFlag(0),
) -> Record:
    """The same, decoded."""
    raw = raw_record(*items, hook=hook, syscall=syscall, arguments=arguments, result=result, flags=flags)
    return decode_batch(frame(raw)).records[0]
