"""Bytes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.decode.text import decode_text, encode_text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ""),
        (b"/etc/passwd", "/etc/passwd"),
        ("/tmp/日本".encode(), "/tmp/日本"),
        (b"caf\xe9", "caf\\xe9"),
        (b"a\\b", "a\\b"),
        (b"a\\xe9", "a\\x5cxe9"),
        (b"a\\xE9", "a\\xE9"),
        (b"\\x5cxe9", "\\x5cx5cxe9"),
        (b"\\\xe9", "\\\\xe9"),
    ],
)
def test_decode_text(content: bytes, expected: str) -> None:
    """UTF-8 is shown as it is, other bytes as an escape, and a backslash only escaped where it would mislead."""
    assert expected == decode_text(content)


@given(st.one_of(st.binary(), st.text("\\x5ce9é").map(str.encode), st.lists(st.sampled_from(
    [b"\\", b"x", b"5c", b"e9", b"\xe9", b"\xc3\xa9", b"\xc3"])).map(b"".join)))  # fmt: skip
def test_round_trip(content: bytes) -> None:
    """The bytes can be had back from the text."""
    assert content == encode_text(decode_text(content))
