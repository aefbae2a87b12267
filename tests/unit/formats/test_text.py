import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.formats.text import encode, encode_colour
from hauberk.model.event import Event
from hauberk.model.workload import Workload

pytestmark = pytest.mark.usefixtures("utc")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CONTAINER_ID = "7aca8d52d35ab7872df6a454ca32339386be755d9ed6bd6bf7b37ec6aaf277e4"


def test_line(event: Event) -> None:
    assert encode(event).decode() == (
        "12:21:47.932 File    host             ada      bash:42                openat     "
        "/etc/passwd  fd=-100 flags=O_RDONLY  Passed"
    )


@given(st.from_type(Event))
def test_any_line_is_printable(event: Event) -> None:
    assert encode(event).decode().isprintable()


@given(st.from_type(Event))
def test_only_our_colours_escape(event: Event) -> None:
    """Without the colours that are ours, nothing unprintable is left; and the last one is a reset."""
    line = encode_colour(event).decode()

    assert COLOUR.sub("", line).isprintable()
    assert COLOUR.findall(line)[1::2] == ["\x1b[0m"] * (len(COLOUR.findall(line)) // 2)


def test_colour_changes_no_text(event: Event) -> None:
    assert COLOUR.sub("", encode_colour(event).decode()) == encode(event).decode()


def test_failure_is_red(event: Event) -> None:
    assert encode_colour(replace(event, error=13)).endswith(b"\x1b[1;31mPermission denied\x1b[0m")
    assert b"\x1b[1;31m" not in encode_colour(event)


def test_time_is_local(event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TZ", "IST-5:30")
    time.tzset()

    assert encode(event).startswith(b"17:51:47.932 ")


@pytest.mark.parametrize(
    ("workload", "shown"),
    [
        (Workload(CONTAINER_ID, "vault"), "vault"),
        (Workload(CONTAINER_ID), "7aca8d52d35a"),
        (Workload(), "host"),
    ],
)
def test_workload(event: Event, workload: Workload, shown: str) -> None:
    assert encode(replace(event, workload=workload)).decode()[21:38] == f"{shown:<17}"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("syscall=SYS_UNLINKAT flags=", "unlinkat   /etc/passwd  flags=  "),
        ("io_uring=OPENAT fd=3", "io_uring=openat /etc/passwd  fd=3  "),
        ("tracepoint=sched_process_exit", "exit       /etc/passwd  "),
        ("", "           /etc/passwd  "),
    ],
)
def test_call(event: Event, data: str, shown: str) -> None:
    assert encode(replace(event, data=data)).decode()[70:] == f"{shown}Passed"


def test_only_colour_shortens(event: Event) -> None:
    """A file gets all of a value, a terminal its beginning and its end."""
    path = "/beginning/" + "x" * 1000 + "/end"
    long = replace(event, resource=path)

    assert path in encode(long).decode()
    shown = encode_colour(long).decode()
    assert "/beginning/xx" in shown
    assert "xx…xx" in shown
    assert "xx/end" in shown
    assert len(shown) < 400
