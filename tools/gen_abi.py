#!/usr/bin/env python3
"""Write src/hauberk/abi.py from the BTF of the compiled bpf/abi.h.

    python3 tools/gen_abi.py OBJECT [OUTPUT]

Every enum becomes an `IntEnum` (or `IntFlag` where it is a bit set), every struct a `struct.Struct`
with a NamedTuple of its fields. Stops with a sentence where the compiler left a hole in a struct.
"""

import struct
import sys
from pathlib import Path
from typing import NamedTuple

BIT_SETS = {"record_flag", "table_flag", "condition"}
LOOSE_CONSTANTS = {"limit"}
FORMATS = {
    (1, False): "B",
    (1, True): "b",
    (2, False): "H",
    (4, False): "I",
    (8, False): "Q",
    (8, True): "q",
    (4, True): "i",
}

# BTF kinds, include/uapi/linux/btf.h
INT, POINTER, ARRAY, STRUCT, UNION, ENUM = 1, 2, 3, 4, 5, 6
TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC_PROTO, VAR, DATASEC, DECL_TAG, ENUM64 = (
    8,
    9,
    10,
    11,
    13,
    14,
    15,
    17,
    19,
)


class Type(NamedTuple):
    kind: int
    name: str
    size: int
    """Bytes, or the number of the type this one stands for."""
    members: list[tuple[str, int, int]]
    """Of a struct: name, type, offset in bits. Of an enum: name, value, 0. Of an array: "", element, count."""
    signed: bool


def section(elf: bytes, wanted: str) -> bytes:
    """The bytes of one section of a 64-bit little-endian ELF file."""
    table, entry, count, names = (
        struct.unpack_from("<Q", elf, 40)[0],
        *struct.unpack_from("<HHH", elf, 58),
    )
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * entry) for i in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, size in headers:
        start = strings + name
        if elf[start : elf.index(b"\0", start)].decode() == wanted:
            return elf[offset : offset + size]
    sys.exit(f"gen_abi: no section {wanted}; was it compiled with -g for the bpf target?")


def read_types(btf: bytes) -> list[Type]:
    """All types of a .BTF section; the index is the type's number."""
    header_size, type_offset, type_size, string_offset = struct.unpack_from("<4xIIII", btf)
    strings = btf[header_size + string_offset :]
    types = [Type(0, "void", 0, [], False)]
    at, end = header_size + type_offset, header_size + type_offset + type_size

    def text(offset: int) -> str:
        return strings[offset : strings.index(b"\0", offset)].decode()

    while at < end:
        name, info, size = struct.unpack_from("<III", btf, at)
        at += 12
        kind, count = info >> 24 & 31, info & 0xFFFF
        members: list[tuple[str, int, int]] = []
        signed = False
        if kind == INT:
            signed = bool(struct.unpack_from("<I", btf, at)[0] >> 24 & 1)
            at += 4
        elif kind == ARRAY:
            element, _, length = struct.unpack_from("<III", btf, at)
            members = [("", element, length)]
            at += 12
        elif kind in (STRUCT, UNION):
            for _ in range(count):
                member, member_type, offset = struct.unpack_from("<III", btf, at)
                members.append((text(member), member_type, offset & 0xFFFFFF))
                at += 12
        elif kind == ENUM:
            for _ in range(count):
                member, value = struct.unpack_from("<Ii", btf, at)
                members.append((text(member), value, 0))
                at += 8
        else:
            at += {FUNC_PROTO: 8 * count, VAR: 4, DATASEC: 12 * count, DECL_TAG: 4, ENUM64: 12 * count}.get(
                kind, 0
            )
        types.append(Type(kind, text(name), size, members, signed))
    return types


def field_format(types: list[Type], number: int) -> tuple[str, int, int]:
    """The `struct` format of a field, its size in bytes, and how many values it unpacks to."""
    described = types[number]
    while described.kind in (TYPEDEF, CONST, VOLATILE):
        described = types[described.size]
    if described.kind == INT:
        return FORMATS[described.size, described.signed], described.size, 1
    if described.kind == ARRAY:
        _, element, count = described.members[0]
        code, size, _ = field_format(types, element)
        if code in "Bb":
            return f"{count}s", count, 1
        return f"{count}{code}", count * size, count
    raise SystemExit(f"gen_abi: a field of kind {described.kind} cannot cross the ring buffer")


def camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


def render_enum(described: Type) -> list[str]:
    if described.name in LOOSE_CONSTANTS:
        return [f"{name} = {value}" for name, value, _ in described.members]
    base = "IntFlag" if described.name in BIT_SETS else "IntEnum"
    prefix = described.members[-1][0].split("_")[0] + "_"
    lines = [f"class {camel(described.name)}({base}):"]
    lines += [f"    {name.removeprefix(prefix)} = {value}" for name, value, _ in described.members]
    return lines


def render_struct(types: list[Type], described: Type) -> list[str]:
    lines, formats, expected = [f"class {camel(described.name)}Fields(NamedTuple):"], [], 0
    for name, number, offset in described.members:
        code, size, values = field_format(types, number)
        if offset != expected * 8:
            raise SystemExit(f"gen_abi: struct {described.name}: padding before {name}")
        expected += size
        formats.append(code)
        annotation = "bytes" if code.endswith("s") else "int"
        lines += [f"    {name}{i if values > 1 else ''}: {annotation}" for i in range(values)]
    if expected != described.size:
        raise SystemExit(f"gen_abi: struct {described.name}: padding at the end")
    return [*lines, "", "", f'{described.name.upper()}: Final = Struct("<{"".join(formats)}")']


def render(types: list[Type]) -> str:
    lines = [
        "# GENERATED by tools/gen_abi.py from bpf/abi.h -- do not edit; run `make abi`.",
        '"""The contract between the kernel programs and the agent; see bpf/abi.h."""',
        "",
        "from enum import IntEnum, IntFlag",
        "from struct import Struct",
        "from typing import Final, NamedTuple",
        "",
    ]
    for described in types:
        if described.kind == ENUM:
            lines += ["", *([] if described.name in LOOSE_CONSTANTS else [""]), *render_enum(described)]
        elif described.kind == STRUCT:
            lines += ["", "", *render_struct(types, described)]
    return "\n".join(lines) + "\n"


def main() -> None:
    types = read_types(section(Path(sys.argv[1]).read_bytes(), ".BTF"))
    text = render(types)
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
