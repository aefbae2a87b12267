"""What rules match, and which of two comes first."""

import pytest

from hauberk.abi import Operation, RuleClass
from hauberk.decode.arguments import CAPABILITIES
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
from hauberk.policy.rules import call_names, is_known_call, matches, matches_path, order, rule_classes

INET, INET6, UNIX, PACKET = 2, 10, 1, 17
STREAM, DGRAM, RAW = 1, 2, 3
UNLINK = RuleClass.SYSCALL + next(slot for slot, row in SLOTS.items() if row.name == "unlink")
RMDIR = RuleClass.SYSCALL + next(slot for slot, row in SLOTS.items() if row.name == "rmdir")


def file_rule(
    target: Target,
    *,
    sources: tuple[Source, ...] = (),
    action: Action = Action.BLOCK,
    owner_only: bool = False,
    read_only: bool = False,
    terminal_only: bool = False,
    line: int = 0,
) -> Rule:
    return Rule(
        operation=Operation.FILE,
        target=target,
        sources=sources,
        action=action,
        owner_only=owner_only,
        read_only=read_only,
        terminal_only=terminal_only,
        line=line,
    )


def other_rule(
    operation: Operation,
    target: Target,
    action: Action = Action.BLOCK,
    allowed_args: tuple[str, ...] | None = None,
) -> Rule:
    return Rule(operation=operation, target=target, action=action, allowed_args=allowed_args)


# What a path is meant by


@pytest.mark.parametrize(
    ("target", "matching", "others"),
    [
        (ExactPath("/etc/p"), [b"/etc/p"], [b"/etc/p/", b"/etc/pp", b"/etc"]),
        # vector 52: blanks are part of a path
        (ExactPath("/etc/my file"), [b"/etc/my file"], [b"/etc/my"]),
        (ExactPath("/etc/my"), [b"/etc/my"], [b"/etc/my file"]),
        # vector 50
        (Directory("/etc/"), [b"/etc/p", b"/etc"], [b"/etc/ssl/k", b"/etcetera", b"/", b"/x/etc/p"]),
        (Directory("/etc/", True), [b"/etc/p", b"/etc/ssl/k", b"/etc"], [b"/etcetera/p", b"/"]),
        (Directory("/"), [b"/", b"/a"], [b"/a/b"]),
        (Directory("/", True), [b"/", b"/a", b"/a/b"], [b"a"]),
        (Name("ls"), [b"/bin/ls", b"/ls", b"/a/b/ls"], [b"/bin/als", b"/ls/x", b"/bin/lsx"]),
        (Glob("/etc/*"), [b"/etc/p"], [b"/etc/ssl/k", b"/etc"]),
        (ExactPath("/é"), ["/é".encode()], [b"/\xe9"]),
    ],
)
def test_a_target_means_these_paths(
    target: Source | Glob | Name, matching: list[bytes], others: list[bytes]
) -> None:
    assert [path for path in matching if not matches_path(target, path)] == []
    assert [path for path in others if matches_path(target, path)] == []


def test_an_access_without_a_path_is_meant_by_no_path() -> None:
    rule = file_rule(Glob("**"))

    assert matches(rule, Access(rule_class=RuleClass.FILE, path=b"/a"))
    assert not matches(rule, Access(rule_class=RuleClass.FILE))


@pytest.mark.parametrize(
    ("sources", "source", "expected"),
    [
        ((), b"", True),
        # vector 53
        ((ExactPath("/bin/bash"),), b"/bin/bash", True),
        ((ExactPath("/bin/dash"),), b"/bin/bash", False),
        ((ExactPath("/bin/dash"), ExactPath("/bin/bash")), b"/bin/bash", True),
        ((Directory("/bin/"),), b"/bin/bash", True),
        ((Directory("/usr/"),), b"/usr/bin/bash", False),
        ((Directory("/usr/", True),), b"/usr/bin/bash", True),
        ((ExactPath("/bin/bash"),), b"", False),
    ],
)
def test_a_rule_is_for_the_images_it_names(
    sources: tuple[Source, ...], source: bytes, expected: bool
) -> None:
    access = Access(rule_class=RuleClass.FILE, path=b"/a", source=source)

    assert matches(file_rule(ExactPath("/a"), sources=sources), access) is expected


