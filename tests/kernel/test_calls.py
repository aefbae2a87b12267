"""Every call of the catalogue, made by an actor: every field of the event that it causes."""

import platform
import posixpath

import pytest

from hauberk.abi import PATH_SIZE, ArgumentKind, ObjectKind
from hauberk.decode.arguments import Place
from hauberk.decode.syscalls import SLOTS
from hauberk.decode.text import decode_text, encode_text
from hauberk.model.event import Event
from tests.kernel.actors import ACTOR, Act, Actors, Case, Unsupported, list_cases
from tests.kernel.conftest import Watch

UNSEEN = {
    **dict.fromkeys(
        ("io_uring/openat-bad-pointer", "io_uring/openat-null", "io_uring/openat-empty", "io_uring/openat-path-too-long"),
        "refused while the request is prepared, before any tracepoint",
    ),
    **dict.fromkeys(
        (
            "io_uring/write-dns", "io_uring/sendmsg-dns", "io_uring/sendto-dns-denied",
            "io_uring/sendto-dns-connected", "io_uring/sendto-dns6", "io_uring/sendto-dns",
        ),
        "queries that are sent through io_uring are not looked at",
    ),
    **dict.fromkeys(
        (
            "io_uring/listen-bad-fd", "io_uring/listen-datagram", "io_uring/listen-ipv4", "io_uring/bind-exists",
            "io_uring/bind-not-ours", "io_uring/bind-in-use", "io_uring/bind-unix-unterminated",
            "io_uring/bind-unix-abstract", "io_uring/bind-unix-path", "io_uring/bind-ipv6", "io_uring/bind-ipv4",
        ),
        "bind and listen through io_uring (from 6.11 on) are not looked at",
    ),
}  # fmt: skip
"""What docs/kernel-support.md says cannot be seen yet."""

NEWER = {"ftruncate": (6, 9), "bind": (6, 11), "listen": (6, 11)}
"""Requests of io_uring that older kernels do not have."""

ROWS = {row.name: row for row in SLOTS.values() if row.object is not ObjectKind.MEMORY}
"""Memory that becomes code is told only if a rule wants it: tests/kernel/test_presets.py."""

CASES = [
    case
    for case in (list_cases() if ACTOR.exists() else [])
    if case.syscall in ROWS and "flood" not in case.case
]


def play(case: Case, watch: Watch, actors: Actors) -> tuple[Act, list[Event]] | None:
    """What the actor did last that the catalogue has, and the events of that act; None if it cannot here."""
    watch.read()
    done = actors.try_act(case.case)
    if isinstance(done, Unsupported):
        assert case.way == "io_uring", done.why
        assert tuple(map(int, platform.release().split(".")[:2])) < NEWER[case.syscall], done.why
        return None
    assert done.as_expected, done
    act = next(act for act in (done, *reversed(done.earlier)) if act.syscall in ROWS)
    return act, watch.events_of(act, watch.read())


def one(events: list[Event], syscall: str) -> Event:
    """The only event of that call."""
    found = [
        event for event in events if event.details.get("syscall", event.details.get("io_uring")) == syscall
    ]
    assert len(found) == 1, found
    return found[0]


def test_the_catalogue_is_covered() -> None:
    """Each row has an actor that succeeds, and where it can fail one that does."""
    passing = {case.syscall for case in CASES if case.expected == 0}
    failing = {case.syscall for case in CASES if case.expected < 0}
    queries = {row.name for row in ROWS.values() if row.object is ObjectKind.QUERY}

    assert {name for name in ROWS if name not in passing} <= {"init_module", "finit_module", "delete_module"}
    assert {name for name in ROWS if name not in failing} - queries <= {"setfsuid", "setfsgid"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.case)
