"""What a record means, in KubeArmor's words: operation, resource, `Data` and `EventData`."""

import posixpath
import signal
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from hauberk.abi import Hook, ItemKind, Operation, RecordFlag
from hauberk.decode.arguments import (
    EXEC_FLAGS,
    OPEN_FLAGS,
    Address,
    decode_address,
    family,
    mount_flag_names,
    protocol,
    signed32,
    socket_type,
    umount_flag_names,
)
from hauberk.decode.syscalls import BY_SLOT, SYSCALLS, Syscall
from hauberk.decode.text import decode_text
from hauberk.model.process import Process
from hauberk.model.record import Record

ExecutableOf = Callable[[int, int], str | None]
"""The executable of the process that has this PID in this PID namespace."""


class Description(NamedTuple):
    """What an event says besides who, where and when."""

    operation: Operation
    resource: str | None
    data: str
    details: dict[str, str]


_OBJECT: Final = int(ItemKind.OBJECT)
_ARGUMENT: Final = int(ItemKind.ARGUMENT)
_BASE: Final = int(ItemKind.BASE)
_CWD: Final = int(ItemKind.CWD)

_MARKS: Final = (
    (RecordFlag.CUT, "cut", "true"),
    (RecordFlag.UNREADABLE, "unreadable", "true"),
    (RecordFlag.COMPAT, "compat", "i386"),
    (RecordFlag.DELETED, "deleted", "true"),
    (RecordFlag.LATE, "late", "true"),
)
_MARKED: Final = int(sum(flag for flag, _, _ in _MARKS))


def describe(record: Record, process: Process, executable_of: ExecutableOf) -> Description:
    """The meaning of a record that is an event; `process` is who acted."""
    hook = record.hook
    if hook == Hook.SYSCALL:
        described = _describe_syscall(record, "syscall", executable_of)
    elif hook == Hook.EXEC:
        described = _describe_exec(record, process)
    elif hook == Hook.DNS:
        described = _describe_query(record)
    elif hook == Hook.IO_URING:
        described = _describe_syscall(record, "io_uring", executable_of)
    elif hook == Hook.EXIT:
        described = _describe_exit(record, process)
    else:
        data = f"tracepoint=sched_process_{Hook(hook).name.lower()}"
        details = {"tracepoint": data.partition("=")[2]}
        described = Description(Operation.PROCESS, process.command_line, data, details)
    if record.flags & _MARKED:
        details = described.details | {key: text for flag, key, text in _MARKS if record.flags & flag}
        return described._replace(details=details)
    return described


# ---- system calls --------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def _describe_numbers(slot: int, how: str, values: tuple[int, ...]) -> tuple[str, dict[str, str]]:
    """`Data` and `EventData` of a call whose shown arguments are all numbers."""
    row = BY_SLOT[slot]
    parts = [f"{how}={'SYS_' if how == 'syscall' else ''}{row.name.upper()}"]
    details = {how: row.name}
    for (label, kind), value in zip(row.arguments, values, strict=False):
        if label and label[0] != "-":
            text = kind.render(value)
            parts.append(f"{label}={text}")
            details[label] = text
    return " ".join(parts), details


def _describe_syscall(record: Record, how: str, executable_of: ExecutableOf) -> Description:
    row = BY_SLOT.get(record.syscall)
    if row is None:  # a damaged recording: no call of ours has this number
        data = f"{how}={record.syscall}"
        return Description(Operation.SYSCALL, None, data, {how: str(record.syscall)})
    special = _SPECIAL.get(row.name)
    if special:
        return special(record, row, how, executable_of)
    shown = _SHOWN[row.name]
    data, details = _describe_numbers(record.syscall, how, tuple([record.arguments[i] for i in shown]))
    path = row.path
    resource = None
    from_argument = False
    if row.operation is Operation.FILE or path is not None:
        resource, from_argument = path_of(record, path if path is not None else 0)
    if from_argument:
        details = details | {"path": "argument"}
    return Description(row.operation, resource, data, details)


def path_of(record: Record, index: int) -> tuple[str, bool]:
    """The path that argument `index` stands for, and whether it is no more than what the caller wrote."""
    written = base = cwd = None
    for kind, item_index, content in record.items:
        if kind == _OBJECT:
            if item_index in (index, 0):
                return decode_text(content), False
        elif kind == _ARGUMENT:
            if item_index == index:
                written = content
        elif kind == _BASE:
            if item_index == index:
                base = content
        elif kind == _CWD:
            cwd = content
    if written is None:
        return decode_text(base) if base else "", True
    return decode_text(resolve(written, base or cwd or b"/")), True


def resolve(path: bytes, directory: bytes) -> bytes:
    """`path` as seen from `directory`, without `.` and `..`; symbolic links are not followed."""
    if not path:
        return directory
    resolved = posixpath.normpath(posixpath.join(directory, path))
    return resolved[1:] if resolved.startswith(b"//") else resolved


def _text_of(record: Record, index: int) -> str:
    """A string argument; empty where there was none."""
    return decode_text(record.find(ItemKind.ARGUMENT, index) or b"")


