"""What each hook's record says: operation, resource, `Data` and `EventData` of the event.

To tell of one more hook, write a function that says how its records read, and add its line to `_HOOKS`.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from hauberk.abi import (
    ARGUMENT_COUNT,
    ArgumentKind,
    CapableSource,
    Hook,
    ItemKind,
    LsmHook,
    ObjectKind,
    Operation,
    RecordFlag,
    RuleClass,
)
from hauberk.constants import SYSCALLS
from hauberk.decode import dns, lsm
from hauberk.decode.arguments import PID, Arguments, Place, capability_name, decode_address, signal_name
from hauberk.decode.paths import absolute
from hauberk.decode.syscalls import SLOTS, URING_SLOTS, Syscall
from hauberk.decode.text import decode_text
from hauberk.model.process import Process
from hauberk.model.record import Record

ExecutableOf: TypeAlias = Callable[[int, int], str | None]
"""The executable of a process, by PID namespace and the PID there; None if nobody knows."""


class Description(msgspec.Struct, frozen=True, gc=False):
    """What was done, in KubeArmor's words."""

    operation: Operation
    resource: str | None
    data: str
    details: dict[str, str]
    """KubeArmor's EventData. Events share it: who wants another makes another."""


_Parts: TypeAlias = tuple[Operation, str | None, str, dict[str, str]]

_TEXTS_KEPT: Final = 8192
"""How many different texts of calls are kept: some 6 MB of them."""

_AT_FDCWD: Final = 0xFFFFFF9C

# as plain numbers: looking up the member of an enum costs more than what it is compared with
_CWD: Final = int(ItemKind.CWD)
_OBJECT: Final = int(ItemKind.OBJECT)
_ARGUMENT: Final = int(ItemKind.ARGUMENT)
_BASE: Final = int(ItemKind.BASE)
_ADDRESS: Final = int(ItemKind.ADDRESS)
_UNREADABLE: Final = int(RecordFlag.UNREADABLE)
_SCRIPT: Final = int(RecordFlag.SCRIPT)

_FLAGS: Final = {
    int(RecordFlag.CUT): ("cut", "true"),
    int(RecordFlag.UNREADABLE): ("unreadable", "true"),
    int(RecordFlag.COMPAT): ("compat", "i386"),
    int(RecordFlag.DELETED): ("deleted", "true"),
    int(RecordFlag.LATE): ("late", "true"),
}
_TOLD_FLAGS: Final = sum(_FLAGS)


def describe(record: Record, process: Process, executable_of: ExecutableOf) -> Description:
    """Say what a record tells; `process` is who acted."""
    operation, resource, data, details = _HOOKS.get(record.hook, _unknown)(record, process, executable_of)
    if record.flags & _TOLD_FLAGS:
        details = details | {key: value for flag, (key, value) in _FLAGS.items() if flag & record.flags}
    return Description(operation, resource, data, details)


def _unknown(record: Record, _process: Process, _executable_of: ExecutableOf) -> _Parts:
    """Bytes that are a record by chance: those of a damaged recording."""
    return Operation.SYSCALL, None, f"hook={record.hook}", {"hook": str(record.hook)}


# System calls


class _Numbers(msgspec.Struct, frozen=True):
    """What the numbers among the arguments of a call say."""

    data: str
    details: dict[str, str]
    resource: str | None


