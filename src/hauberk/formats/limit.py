"""Messages that fit: of an event that is too long, the texts are cut until its message is short enough.

A datagram that is cut at its end would lose what was decided, or be no JSON any more. Here the message stays whole, and
what is cut ends with ``…``. Names of policies, actions, nodes and numbers are never cut.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from hauberk.formats import Format
from hauberk.model.event import Event, Node
from hauberk.model.policy import Verdict

CUT: Final = "…"
_LENGTHS: Final = (1024, 512, 256, 128, 64, 32, 16, 8)
"""Characters that a text may have: the first with which the message fits."""


def within(form: Format, limit_bytes: int) -> Format:
    """The same format, in messages of at most `limit_bytes`, as far as cutting texts can do that."""
    return replace(form, encode=partial(_encode, form.encode, limit_bytes))


def _encode(encode: Callable[[Event], bytes], limit_bytes: int, event: Event) -> bytes:
    message = encode(event)
    for longest in _LENGTHS:
        if len(message) <= limit_bytes:
            break
        message = encode(shortened(event, longest))
    return message


def shortened(event: Event, longest: int) -> Event:
    """The event with no text longer than `longest` characters, and no list of more than that in all."""
    return _shorten_struct(event, longest)


T = TypeVar("T", bound=msgspec.Struct)


def _shorten_struct(value: T, longest: int) -> T:
    changes = {
        field: cut
        for field in value.__struct_fields__
        if (cut := _shorten(each := getattr(value, field), longest)) is not each
    }
    return replace(value, **changes) if changes else value


def _shorten(value: Any, longest: int) -> Any:
    """The same object if nothing of it is too long."""
    match value:
        case str() if len(value) > longest:
            return value[: longest - len(CUT)] + CUT
        case tuple() if value:
            return _shorten_all(value, longest)
        case dict() if value:
            cut = {key: _shorten(each, longest) for key, each in value.items()}
            kept = dict(list(cut.items())[: max(1, longest // 8)])
            return value if kept == value else kept
        case Verdict():
            message = _shorten(value.message, longest)
            tags = _shorten(value.tags, longest)
            return (
                value
                if (message, tags) == (value.message, value.tags)
                else replace(value, message=message, tags=tags)
            )
        case Node():
            return value
        case msgspec.Struct():
            return _shorten_struct(value, longest)
    return value


def _shorten_all(values: tuple[Any, ...], longest: int) -> tuple[Any, ...]:
    """As many of them as there is room for, then the mark."""
    room = longest
    kept: list[Any] = []
    for value in values:
        if isinstance(value, str):
            room -= len(value) + 1
            if room < 0:
                kept.append(CUT if kept else _shorten(value, longest))
                return tuple(kept)
        kept.append(_shorten(value, longest))
    return values if all(a is b for a, b in zip(kept, values, strict=True)) else tuple(kept)
