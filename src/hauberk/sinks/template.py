"""Templates: a message of JSON as another, for receivers that want things in their own shape.

A template is what the settings hold, mappings and lists as deep as one likes; in its texts, ``${Field}`` stands for a
field of the message. Only texts are filled in, and the whole is encoded afterwards: whatever a field holds, it
cannot become anything but a part of that text.
"""

import json
from collections.abc import Iterator, Mapping
from string import Template
from typing import Any, Final, TypeAlias

Value: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any] | None

_LONGEST: Final = 2000
_MARKUP: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}


class _Text(Template):
    """``${Field}``, ``${field.within.another}``; ``$$`` is a dollar."""

    idpattern = r"(?a:[A-Za-z_@][A-Za-z0-9_@]*(?:\.[A-Za-z0-9_@]+)*)"


class _Fields(Mapping[str, str]):
    """The fields of a message, by their dotted names; those that are not there are empty."""

    def __init__(self, message: Value, escapes: bool) -> None:
        self._message = message
        self._escapes = escapes

    def __getitem__(self, name: str) -> str:
        found = _find(self._message, name)
        text = _shown(found)
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + "…"
        return text.translate(_MARKUP) if self._escapes else text

    def __iter__(self) -> Iterator[str]:
        return iter(self._message if isinstance(self._message, dict) else ())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _find(value: Value, name: str) -> Value:
    """What is called by a dotted name, however many dots the keys themselves have."""
    if not isinstance(value, dict):
        return None
    if name in value:
        found: Value = value[name]
        return found
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        inner = value.get(".".join(parts[:count]))
        if inner is not None:
            return _find(inner, ".".join(parts[count:]))
    return None


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


def check_template(template: Value) -> int:
    """How many fields it names; raises ValueError if a text is not well formed."""
    if isinstance(template, str):
        text = _Text(template)
        if not text.is_valid():
            raise ValueError(
                f"template: {template!r} is not well formed: fields are written ${{Field}}, a dollar is written $$"
            )
        return len(text.get_identifiers())
    if isinstance(template, dict):
        return sum(check_template(value) for value in template.values())
    if isinstance(template, list):
        return sum(check_template(value) for value in template)
    return 0


def fill(template: Value, message: Value, *, escapes: bool) -> Value:
    """The template with the fields of a message; `escapes` has no field be markup, as Slack and HTML know it."""
    return _fill(template, _Fields(message, escapes))


def _fill(template: Value, fields: _Fields) -> Value:
    if isinstance(template, str):
        return _Text(template).substitute(fields)
    if isinstance(template, dict):
        return {key: _fill(value, fields) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, fields) for value in template]
    return template
