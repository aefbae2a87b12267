"""DNS queries."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.decode.dns import MALFORMED, Query, decode_query


def query(name: bytes, number: int = 1, questions: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b".") if label)
    return struct.pack(">HHHHHH", 7, 0x100, questions, 0, 0, 0) + labels + struct.pack(">BHH", 0, number, 1)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (query(b"google.com"), Query("google.com", "A")),
        (query(b"google.com", 28), Query("google.com", "AAAA")),
        (query(b"google.com", 15), Query("google.com", "15")),
        (query(b"GooGle.coM"), Query("GooGle.coM", "A")),
        (query(b"_sip._tcp.a-b.example"), Query("_sip._tcp.a-b.example", "A")),
        (query(b""), Query(".", "A")),
        (query(b"a b=\xff\n.com"), Query("a\\x20b\\x3d\\xff\\x0a.com", "A")),
        (struct.pack(">6H", 7, 0, 1, 0, 0, 0) + b"\x03a.b\x00\x00\x01\x00\x01", Query("a\\x2eb", "A")),
        (b"", MALFORMED),
        (query(b"google.com", questions=0), MALFORMED),
        (query(b"google.com")[:-1], MALFORMED),
        (query(b"google.com")[:-5], MALFORMED),
        (query(b"google.com")[:15], MALFORMED),
        (struct.pack(">6H", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01", MALFORMED),
        (struct.pack(">6H", 7, 0, 1, 0, 0, 0) + b"\x01a" * 200, MALFORMED),
    ],
)
def test_decode_query(message: bytes, expected: Query) -> None:
    """The name and the type are those of the question; what is none says so."""
    assert expected == decode_query(message)


@given(st.binary(max_size=600))
def test_any_bytes(message: bytes) -> None:
    """Whatever is sent to port 53 gives one visible word."""
    name = decode_query(message).name

    assert name
    assert name.isascii()
    assert not set(name) & set(" =\n\t\0")