# What has no path


@pytest.mark.parametrize(
    ("name", "matching", "others"),
    [
        # vector 55: the protocol is known of the socket, not read from a text
        ("tcp", [(INET, STREAM, 0), (INET6, STREAM, 6)], [(UNIX, STREAM, 0), (INET, STREAM, 132), (INET, DGRAM, 0)]),
        ("udp", [(INET, DGRAM, 0), (INET, DGRAM, 17)], [(INET, STREAM, 0), (UNIX, DGRAM, 0), (INET, RAW, 1)]),
        ("icmp", [(INET, RAW, 1), (INET, DGRAM, 1)], [(INET, RAW, 0), (INET6, RAW, 58)]),
        ("icmpv6", [(INET6, RAW, 58)], [(INET, RAW, 1)]),
        ("sctp", [(INET, STREAM, 132)], [(INET, STREAM, 0)]),
        ("stream", [(INET, STREAM, 6), (UNIX, STREAM, 0)], [(UNIX, DGRAM, 0)]),
        ("raw", [(INET, RAW, 1), (PACKET, RAW, 768)], [(INET, DGRAM, 1)]),
        ("all", [(INET, STREAM, 6), (UNIX, DGRAM, 0), (PACKET, RAW, 0)], []),
    ],
)  # fmt: skip
def test_a_protocol_means_these_sockets(
    name: str, matching: list[tuple[int, int, int]], others: list[tuple[int, int, int]]
) -> None:
    rule = other_rule(Operation.NETWORK, Protocol(name))

    def is_meant(socket: tuple[int, int, int]) -> bool:
        family, kind, protocol = socket
        return matches(
            rule,
            Access(rule_class=RuleClass.NETWORK, family=family, socket_type=kind, protocol=protocol),
        )

    assert [socket for socket in matching if not is_meant(socket)] == []
    assert [socket for socket in others if is_meant(socket)] == []


def test_a_capability_is_meant_by_its_name() -> None:
    rule = other_rule(Operation.CAPABILITIES, Capability("net_raw"))
    used = {
        name: matches(rule, Access(rule_class=RuleClass.CAPABILITIES, capability=number))
        for number, name in enumerate(CAPABILITIES)
    }

    assert [name for name, is_meant in used.items() if is_meant] == ["net_raw"]


@pytest.mark.parametrize(
    ("path", "rule_class", "accessed", "expected"),
    [
        (None, UNLINK, b"/tmp/z", True),
        (None, UNLINK, b"", True),
        (None, RMDIR, b"/tmp/z", False),
        # vector 61
        (Directory("/home/", True), UNLINK, b"/home/a/b", True),
        (Directory("/home/", True), UNLINK, b"/tmp/z", False),
        (Directory("/home/"), UNLINK, b"/home/a/b", False),
        (Directory("/home/", True), RMDIR, b"/home/a", False),
        (ExactPath("/dummy"), UNLINK, b"/dummy", True),
        (ExactPath("/dummy"), UNLINK, b"/dummy2", False),
        (ExactPath("/dummy"), UNLINK, b"", False),
    ],
)
def test_a_call_is_meant_by_its_name_and_path(
    path: Source | None, rule_class: int, accessed: bytes, expected: bool
) -> None:
    rule = other_rule(Operation.SYSCALL, Calls(("unlink",), path), Action.AUDIT)

    assert matches(rule, Access(rule_class=rule_class, path=accessed)) is expected


def test_umount_is_what_the_kernel_calls_umount2() -> None:
    rule = other_rule(Operation.SYSCALL, Calls(("umount",)), Action.AUDIT)

    assert rule_classes(rule) == rule_classes(
        other_rule(Operation.SYSCALL, Calls(("umount2",)), Action.AUDIT)
    )
    assert rule_classes(rule)
    assert {"umount", "umount2", "unlink"} <= set(call_names())
    assert not is_known_call("unlinked")
    assert not is_known_call("mprotect")  # is looked at for a preset alone