class _Form:
    """A row of the catalogue, made ready to be filled in with records."""

    def __init__(self, row: Syscall, source: str) -> None:
        self.source = source
        self.row = row
        self.has_address = row.object in (ObjectKind.PEER, ObjectKind.LOCAL, ObjectKind.ACCEPTED)
        self.has_pid = any(kind is PID for _, kind in row.arguments)
        self.has_strings = False
        """Whether Data holds more than numbers."""

        self.path = 0 if row.object in (ObjectKind.FILE, ObjectKind.MEMORY) else -1
        """The argument that the resource is the path of; -1: none is."""

        self.argv = -1
        self.told = tuple(
            (i, label, kind)
            for i, (label, kind) in enumerate(row.arguments)
            if kind.place is not Place.NOWHERE
        )
        for i, _, kind in self.told:
            if kind.treatment == ArgumentKind.ARGV:
                self.argv = i
            if kind.treatment == ArgumentKind.PATH and kind.place is not Place.DATA:
                self.path = i
            if kind.render is None and kind.place is not Place.RESOURCE:
                self.has_strings = True

        self.object = 0 if row.object in (ObjectKind.OPENED, ObjectKind.FILE) else self.path
        """The index that the kernel programs give to the object behind `path`."""

        self.directory_of = {
            i + 1: i for i, (_, kind) in enumerate(row.arguments) if kind.treatment == ArgumentKind.DIRFD
        }
        self.numbers = tuple(
            i + word for i, _, kind in self.told if kind.render for word in range(kind.words)
        )
        """The arguments that are told as numbers."""

        self.pick: Callable[[Arguments], Any] = itemgetter(*self.numbers) if self.numbers else lambda _: ()
        """Takes them from all arguments: a tuple, but where there is one only that one."""

    @property
    def head(self) -> str:
        """How Data begins."""
        return f"{self.source}={'SYS_' if self.source == 'syscall' else ''}{self.row.name.upper()}"


@lru_cache(maxsize=_TEXTS_KEPT)
def _render_numbers(form: _Form, picked: Any) -> _Numbers:
    registers = [0] * ARGUMENT_COUNT
    for i, value in zip(form.numbers, (picked,) if len(form.numbers) == 1 else picked, strict=True):
        registers[i] = value
    arguments = tuple(registers)
    data = [form.head]
    resource: list[str] = []
    details = {form.source: form.row.name}
    for i, label, kind in form.told:
        if kind.render is None:
            continue
        details[label] = kind.render(arguments, i)
        (resource if kind.place is Place.RESOURCE else data).append(f"{label}={details[label]}")
        if kind.names:
            key, render = kind.names
            names = render(arguments, i)
            if names:
                details[key] = names
    return _Numbers(" ".join(data), details, " ".join(resource) or None)


_FORMS: Final = {
    "syscall": {slot: _Form(row, "syscall") for slot, row in SLOTS.items()},
    "io_uring": {slot: _Form(row, "io_uring") for slot, row in URING_SLOTS.items()},
}


def _call(source: str, record: Record, _process: Process, executable_of: ExecutableOf) -> _Parts:
    form = _FORMS[source].get(record.syscall)
    if form is None:  # damaged
        return Operation.SYSCALL, None, f"{source}={record.syscall}", {source: str(record.syscall)}
    numbers = _render_numbers(form, form.pick(record.arguments))
    resource, data, details = numbers.resource, numbers.data, numbers.details
    if form.has_strings:
        data, details = _tell_strings(form, details, record)
    if form.path >= 0:
        resource, is_written = _path(form, record, form.path, form.object)
        if is_written:
            details = details | {"path": "argument"}
        if form.argv >= 0:
            arguments = _split(record.find(ItemKind.ARGV, form.argv) or b"")[1:]
            argv = _join(arguments)
            details = details | {"argv": argv if arguments else resource or ""}
            resource = f"{resource or ''} {argv}" if arguments else resource
    elif form.has_address:
        for kind, _, content in record.items:
            if kind == _ADDRESS:
                address = decode_address(content, record.find(ItemKind.OBJECT))
                resource, details = address.text, details | address.details
                break
    elif form.has_pid:
        pid = int(details["pid"])
        resource = executable_of(record.pid_ns, pid) if pid > 0 else None
        if resource:
            data, details = f"{data} process={resource}", details | {"process": resource}
    return form.row.operation, resource, data, details


