"""Paths that a caller wrote."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.decode.paths import absolute


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        (b"/etc/passwd", b"/tmp", b"/etc/passwd"),
        (b"notes", b"/home/ada", b"/home/ada/notes"),
        (b"notes", b"/", b"/notes"),
        (b"../x/./y//z/", b"/home/ada", b"/home/x/y/z"),
        (b"/../../etc", None, b"/etc"),
        (b"//etc", None, b"/etc"),
        (b".", b"/home/ada", b"/home/ada"),
        (b"/", b"/home/ada", b"/"),
        (b"/.hidden/..name", None, b"/.hidden/..name"),
        (b"notes", None, b"notes"),
        (b"../notes/", None, b"../notes"),
    ],
)
def test_absolute(path: bytes, directory: bytes | None, expected: bytes) -> None:
    """A path is joined to its directory and loses the names that lead nowhere."""
    assert expected == absolute(path, directory)


@given(st.lists(st.sampled_from([b"a", b"b.c", b".", b"..", b"", b".d"])).map(b"/".join))
def test_as_the_standard_library(path: bytes) -> None:
    """The same as `normpath`, but for two slashes at the beginning."""
    expected = posixpath.normpath(posixpath.join(b"/base", path))

    assert expected.replace(b"//", b"/") == absolute(path, b"/base")
