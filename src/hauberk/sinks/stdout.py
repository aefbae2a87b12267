"""Standard output."""

import os
from collections.abc import Callable, Sequence
from select import select
from typing import ClassVar

import msgspec

from hauberk.errors import SinkError
from hauberk.formats import Format
from hauberk.sinks import Message, only_text


class Stdout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """It has no settings."""

    is_local: ClassVar = True

    def wrap(self, form: Format) -> Format:
        return only_text(form)

    def open(self, form: Format, warn: Callable[[str], None]) -> "StdoutSink":
        return StdoutSink(form)


class StdoutSink:
    """Writes to a descriptor without a buffer of its own, so that nothing is held back."""

    def __init__(self, form: Format, fd: int = 1) -> None:
        self._join = form.join
        self._fd = fd

    def write(self, messages: Sequence[Message]) -> None:
        content = memoryview(self._join([message.content for message in messages]))
        try:
            while content:
                try:
                    content = content[os.write(self._fd, content) :]
                except BlockingIOError:  # whoever shares it with us has made it so
                    select([], [self._fd], [])
        except OSError as error:
            raise SinkError(f"cannot write to standard output: {error.strerror}") from error

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Standard output is not ours to close."""