# What a rule is about

FILE, PROCESS = Operation.FILE, Operation.PROCESS


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (other_rule(FILE, ExactPath("/a")), {RuleClass.FILE, RuleClass.MOVE}),
        (other_rule(FILE, Directory("/a/"), Action.AUDIT), {RuleClass.FILE, RuleClass.MOVE}),
        (other_rule(FILE, Glob("/a*")), {RuleClass.FILE}),
        (other_rule(FILE, ExactPath("/a"), Action.ALLOW), {RuleClass.FILE}),
        (other_rule(PROCESS, ExactPath("/a")), {RuleClass.PROCESS, RuleClass.MAP_EXEC}),
        (other_rule(PROCESS, Name("a")), {RuleClass.PROCESS, RuleClass.MAP_EXEC}),
        (other_rule(PROCESS, Directory("/a/")), {RuleClass.PROCESS}),
        (other_rule(PROCESS, ExactPath("/a"), Action.ALLOW), {RuleClass.PROCESS}),
        (other_rule(PROCESS, Preset("filelessExec")), {RuleClass.FILELESS_EXEC}),
        (other_rule(FILE, Preset("protectProc")), {RuleClass.PROTECT_PROC}),
    ],
)
def test_a_rule_is_about_these_classes(rule: Rule, expected: set[int]) -> None:
    """What is forbidden must not be reached by a way round it: by the loader, or by renaming what is above."""
    assert set(rule_classes(rule)) == expected


@pytest.mark.parametrize(
    ("target", "moved", "expected"),
    [
        (ExactPath("/a/b/c"), b"/a/b", True),
        (ExactPath("/a/b/c"), b"/a", True),
        (ExactPath("/a/b/c"), b"/a/b/c", False),
        (ExactPath("/a/b/c"), b"/a/bb", False),
        (ExactPath("/a/b/c"), b"", False),
        (Directory("/a/b/", True), b"/a", True),
        (Directory("/a/b/", True), b"/a/b", False),
        (Directory("/a/b/", True), b"/a/b/c", False),
    ],
)
def test_a_rule_guards_the_directories_above_what_it_is_about(
    target: Target, moved: bytes, expected: bool
) -> None:
    access = Access(rule_class=RuleClass.MOVE, path=moved)

    assert matches(file_rule(target), access) is expected
    # conditions are about what lies below
    assert matches(file_rule(target, owner_only=True, terminal_only=True), access) is expected


# Conditions: events.md 3.9


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("is_owner", [True, False])
@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("owner_only", [True, False])
def test_allow_holds_where_the_conditions_do_and_others_where_they_do_not(
    action: Action, is_owner: bool, writes: bool, read_only: bool, owner_only: bool
) -> None:
    """Vectors 47 and 49 are the rows of Audit."""
    rule = file_rule(ExactPath("/a"), action=action, read_only=read_only, owner_only=owner_only)
    access = Access(rule_class=RuleClass.FILE, path=b"/a", is_owner=is_owner, writes=writes)

    if not read_only and not owner_only:
        expected = True
    elif read_only and owner_only:
        expected = (is_owner and not writes) == (action is Action.ALLOW)
    elif read_only:
        expected = (not writes) == (action is Action.ALLOW)
    else:
        expected = is_owner == (action is Action.ALLOW)
    assert matches(rule, access) is expected


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("has_terminal", [True, False])
def test_pts_false_is_for_processes_with_a_terminal(action: Action, has_terminal: bool) -> None:
    """Whatever the action is: it says who is meant, not what is allowed."""
    rule = file_rule(ExactPath("/a"), action=action, terminal_only=True)
    access = Access(rule_class=RuleClass.FILE, path=b"/a", has_terminal=has_terminal)

    assert matches(rule, access) is has_terminal


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ((b"-m", b"random"), True),
        ((b"random", b"-m", b"-m"), True),
        ((b"-m",), True),
        ((), True),
        ((b"-m", b"os"), False),
        ((b"-M",), False),
        (None, False),
    ],
)
def test_a_command_has_only_arguments_that_are_allowed(
    arguments: tuple[bytes, ...] | None, allowed: bool
) -> None:
    access = Access(rule_class=RuleClass.PROCESS, path=b"/bin/py", arguments=arguments)

    for action in Action:
        rule = other_rule(PROCESS, ExactPath("/bin/py"), action, ("-m", "random"))
        assert matches(rule, access) is (allowed == (action is Action.ALLOW))


