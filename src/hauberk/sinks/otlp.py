"""OTLP: OpenTelemetry's protocol, over HTTP or gRPC, by the rules of its specification.

Which answers are worth another try is the specification's: of HTTP 429, 502, 503 and 504; of gRPC the codes below.
All else is refused for good, and so is what a partial success names.
"""

import gzip
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal
from urllib.parse import SplitResult

import msgspec
from msgspec import Meta

from hauberk.errors import ConfigError, SinkBusy, SinkError, SinkRefused
from hauberk.formats import Format
from hauberk.sinks import Message
from hauberk.sinks.batches import BatchRefused, deliver
from hauberk.sinks.http import Answer, Headers, Poster, check_headers, check_url, printable, reveal_headers
from hauberk.sinks.tls import Tls, warn_of_plain_text

if TYPE_CHECKING:
    import grpc

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_PORTS: Final = {"http": 4318, "grpc": 4317}
_PATH: Final = "/v1/logs"
_METHOD: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_HTTP_RETRY: Final = frozenset({429, 502, 503, 504})
_GRPC_RETRY: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_GZIP_LEVEL: Final = 1
_ANSWER_BYTES: Final = 4 << 20
_RECONNECT_MS: Final = 5000
_LONGEST_PATIENCE_S: Final = 3600.0


