r"""What a workload says of itself, without what moves a cursor, ends a line or turns text round."""

import json
from typing import Final

_DEL: Final = 0x7F


def printable_text(text: str) -> str:
    r"""For people: ``\x1b``, ``\n``, ``\u202e`` for what is not printable. This cannot be turned back."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_json(encoded: bytes) -> bytes:
    r"""The same JSON: ``\u202e`` for what is not printable.

    ASCII has none of it but DEL: of that, the encoder has escaped the other control characters.
    """
    if encoded.isascii() and _DEL not in encoded:
        return encoded
    text = encoded.decode()
    if text.isprintable():
        return encoded
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode()
