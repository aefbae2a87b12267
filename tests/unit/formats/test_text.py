import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hauberk.formats.text import encode, encode_colour
from hauberk.model.event import Event, Folded
from hauberk.model.workload import Workload

pytestmark = pytest.mark.usefixtures("utc")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CONTAINER_ID = "7aca8d52d35ab7872df6a454ca32339386be755d9ed6bd6bf7b37ec6aaf277e4"


def test_line(event: Event) -> None:
    assert encode(event).decode() == (
        "12:21:47.932 File    host             ada      bash:42                openat     "
        "/etc/passwd  fd=-100 flags=O_RDONLY  Passed"
    )


def test_line_of_an_alert(alert: Event) -> None:
    assert encode(alert).decode() == (
        "12:21:47.932 File    host             ada      bash:42                openat     "
        "Block no-passwd (severity 5)  /etc/passwd  fd=-100 flags=O_RDONLY  Permission denied  Hands off!"
    )


def test_alert_without_severity_and_message(alert: Event) -> None:
    assert alert.verdict is not None
    verdict = replace(alert.verdict, policy="DefaultPosture", severity=0, message="")

    assert encode(replace(alert, verdict=verdict)).decode()[81:] == (
        "Block DefaultPosture  /etc/passwd  fd=-100 flags=O_RDONLY  Permission denied"
    )


def test_folded_alert_tells_how_many(alert: Event) -> None:
    folded = replace(alert, folded=Folded(57, alert.time_ns, alert.time_ns))

    assert "Block no-passwd (severity 5) ×57  /etc/passwd  " in encode(folded).decode()


@given(st.from_type(Event))
def test_any_line_is_printable(event: Event) -> None:
    assert encode(event).decode().isprintable()


@given(st.from_type(Event))
def test_only_our_colours_escape(event: Event) -> None:
    """Without the colours that are ours, nothing unprintable is left; and the last one is a reset."""
    line = encode_colour(event).decode()

    assert COLOUR.sub("", line).isprintable()
    assert COLOUR.findall(line)[1::2] == ["\x1b[0m"] * (len(COLOUR.findall(line)) // 2)


def test_colour_changes_no_text(event: Event, alert: Event) -> None:
    for shown in (event, alert):
        assert COLOUR.sub("", encode_colour(shown).decode()) == encode(shown).decode()


def test_failure_is_red(event: Event) -> None:
    assert encode_colour(replace(event, error=13)).endswith(b"\x1b[1;31mPermission denied\x1b[0m")
    assert b"\x1b[1;31m" not in encode_colour(event)


@pytest.mark.parametrize(
    ("action", "colour"), [("Block", "\x1b[1;31m"), ("Audit", "\x1b[1;33m"), ("Audit (Block)", "\x1b[1;33m")]
)
def test_verdict_is_red_or_yellow(alert: Event, action: str, colour: str) -> None:
    """Only what really was blocked is red."""
    assert alert.verdict is not None
    line = encode_colour(replace(alert, verdict=replace(alert.verdict, action=action))).decode()

    assert f"{colour}{action} no-passwd (severity 5)\x1b[0m" in line


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
