"""Pieces of JSON objects, for formats that write what comes again and again only once."""

from typing import Any, Final, TypeAlias

import msgspec

Fields: TypeAlias = dict[str, Any]

encode: Final = msgspec.json.Encoder().encode


def some(fields: Fields) -> Fields:
    """Those that say something."""
    return {key: value for key, value in fields.items() if value}


def inside(fields: Fields) -> bytes:
    """An object without its braces."""
    return encode(fields)[1:-1]


def joined(*runs: bytes) -> bytes:
    """Such pieces one after the other; empty ones are left out."""
    return b",".join(filter(None, runs))
