"""Policies in force on the running kernel: for each action the errno, one alert with the right fields, no other.

Where there is no BPF-LSM, the same rules are held to what is observed: nothing is denied, and a Block is told as
``Audit (Block)``.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hauberk.errors import HauberkError
from hauberk.model.policy import Action
from tests.kernel.acts import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    LIBC,
    MS_BIND,
    MS_MOVE,
    MS_PRIVATE,
    MS_REC,
    PYTHON,
    TRUE,
    as_nobody,
    assert_passed,
    assert_told,
    call,
    execute,
    file_rule,
    fill,
    first,
    in_namespace,
    in_own_mounts,
    mount,
    process_rule,
    read,
    sock,
    write,
)
from tests.kernel.guard import Guard


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    if os.geteuid():
        pytest.skip("needs root")
    try:
        guarding = Guard()
    except HauberkError as error:
        pytest.skip(str(error))
    with guarding:
        yield guarding
    assert guarding.ledger.differences() == {}


@pytest.fixture
def lsm(guard: Guard) -> Guard:
    """For what only LSM programs see or can deny."""
    if not guard.denies:
        pytest.skip("this kernel takes no LSM programs; the guests' do")
    return guard


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system that others can read."""
    tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
    with tempfile.TemporaryDirectory(prefix="hauberk-", dir=tmpfs) as directory:
        path = Path(directory).resolve()
        fill(path)
        yield path


# Every type of rule, with every action and posture


