r"""Bytes of the kernel as text that can be read and turned back.

Paths and arguments on Linux are bytes. What is UTF-8 is shown as it is. Every other byte becomes
``\xNN``; and so that this can be undone, a backslash that would look like such an escape becomes
``\x5c``.
"""

import re

_LOOKS_ESCAPED = re.compile(rb"\\(?=x[0-9a-f]{2})")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def decode_text(content: bytes) -> str:
    r"""The text of `content`; ``b"caf\xe9"`` gives ``caf\xe9`` with a visible backslash."""
    if 92 in content and b"\\x" in content:  # one byte is found much sooner than two
        content = _LOOKS_ESCAPED.sub(rb"\\x5c", content)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode(errors="backslashreplace")


def encode_text(text: str) -> bytes:
    """The bytes that `decode_text` made `text` of."""
    parts = _ESCAPE.split(text)
    return b"".join(bytes([int(part, 16)]) if i % 2 else part.encode() for i, part in enumerate(parts))
