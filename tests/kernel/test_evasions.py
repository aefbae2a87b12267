"""Ways round the rules: other names, other mounts, other namespaces, other calls."""

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

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
    assert_passed,
    assert_told,
    call,
    file_rule,
    first,
    in_namespace,
    in_own_mounts,
    memfd_exec,
    mount,
    process_rule,
    read,
    write,
)
from tests.kernel.guard import Guard

pytestmark = pytest.mark.parametrize("guard", ["container"], indirect=True, scope="module")

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

    def make() -> None:
        mount("tmpfs", names[0], 0, "tmpfs")
        mount("none", names[0], MS_PRIVATE)
        (names[0] / "secret").write_text("s")
        for name in names[1:]:
            mount(names[0], name, MS_BIND)

    lsm.at_home(make)
    lsm.rule(file_rule("matchPaths", f"path: {names[-1]}/secret") + "\naction: Block", posture)
    try:
        done = lsm.act(read(names[0] / "secret"))
    finally:
        lsm.at_home(lambda: [LIBC.umount2(bytes(name), 2) for name in names])

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

    def make() -> None:
        mount("tmpfs", there / "mounted", 0, "tmpfs")
        mount("none", there / "mounted", MS_PRIVATE)

    def clean() -> None:
        while not LIBC.umount2(bytes(there), 2):
            pass
        for place in ("secret", "below", "mounted"):
            LIBC.umount2(bytes(there / place), 2)

    lsm.at_home(make)
    lsm.rule(
        f"file:\n  matchPaths:\n  - {{path: {there}/secret, readOnly: true}}\n"
        f"  - {{path: {there}/mounted/below/leaf}}\naction: {action}"
    )
    try:
        done = lsm.act(act(there))
    finally:
        lsm.at_home(clean)

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


def test_memfd_under_an_allow_list(lsm: Guard, there: Path) -> None:
    """What lies in no directory is in no allowed one."""
    lsm.rule(process_rule("matchDirectories", f"dir: {there}/") + "\naction: Allow", Action.BLOCK)

    assert_told(lsm, lsm.act(memfd_exec(there)), "Block", policy="DefaultPosture")