class Kind(NamedTuple):
    """A type of rule: how it is written, what it means and what it does not mean."""

    rule: str
    hit: Callable[[Path], Callable[[], object]]
    miss: Callable[[Path], Callable[[], object]]
    needs_lsm: bool = False


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
    guard.rule(rule.rule.replace("THERE", str(there)) + f"\naction: {action}", posture)

    hit = guard.act(rule.hit(there))
    miss = guard.act(rule.miss(there))

    if action is Action.ALLOW:
        assert_passed(hit)
        assert_told(guard, miss, posture, policy="DefaultPosture")
    else:
        assert_told(guard, hit, action)
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
        file_rule("matchPaths", f"path: {there}/secret, {condition}") + f"\naction: {action}", Action.BLOCK
    )

    done = guard.act(act(there / "secret"))

    if told is None:
        assert_passed(done)
    elif told == "posture":
        assert_told(guard, done, "Block", policy="DefaultPosture")
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
    """Rules of a workload say nothing about others, and host rules nothing about containers."""
    guard.rule(file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block")
    assert_passed(guard.act(read(there / "secret"), inside=False))

    guard.rule(
        file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block", kind="KubeArmorHostPolicy"
    )
    assert_passed(guard.act(read(there / "secret")))
    outside = guard.act(read(there / "secret"), inside=False)
    assert len(outside.alerts) == 1
    assert outside.alerts[0].workload.is_host
    guard.installed.replace(())


def test_posture_needs_an_allow_rule_of_its_class(guard: Guard, there: Path) -> None:
    """An allowed file leaves processes and sockets alone."""
    guard.rule(file_rule("matchDirectories", "dir: /, recursive: true") + "\naction: Allow", Action.BLOCK)

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


# Every hook


def mapped_shared(path: Path) -> Callable[[], object]:
    def act() -> None:
        fd = os.open(path, os.O_RDWR)
        mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    return act


HOOKS: dict[str, tuple[Callable[[Path], Callable[[], object]], str, str]] = {
    "open": (lambda t: read(t / "secret"), "FILE_OPEN", "secret"),
    "create": (lambda t: lambda: os.close(os.open(t / "new", os.O_CREAT | os.O_WRONLY)), "FILE_OPEN", "new"),
    "truncate-open": (lambda t: lambda: os.close(os.open(t / "secret", os.O_TRUNC)), "FILE_OPEN", "secret"),
    "mkdir": (lambda t: (t / "new").mkdir, "FILE_MKDIR", "new"),
    "mknod": (lambda t: lambda: os.mknod(t / "new"), "FILE_MKNOD", "new"),
    "mkfifo": (lambda t: lambda: os.mkfifo(t / "new"), "FILE_MKNOD", "new"),
    "symlink": (lambda t: lambda: (t / "new").symlink_to("x"), "FILE_SYMLINK", "new"),
    "link": (lambda t: lambda: (t / "new").hardlink_to(t / "secret"), "FILE_LINK", "secret"),
    "unlink": (lambda t: (t / "secret").unlink, "FILE_UNLINK", "secret"),
    "rmdir": (lambda t: (t / "empty").rmdir, "FILE_RMDIR", "empty"),
    "rename": (lambda t: lambda: (t / "secret").rename(t / "new"), "FILE_RENAME", "secret"),
    "chmod": (lambda t: lambda: (t / "secret").chmod(0o600), "FILE_CHMOD", "secret"),
    "chown": (lambda t: lambda: os.chown(t / "secret", 1, 1), "FILE_CHOWN", "secret"),
    "truncate": (lambda t: lambda: os.truncate(t / "secret", 0), "FILE_TRUNCATE", "secret"),
    "bind": (lambda t: lambda: socket.socket(socket.AF_UNIX).bind(str(t / "new")), "FILE_MKNOD", "new"),
}


@pytest.mark.parametrize("action", ["Audit", "Block"])
@pytest.mark.parametrize("hook", HOOKS)
def test_every_file_hook(lsm: Guard, there: Path, hook: str, action: str) -> None:
    """Whatever is done to a file, it is told once, or denied."""
    (there / "empty").mkdir()
    act, label, name = HOOKS[hook]
    rules = "\n".join(f"  - {{path: {there}/{each}}}" for each in ("secret", "new", "empty"))
    lsm.rule(f"file:\n  matchPaths:\n{rules}\naction: {action}")

    done = lsm.act(act(there))

    assert_told(lsm, done, action, resource=str(there / name))
    if hook == "create" and action == "Block":
        label = "FILE_MKNOD"  # it does not come to the open
    assert done.alerts[0].data == f"lsm={label}"


def test_write_to_what_was_open_before(lsm: Guard, there: Path) -> None:
    """A descriptor from before the rules, or from outside, is no way round them."""
    with (there / "secret").open("r+b") as file:
        lsm.rule(file_rule("matchPaths", f"path: {there}/secret, readOnly: true") + "\naction: Block")

        written = lsm.act(lambda: os.write(file.fileno(), b"x"))
        was_read = lsm.act(lambda: os.read(file.fileno(), 1))

    assert_told(lsm, written, "Block")
    assert_passed(was_read)


@pytest.mark.parametrize("how", ["ftruncate", "fallocate", "copy"])
def test_other_writes_to_what_was_open_before(lsm: Guard, there: Path, how: str) -> None:
    """Nor are the calls that write without being called so."""
    with (there / "secret").open("r+b") as file, (there / "open").open("rb") as other:
        fd = file.fileno()
        acts: dict[str, Callable[[], object]] = {
            "ftruncate": lambda: os.ftruncate(fd, 0),
            "fallocate": lambda: os.posix_fallocate(fd, 0, 10),
            "copy": lambda: os.copy_file_range(other.fileno(), fd, 1),
        }
        lsm.rule(file_rule("matchPaths", f"path: {there}/secret, readOnly: true") + "\naction: Block")

        done = lsm.act(acts[how])

    assert_told(lsm, done, "Block")


def test_shared_mapping_of_what_was_open_before(lsm: Guard, there: Path) -> None:
    """A writable mapping is a write."""
    with (there / "secret").open("r+b") as file:
        lsm.rule(file_rule("matchPaths", f"path: {there}/secret, readOnly: true") + "\naction: Block")

        done = lsm.act(lambda: mmap.mmap(file.fileno(), 1, mmap.MAP_SHARED, mmap.PROT_WRITE | mmap.PROT_READ))
        private = lsm.act(lambda: mmap.mmap(file.fileno(), 1, mmap.MAP_PRIVATE, mmap.PROT_READ))

    assert_told(lsm, done, "Block")
    assert_passed(private)


@pytest.mark.parametrize("what", ["connect", "bind", "listen", "accept", "send"])
def test_sockets_from_before(lsm: Guard, what: str) -> None:
    """A socket that was made before the rules, or that somebody passed on, cannot be used."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    fresh = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    lsm.rule("network:\n  matchProtocols:\n  - {protocol: tcp}\naction: Block")
    acts: dict[str, Callable[[], object]] = {
        "connect": lambda: fresh.connect(server.getsockname()),
        "bind": lambda: fresh.bind(("127.0.0.1", 0)),
        "listen": server.listen,
        "accept": server.accept,
        "send": lambda: client.send(b"x"),
    }

    done = lsm.act(acts[what])

    assert_told(lsm, done, "Block", resource="protocol=TCP type=SOCK_STREAM")
    for each in (server, client, fresh):
        each.close()


# Evasions


AT_RECURSIVE_CLONE = 0x8001  # AT_RECURSIVE | OPEN_TREE_CLONE, linux/mount.h
NR_PIVOT_ROOT, NR_UMOUNT2, NR_NAME_TO_HANDLE_AT, NR_OPEN_BY_HANDLE_AT = 155, 166, 303, 304
NR_RENAMEAT2, NR_OPEN_TREE, NR_MOVE_MOUNT = 316, 428, 429
NR_IO_URING_SETUP, NR_IO_URING_ENTER = 425, 426
RENAME_EXCHANGE = 2
IORING_OP_OPENAT = 18
MOVE_FROM_EMPTY = 4  # MOVE_MOUNT_F_EMPTY_PATH


def bound(what: Path, where: Path, then: Callable[[], object]) -> Callable[[], object]:
    return in_own_mounts(first(lambda: mount(what, where, MS_BIND), then))


def by_detached_mount(directory: Path) -> Callable[[], object]:
    """The tree is mounted nowhere; only a descriptor leads into it."""

    def act() -> None:
        tree = LIBC.syscall(NR_OPEN_TREE, -100, bytes(directory), AT_RECURSIVE_CLONE)
        if tree < 0:
            raise OSError(ctypes.get_errno(), "")
        os.close(os.open("secret", os.O_RDONLY, dir_fd=tree))

    return in_own_mounts(act)


def by_overlay(directory: Path) -> Callable[[], object]:
    """A file of an overlay is opened below once more, by overlayfs."""
    room = directory.parent / f"{directory.name}-room"

    def act() -> None:
        room.mkdir()
        mount("tmpfs", room, 0, "tmpfs")
        for name in ("upper", "work", "merged"):
            (room / name).mkdir()
        options = f"lowerdir={directory},upperdir={room}/upper,workdir={room}/work"
        mount("overlay", room / "merged", 0, "overlay", options)
        try:
            read(room / "merged/open")()
        except OSError:
            raise RuntimeError("what no rule is about must pass") from None
        read(room / "merged/secret")()

    return in_own_mounts(first(act))


def by_pivot(directory: Path) -> Callable[[], object]:
    """After pivot_root everything has another path."""
    room = directory.parent / f"{directory.name}-room"

    def act() -> None:
        room.mkdir()
        mount("tmpfs", room, 0, "tmpfs")
        (room / "old").mkdir()
        call(NR_PIVOT_ROOT, bytes(room), bytes(room / "old"))
        read(Path(f"/old{directory}/secret"))()

    return in_own_mounts(act)


def by_name_alone(path: Path) -> Callable[[], object]:
    """A descriptor that reads nothing is no access; what is opened by it is."""

    def act() -> None:
        fd = os.open(path, os.O_PATH)
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY))

    return act


def by_handle(path: Path) -> Callable[[], object]:
    """By what an NFS server would call the file, which is no path."""

    def act() -> None:
        handle = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 8 + 128)
        mounted = ctypes.c_int()
        call(NR_NAME_TO_HANDLE_AT, -100, bytes(path), handle, ctypes.byref(mounted), 0)
        directory = os.open(path.parent, os.O_RDONLY)
        fd = LIBC.syscall(NR_OPEN_BY_HANDLE_AT, directory, handle, os.O_RDONLY)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "")

    return act


def by_user_namespace(directory: Path) -> Callable[[], object]:
    """Anybody may mount in a user namespace."""

    def act() -> None:
        if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "")
        mount(directory, directory / "below", MS_BIND | MS_REC)
        read(directory / "below/secret")()

    return act


def by_leaving_a_root(directory: Path) -> Callable[[], object]:
    """Out of one root through a descriptor from before."""

    def act() -> None:
        outside = os.open("/", os.O_RDONLY)
        os.chroot(directory / "below")
        os.fchdir(outside)
        read(Path(str(directory / "secret").removeprefix("/")))()

    return act


def by_ring(path: Path) -> Callable[[], object]:
    """The kernel opens the file on request, in no call that says so (linux/io_uring.h)."""

    def act() -> None:
        parameters = bytearray(120)
        ring = LIBC.syscall(NR_IO_URING_SETUP, 1, (ctypes.c_char * 120).from_buffer(parameters))
        if ring < 0:
            raise OSError(ctypes.get_errno(), "")
        tail, array = struct.unpack_from("<4xI16xI", parameters, 40)
        completions = struct.unpack_from("<20xI", parameters, 80)[0]
        shared = mmap.mmap(ring, max(array + 4, completions + 32))
        requests = mmap.mmap(ring, 64, offset=0x10000000)
        name = ctypes.create_string_buffer(bytes(path))
        requests[:32] = struct.pack(
            "<BBHiQQII", IORING_OP_OPENAT, 0, 0, -100, 0, ctypes.addressof(name), 0, 0
        )
        struct.pack_into("<I", shared, array, 0)
        struct.pack_into("<I", shared, tail, 1)
        call(NR_IO_URING_ENTER, ring, 1, 1, 1, 0, 0)
        result = struct.unpack_from("<8xi", shared, completions)[0]
        if result < 0:
            raise OSError(-result, "")

    return act


def exchanged(path: Path, other: Path) -> Callable[[], object]:
    return lambda: call(NR_RENAMEAT2, -100, bytes(other), -100, bytes(path), RENAME_EXCHANGE)


EVASIONS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "symbolic-link": lambda t: first(lambda: (t / "way").symlink_to(t / "secret"), read(t / "way")),
    "proc-self-root": lambda t: read(Path(f"/proc/self/root{t}/secret")),
    "proc-self-cwd": lambda t: first(lambda: os.chdir(t), read(Path("/proc/self/cwd/secret"))),
    "dots": lambda t: read(Path(f"{t}/below/../secret")),
    "unshared-mount-namespace": lambda t: in_namespace(read(t / "secret")),
    "hard-link": lambda t: first(lambda: (t / "way").hardlink_to(t / "secret"), read(t / "way")),
    "renamed": lambda t: first(lambda: (t / "secret").rename(t / "way"), read(t / "way")),
    "renamed-parent": lambda t: first(lambda: t.rename(f"{t}.way"), read(Path(f"{t}.way/secret"))),
    "chroot": lambda t: first(lambda: os.chroot(t), read(Path("/secret"))),
    "bind-mounted-directory": lambda t: bound(t, t / "below", read(t / "below/secret")),
    "bind-mounted-file": lambda t: bound(t / "secret", t / "open", read(t / "open")),
    "bind-mounted-twice": lambda t: bound(t, t / "below", first(lambda: mount(t / "below", t / "below/below/deeper", MS_BIND), read(t / "below/below/deeper/secret"))),
    "detached-mount": by_detached_mount,
    "overlay-over-it": by_overlay,
    "pivot-root": by_pivot,
    "descriptor-of-the-name": lambda t: by_name_alone(t / "secret"),
    "file-handle": lambda t: by_handle(t / "secret"),
    "user-namespace": by_user_namespace,
    "out-of-a-chroot": by_leaving_a_root,
    "exchanged": lambda t: exchanged(t / "secret", t / "open"),
    "io-uring": lambda t: by_ring(t / "secret"),
}  # fmt: skip


@pytest.mark.parametrize("evasion", EVASIONS)
def test_evasions_of_a_file(lsm: Guard, there: Path, evasion: str) -> None:
    """A file that is blocked is not reached in another way."""
    lsm.rule(file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block")

    done = lsm.act(EVASIONS[evasion](there))

    assert done.error == errno.EACCES
    assert [event.verdict.policy for event in done.alerts if event.verdict] == ["under-test"]


@pytest.mark.parametrize("count", [20, 300])
@pytest.mark.parametrize("posture", [Action.AUDIT, Action.BLOCK])
def test_more_names_than_are_asked_about(lsm: Guard, there: Path, count: int, posture: Action) -> None:
    """Each of twenty names is asked about; of three hundred, the last is not, and the posture decides."""
    names = [there / str(i) for i in range(count)]
    for name in names:
        name.mkdir()
    mount("tmpfs", names[0], 0, "tmpfs")
    mount("none", names[0], MS_PRIVATE)
    (names[0] / "secret").write_text("s")
    for name in names[1:]:
        mount(names[0], name, MS_BIND)
    lsm.rule(file_rule("matchPaths", f"path: {names[-1]}/secret") + "\naction: Block", posture)
    try:
        done = lsm.act(read(names[0] / "secret"))
    finally:
        for name in names:
            LIBC.umount2(bytes(name), 2)

    [alert] = done.alerts
    assert alert.verdict
    if count == 20:
        assert (done.error, alert.verdict.policy) == (errno.EACCES, "under-test")
        assert alert.resource == str(names[-1] / "secret")
    else:
        assert (done.error, alert.verdict.policy) == (
            errno.EACCES if posture is Action.BLOCK else 0,
            "DefaultPosture",
        )
        assert alert.resource == str(names[0] / "secret")
        assert alert.details["unreadable"] == "true"


LAYER_ACTS: dict[str, tuple[Callable[[Path], Callable[[], object]], str]] = {
    "open": (lambda m: write(m / "secret"), "FILE_OPEN"),
    "unlink": (lambda m: (m / "secret").unlink, "FILE_UNLINK"),
    "rename": (lambda m: lambda: (m / "secret").rename(m / "elsewhere"), "FILE_RENAME"),
    "rename-over": (lambda m: lambda: (m / "open").rename(m / "secret"), "FILE_RENAME"),
    "truncate": (lambda m: lambda: os.truncate(m / "secret", 0), "FILE_TRUNCATE"),
    "chmod": (lambda m: lambda: (m / "secret").chmod(0o600), "FILE_CHMOD"),
    "chown": (lambda m: lambda: os.chown(m / "secret", 1, 1), "FILE_CHOWN"),
    "rmdir": (lambda m: (m / "empty").rmdir, "FILE_RMDIR"),
    "mkdir": (lambda m: (m / "new").mkdir, "FILE_MKDIR"),
    "mknod": (lambda m: lambda: os.mkfifo(m / "new"), "FILE_MKNOD"),
    "symlink": (lambda m: lambda: (m / "new").symlink_to("x"), "FILE_SYMLINK"),
    "link": (lambda m: lambda: (m / "new").hardlink_to(m / "secret"), "FILE_LINK"),
}


@pytest.mark.parametrize("action", ["Audit", "Block"])
@pytest.mark.parametrize("name", LAYER_ACTS)
def test_upper_layer_of_an_overlay(lsm: Guard, there: Path, name: str, action: str) -> None:
    """What overlayfs does to a directory that has rules, it does for who acts: it is told once, or denied."""
    act, label = LAYER_ACTS[name]
    upper, room, merged = there / "upper", there / "room", there / "merged"
    for directory in (upper / "empty", room / "work", room / "lower", merged):
        directory.mkdir(parents=True)
    (upper / "secret").write_text("s")
    (upper / "open").write_text("o")
    rules = "\n".join(f"  - {{path: {upper}/{each}}}" for each in ("secret", "new", "empty"))
    options = f"lowerdir={room}/lower,upperdir={upper},workdir={room}/work"
    mounted = first(lambda: mount("overlay", merged, 0, "overlay", options), act(merged))
    lsm.rule(f"file:\n  matchPaths:\n{rules}\naction: {action}")

    done = lsm.act(in_own_mounts(mounted))

    assert done.error == (errno.EACCES if action == "Block" else 0)
    assert [event.data for event in done.alerts] == [f"lsm={label}"]
    assert done.alerts[0].verdict
    assert done.alerts[0].verdict.policy == "under-test"


def by_new_call(source: Path, target: Path) -> Callable[[], object]:
    def act() -> None:
        tree = LIBC.syscall(NR_OPEN_TREE, -100, bytes(source), 1)
        call(NR_MOVE_MOUNT, tree, b"", -100, bytes(target), MOVE_FROM_EMPTY)

    return act


MOUNTS: dict[str, tuple[Callable[[Path], Callable[[], object]], str, str]] = {
    "over-it": (lambda t: lambda: mount(t / "open", t / "secret", MS_BIND), "SB_MOUNT", "secret"),
    "over-its-directory": (lambda t: lambda: mount("tmpfs", t, 0, "tmpfs"), "SB_MOUNT", ""),
    "over-it-by-another-call": (lambda t: by_new_call(t / "open", t / "secret"), "MOVE_MOUNT", "secret"),
    "unmount": (lambda t: lambda: call(166, bytes(t / "mounted"), 2), "SB_UMOUNT", "mounted"),
    "move": (lambda t: lambda: mount(t / "mounted", t / "below", MS_MOVE), "SB_MOUNT", "/"),
    "move-by-another-call": (
        lambda t: lambda: call(NR_MOVE_MOUNT, -100, bytes(t / "mounted"), -100, bytes(t / "below"), 0),
        "MOVE_MOUNT",
        "mounted",
    ),
}


@pytest.mark.parametrize("action", ["Audit", "Block"])
@pytest.mark.parametrize("what", MOUNTS)
def test_mounts_that_change_what_a_path_stands_for(lsm: Guard, there: Path, what: str, action: str) -> None:
    """A file that may not be changed is not replaced by another, nor taken elsewhere with its mount."""
    act, label, name = MOUNTS[what]
    (there / "mounted").mkdir()
    mount("tmpfs", there / "mounted", 0, "tmpfs")
    mount("none", there / "mounted", MS_PRIVATE)
    lsm.rule(
        f"file:\n  matchPaths:\n  - {{path: {there}/secret, readOnly: true}}\n"
        f"  - {{path: {there}/mounted/below/leaf}}\naction: {action}"
    )
    try:
        done = lsm.act(act(there))
    finally:
        while not LIBC.umount2(bytes(there), 2):
            pass
        for place in ("secret", "below", "mounted"):
            LIBC.umount2(bytes(there / place), 2)

    if action == "Block":
        assert done.error == errno.EACCES
    assert [event.data for event in done.alerts] == [f"lsm={label}"]
    assert done.alerts[0].resource == str(there / name)


def test_mounts_elsewhere_are_left_alone(lsm: Guard, there: Path) -> None:
    """A rule for one file is not about mounts on others, nor about those of a namespace of one's own."""
    lsm.rule(file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block")

    assert_passed(lsm.act(in_own_mounts(lambda: mount("tmpfs", there / "below", 0, "tmpfs"))))
    assert_passed(lsm.act(in_own_mounts(lambda: mount("tmpfs", there, 0, "tmpfs"))))


def nested(guard: Guard, action: Callable[[], object]) -> Callable[[], object]:
    def act() -> None:
        below = guard.cgroup / "nested"
        below.mkdir(exist_ok=True)
        (below / "cgroup.procs").write_text("0")
        action()

    return act


@pytest.mark.parametrize("is_known", [False, True])
def test_nested_cgroup(guard: Guard, there: Path, is_known: bool) -> None:
    """A container in the container has its rules, and who goes there does not come from outside."""
    guard.rule(file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block")
    below = guard.cgroup / "nested"
    below.mkdir()
    below_id = below.stat().st_ino
    if is_known:
        guard.installed.learn(below_id, guard.workload)
    try:
        done = guard.act(nested(guard, read(there / "secret")))
    finally:
        guard.installed.forget(below_id)
        below.rmdir()

    assert len(done.alerts) == 1
    assert done.error == (errno.EACCES if guard.denies else 0)


def test_nested_container(lsm: Guard, there: Path) -> None:
    """Namespaces of its own, a root of its own, and the protected directory mounted into it."""
    lsm.rule(file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block")
    root = there / "root"
    (root / "data").mkdir(parents=True)
    (root / "old").mkdir()

    def inner() -> None:
        mount("tmpfs", root, 0, "tmpfs")
        (root / "data").mkdir()
        (root / "old").mkdir()
        mount(there, root / "data", MS_BIND)
        call(NR_PIVOT_ROOT, bytes(root), bytes(root / "old"))
        os.chdir("/")
        call(166, b"/old", 2)
        read(Path("/data/open"))()
        read(Path("/data/secret"))()

    def act() -> None:
        if LIBC.unshare(CLONE_NEWPID):
            raise OSError(ctypes.get_errno(), "")
        pid = os.fork()
        if not pid:
            try:
                in_own_mounts(inner)()
            except OSError as error:
                os._exit(error.errno or 255)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            raise OSError(code, "")

    assert lsm.act(act).error == errno.EACCES


def test_container_that_leaves_its_mounts(lsm: Guard, there: Path) -> None:
    """Its only process goes into a namespace of its own, and everything gets another path: what it began with counts."""
    container = lsm.mount / ("deadbeef" * 8)
    container.mkdir()
    lsm.installed.learn(container.stat().st_ino, lsm.workload)
    lsm.rule(file_rule("matchPaths", "path: /secret") + "\naction: Block")
    procs = os.open(container / "cgroup.procs", os.O_WRONLY)

    def into_a_root(root: Path, data: Path | None = None) -> None:
        mount("tmpfs", root, 0, "tmpfs")
        (root / "old").mkdir()
        if data:
            (root / "data").mkdir()
            mount(data, root / "data", MS_BIND)
        call(NR_PIVOT_ROOT, bytes(root), bytes(root / "old"))
        os.chdir("/")
        call(NR_UMOUNT2, b"/old", 2)

    def begin() -> None:
        into_a_root(there)
        for name in ("secret", "open"):
            Path("/", name).write_text("s")
        Path("/room").mkdir()
        os.write(procs, b"0")
        lsm.settle()
        read(Path("/open"))()

    def leave() -> None:
        into_a_root(Path("/room"), Path("/"))
        read(Path("/data/open"))()
        read(Path("/data/secret"))()

    try:
        done = lsm.act(first(in_own_mounts(begin), in_own_mounts(leave)), inside=False)
    finally:
        os.close(procs)
        lsm.installed.forget(container.stat().st_ino)
        container.rmdir()

    assert done.error == errno.EACCES
    assert [event.resource for event in done.alerts] == ["/secret"]


def memfd_exec(_: Path) -> Callable[[], object]:
    def act() -> None:
        fd = os.memfd_create("x", 0)
        os.write(fd, TRUE.read_bytes())
        os.execve(fd, ["x"], {})

    return act


def test_memfd_under_an_allow_list(lsm: Guard, there: Path) -> None:
    """What lies in no directory is in no allowed one."""
    lsm.rule(process_rule("matchDirectories", f"dir: {there}/") + "\naction: Allow", Action.BLOCK)

    assert_told(lsm, lsm.act(memfd_exec(there)), "Block", policy="DefaultPosture")


# Limits


def test_no_room_to_decide(lsm: Guard, there: Path) -> None:
    """Where more tasks are in the middle of a decision than there is room for, the next is denied, and it is counted."""
    owners = lsm.kernel.maps["owners"]
    cpus = lsm.kernel.cpus
    lsm.rule(file_rule("matchPaths", f"path: {there}/secret") + "\naction: Block")
    before = lost(lsm)
    taken = 0
    while owners.lookup(taken.to_bytes(4, "little"), 8 * cpus):
        owners.update(taken.to_bytes(4, "little"), (1).to_bytes(8, "little") * cpus)
        taken += 1
    try:
        done = lsm.act(read(there / "open"))
    finally:
        for i in range(taken):
            owners.update(i.to_bytes(4, "little"), bytes(8 * cpus))

    assert taken > 1
    assert (done.error, done.alerts) == (errno.EACCES, [])
    assert lost(lsm) > before
    assert_passed(lsm.act(read(there / "open")))


def lost(guard: Guard) -> int:
    """How many verdicts were not told."""
    return sum(counts.lost for counts in guard.kernel.alert_counts().values())


# Changing rules


def test_swap_under_load(lsm: Guard, there: Path) -> None:
    """While rules are replaced again and again, what both forbid is never let pass, what both allow never denied."""
    policies = [
        file_rule("matchPaths", f"path: {there}/secret")
        + f"\n  matchDirectories:\n  - {{dir: /nowhere{i}/}}\naction: Block"
        for i in range(2)
    ]
    lsm.rule(policies[0])
    lsm.read()
    reading, writing = os.pipe()
    stopping, stop = os.pipe()
    os.set_blocking(stopping, False)
    pid = os.fork()
    if not pid:
        lsm.enter()
        wrong = tries = 0
        while True:
            try:
                if os.read(stopping, 1):
                    break
            except BlockingIOError:
                pass
            tries += 1
            try:
                read(there / "secret")()
                wrong += 1
            except PermissionError:
                pass
            try:
                read(there / "open")()
            except PermissionError:
                wrong += 1
            time.sleep(0.002)
        os.write(writing, f"{wrong} {tries}".encode())
        os._exit(0)
    for i in range(40):
        lsm.rule(policies[i % 2])
        lsm.read()
    os.write(stop, b"x")
    wrong, tries = map(int, os.read(reading, 100).split())
    os.waitpid(pid, 0)
    lsm.read()

    assert wrong == 0
    assert tries > 10
