"""OpenTelemetry's own SDK and encoder, given what events mean: the peer of our OTLP."""

from collections.abc import Iterator
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource

from hauberk.formats.otel import mapping
from hauberk.model.event import Event


class _Keep(LogRecordProcessor):
    """Hands records on at once."""

    def __init__(self, kept: list[ReadableLogRecord]) -> None:
        self._kept = kept

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self._kept.append(
            ReadableLogRecord(
                log_record=log_record.log_record,
                resource=log_record.resource or Resource({}),
                instrumentation_scope=log_record.instrumentation_scope,
            )
        )

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        return True


class SDK:
    """Makes the records that we make, and requests of so many of them; without a queue, a thread and a network."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._kept: list[ReadableLogRecord] = []
        self._loggers: dict[str | None, Any] = {}

    def _logger(self, event: Event) -> Any:
        key = event.workload.container_id
        if key not in self._loggers:
            resource = Resource(
                mapping.resource_attributes(event.node, event.workload),
                mapping.SCHEMA_URL,
            )
            provider = LoggerProvider(resource, shutdown_on_exit=False)
            provider.add_log_record_processor(_Keep(self._kept))
            self._loggers[key] = provider.get_logger(*mapping.OWN_SCOPE, schema_url=mapping.SCHEMA_URL)
        return self._loggers[key]

    @staticmethod
    def prepare(events: list[Event]) -> list[tuple[Event, dict[str, Any]]]:
        return [
            (
                event,
                {
                    "time": mapping.time_of(event),
                    "severity": SeverityNumber(mapping.severity_of(event)),
                    "severity_text": str(event.verdict.severity) if event.verdict else None,
                    "body": mapping.body_of(event),
                    "name": mapping.name_of(event),
                    "attributes": {
                        **mapping.process_attributes(event),
                        **mapping.act_attributes(event),
                        **mapping.details_attributes(event),
                        **mapping.object_attributes(event),
                        **mapping.own_attributes(event),
                        **(mapping.verdict_attributes(event.verdict) if event.verdict else {}),
                    },
                },
            )
            for event in events
        ]

    def requests(self, prepared: list[tuple[Event, dict[str, Any]]]) -> Iterator[bytes]:
        for begin in range(0, len(prepared), self._batch):
            for event, told in prepared[begin : begin + self._batch]:
                self._logger(event).emit(
                    LogRecord(
                        timestamp=told["time"],
                        observed_timestamp=told["time"],
                        severity_number=told["severity"],
                        severity_text=told["severity_text"],
                        body=told["body"],
                        attributes=told["attributes"],
                        event_name=told["name"],
                    )
                )
            yield encode_logs(self._kept).SerializeToString()
            self._kept.clear()
