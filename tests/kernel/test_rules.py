"""Twins: the kernel's matcher against `decide`, on generated rules and accesses."""

import ctypes
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hauberk.abi import PATH_SIZE, Condition, NumberKind, Operation, RuleClass
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
from hauberk.policy.compile import compile_table
from hauberk.policy.decide import Posture, decide
from hauberk.policy.rules import PROTOCOLS, SOCKET_TYPES
from hauberk.sensor.libbpf import Libbpf, Map, Object
from hauberk.sensor.tables import Tables

ROOT = Path(__file__).parents[2]
OBJECT = ROOT / "build/bpf-tests/rules.bpf.o"
CASE = struct.Struct(f"<IIIIIIIIIIII{PATH_SIZE}s4096s")
SECRETS = (1234567891, 1987654321)
SEED = int(os.environ.get("HAUBERK_SEED", random.SystemRandom().randrange(1 << 32)))
TABLES = int(os.environ.get("HAUBERK_TWIN_TABLES", "1200"))
ACCESSES = 200
UNLINK = next(slot for slot, row in SLOTS.items() if row.name == "unlink")
EXECUTABLE = str(Path("/proc/self/exe").readlink())


class _RunOptions(ctypes.Structure):
    """libbpf's `struct bpf_test_run_opts`."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


class Matcher:
    """The kernel's matcher, asked directly."""

    def __init__(self) -> None:
        self._library = Libbpf()
        self._maps: dict[str, Map] = {}
        self._object = Object(self._library, OBJECT)
        self._object.load(self._maps, {})
        self._program = self._object.program_fd("rules_decide")
        self.tables = Tables(self._library, self._maps)
        self.tables.prepare(SECRETS, 0)

    def decide(self, number: int, access: Access) -> tuple[int, int]:
        """Number of the rule, and what was decided."""
        met = Condition(0)
        if access.is_owner:
            met |= Condition.OWNER
        if not access.writes:
            met |= Condition.READ
        if access.has_terminal:
            met |= Condition.TERMINAL
        kinds, numbers = (0, 0), (0, 0)
        if access.rule_class == RuleClass.NETWORK:
            kinds = NumberKind.PROTOCOL, NumberKind.TYPE
            effective = effective_protocol(access.family, access.socket_type, access.protocol)
            numbers = effective, access.socket_type
        elif access.rule_class == RuleClass.CAPABILITIES:
            kinds, numbers = (NumberKind.CAPABILITY, 0), (access.capability, 0)
        argv = b""
        if access.arguments is not None:
            argv = b"".join(text + b"\0" for text in (b"command", *access.arguments))
        case = CASE.pack(
            number, access.rule_class, met, *kinds, *numbers, not access.path_is_known, len(access.path),
            len(argv), 0, 0, access.path.rjust(PATH_SIZE, b"\0"), argv,
        )  # fmt: skip
        self._maps["cases"].update(bytes(4), case)
        options = _RunOptions(size=ctypes.sizeof(_RunOptions))
        assert not self._library.test_run(self._program, ctypes.byref(options))
        assert not options.retval
        content = self._maps["cases"].lookup(bytes(4), CASE.size)
        assert content
        rule, decided = CASE.unpack(content)[10:12]
        return rule, decided

    def close(self) -> None:
        self._object.close()


@pytest.fixture(scope="module")
def matcher() -> Iterator[Matcher]:
    if os.geteuid():
        pytest.skip("needs root")
    asking = Matcher()
    yield asking
    asking.close()


NAMES = ("etc", "a", "b", "ab", "shadow", "usr", "bin", "x y", "é", "passwd", "passwd.bak", "n" * 60)
GLOBS = ("*", "**", "?", "a*", "*b", "[a-c]*", "[^a]?", "{etc,usr}", "s*w", "{a,b*}", "*.bak", "**/bin")


def some_path(chance: random.Random, most: int = 6) -> str:
    if chance.random() < 0.02:
        return "/" + "/".join("n" * 60 for _ in range(chance.randint(20, 60)))
    return "/" + "/".join(chance.choice(NAMES) for _ in range(chance.randint(1, most)))


def some_glob(chance: random.Random) -> str:
    return "/" + "/".join(
        chance.choice(GLOBS) if chance.random() < 0.4 else chance.choice(NAMES)
        for _ in range(chance.randint(1, 4))
    )


def some_place(chance: random.Random) -> ExactPath | Directory:
    if chance.random() < 0.4:
        return ExactPath(some_path(chance))
    path = "/" if chance.random() < 0.1 else some_path(chance, 4) + "/"
    return Directory(path, chance.random() < 0.5)


def some_source(chance: random.Random) -> Source:
    """Half of them are of the image that asks."""
    if chance.random() < 0.5:
        return some_place(chance)
    if chance.random() < 0.5:
        return ExactPath(EXECUTABLE)
    parts = EXECUTABLE.split("/")
    return Directory("/".join(parts[: chance.randint(1, len(parts) - 1)]) + "/", chance.random() < 0.6)