def _tell_strings(form: _Form, numbers: dict[str, str], record: Record) -> tuple[str, dict[str, str]]:
    """Data and EventData of a call whose Data holds strings, in the order of the arguments."""
    data, details = [form.head], dict(numbers)
    for i, label, kind in form.told:
        if kind.place is Place.RESOURCE:
            continue
        if kind.treatment == ArgumentKind.PATH:
            text, is_written = _path(form, record, i, i)
            details[label] = text or ""
            if is_written:
                details["path"] = "argument"
        elif kind.read:
            details[label] = kind.read(record.find(ItemKind.ARGUMENT, i) or b"")
        data.append(f"{label}={details[label]}")
    return " ".join(data), details


def _path(form: _Form, record: Record, index: int, object_index: int) -> tuple[str | None, bool]:
    """The path that an argument stands for, and whether that is no more than what the caller wrote.

    None if there is none, or none that could be read.
    """
    written = directory = cwd = None
    for kind, item_index, content in record.items:
        if kind == _OBJECT:
            if item_index == object_index:
                return decode_text(content) or None, False
        elif kind == _CWD:
            cwd = content
        elif item_index == index:
            if kind == _ARGUMENT:
                written = content
            elif kind == _BASE:
                directory = content
    if not written:
        if directory is None or record.flags & _UNREADABLE:
            return None, False
        return decode_text(directory), True
    if directory is None:
        argument = form.directory_of.get(index)
        if argument is None or record.arguments[argument] & 0xFFFFFFFF == _AT_FDCWD:
            directory = cwd
    return absolute(decode_text(written), decode_text(directory) if directory else None), True


# Processes


def command_line(record: Record) -> str:
    """What a process was told to run, made absolute, and its arguments: of HOOK_EXEC and HOOK_PROCESS.

    The name is the one that the caller used: that of a script, not of its interpreter.
    """
    return " ".join([_command(record), *map(decode_text, _command_arguments(record))])


def _command(record: Record) -> str:
    executable = decode_text(record.find(ItemKind.EXECUTABLE) or b"")
    if record.hook == Hook.EXEC:
        name = record.find(ItemKind.FILENAME)
        return (
            absolute(decode_text(name), decode_text(record.find(ItemKind.CWD) or b"")) if name else executable
        )
    name = (record.find(ItemKind.ARGV) or b"").partition(b"\0")[0]
    return decode_text(name) if name.startswith(b"/") else executable


def _command_arguments(record: Record, index: int = 0) -> list[bytes]:
    content = record.find(ItemKind.ARGV, index) or b""
    if record.hook == Hook.PROCESS:
        # a program that has written a title over its arguments leaves the rest of them empty
        return _split(content.rstrip(b"\0"))[1:]
    argv = _split(content)
    name = record.find(ItemKind.FILENAME)
    if record.flags & _SCRIPT and name in argv[1:]:
        # before it: its interpreter, which may be a script too, and what their first lines add
        return argv[argv.index(name, 1) + 1 :]
    return argv[1:]


def _split(argv: bytes) -> list[bytes]:
    """The strings of an ITEM_ARGV; the last one has no NUL if it was cut."""
    return argv.removesuffix(b"\0").split(b"\0") if argv else []


def _join(strings: list[bytes]) -> str:
    return decode_text(b" ".join(strings))


def _exec(record: Record, process: Process, _executable_of: ExecutableOf) -> _Parts:
    forms = _FORMS["syscall"]
    form = forms.get(record.syscall)
    if form is None or form.row.object != ObjectKind.IMAGE:  # its beginning was not seen
        form = forms[SYSCALLS["execve"]]
    numbers = _render_numbers(form, form.pick(record.arguments))
    arguments = _command_arguments(record)
    argv = _join(arguments) if arguments else process.command_line
    return Operation.PROCESS, process.command_line, numbers.data, numbers.details | {"argv": argv}


def _fork(record: Record, process: Process, _executable_of: ExecutableOf) -> _Parts:
    details = {"tracepoint": "sched_process_fork", "pid": str(record.pid)}
    return Operation.PROCESS, process.command_line, _pairs(details), details


