r"""DNS queries: the name that is asked for, RFC 1035 section 4.1.

The bytes are whatever a program sent to port 53. Of a name, what is no letter, digit, hyphen or
underscore becomes ``\xNN``, so that a dot in a label is not taken for one between labels.
"""

import re
from struct import Struct
from typing import Final, NamedTuple

_HEADER: Final = Struct(">HHHHHH")
_QUESTION_TAIL: Final = Struct(">HH")
_LABEL_MAX: Final = 63
_NAME_MAX: Final = 255
_TYPES: Final = {1: "A", 28: "AAAA"}
"""KubeArmor names these two."""

_ODD: Final = re.compile(rb"[^\w-]")


class Query(NamedTuple):
    """The first question of a message."""

    name: str
    """Without the final dot, but for the root, which is nothing else."""

    type: str
    is_malformed: bool = False


MALFORMED: Final = Query("(malformed)", "", True)


def decode_query(message: bytes) -> Query:
    """The question of a message; `MALFORMED` if it has none or makes no sense."""
    if len(message) < _HEADER.size or not _HEADER.unpack_from(message)[2]:
        return MALFORMED
    labels: list[str] = []
    at = _HEADER.size
    while at < len(message) and at - _HEADER.size < _NAME_MAX:
        size = message[at]
        at += 1
        if size > _LABEL_MAX:  # a question has no name to point back to
            return MALFORMED
        if size == 0:
            if at + _QUESTION_TAIL.size > len(message):
                return MALFORMED
            number, _ = _QUESTION_TAIL.unpack_from(message, at)
            return Query(".".join(labels) or ".", _TYPES.get(number) or str(number))
        labels.append(_ODD.sub(_escape, message[at : at + size]).decode())
        at += size
    return MALFORMED


def _escape(odd: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % odd[0][0]