def test_call(case: Case, watch: Watch, actors: Actors) -> None:
    """One event, which says who did what to what, and what came of it."""
    played = play(case, watch, actors)
    if played is None:
        return
    act, events = played
    row = ROWS[act.syscall]
    if case.case in UNSEEN:
        assert events == [], UNSEEN[case.case]
        return
    if row.object is ObjectKind.QUERY:
        check_query(case, act, events)
        return
    if act.syscall in ("execve", "execveat") and act.result >= 0:
        events = [
            event for event in events if event.process.executable.lstrip("/") == act.executable.lstrip("/")
        ]
    event = one(events, act.syscall)

    assert event.operation is row.operation
    assert event.error == (-act.result if act.result < 0 else 0)
    assert (event.host_pid, event.host_ppid) == (act.host_pid, act.host_ppid)
    assert (event.pid, event.ppid) == (act.pid, act.ppid)
    assert event.uid == act.uid
    assert event.process.executable.lstrip("/") == act.executable.lstrip("/")
    if act.syscall != "pivot_root" and len(act.cwd) < PATH_SIZE:
        assert event.cwd == act.cwd
    if "without-fork" not in case.case:  # whose second exec is the 64-bit image's
        assert ("compat" in event.details) == (case.way in ("compat", "compat-old", "socketcall"))
    if act.syscall in ("execve", "execveat"):
        check_exec(act, event)
    elif act.address:
        check_address(act, event)
    elif any(
        kind.place is Place.RESOURCE and kind.treatment is ArgumentKind.PATH for _, kind in row.arguments
    ):
        check_path(case, act, event, watch)
    check_numbers(act, event)


def check_numbers(done: Act, event: Event) -> None:
    """Arguments that are shown as numbers are those that were passed."""
    for label, argument in (
        ("fd", "fd"),
        ("fd", "dirfd"),
        ("pid", "pid"),
        ("length", "length"),
        ("backlog", "backlog"),
    ):
        if label in event.details and isinstance(done.args.get(argument), int):
            assert event.details[label] == str(done.args[argument])


def check_path(case: Case, done: Act, event: Event, watch: Watch) -> None:
    """The kernel's own path; or what the caller wrote, resolved, and said so."""
    if event.details.get("path") == "argument":
        assert not (watch.names_objects and done.result >= 0 and case.way != "io_uring"), (
            "the kernel knows better"
        )
        written = done.args.get("path")
        if written is None or "unreadable" in event.details or "cut" in event.details:
            return
        assert event.resource is not None
        expected = posixpath.normpath(encode_text(written))
        assert encode_text(event.resource).endswith(expected.lstrip(b"./"))
    elif done.path is not None and "cut" not in event.details:
        assert (event.resource or "").lstrip("/") == done.path.lstrip("/")


def check_exec(done: Act, event: Event) -> None:
    """What was called, with all its arguments, and what runs."""
    assert event.resource is not None
    argv = done.args["argv"] or []
    if "cut" in event.details or "unreadable" in event.details:
        return
    arguments = decode_text(b" ".join(encode_text(each) for each in argv[1:]))
    assert event.resource.endswith(arguments)
    if done.result >= 0 and argv[1:]:
        assert event.details["argv"] == arguments


def check_address(done: Act, event: Event) -> None:
    """Family, port and address as the kernel's socket has them."""
    address = done.address
    assert address is not None
    assert event.resource is not None
    assert event.details["sa_family"] == {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6"}[address.family]
    if address.port is not None:
        assert event.details["port"] == str(address.port)
        assert f"sin_port={address.port} sin_addr={address.address}" in event.resource
    if address.path is not None:
        assert event.details["sun_path"].endswith("/" + address.path)
    name = (address.abstract or "").rstrip("\0")
    if name:
        assert event.details["sun_path"] == "@" + name


def check_query(case: Case, done: Act, events: list[Event]) -> None:
    """One event for each question to port 53, none for anything else."""
    queries = [event for event in events if event.details.get("kfunc") == "udp_sendskb"]
    if done.query is None:
        assert queries == [] or "garbage" in case.case
        return
    types = (done.query_types or "").split()
    if done.syscall == "sendmmsg":
        types = types[: done.result]
    assert [event.details["domain"] for event in queries] == [done.query] * len(types)
    assert [event.details["qtype"] for event in queries] == types
    for event in queries:
        assert event.error == (-done.result if done.result < 0 else 0)
        assert event.data.startswith(f"kfunc=UDP_SENDSKB domain={done.query} daddr=")