def _exit(record: Record, process: Process, _executable_of: ExecutableOf) -> _Parts:
    details = {"tracepoint": "sched_process_exit"}
    signal = record.result & 0x7F
    if not signal:
        details["code"] = str(record.result >> 8 & 0xFF)
    else:
        details["signal"] = signal_name(signal)
        if record.result & 0x80:
            details["core"] = "true"
    return Operation.PROCESS, process.command_line, _pairs(details), details


def _pairs(details: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in details.items())


# Names asked for


def _dns(record: Record, _process: Process, _executable_of: ExecutableOf) -> _Parts:
    query = dns.decode_query(record.find(ItemKind.DNS) or b"")
    address = decode_address(record.find(ItemKind.ADDRESS) or b"")
    asked = {"domain": query.name, "daddr": address.host, "qtype": query.type}
    details = {"kfunc": "udp_sendskb"} | asked | address.details
    if query.is_malformed:
        details["malformed"] = "true"
    # KubeArmor's words for it, whichever call sent it; the address stands in Data
    resource = address.text and address.text.partition(" sin_addr=")[0]
    return Operation.NETWORK, resource, f"kfunc=UDP_SENDSKB {_pairs(asked)}", details


# Decisions


def _lsm(record: Record, process: Process, _executable_of: ExecutableOf) -> _Parts:
    if not LsmHook.NONE < record.arguments[0] < LsmHook.COUNT:  # damaged
        return Operation.SYSCALL, None, f"lsm={record.arguments[0]}", {"lsm": str(record.arguments[0])}
    rule_class = rule_class_of(record)
    label, told = lsm.tell(record, rule_class)
    details = {"lsm": label.lower()} | told.details
    path = record.find(ItemKind.OBJECT)
    resource = told.resource or (decode_text(path) if path else None)
    if record.arguments[0] == LsmHook.BPRM_CHECK_SECURITY:
        arguments = _command_arguments(record, 1)
        resource = process.command_line
        details["argv"] = _join(arguments) if arguments else resource
    return lsm.operation_of(rule_class), resource, f"lsm={label}{told.more}", details


def _capable(record: Record, _process: Process, _executable_of: ExecutableOf) -> _Parts:
    name = capability_name(record.arguments[0])
    by_function = record.arguments[1] == CapableSource.BY_FUNCTION
    source, where = ("kfunc", "security_capable") if by_function else ("tracepoint", "cap_capable")
    return (
        Operation.CAPABILITIES,
        name,
        f"{source}={where.upper()} {name}",
        {source: where, "capability": name},
    )


def rule_class_of(record: Record) -> int:
    """The `RuleClass` that a verdict on a record is of; that of system calls if it has none."""
    return next((which for kind, which, _ in record.items if kind == ItemKind.VERDICT), RuleClass.SYSCALL)


def executed(record: Record) -> Process:
    """What a process would be if the exec that an LSM program decided about went on."""
    name = record.find(ItemKind.FILENAME) or b""
    cwd = record.find(ItemKind.CWD)
    command = absolute(decode_text(name), decode_text(cwd) if cwd else None)
    arguments = _command_arguments(record, 1)
    return Process(
        record.host_pid,
        record.start_ns,
        record.exec_id,
        decode_text(record.find(ItemKind.OBJECT) or b""),
        " ".join([command, *map(decode_text, arguments)]),
    )


_HOOKS: Final[dict[int, Callable[[Record, Process, ExecutableOf], _Parts]]] = {
    Hook.SYSCALL: partial(_call, "syscall"),
    Hook.EXEC: _exec,
    Hook.FORK: _fork,
    Hook.EXIT: _exit,
    Hook.DNS: _dns,
    Hook.IO_URING: partial(_call, "io_uring"),
    Hook.LSM: _lsm,
    Hook.CAPABLE: _capable,
}