def test_no_allowed_arguments_are_other_than_none_said() -> None:
    with_one = Access(rule_class=RuleClass.PROCESS, path=b"/bin/py", arguments=(b"-m",))

    assert matches(other_rule(PROCESS, ExactPath("/bin/py"), allowed_args=()), with_one)
    assert not matches(other_rule(PROCESS, ExactPath("/bin/py"), Action.ALLOW, ()), with_one)
    assert matches(other_rule(PROCESS, ExactPath("/bin/py"), Action.ALLOW), with_one)


# The order of rules

A = Policy(kind="KubeArmorPolicy", name="a")
B = Policy(kind="KubeArmorPolicy", name="b")
BASH = (ExactPath("/bin/bash"),)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # 1. a source, against all that is more specific
        (file_rule(Directory("/", True), sources=BASH, action=Action.ALLOW), file_rule(ExactPath("/etc/a"))),
        # 2. the target
        (file_rule(ExactPath("/a"), action=Action.ALLOW), file_rule(Name("a"), read_only=True)),
        (file_rule(Name("a"), action=Action.ALLOW), file_rule(Glob("/etc/a*"), read_only=True)),
        (file_rule(Glob("/*"), action=Action.ALLOW), file_rule(Directory("/etc/a/b/"), read_only=True)),
        (file_rule(Glob("/etc/*"), action=Action.ALLOW), file_rule(Glob("/e*"), read_only=True)),
        (file_rule(Directory("/etc/a/", True), action=Action.ALLOW), file_rule(Directory("/etc/"), read_only=True)),
        (file_rule(Directory("/etc/"), action=Action.ALLOW), file_rule(Directory("/etc/", True), read_only=True)),
        (other_rule(Operation.NETWORK, Protocol("tcp"), Action.ALLOW), other_rule(Operation.NETWORK, Protocol("all"))),
        (
            other_rule(Operation.SYSCALL, Calls(("unlink",), Directory("/a/"))),
            other_rule(Operation.SYSCALL, Calls(("unlink",))),
        ),
        # 3. conditions
        (file_rule(ExactPath("/a"), read_only=True, action=Action.ALLOW), file_rule(ExactPath("/a"))),
        (
            file_rule(ExactPath("/a"), read_only=True, owner_only=True, action=Action.ALLOW),
            file_rule(ExactPath("/a"), terminal_only=True),
        ),
        (
            other_rule(PROCESS, ExactPath("/a"), Action.ALLOW, ()),
            other_rule(PROCESS, ExactPath("/a")),
        ),
        # 4. the action
        (file_rule(ExactPath("/a"), line=2), file_rule(ExactPath("/a"), action=Action.AUDIT, line=1)),
        (
            file_rule(ExactPath("/a"), action=Action.AUDIT, line=2),
            file_rule(ExactPath("/a"), action=Action.ALLOW, line=1),
        ),
    ],
)  # fmt: skip
def test_the_first_of_two_rules_comes_first(first: Rule, second: Rule) -> None:
    """Even where all that is asked later would say otherwise: its policy's name comes last."""
    assert order(B, first) < order(A, second)


def test_what_is_alike_comes_by_policy_and_then_by_place() -> None:
    early, late = file_rule(ExactPath("/a"), line=1), file_rule(ExactPath("/b"), line=2)
    cluster = Policy(kind="KubeArmorClusterPolicy", name="z")
    elsewhere = Policy(kind="KubeArmorPolicy", name="a", namespace="shop")

    assert order(A, early) < order(A, late) < order(B, early)
    assert order(cluster, late) < order(A, early)  # by kind, which comes before the name
    assert order(B, late) < order(elsewhere, early)  # by namespace, too
