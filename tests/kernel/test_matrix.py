"""Every type of rule, action, posture and condition: for each action the errno, one alert with the right fields, no other.

In a real container and on the host. Where there is no BPF-LSM, the same rules are held to what is observed: nothing is
denied, and a Block is told as ``Audit (Block)``.
"""

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hauberk.model.policy import Action
from tests.kernel.acts import (
    LIBC,
    PYTHON,
    TRUE,
    as_nobody,
    assert_passed,
    assert_told,
    execute,
    file_rule,
    process_rule,
    read,
    sock,
    write,
)
from tests.kernel.guard import Guard

pytestmark = pytest.mark.parametrize("guard", ["container", "host"], indirect=True, scope="module")


@pytest.fixture
def there(there: Path, guard: Guard) -> Iterator[Path]:
    """It is cleaned up when there are no rules any more, which may be the host's."""
    yield there
    guard.installed.replace(())


# Every type of rule, with every action and posture


IPPROTO_ICMPV6, SOCK_PACKET = 58, 10


class Kind(NamedTuple):
    """A type of rule: how it is written, what it means and what it does not mean."""

    rule: str
    hit: Callable[[Path], Callable[[], object]]
    miss: Callable[[Path], Callable[[], object]]
    errno: int = errno.EACCES
    """What a denial is to who is denied."""


def bind_low(_: Path) -> Callable[[], object]:
    def act() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
            made.bind(("127.0.0.1", 1))

    return act


