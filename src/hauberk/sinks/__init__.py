"""Sinks: where messages go. To add one, add a module and a line here.

What stands on the shelf is a class: its fields are the settings of the sink, its `open` gives the `Sink`.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from hauberk.errors import ConfigError
from hauberk.formats import Format
from hauberk.plugins import Shelf


class Message(msgspec.Struct, frozen=True, gc=False):
    """An encoded event on its way."""

    content: bytes
    """As the output's format has it, without a newline."""

    is_alert: bool = False
    id: str = ""
    """The event's own, for good: a receiver that gets a message again knows it by this."""

    key: str = ""
    """Of the workload: messages with the same key stay in their order."""


class Sink(Protocol):
    """A destination. It may block; an `Output` calls it from a thread of its own."""

    def write(self, messages: Sequence[Message]) -> None:
        """Deliver all of them.

        Raises SinkError, and is given again what was not delivered; or SinkRefused, which counts what is
        not worth another try.
        """

    def reopen(self) -> None:
        """Begin anew at the same place, as after a rotation by others or with new certificates."""

    def close(self) -> None: ...


class SinkSettings(Protocol):
    """The settings of a sink, a `msgspec.Struct`; it may have more, of which the functions below tell."""

    def open(self, form: Format, warn: Callable[[str], None]) -> Sink:
        """Begin. Raises SinkError if that can never work; one that is only not there yet waits for `write`.

        `warn` takes one line for the operator.
        """


def is_local(settings: SinkSettings) -> bool:
    """Whether it writes lines on this machine (`is_local` of the class, else no): nobody there asks for id or key."""
    return getattr(settings, "is_local", False)


def usual_format(settings: SinkSettings) -> str:
    """What it is given if nobody says (`usual_format` of the class, else KubeArmor's)."""
    return getattr(settings, "usual_format", "kubearmor")


def wrapped(settings: SinkSettings, form: Format) -> Format:
    """The format as this sink wants its messages, such as behind a header of syslog. Raises ConfigError."""
    wrap: Callable[[Format], Format] | None = getattr(settings, "wrap", None)
    return wrap(form) if wrap else form


def only_text(form: Format) -> Format:
    """The format, if every message of it is a line of text. Raises ConfigError."""
    if not form.is_text:
        raise ConfigError(f"{form.media_type} is not lines of text, which is all that can go there")
    return form


SINKS: Final = Shelf(
    "sink",
    {
        "stdout": "hauberk.sinks.stdout:Stdout",
        "file": "hauberk.sinks.file:File",
        "kafka": "hauberk.sinks.kafka:Kafka",
        "otlp": "hauberk.sinks.otlp:Otlp",
        "syslog": "hauberk.sinks.syslog:Syslog",
        "webhook": "hauberk.sinks.webhook:Webhook",
    },
)
