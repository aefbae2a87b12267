import importlib.metadata
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from hauberk.errors import ConfigError
from hauberk.plugins import Shelf


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Two things of ours, three that others installed."""
    installed = EntryPoints(
        [
            EntryPoint("join", "posixpath:join", "hauberk.things"),
            EntryPoint("ours", "posixpath:join", "hauberk.things"),
            EntryPoint("gone", "no_such_module:thing", "hauberk.things"),
            EntryPoint("other", "posixpath:join", "hauberk.others"),
        ]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: installed.select(group=group))
    return Shelf("thing", {"ours": "posixpath:basename", "broken": "posixpath:no_such_name"})


def test_names_are_ours_and_those_of_others(shelf: Shelf) -> None:
    assert shelf.names() == ["broken", "gone", "join", "ours"]


def test_installed_things_load(shelf: Shelf) -> None:
    assert shelf.load("join")("a", "b") == "a/b"


def test_a_name_of_ours_stays_ours(shelf: Shelf) -> None:
    assert shelf.load("ours")("/a/b") == "b"


def test_unknown_name_is_answered_with_those_there_are(shelf: Shelf) -> None:
    with pytest.raises(ConfigError, match="no thing is named 'hours'; there are broken, gone, join, ours"):
        shelf.load("hours")


@pytest.mark.parametrize("name", ["broken", "gone"])
def test_what_cannot_be_loaded_says_where_it_should_be(shelf: Shelf, name: str) -> None:
    with pytest.raises(ConfigError, match=f"the thing '{name}' cannot be loaded from .*no_such_"):
        shelf.load(name)


def test_ours_load_without_looking_at_others(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(importlib.metadata, "entry_points")

    assert callable(shelf.load("ours"))