KINDS = {
    "file-path": Kind(
        file_rule("matchPaths", "path: THERE/secret"),
        lambda t: read(t / "secret"),
        lambda t: read(t / "open"),
    ),
    "file-directory": Kind(
        file_rule("matchDirectories", "dir: THERE/below/deeper/"),
        lambda t: read(t / "below/deeper/leaf"),
        lambda t: read(t / "open"),
    ),
    "file-directory-recursive": Kind(
        file_rule("matchDirectories", "dir: THERE/below/, recursive: true"),
        lambda t: read(t / "below/deeper/leaf"),
        lambda t: read(t / "open"),
    ),
    "file-pattern": Kind(
        file_rule("matchPatterns", "pattern: 'THERE/s?c*t'"),
        lambda t: read(t / "secret"),
        lambda t: read(t / "open"),
    ),
    "file-source-path": Kind(
        file_rule("matchPaths", f"path: THERE/secret, fromSource: [{{path: {PYTHON}}}]"),
        lambda t: read(t / "secret"),
        lambda t: read(t / "open"),
    ),
    "file-source-directory": Kind(
        file_rule("matchPaths", f"path: THERE/secret, fromSource: [{{dir: {PYTHON.parent}/}}]"),
        lambda t: read(t / "secret"),
        lambda t: read(t / "open"),
    ),
    "process-path": Kind(
        process_rule("matchPaths", "path: THERE/true"),
        lambda t: execute(t / "true"),
        lambda t: execute(t / "other"),
    ),
    "process-name": Kind(
        process_rule("matchPaths", "execname: 'true'"),
        lambda t: execute(t / "true"),
        lambda t: execute(t / "other"),
    ),
    "process-directory": Kind(
        process_rule("matchDirectories", "dir: THERE/"),
        lambda t: execute(t / "true"),
        lambda _: execute(TRUE),
    ),
    "process-pattern": Kind(
        process_rule("matchPatterns", "pattern: '/**/t[r]ue'"),
        lambda t: execute(t / "true"),
        lambda t: execute(t / "other"),
    ),
    "process-source-path": Kind(
        process_rule("matchPaths", f"path: THERE/true, fromSource: [{{path: {PYTHON}}}]"),
        lambda t: execute(t / "true"),
        lambda t: execute(t / "other"),
    ),
    "network-tcp": Kind(
        "network:\n  matchProtocols:\n  - {protocol: tcp}",
        sock(socket.AF_INET, socket.SOCK_STREAM),
        sock(socket.AF_INET, socket.SOCK_DGRAM),
    ),
    "network-udp": Kind(
        "network:\n  matchProtocols:\n  - {protocol: udp}",
        sock(socket.AF_INET6, socket.SOCK_DGRAM),
        sock(socket.AF_UNIX, socket.SOCK_DGRAM),
    ),
    "network-raw": Kind(
        "network:\n  matchProtocols:\n  - {protocol: raw}",
        sock(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        sock(socket.AF_INET, socket.SOCK_STREAM),
    ),
    "network-icmp": Kind(
        "network:\n  matchProtocols:\n  - {protocol: icmp}",
        sock(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        sock(socket.AF_INET, socket.SOCK_STREAM),
    ),
    "file-pattern-of-any-depth": Kind(
        file_rule("matchPatterns", "pattern: 'THERE/{below,nowhere}/**/l[a-f]af'"),
        lambda t: read(t / "below/deeper/leaf"),
        lambda t: read(t / "secret"),
    ),
    "process-directory-recursive": Kind(
        process_rule("matchDirectories", "dir: THERE/below/, recursive: true"),
        lambda t: execute(t / "below/deeper/tool"),
        lambda t: execute(t / "true"),
    ),
    "process-source-directory": Kind(
        process_rule("matchPaths", f"path: THERE/true, fromSource: [{{dir: {PYTHON.parent}/}}]"),
        lambda t: execute(t / "true"),
        lambda t: execute(t / "other"),
    ),
    "network-icmpv6": Kind(
        "network:\n  matchProtocols:\n  - {protocol: icmpv6}",
        sock(socket.AF_INET6, socket.SOCK_RAW, IPPROTO_ICMPV6),
        sock(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    ),
    "network-packet": Kind(
        "network:\n  matchProtocols:\n  - {protocol: packet}",
        sock(socket.AF_PACKET, SOCK_PACKET),
        sock(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    ),
    "network-stream": Kind(
        "network:\n  matchProtocols:\n  - {protocol: stream}",
        sock(socket.AF_UNIX, socket.SOCK_STREAM),
        sock(socket.AF_UNIX, socket.SOCK_DGRAM),
    ),
    "capability": Kind(
        "capabilities:\n  matchCapabilities:\n  - {capability: net_raw}",
        sock(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        lambda t: lambda: os.chown(t / "open", 1, 1),
        errno.EPERM,
    ),
    "capability-source": Kind(
        f"capabilities:\n  matchCapabilities:\n  - {{capability: chown, fromSource: [{{path: {PYTHON}}}]}}",
        lambda t: lambda: os.chown(t / "open", 1, 1),
        sock(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        errno.EPERM,
    ),
    "network-source": Kind(
        f"network:\n  matchProtocols:\n  - {{protocol: tcp, fromSource: [{{path: {PYTHON}}}]}}",
        sock(socket.AF_INET, socket.SOCK_STREAM),
        sock(socket.AF_INET, socket.SOCK_DGRAM),
    ),
}


@pytest.mark.parametrize("posture", [Action.AUDIT, Action.BLOCK])
@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rule(guard: Guard, there: Path, kind: str, action: Action, posture: Action) -> None:
    """What a rule means is let pass, told or denied as it says; what it does not mean is the posture's, if any."""
    rule = KINDS[kind]
    if action is Action.ALLOW and posture is Action.BLOCK:
        posture = guard.strictest
    guard.rule(rule.rule.replace("THERE", str(there)) + f"\naction: {action}", posture)

    hit = guard.act(rule.hit(there))
    miss = guard.act(rule.miss(there))

    if action is Action.ALLOW:
        assert_passed(hit)
        assert_told(guard, miss, posture, policy="DefaultPosture", denial=rule.errno)
    else:
        assert_told(guard, hit, action, denial=rule.errno)
        assert_passed(miss)


@pytest.mark.parametrize(
    ("rule", "name", "is_told"),
    [
        ("matchSyscalls:\n  - {syscall: [unlink, unlinkat]}", "open", True),
        ("matchSyscalls:\n  - {syscall: [rmdir]}", "open", False),
        ("matchPaths:\n  - {path: THERE/secret, syscall: [unlink, unlinkat]}", "secret", True),
        ("matchPaths:\n  - {path: THERE/secret, syscall: [unlink, unlinkat]}", "open", False),
        ("matchPaths:\n  - {path: THERE/, recursive: true, syscall: [unlink]}", "below/deeper/leaf", True),
        ("matchPaths:\n  - {path: THERE/, syscall: [unlink]}", "below/deeper/leaf", False),
        (f"matchSyscalls:\n  - {{syscall: [unlink], fromSource: [{{path: {PYTHON}}}]}}", "open", True),
        ("matchSyscalls:\n  - {syscall: [unlink], fromSource: [{path: /nobody}]}", "open", False),
    ],
)  # fmt: skip
def test_system_calls(guard: Guard, there: Path, rule: str, name: str, is_told: bool) -> None:
    """A rule for system calls audits them, on any path or on one."""
    guard.rule("syscalls:\n  " + rule.replace("THERE", str(there)))

    done = guard.act((there / name).unlink)

    if not is_told:
        assert_passed(done)
        return
    assert_told(guard, done, "Audit", resource=str(there / name))
    assert done.alerts[0].data.startswith("syscall=SYS_UNLINK")


# Conditions


@pytest.mark.parametrize(
    ("condition", "action", "act", "told"),
    [
        ("readOnly: true", "Block", read, None),
        ("readOnly: true", "Block", write, "Block"),
        ("readOnly: true", "Audit", write, "Audit"),
        ("readOnly: true", "Allow", read, None),
        ("readOnly: true", "Allow", write, "posture"),
        ("ownerOnly: true", "Block", read, None),
        ("ownerOnly: true", "Block", lambda path: as_nobody(read(path)), "Block"),
        ("ownerOnly: true", "Allow", read, None),
        ("ownerOnly: true", "Allow", lambda path: as_nobody(read(path)), "posture"),
        ("ownerOnly: true, readOnly: true", "Block", read, None),
        ("ownerOnly: true, readOnly: true", "Block", write, "Block"),
        ("ownerOnly: true, readOnly: true", "Block", lambda path: as_nobody(read(path)), "Block"),
    ],
)
def test_conditions_of_files(
    guard: Guard,
    there: Path,
    condition: str,
    action: str,
    act: Callable[[Path], Callable[[], object]],
    told: str | None,
) -> None:
    """An owner's or a read-only file is allowed so, or forbidden otherwise."""
    guard.rule(
        file_rule("matchPaths", f"path: {there}/secret, {condition}") + f"\naction: {action}", guard.strictest
    )

    done = guard.act(act(there / "secret"))

    if told is None:
        assert_passed(done)
    elif told == "posture":
        assert_told(guard, done, guard.strictest, policy="DefaultPosture")
    else:
        assert_told(guard, done, told)


@pytest.mark.parametrize(
    ("arguments", "is_allowed"), [((), True), (("-m",), True), (("-m", "random"), True), (("-c",), False), (("-m", "-c"), False)]
)  # fmt: skip
def test_allowed_arguments(guard: Guard, there: Path, arguments: tuple[str, ...], is_allowed: bool) -> None:
    """A command that may run with some arguments only."""
    guard.rule(
        process_rule("matchPaths", f"path: {there}/true, allowedArgs: ['-m', 'random']") + "\naction: Block"
    )

    done = guard.act(execute(there / "true", *arguments))

    if is_allowed:
        assert_passed(done)
    else:
        assert_told(guard, done, "Block", resource=" ".join([str(there / "true"), *arguments]))


def test_arguments_of_an_interpreter(guard: Guard, there: Path) -> None:
    """A script is an argument of its interpreter, whoever puts it there."""
    script = there / "script"
    script.write_text(f"#!{there}/true\n")
    script.chmod(0o755)
    guard.rule(process_rule("matchPaths", f"path: {there}/true, allowedArgs: ['-m']") + "\naction: Block")

    done = guard.act(execute(script, "-m"))

    assert_told(guard, done, "Block", resource=f"{script} -m")


def test_more_arguments_than_are_kept(guard: Guard, there: Path) -> None:
    """They hide no path that is forbidden, and are not what is allowed."""
    many = ("-m",) * 5000
    guard.rule(process_rule("matchPaths", f"path: {there}/true") + "\naction: Block")
    assert_told(guard, guard.act(execute(there / "true", *many)), "Block")

    guard.rule(process_rule("matchPaths", f"path: {there}/true, allowedArgs: ['-m']") + "\naction: Block")
    assert_told(guard, guard.act(execute(there / "true", *many)), "Block")


def test_arguments_that_change_meanwhile(lsm: Guard, there: Path) -> None:
    """Another thread writes over the arguments all the time: what was allowed is what the image got."""
    path = bytes(there / "true")
    lsm.rule(process_rule("matchPaths", f"path: {there}/true, allowedArgs: ['-m']") + "\naction: Block")

    def act() -> None:
        argument = ctypes.create_string_buffer(b"-m")
        argv = (ctypes.c_char_p * 3)(path, ctypes.cast(argument, ctypes.c_char_p), None)

        def flip() -> None:
            while True:
                argument[1] = b"c"
                argument[1] = b"m"

        threading.Thread(target=flip, daemon=True).start()
        while True:
            LIBC.execve(path, argv, None)  # comes back where it was denied

    for _ in range(20):
        done = lsm.act(act)
        executed = [event for event in done.logs if event.process.executable == str(there / "true")]
        assert executed
        assert executed[0].resource == f"{there}/true -m"


def test_terminal(guard: Guard, there: Path) -> None:
    """`pts: false` is about processes that have a terminal."""
    guard.rule(file_rule("matchPaths", f"path: {there}/secret, pts: false") + "\naction: Block")

    def on_a_terminal() -> None:
        os.setsid()
        _, terminal = os.openpty()
        fd = os.open(os.ttyname(terminal), os.O_RDWR)  # the first one opened becomes the controlling one
        assert fd
        read(there / "secret")()

    def without() -> None:
        os.setsid()
        read(there / "secret")()

    assert_told(guard, guard.act(on_a_terminal), "Block")
    assert_passed(guard.act(without))


def test_source_is_the_image_that_acts(guard: Guard, there: Path) -> None:
    """Whoever else ran before it, or is its parent."""
    guard.rule(
        file_rule("matchPaths", f"path: {there}/secret, fromSource: [{{path: /usr/bin/cat}}]")
        + "\naction: Audit"
    )
    cat = Path("/usr/bin/cat").resolve()

    by_python = guard.act(read(there / "secret"))
    by_cat = guard.act(lambda: os.execv(cat, ["cat", str(there / "secret")]))

    assert_passed(by_python)
    assert_told(guard, by_cat, "Audit")


def test_block_wins_over_audit_and_allow(guard: Guard, there: Path) -> None:
    """Of rules alike but for their action; and the more specific one wins over both."""
    same = "\n".join(
        f"  - {{path: {there}/secret, action: {action}}}" for action in ("Allow", "Audit", "Block")
    )
    guard.rule(f"file:\n  matchPaths:\n{same}\n  matchDirectories:\n  - {{dir: {there}/, action: Audit}}")

    assert_told(guard, guard.act(read(there / "secret")), "Block")
    assert_told(guard, guard.act(read(there / "open")), "Audit")


def test_workload_without_rules(guard: Guard, there: Path) -> None:
    """Rules of a container say nothing about the host, and host rules nothing about containers."""
    rule = file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block"
    guard.rule(rule, kind="KubeArmorPolicy")
    assert_passed(guard.act(read(there / "secret"), inside=False))

    guard.rule(rule, kind="KubeArmorHostPolicy")
    outside = guard.act(read(there / "secret"), inside=False)
    assert len(outside.alerts) == 1
    assert outside.alerts[0].workload.is_host
    if guard.place != "host":
        assert_passed(guard.act(read(there / "secret")))
    guard.installed.replace(())


def test_posture_needs_an_allow_rule_of_its_class(guard: Guard, there: Path) -> None:
    """An allowed file leaves processes and sockets alone."""
    guard.rule(file_rule("matchDirectories", "dir: /, recursive: true") + "\naction: Allow", guard.strictest)

    assert_passed(guard.act(sock(socket.AF_INET, socket.SOCK_STREAM)(there)))
    assert_passed(guard.act(execute(there / "true")))


@pytest.mark.parametrize(("call", "name"), [(os.setuid, "SETUID"), (os.setgid, "SETGID")])
def test_refused_identity(guard: Guard, call: Callable[[int], None], name: str) -> None:
    """Who is not let become another is told of as KubeArmor does, though no rule of ours decided it."""
    guard.rule(file_rule("matchPaths", "path: /nowhere") + "\naction: Block")

    def act() -> None:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        call(0)

    done = guard.act(act)

    assert done.error == errno.EPERM
    (event,) = done.alerts
    assert event.verdict and (event.verdict.policy, event.verdict.action) == ("DefaultPosture", "Block")
    assert event.verdict.enforcer == "eBPF Monitor"
    assert (event.data, event.error) == (f"syscall=SYS_{name} userid=0", errno.EPERM)
