"""Paths that a caller wrote."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.decode.paths import absolute


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        ("/etc/passwd", "/tmp", "/etc/passwd"),
        ("notes", "/home/ada", "/home/ada/notes"),
        ("notes", "/", "/notes"),
        ("../x/./y//z/", "/home/ada", "/home/x/y/z"),
        ("/../../etc", None, "/etc"),
        ("//etc", None, "/etc"),
        (".", "/home/ada", "/home/ada"),
        ("/", "/home/ada", "/"),
        ("/.hidden/..name", None, "/.hidden/..name"),
        ("notes", None, "notes"),
        ("../notes/", None, "../notes"),
    ],
)
def test_absolute(path: str, directory: str | None, expected: str) -> None:
    """A path is joined to its directory and loses the names that lead nowhere."""
    assert expected == absolute(path, directory)


@given(st.lists(st.sampled_from(["a", "b.c", ".", "..", "", ".d"])).map("/".join))
def test_as_the_standard_library(path: str) -> None:
    """The same as `normpath`, but for two slashes at the beginning."""
    expected = posixpath.normpath(posixpath.join("/base", path))

    assert expected.replace("//", "/") == absolute(path, "/base")