def _address_of(record: Record) -> Address | None:
    for kind, _, content in record.items:
        if kind == ItemKind.ADDRESS:
            address = decode_address(content)
            if address.path is not None:
                named = record.find(ItemKind.OBJECT)
                if named:
                    return address._replace(path=decode_text(named))
            return address
    return None


def _render_address(address: Address) -> str:
    text = f"sa_family={address.family}"
    if address.port is not None:
        return f"{text} sin_port={address.port} sin_addr={address.ip}"
    if address.path is not None:
        return f"{text} sun_path={address.path}"
    return text


def _describe_address(record: Record, row: Syscall, how: str, _: ExecutableOf) -> Description:
    shown = _SHOWN[row.name]
    data, details = _describe_numbers(record.syscall, how, tuple([record.arguments[i] for i in shown]))
    address = _address_of(record)
    if address is None:
        return Description(row.operation, None, data, details)
    details = details | {"sa_family": address.family}
    if address.port is not None:
        details["port"] = str(address.port)
    if address.path is not None:
        details["sun_path"] = address.path
    return Description(row.operation, _render_address(address), data, details)


@lru_cache(maxsize=1024)
def _socket_texts(domain: int, kind: int, number: int) -> tuple[str, str, str]:
    return family(domain), socket_type(kind), protocol(domain, number)


def _describe_socket(record: Record, row: Syscall, how: str, _: ExecutableOf) -> Description:
    domain, kind, number = _socket_texts(*record.arguments[:3])
    return Description(
        row.operation,
        f"domain={domain} type={kind} protocol={number}",
        f"{how}={'SYS_' if how == 'syscall' else ''}SOCKET",
        {how: "socket", "domain": domain, "type": kind, "protocol": number},
    )


def _describe_mixed(record: Record, row: Syscall, how: str, _: ExecutableOf) -> Description:
    """A call that shows strings or a second path among its arguments."""
    parts = [f"{how}={'SYS_' if how == 'syscall' else ''}{row.name.upper()}"]
    details = {how: row.name}
    resource, written = None, False
    path = row.path
    if path is not None:
        resource, written = _path_at(record, path)
    elif row.object.name == "FILE":
        resource, written = path_of(record, 0)
    for index, (label, kind) in enumerate(row.arguments):
        if not label or label[0] == "-":
            continue
        if kind.treatment.name == "PATH":
            text, second_written = _path_at(record, index)
            written = written or second_written
        elif kind.treatment.name == "STRING":
            text = _text_of(record, index)
        elif kind.treatment.name == "HOW":
            content = record.find(ItemKind.ARGUMENT, index) or b""
            text = OPEN_FLAGS.render(struct.unpack_from("<Q", content)[0]) if len(content) >= 8 else ""
        else:
            text = kind.render(record.arguments[index])
        parts.append(f"{label}={text}")
        details[label] = text
    if row.name == "mount":
        details["mountflags"] = mount_flag_names(record.arguments[3])
        resource = details["target"]
    elif row.name == "umount2":
        details["flags"] = umount_flag_names(record.arguments[1])
        resource = details["target"]
    if written:
        details["path"] = "argument"
    return Description(row.operation, resource, " ".join(parts), details)


def _path_at(record: Record, index: int) -> tuple[str, bool]:
    """As `path_of`, for calls with two paths: an object belongs to one of them, or is a descriptor's."""
    named = record.find(ItemKind.OBJECT, index)
    if named is not None:
        return decode_text(named), False
    if index and record.find(ItemKind.ARGUMENT, index) is None:
        behind = record.find(ItemKind.OBJECT)
        if behind is not None and record.hook == Hook.IO_URING:
            return decode_text(behind), False
    base = record.find(ItemKind.BASE, index)
    written = record.find(ItemKind.ARGUMENT, index)
    if written is None:
        opened = record.find(ItemKind.OBJECT)
        return (decode_text(opened), False) if opened is not None else (decode_text(base or b""), True)
    return decode_text(resolve(written, base or record.find(ItemKind.CWD) or b"/")), True


def _describe_target(record: Record, row: Syscall, how: str, executable_of: ExecutableOf) -> Description:
    """A call that is about another process: the resource is what that one runs."""
    shown = _SHOWN[row.name]
    data, details = _describe_numbers(record.syscall, how, tuple([record.arguments[i] for i in shown]))
    pid = int(details["pid"])
    executable = executable_of(record.pid_ns, pid) if pid > 0 else None
    if executable:
        return Description(
            row.operation, executable, f"{data} process={executable}", details | {"process": executable}
        )
    return Description(row.operation, None, data, details)


def _describe_failed_exec(record: Record, row: Syscall, how: str, _: ExecutableOf) -> Description:
    path, _written = path_of(record, row.path or 0)
    arguments = _split(record.find(ItemKind.ARGV, 1 + (row.path or 0)) or b"")
    return _exec_description(record, row.name, path, arguments[1:], {"path": "argument"})