def some_rule(chance: random.Random, line: int) -> Rule:
    action = chance.choice(list(Action))
    operation = chance.choice(
        (Operation.FILE,) * 4 + (Operation.PROCESS,) * 3
        + (Operation.NETWORK, Operation.CAPABILITIES, Operation.SYSCALL)
    )  # fmt: skip
    target: Target
    has_path = operation in (Operation.FILE, Operation.PROCESS)
    if operation is Operation.NETWORK:
        target = Protocol(chance.choice([*PROTOCOLS, *SOCKET_TYPES, "all"]))
    elif operation is Operation.CAPABILITIES:
        target = Capability(chance.choice(CAPABILITIES))
    elif operation is Operation.SYSCALL:
        target, action = Calls(("unlink",), chance.choice((None, some_place(chance)))), Action.AUDIT
    elif operation is Operation.PROCESS and chance.random() < 0.1:
        target = Preset("filelessExec")
    elif operation is Operation.PROCESS and chance.random() < 0.3:
        target = Name(chance.choice(NAMES))
    elif chance.random() < 0.3:
        target = Glob(some_glob(chance))
    else:
        target = some_place(chance)
    is_preset = isinstance(target, Preset)
    return Rule(
        operation=operation,
        target=target,
        sources=tuple(some_source(chance) for _ in range(chance.choice((0, 0, 0, 1, 2))))
        if not is_preset
        else (),
        owner_only=has_path and not is_preset and chance.random() < 0.2,
        read_only=operation is Operation.FILE and chance.random() < 0.2,
        terminal_only=chance.random() < 0.1,
        allowed_args=tuple(chance.sample(("-a", "-b", "--long", ""), chance.randint(0, 3)))
        if operation is Operation.PROCESS and not is_preset and chance.random() < 0.2
        else None,
        action=action,
        line=line,
    )


def some_access(chance: random.Random, policy: Policy) -> Access:
    """About something that a rule is about, more often than not."""
    rule = chance.choice(policy.rules)
    path = some_path(chance)
    match rule.target:
        case ExactPath(wanted):
            path = chance.choice((wanted, wanted + "/" + chance.choice(NAMES), path))
        case Directory(wanted):
            path = chance.choice(
                (wanted.rstrip("/") or "/", wanted + chance.choice(NAMES), wanted + "a/b", path)
            )
        case Glob(pattern):
            path = chance.choice((pattern.replace("**", "a/b").replace("*", "ab").replace("?", "x"), path))
        case Name(name):
            path = chance.choice((path + "/" + name, name, path))
    has_path = chance.random() > 0.05
    rule_class = chance.choice(
        (RuleClass.FILE,) * 4 + (RuleClass.PROCESS,) * 3
        + (RuleClass.NETWORK, RuleClass.CAPABILITIES, RuleClass.SYSCALL + UNLINK, RuleClass.FILELESS_EXEC)
        + (RuleClass.MAP_EXEC, RuleClass.MOVE)
    )  # fmt: skip
    return Access(
        rule_class=rule_class,
        path=path.encode()[: PATH_SIZE - 1] if has_path and rule_class not in (2, 3) else b"",
        path_is_known=chance.random() > 0.03,
        source=EXECUTABLE.encode(),
        is_owner=chance.random() < 0.5,
        writes=chance.random() < 0.5,
        has_terminal=chance.random() < 0.5,
        arguments=None
        if chance.random() < 0.2
        else tuple(chance.choice((b"-a", b"-b", b"--long", b"", b"no")) for _ in range(chance.randint(0, 3))),
        family=chance.choice((1, 2, 10, 16)),
        socket_type=chance.choice((1, 2, 3, 5)),
        protocol=chance.choice((0, 0, 1, 6, 17, 58, 132)),
        capability=chance.randrange(len(CAPABILITIES)),
    )


def test_kernel_decides_as_python_does(matcher: Matcher) -> None:
    """The same rule and the same decision, for every generated table and access."""
    print(f"HAUBERK_SEED={SEED}")
    for i in range(TABLES):
        chance = random.Random(f"{SEED}/{i}")
        count = chance.choice((1, 3, 10, 40))
        policy = Policy(
            kind="KubeArmorPolicy",
            name="p",
            rules=tuple(some_rule(chance, line) for line in range(1, count + 1)),
        )
        posture = Posture(*(chance.choice((Action.AUDIT, Action.BLOCK)) for _ in range(3)))
        table = compile_table([policy], posture, SECRETS)
        matcher.tables.add(i + 1, table)
        for _ in range(ACCESSES):
            access = some_access(chance, policy)
            expected = decide(table.rules, posture, access)
            found = matcher.decide(i + 1, access)
            assert found == (expected.by.number if expected.by else 0, expected.decided), (
                f"HAUBERK_SEED={SEED}, table {i}: {access} {expected} {policy.rules}"
            )
        matcher.tables.remove(i + 1)


def test_set_that_has_gone_is_no_answer(matcher: Matcher) -> None:
    """A decision on a table that was taken away begins anew, and never passes for one."""
    with pytest.raises(AssertionError):
        matcher.decide(999_999, Access(rule_class=RuleClass.FILE, path=b"/etc/shadow"))
