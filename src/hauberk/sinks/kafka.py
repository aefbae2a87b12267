"""Kafka: by librdkafka's idempotent producer, keyed by workload, with the event's ID as a header.

An event counts as delivered when all replicas in sync have it. A producer that could not deliver is thrown away with
all that it had in hand: the next one gets that again from the front, so the events of a workload stay in their order
and what was written in spite of all comes twice, known by its ID.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from hauberk.errors import ConfigError, SinkError, SinkRefused
from hauberk.formats import Format
from hauberk.sinks import Message
from hauberk.sinks.secret import Secret
from hauberk.sinks.tls import Tls, warn_of_plain_text

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, KafkaException, Producer

ID_HEADER: Final = "event-id"
_OURS: Final = (
    "acks", "bootstrap.servers", "client.id", "compression.", "enable.", "error_cb", "gapless.", "log_cb", "logger",
    "max.in.flight", "message.send.max.retries", "message.timeout.ms", "delivery.timeout.ms", "metadata.broker.list",
    "on_delivery", "request.required.acks", "retries", "sasl.", "security.", "ssl.", "transactional.",
)  # fmt: skip
"""How settings of librdkafka begin that are not free: ours say them, or what we promise hangs on them."""


class Sasl(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are, by name and password."""

    username: str
    password: Secret
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"


