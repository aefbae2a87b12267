"""Secrets: settings say where one is kept, never what it is, so no settings, error or log can show it."""

import os
from pathlib import Path

import msgspec

from hauberk.errors import SinkError


class Secret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret is kept: ``{file: /run/secrets/token}`` or ``{env: TOKEN}``."""

    file: str = ""
    env: str = ""
    """Name of an environment variable of the agent."""

    prefix: str = ""
    """What goes before it, such as ``"Bearer "``."""

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.env):
            raise ValueError("a secret is kept either in a `file` or in an `env`ironment variable: name one")

    def read(self) -> str:
        """What it is now, without the newline at its end; raises SinkError."""
        if self.env:
            content = os.environ.get(self.env, "")
        else:
            try:
                content = Path(self.file).read_text()
            except OSError as error:
                raise SinkError(f"cannot read the secret in {self.file}: {error.strerror}") from error
            except UnicodeDecodeError:
                raise SinkError(f"cannot read the secret in {self.file}: it is not UTF-8 text") from None
        content = content.rstrip("\r\n")
        if not content:
            raise SinkError(f"the secret in {self.file or 'the environment variable ' + self.env} is empty")
        return self.prefix + content


def reveal(value: "str | Secret") -> str:
    """The text that a setting stands for."""
    return value.read() if isinstance(value, Secret) else value