class Otlp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of OTLP."""

    usual_format: ClassVar = "otel-protobuf"

    url: str
    """``https://HOST`` or ``http://HOST``, with ``:PORT`` if it is not 4318 (HTTP) or 4317 (gRPC), and over HTTP
    with the path if it is not ``/v1/logs``."""

    protocol: Literal["http", "grpc"] = "http"
    headers: Headers = {}
    """Sent with every request; secrets as ``{file: PATH}`` or ``{env: NAME}``."""

    compression: Literal["gzip", "none"] = "gzip"
    max_events: Annotated[int, Meta(ge=1)] = 2000
    """At most so many events a request."""

    max_bytes: Annotated[int, Meta(ge=1024)] = 2 << 20
    """And so many bytes before compression, unless a single event is longer."""

    also_retry: tuple[int | str, ...] = ()
    """Answers that are worth another try against the specification: HTTP statuses, names of gRPC codes."""

    timeout_s: Annotated[float, Meta(gt=0)] = 10.0
    tls: Tls = Tls()

    def __post_init__(self) -> None:
        parts = check_url(self.url)
        check_headers(self.headers)
        if self.protocol == "grpc" and (parts.path.strip("/") or parts.query):
            raise ValueError(f"url: over gRPC there is no path: write {parts.scheme}://{parts.netloc}")
        if self.tls != Tls() and parts.scheme != "https":
            raise ValueError("`tls` is of no use with http://; write https://")

    def wrap(self, form: Format) -> Format:
        """As it is, if it is OTLP. Raises ConfigError."""
        fitting = (_PROTOBUF,) if self.protocol == "grpc" else (_PROTOBUF, _JSON)
        if form.media_type not in fitting:
            raise ConfigError(
                f"otlp over {self.protocol} carries OpenTelemetry: choose the format otel-protobuf"
            )
        return form

    def open(self, form: Format, warn: Callable[[str], None]) -> "OtlpSink":
        parts = check_url(self.url)
        if not parts.port:
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            parts = parts._replace(netloc=f"{host}:{_PORTS[self.protocol]}")
        where = f"otlp {parts.scheme}://{parts.netloc}"
        if parts.scheme == "http":
            warn_of_plain_text(where, parts.hostname or "", warn)
        kind = GrpcExporter if self.protocol == "grpc" else HttpExporter
        return OtlpSink(self, form, lambda: kind(where, parts, self, warn))


class OtlpSink:
    """Batches, by an exporter that is made anew for new certificates and secrets."""

    def __init__(
        self,
        settings: Otlp,
        form: Format,
        make_exporter: "Callable[[], HttpExporter | GrpcExporter]",
    ) -> None:
        self._settings = settings
        self._join = form.join
        self._make_exporter = make_exporter
        self._exporter = make_exporter()

    def write(self, messages: Sequence[Message]) -> None:
        settings = self._settings
        deliver(messages, self._send, max_events=settings.max_events, max_bytes=settings.max_bytes)

    def _send(self, batch: Sequence[Message]) -> None:
        self._exporter.export(self._join([message.content for message in batch]), len(batch))

    def reopen(self) -> None:
        made = self._make_exporter()
        self._exporter.close()
        self._exporter = made

    def close(self) -> None:
        self._exporter.close()


class _Answers:
    """What receivers say, in our words."""

    def __init__(self, where: str, warn: Callable[[str], None]) -> None:
        self._where = where
        self._complain = warn
        self._warned: set[str] = set()

    def success(self, rejected: int, message: str, count: int) -> None:
        """Of `count` events some may have been rejected. Raises SinkRefused."""
        text = printable(message)
        if rejected > 0:
            raise SinkRefused(
                f"{self._where}: {rejected} of {count} events rejected: {text or 'it does not say why'}",
                refused=min(rejected, count),
            )
        if text and text not in self._warned:
            if len(self._warned) >= 100:  # it has something new to say every time: enough of it
                return
            self._warned.add(text)
            self._complain(f"{self._where}: took all events, and warns: {text}")

    def refused(self, what: str, message: str, count: int) -> SinkRefused:
        text = printable(message)
        return SinkRefused(f"{self._where}: refused: {what}{': ' if text else ''}{text}", refused=count)

    def too_large(self, what: str) -> BatchRefused:
        return BatchRefused(f"{self._where}: refused as too large: {what}", refused=1)

    def failed(self, what: str, retry_after_s: float | None) -> SinkError:
        text = f"{self._where}: {what}"
        return SinkError(text) if retry_after_s is None else SinkBusy(text, retry_after_s=retry_after_s)


class HttpExporter:
    """Over HTTP."""

    def __init__(
        self,
        where: str,
        parts: SplitResult,
        settings: Otlp,
        warn: Callable[[str], None],
    ) -> None:
        if parts.path in ("", "/"):
            parts = parts._replace(path=_PATH)
        self._answers = _Answers(where, warn)
        self._poster = Poster(where, parts, settings.tls, settings.timeout_s)
        self._compresses = settings.compression == "gzip"
        self._retry = _HTTP_RETRY | set(settings.also_retry)
        self._headers = {"User-Agent": "hauberk"} | reveal_headers(settings.headers)
        self._headers["Content-Type"] = _PROTOBUF
        if self._compresses:
            self._headers["Content-Encoding"] = "gzip"

    def export(self, request: bytes, count: int) -> None:
        """One request of `count` events."""
        if self._compresses:
            request = gzip.compress(request, _GZIP_LEVEL, mtime=0)
        answer = self._poster.post(request, self._headers)
        if answer.is_success:
            if answer.media_type == "text/html":
                raise self._answers.failed(
                    f"{answer}, with a page for people: no OTLP receiver is there", None
                )
            self._answers.success(*_partial_success(answer), count)
        elif answer.is_redirect:
            raise self._answers.failed(
                f"{answer}: redirects are not followed; set `url` to where it is now", None
            )
        elif answer.status in self._retry:
            raise self._answers.failed(str(answer), answer.retry_after_s)
        elif answer.status == 413:
            raise self._answers.too_large(str(answer))
        else:
            raise self._answers.refused(str(answer), _error_message(answer), count)

    def close(self) -> None:
        self._poster.close()


def _partial_success(answer: Answer) -> tuple[int, str]:
    """How many were rejected, and what there is to say."""
    if answer.media_type == _JSON:
        try:
            found = json.loads(answer.content or b"{}")["partialSuccess"]
            return int(found.get("rejectedLogRecords", 0)), str(found.get("errorMessage", ""))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return 0, ""
    if answer.media_type == _PROTOBUF:
        return _parse_response(answer.content)
    return 0, ""


def _parse_response(content: bytes) -> tuple[int, str]:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    try:
        found = ExportLogsServiceResponse.FromString(content).partial_success
    except DecodeError:
        return 0, "its answer is no ExportLogsServiceResponse"
    return found.rejected_log_records, found.error_message


def _error_message(answer: Answer) -> str:
    """What the `Status` in a refusal says."""
    if answer.media_type == _JSON:
        try:
            return str(json.loads(answer.content)["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return ""
    if answer.media_type == _PROTOBUF:
        from google.protobuf.message import DecodeError
        from google.rpc.status_pb2 import Status

        try:
            return str(Status.FromString(answer.content).message)
        except DecodeError:
            return ""
    return ""


class GrpcExporter:
    """Over gRPC: a unary call whose request is bytes already, so there is no stub."""

    def __init__(
        self,
        where: str,
        parts: SplitResult,
        settings: Otlp,
        warn: Callable[[str], None],
    ) -> None:
        os.environ.setdefault(
            "GRPC_VERBOSITY", "ERROR"
        )  # else it says by itself when connections come and go
        import grpc  # takes longer to import than all of ours

        self._answers = _Answers(where, warn)
        self._retry = _GRPC_RETRY | set(settings.also_retry)
        self._timeout_s = settings.timeout_s
        self._metadata = tuple(
            (name.lower(), value) for name, value in reveal_headers(settings.headers).items()
        )
        compresses = settings.compression == "gzip"
        self._compression = grpc.Compression.Gzip if compresses else grpc.Compression.NoCompression
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", _ANSWER_BYTES),
            ("grpc.primary_user_agent", "hauberk"),
            ("grpc.enable_retries", 0),  # whoever counts tries again
            # a receiver that was restarted is not left alone for two minutes
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
            # exporters do not share connections, nor old certificates with them
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if parts.scheme == "https":
            files = settings.tls.read()
            credentials = grpc.ssl_channel_credentials(files.ca, files.key, files.certificate)
            if settings.tls.server_name:
                options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
            self._channel = grpc.secure_channel(parts.netloc, credentials, options)
        else:
            self._channel = grpc.insecure_channel(parts.netloc, options)
        self._export: Callable[..., bytes] = self._channel.unary_unary(_METHOD)

    def export(self, request: bytes, count: int) -> None:
        """One request of `count` events."""
        import grpc

        try:
            response = self._export(
                request, timeout=self._timeout_s, metadata=self._metadata, compression=self._compression
            )
        except grpc.RpcError as error:
            raise self._failure(error, count) from error
        self._answers.success(*_parse_response(response), count)

    def _failure(self, error: "grpc.RpcError", count: int) -> SinkError:
        code = error.code().name
        message = error.details() or ""
        what = f"{code}: {printable(message)}"
        patience = _retry_info(error.trailing_metadata())
        if code in self._retry or (code == "RESOURCE_EXHAUSTED" and patience is not None):
            return self._answers.failed(what, patience)
        if (
            code == "RESOURCE_EXHAUSTED" and "larger than max" in message
        ):  # what grpc itself says in every language
            return self._answers.too_large(what)
        return self._answers.refused(code, message, count)

    def close(self) -> None:
        self._channel.close()


def _retry_info(metadata: Iterable[Any] | None) -> float | None:
    """How long a receiver wants to be left alone, by the `RetryInfo` in the details of its status."""
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    for name, value in metadata or ():
        if name != _STATUS_DETAILS or not isinstance(value, bytes):
            continue
        try:
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    seconds: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                    return min(max(seconds, 0.0), _LONGEST_PATIENCE_S)
        except DecodeError:
            return None
    return None