class Kafka(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of Kafka."""

    brokers: Annotated[tuple[Annotated[str, Meta(pattern=r"^[^\s,/]+$")], ...], Meta(min_length=1)]
    """``HOST:PORT`` of some; they tell of the others."""

    topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
    alerts_topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,249}$")] = ""
    """Where alerts go, if not to the same."""

    security: Literal["tls", "plaintext"] = "tls"
    tls: Tls = Tls()
    sasl: Sasl | None = None
    compression: Literal["zstd", "lz4", "snappy", "gzip", "none"] = "zstd"
    timeout_s: Annotated[float, Meta(gt=0)] = 10.0
    """How long the brokers may take for all that is written at once."""

    options: dict[str, str | int | float | bool] = {}
    """Other settings of librdkafka."""

    def __post_init__(self) -> None:
        if self.security == "plaintext" and self.tls != Tls():
            raise ValueError("`tls` is of no use with `security: plaintext`")
        if self.tls.server_name:
            raise ValueError(
                "tls.server_name is of no use with Kafka: each broker is verified by its own name"
            )
        for name in self.options:
            if name.startswith(_OURS):
                raise ValueError(f"options: {name} is not free: see the other settings of this sink")

    def open(self, form: Format, warn: Callable[[str], None]) -> "KafkaSink":
        if self.security == "plaintext":
            for broker in self.brokers:
                host = broker.rpartition(":")[0].strip("[]") or broker
                warn_of_plain_text(f"kafka {broker}", host, warn)
        return KafkaSink(self)

    def librdkafka(self) -> dict[str, Any]:
        """The same as librdkafka's settings, secrets and all. Raises SinkError."""
        timeout_ms = int(self.timeout_s * 1000)
        settings: dict[str, Any] = {
            **self.options,
            "client.id": "hauberk",
            "bootstrap.servers": ",".join(self.brokers),
            "security.protocol": ("SASL_" if self.sasl else "")
            + ("SSL" if self.security == "tls" else "PLAINTEXT"),
            "compression.type": self.compression,
            "enable.idempotence": True,  # with it: acks=all, order kept while trying again
            "message.timeout.ms": 2 * timeout_ms,  # we give up before, on all at once
            "reconnect.backoff.max.ms": min(2000, max(100, timeout_ms // 4)),
            # then a topic that is unknown does not exist
            "topic.metadata.propagation.max.ms": timeout_ms // 2,
        }
        if self.security == "tls":
            self.tls.context()  # librdkafka's own words on a bad file are not for people
            settings["ssl.ca.location"] = self.tls.ca or "probe"
            if self.tls.certificate:
                settings["ssl.certificate.location"] = self.tls.certificate
                settings["ssl.key.location"] = self.tls.key or self.tls.certificate
        if self.sasl:
            settings["sasl.mechanism"] = self.sasl.mechanism
            settings["sasl.username"] = self.sasl.username
            settings["sasl.password"] = self.sasl.password.read()
        return settings


def _text(error: "KafkaException") -> str:
    problem = error.args[0]
    return problem if isinstance(problem, str) else problem.str()


class KafkaSink:
    """Produces, and waits for the reports of all."""

    def __init__(self, settings: Kafka) -> None:
        self._settings = settings
        self._where = f"kafka {','.join(settings.brokers)}"
        self._logger = logging.getLogger(__name__)
        self._logger.addHandler(logging.NullHandler())  # librdkafka logs by itself else
        self._logger.propagate = False
        self._trouble = ""
        """What librdkafka complained of last."""

        self._producer: Producer | None = self._make()

    def _make(self) -> "Producer":
        try:
            from confluent_kafka import KafkaException, Producer
        except ImportError as error:
            raise ConfigError(
                "the sink kafka needs one more package: pip install 'hauberk[kafka]'"
            ) from error
        try:
            settings = self._settings.librdkafka() | {"error_cb": self._note}
            return Producer(settings, logger=self._logger)
        except KafkaException as error:
            raise SinkError(f"{self._where}: {_text(error)}; see `options`") from None

    def _note(self, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError

        # that all are down comes after why, and says less
        if not (self._trouble and error.code() == KafkaError._ALL_BROKERS_DOWN):
            self._trouble = error.str()

    def write(self, messages: Sequence[Message]) -> None:
        from confluent_kafka import KafkaError

        if self._producer is None:
            self._producer = self._make()
        ends = time.monotonic() + self._settings.timeout_s
        found: dict[int, KafkaError | None] = {}
        """What became of the messages, by their number."""

        too_long = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)
        self._produce(self._producer, messages, range(len(messages)), found, ends)
        # a broker says so of all that came in one batch: alone, most of them are not
        doubtful = [number for number, error in found.items() if error and error.code() in too_long]
        for number in doubtful if len(messages) > 1 else ():
            self._produce(self._producer, messages, [number], found, ends)
        done = refused = 0
        problem = failure = ""
        for number in range(len(messages)):
            error = found.get(number)
            if error and error.code() in too_long:
                refused += 1
                problem = f"{self._where}: {refused} messages refused: {error.str()}"
            elif error or number not in found:
                failure = error.str() if error else ""
                break
            else:
                done += 1
        if done + refused < len(messages):
            self._throw_away()
            reason = failure or self._trouble or f"not acknowledged within {self._settings.timeout_s:g} s"
            raise SinkError(f"{self._where}: {reason}", delivered=done, refused=refused)
        if refused:
            raise SinkRefused(problem, refused=refused)

    def _produce(
        self,
        producer: "Producer",
        messages: Sequence[Message],
        numbers: Sequence[int],
        found: dict[int, Any],
        ends: float,
    ) -> None:
        """Send these and wait until all are reported, or until it `ends`."""
        from confluent_kafka import KafkaException

        def report(number: int, error: "KafkaError | None", _message: object) -> None:
            found[number] = error

        self._trouble = ""
        settings = self._settings
        for number in numbers:
            found.pop(number, None)
            message = messages[number]
            topic = (message.is_alert and settings.alerts_topic) or settings.topic
            while True:
                try:
                    producer.produce(
                        topic,
                        message.content,
                        message.key.encode(),
                        headers=[(ID_HEADER, message.id.encode())],
                        on_delivery=partial(report, number),
                    )
                    break
                except BufferError:  # its own queue is full
                    if time.monotonic() > ends:
                        return
                    producer.poll(0.1)
                except KafkaException as error:
                    found[number] = error.args[0]
                    break
        producer.flush(max(0.0, ends - time.monotonic()))

    def _throw_away(self) -> None:
        """So that nothing which is told as not delivered is delivered later, out of its order."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def reopen(self) -> None:
        made = self._make()
        self._throw_away()
        self._producer = made

    def close(self) -> None:
        self._throw_away()
