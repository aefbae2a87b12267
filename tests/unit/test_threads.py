"""Threads that fail are reported, counted and begun anew."""

import threading

from hauberk.threads import failures, supervised

LIMIT_S = 30


def test_failure_is_reported_and_repaired() -> None:
    said: list[str] = []
    runs: list[int] = []
    done = threading.Event()

    def run() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise KeyError("x\ny")
        done.set()

    before = failures().get("odd", 0)
    thread = supervised("odd", run, said.append, threading.Event(), pause_s=0.01)
    thread.start()
    assert done.wait(LIMIT_S)
    thread.join(LIMIT_S)

    assert not thread.is_alive()
    assert failures()["odd"] - before == 2
    assert len(said) == 2
    assert all("`odd` failed" in text and "KeyError" in text and text.isprintable() for text in said)


def test_end_is_an_end() -> None:
    said: list[str] = []
    thread = supervised("quiet", lambda: None, said.append, threading.Event())
    thread.start()
    thread.join(LIMIT_S)

    assert not thread.is_alive()
    assert said == []


def test_nothing_is_begun_anew_while_stopping() -> None:
    """What fails because it was closed is no news."""
    stopping = threading.Event()
    said: list[str] = []
    runs: list[int] = []

    def run() -> None:
        runs.append(1)
        stopping.set()
        raise OSError("closed")

    thread = supervised("stopped", run, said.append, stopping, pause_s=0.01)
    thread.start()
    thread.join(LIMIT_S)

    assert (len(runs), said) == (1, [])
