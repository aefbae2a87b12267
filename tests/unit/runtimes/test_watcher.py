"""Runtimes that come, go, are slow to know, and come back."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hauberk.errors import ConfigError
from hauberk.runtimes import KNOWN, Container, Source, sources_of
from hauberk.runtimes.watcher import News, Runtimes
from tests.unit.runtimes.servers import EngineServer

FIRST = "a" * 64
SECOND = "b" * 64
LIMIT_S = 30


def inspected(container_id: str, name: str) -> dict[str, Any]:
    return {"Id": container_id, "Name": f"/{name}", "Config": {"Labels": {}}}


class Told:
    """What the watched runtimes have said so far."""

    def __init__(self, *sources: Source) -> None:
        self.complaints: list[str] = []
        self.woken = threading.Event()
        self.runtimes = Runtimes(sources, self.complaints.append, patience_s=LIMIT_S, wake=self.woken.set)
        self.runtimes.look()
        self.news: list[News] = []

    @property
    def names(self) -> dict[str, str | None]:
        """By container ID: its name now, None if it is gone."""
        self.news += self.runtimes.news()
        return {news.container_id: _name(news.container) for news in self.news}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < limit, (self.news, self.complaints)
            self.woken.wait(0.01)


def _name(container: Container | None) -> str | None:
    return container.workload.container_name if container else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def server(path: Path) -> Iterator[EngineServer]:
    running = EngineServer(path)
    running.answers["/containers/json"] = [{"Id": FIRST}]
    running.answers[f"/containers/{FIRST}/json"] = inspected(FIRST, "first")
    yield running
    running.stop()


@pytest.fixture
def told(server: EngineServer, path: Path) -> Iterator[Told]:
    watching = Told(Source("docker", path))
    watching.wait_for(lambda: watching.names == {FIRST: "first"})
    yield watching
    watching.runtimes.close()


def test_rename(server: EngineServer, told: Told) -> None:
    server.answers[f"/containers/{FIRST}/json"] = inspected(FIRST, "renamed")
    server.events.put({"Actor": {"ID": FIRST}})

    told.wait_for(lambda: told.names == {FIRST: "renamed"})


def test_removed(server: EngineServer, told: Told) -> None:
    del server.answers[f"/containers/{FIRST}/json"]
    server.events.put({"Actor": {"ID": FIRST}})

    told.wait_for(lambda: told.names == {FIRST: None})


def test_asked_before_it_knows(server: EngineServer, told: Told) -> None:
    """The kernel sees a container first; its runtime is asked until it knows."""
    assert told.runtimes.ask(SECOND)
    told.wait_for(lambda: sum(SECOND in asked for asked in server.asked) > 1)
    assert SECOND not in told.names

    server.answers[f"/containers/{SECOND}/json"] = inspected(SECOND, "second")

    told.wait_for(lambda: told.names.get(SECOND) == "second")


def test_asked_for_what_was_told(told: Told) -> None:
    """Who asks may have forgotten."""
    told.runtimes.ask(FIRST)

    told.wait_for(lambda: len(told.names) == 1 and len(told.news) == 2)
    assert told.names == {FIRST: "first"}


def test_restart(server: EngineServer, told: Told, path: Path) -> None:
    """What went unnoticed is told once it is back."""
    server.stop()
    path.unlink()
    told.wait_for(lambda: any("no names" in text for text in told.complaints))
    again = EngineServer(path)
    try:
        again.answers["/containers/json"] = [{"Id": SECOND}]
        again.answers[f"/containers/{SECOND}/json"] = inspected(SECOND, "second")

        told.wait_for(lambda: told.names == {FIRST: None, SECOND: "second"})
        assert sum("no names" in text for text in told.complaints) == 1
    finally:
        again.stop()


ODD_ANSWERS: list[Any] = [
    500,
    b"",
    b"[",
    b'{"Id": 7}',
    {"Id": SECOND},
    {"Id": SECOND, "Name": "/x", "Config": {"Labels": {"a": 7}}},
    {"Id": SECOND, "Name": "/x", "Config": []},
    {"Id": SECOND, "Name": "/x", "State": {"StartedAt": 7}},
    {"Id": SECOND, "Name": "/x", "Config": {"Image": "i"}, "Image": "\ud800"},
]


@pytest.mark.parametrize("answer", ODD_ANSWERS, ids=str)
def test_odd_answer_about_one_container_costs_that_one(server: EngineServer, path: Path, answer: Any) -> None:
    """The others have their names; and it has one as soon as what is said of it can be read."""
    server.answers["/containers/json"] = [{"Id": SECOND}, {"Id": FIRST}]
    server.answers[f"/containers/{SECOND}/json"] = answer
    told = Told(Source("docker", path))
    told.wait_for(lambda: told.names == {FIRST: "first"})
    told.wait_for(lambda: any(SECOND[:12] in text for text in told.complaints))

    server.answers[f"/containers/{SECOND}/json"] = inspected(SECOND, "second")
    server.events.put({"Actor": {"ID": SECOND}})

    told.wait_for(lambda: told.names == {FIRST: "first", SECOND: "second"})
    told.runtimes.close()
    assert sum(SECOND[:12] in text for text in told.complaints) == 1


def test_odd_answer_about_a_known_container_changes_nothing(server: EngineServer, told: Told) -> None:
    server.answers[f"/containers/{FIRST}/json"] = 500
    server.events.put({"Actor": {"ID": FIRST}})
    told.wait_for(lambda: any(FIRST[:12] in text for text in told.complaints))

    assert told.names == {FIRST: "first"}


@pytest.mark.parametrize("event", [7, [], "x", {"Actor": 7}, {"Actor": {"ID": []}}, {"id": {}}], ids=str)
def test_odd_event_is_made_up_for_by_a_list(server: EngineServer, told: Told, event: Any) -> None:
    server.answers["/containers/json"] = [{"Id": FIRST}, {"Id": SECOND}]
    server.answers[f"/containers/{SECOND}/json"] = inspected(SECOND, "second")
    server.events.put(event)

    told.wait_for(lambda: told.names == {FIRST: "first", SECOND: "second"})


def test_one_that_comes_later(tmp_path: Path) -> None:
    told = Told(Source("docker", tmp_path / "late.sock"))
    assert not told.runtimes.ask(FIRST)
    server = EngineServer(tmp_path / "late.sock")
    try:
        server.answers["/containers/json"] = []
        told.runtimes.look()

        told.wait_for(lambda: any("tells of 0 containers" in text for text in told.complaints))
        assert told.runtimes.are_found
    finally:
        told.runtimes.close()
        server.stop()


def test_one_socket_by_two_names(server: EngineServer, path: Path, tmp_path: Path) -> None:
    """Docker's socket may be a link to Podman's."""
    (tmp_path / "link.sock").symlink_to(path)
    told = Told(Source("docker", path), Source("podman", tmp_path / "link.sock"))

    told.wait_for(lambda: bool(told.complaints))
    told.runtimes.close()

    assert told.complaints == [f"docker:{path} tells of 1 containers"]


def test_sources() -> None:
    assert sources_of(["auto"]) == KNOWN
    assert sources_of(["off"]) == ()
    assert sources_of(["crio:/run/x.sock"]) == (Source("crio", Path("/run/x.sock")),)


@pytest.mark.parametrize("name", ["", "docker", "docker:relative.sock", "rocket:/run/x.sock"])
def test_bad_source(name: str) -> None:
    with pytest.raises(ConfigError, match="KIND:PATH"):
        sources_of([name])
