"""Every hook that denies, and what happens at its limits: when there is no room to decide, and while rules change."""

import errno
import mmap
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.acts import assert_passed, assert_told, file_rule, read
from tests.kernel.guard import Guard

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


@pytest.mark.parametrize("guard", ["container", "host"], indirect=True, scope="module")
@pytest.mark.parametrize("action", ["Audit", "Block"])
def test_swap_under_load(lsm: Guard, there: Path, action: str) -> None:
    """While rules are replaced again and again, what both mean is denied or told each time, once, and nothing else is."""
    policies = [
        file_rule("matchPaths", f"path: {there}/secret")
        + f"\n  matchDirectories:\n  - {{dir: /nowhere{i}/}}\naction: {action}"
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
                wrong += action == "Block"
            except PermissionError:
                wrong += action == "Audit"
            try:
                read(there / "open")()
            except PermissionError:
                wrong += 1
            time.sleep(0.002)
        os.write(writing, f"{wrong} {tries}".encode())
        os._exit(0)
    events = []
    for i in range(40):
        lsm.rule(policies[i % 2])
        events += lsm.read()
    os.write(stop, b"x")
    wrong, tries = map(int, os.read(reading, 100).split())
    os.waitpid(pid, 0)
    events += lsm.read()
    lsm.installed.replace(())

    assert wrong == 0
    assert tries > 10
    told = [event for event in events if event.is_alert and event.resource == str(there / "secret")]
    assert len(told) == tries
    assert {event.verdict.action for event in told if event.verdict} == {action}