_Describe = Callable[[Record, Syscall, str, ExecutableOf], Description]
_SPECIAL: Final[dict[str, _Describe]] = {
    "execve": _describe_failed_exec,
    "execveat": _describe_failed_exec,
    "ptrace": _describe_target,
    "kill": _describe_target,
    "process_vm_readv": _describe_target,
    "process_vm_writev": _describe_target,
    "socket": _describe_socket,
    "connect": _describe_address,
    "bind": _describe_address,
    "listen": _describe_address,
    "accept": _describe_address,
    "accept4": _describe_address,
    **{
        row.name: _describe_mixed
        for row in SYSCALLS.values()
        if any(
            label and label[0] != "-" and kind.treatment.name in ("PATH", "STRING", "HOW")
            for label, kind in row.arguments
        )
    },
}
"""Calls that show more than numbers and one path."""

_SHOWN: Final = {row.name: tuple(range(len(row.arguments))) for row in SYSCALLS.values()}


# ---- processes -----------------------------------------------------------------------------------


def _split(argv: bytes) -> list[bytes]:
    """The arguments, each of which ends in NUL."""
    return argv.removesuffix(b"\0").split(b"\0") if argv else []


def _called_arguments(record: Record) -> list[bytes]:
    """The arguments after argv[0], as the caller gave them.

    For a script the kernel has put the interpreter, perhaps one option, and the script in place of argv[0].
    """
    argv = _split(record.find(ItemKind.ARGV) or b"")
    if record.flags & RecordFlag.SCRIPT:
        script = record.find(ItemKind.FILENAME)
        if script in argv[1:]:
            return argv[argv.index(script, 1) + 1 :]
    return argv[1:]


def command_line(record: Record) -> str:
    """What a process runs, of a record of its exec or of procfs: path as called, made absolute, and arguments."""
    if record.hook == Hook.PROCESS:
        argv = _split(record.find(ItemKind.ARGV) or b"")
        executable = record.find(ItemKind.EXECUTABLE) or b""
        called = argv[0] if argv and argv[0].startswith(b"/") else executable
        arguments = argv[1:]
    else:
        written = record.find(ItemKind.FILENAME) or b""
        cwd = record.find(ItemKind.CWD) or b"/"
        called = written if written.startswith(b"/") else resolve(written, cwd)
        arguments = _called_arguments(record)
    return decode_text(b" ".join([called, *arguments]))


def _exec_description(
    record: Record, name: str, path: str, arguments: list[bytes], more: dict[str, str]
) -> Description:
    data = f"syscall=SYS_{name.upper()}"
    details = {"syscall": name}
    if name == "execveat":
        details["fd"] = signed32(record.arguments[0])
        details["flag"] = EXEC_FLAGS.render(record.arguments[4])
        data += f" fd={details['fd']} flag={details['flag']}"
    text = decode_text(b" ".join(arguments))
    details["argv"] = text if arguments else path
    return Description(
        Operation.PROCESS, f"{path} {text}" if arguments else path, data, details | more
    )


def _describe_exec(record: Record, process: Process) -> Description:
    row = BY_SLOT.get(record.syscall)
    name = row.name if row and row.name == "execveat" else "execve"
    arguments = _called_arguments(record)
    described = _exec_description(record, name, process.command_line, arguments, {})
    return described._replace(resource=process.command_line)


def _describe_exit(record: Record, process: Process) -> Description:
    """The wait status, as wait(2) tells it: an exit code, or the signal that killed."""
    details = {"tracepoint": "sched_process_exit"}
    number = record.result & 0x7F
    if number:
        try:
            details["signal"] = signal.Signals(number).name
        except ValueError:
            details["signal"] = str(number)
    else:
        details["code"] = str(record.result >> 8 & 0xFF)
    data = " ".join(f"{key}={value}" for key, value in details.items())
    return Description(Operation.PROCESS, process.command_line, data, details)


# ---- DNS -----------------------------------------------------------------------------------------

_QTYPES: Final = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 41: "OPT",
    64: "SVCB", 65: "HTTPS", 255: "ANY",
}  # fmt: skip
_DNS_HEADER: Final = 12


def decode_question(message: bytes) -> tuple[str, str]:
    """Name and type of the first question of a DNS message (RFC 1035, 4.1.2).

    A message that ends too early, or points elsewhere for its name, gives what could be read.
    """
    labels = []
    at = _DNS_HEADER
    while at < len(message):
        size = message[at]
        if size == 0 or size > 63:
            break
        labels.append(message[at + 1 : at + 1 + size])
        at += 1 + size
    name = decode_text(b".".join(labels))
    if at + 3 > len(message):
        return name, ""
    number = struct.unpack_from("!H", message, at + 1)[0]
    return name, _QTYPES.get(number, str(number))


def _describe_query(record: Record) -> Description:
    name, qtype = decode_question(record.find(ItemKind.DNS) or b"")
    address = _address_of(record) or Address("AF_UNSPEC")
    daddr = address.ip or ""
    return Description(
        Operation.NETWORK,
        f"sa_family={address.family} sin_port={address.port}",
        f"kfunc=UDP_SENDSKB domain={name} daddr={daddr} qtype={qtype}",
        {
            "kfunc": "udp_sendskb",
            "domain": name,
            "daddr": daddr,
            "qtype": qtype,
            "sa_family": address.family,
            "port": str(address.port),
        },
    )
