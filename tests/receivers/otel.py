"""OpenTelemetry receivers over HTTP and gRPC that do as they are told: take, refuse, throttle, reject some, die."""

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import msgspec
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

PROTOBUF = "application/x-protobuf"


class Reply(msgspec.Struct, frozen=True):
    """How a receiver deals with one request. The default takes it."""

    status: int = 200
    headers: dict[str, str] = {}
    media_type: str = PROTOBUF
    content: bytes = b""
    takes: bool = True
    answers: bool = True
    """If not, the connection ends where the answer should be."""

    code: grpc.StatusCode | None = None
    """What gRPC says instead of an answer."""

    message: str = ""
    retry_delay_s: float | None = None


TAKE = Reply()
DIE = Reply(answers=False, takes=False)
DIE_LATE = Reply(answers=False)
"""Takes it, and dies before it says so: what comes again is a double."""


def refuse(status: int, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, takes=False)


def fail(code: grpc.StatusCode, message: str = "", retry_delay_s: float | None = None) -> Reply:
    return Reply(code=code, message=message, retry_delay_s=retry_delay_s, takes=False)


def partial(rejected: int, message: str) -> Reply:
    found = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return Reply(content=ExportLogsServiceResponse(partial_success=found).SerializeToString())


def bodies(request: ExportLogsServiceRequest) -> list[str]:
    """What the records of a request say."""
    return [
        record.body.string_value
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


class Receiver:
    """What both have: the script, and what was taken. After the script, everything is taken."""

    port: int

    def __init__(self, script: Sequence[Reply] = ()) -> None:
        self.script = list(script)
        self.taken: list[ExportLogsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def deal_with(self, content: bytes, headers: dict[str, str]) -> Reply:
        with self._lock:
            reply = self.script.pop(0) if self.script else TAKE
            self.headers.append(headers)
            request = ExportLogsServiceRequest.FromString(content)
            if reply.takes:
                self.taken.append(request)
        return reply

    @property
    def bodies(self) -> list[str]:
        with self._lock:
            return [body for request in self.taken for body in bodies(request)]

    def close(self) -> None:
        raise NotImplementedError


class HttpReceiver(Receiver):
    """OTLP over HTTP."""

    def __init__(
        self, script: Sequence[Reply] = (), port: int = 0, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(script)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    content = gzip.decompress(content)
                if self.path != "/v1/logs" or self.headers["Content-Type"] != PROTOBUF:
                    self.send_error(404)
                    return
                reply = receiver.deal_with(content, dict(self.headers))
                if not reply.answers:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", reply.media_type)
                self.send_header("Content-Length", str(len(reply.content)))
                self.end_headers()
                self.wfile.write(reply.content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            connections: set[socket.socket]

            def process_request(self, request: Any, client_address: Any) -> None:
                receiver._connections.add(request)
                super().process_request(request, client_address)

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients may go when they like

        self._connections: set[socket.socket] = set()
        self._server = Server(("127.0.0.1", port), Handler)
        if context:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Die, with all connections."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._thread.join()


class _Service(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, receiver: "GrpcReceiver") -> None:
        self._receiver = receiver

    def Export(  # noqa: N802
        self, request: ExportLogsServiceRequest, context: grpc.ServicerContext
    ) -> ExportLogsServiceResponse:
        headers = {name: str(value) for name, value in context.invocation_metadata()}
        reply = self._receiver.deal_with(request.SerializeToString(), headers)
        if reply.code:
            status = status_pb2.Status(code=reply.code.value[0], message=reply.message)
            if reply.retry_delay_s is not None:
                delay = duration_pb2.Duration()
                delay.FromNanoseconds(int(reply.retry_delay_s * 1e9))
                detail = any_pb2.Any()
                detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
                status.details.append(detail)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(reply.code, reply.message)
        if not reply.answers:
            context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
        return ExportLogsServiceResponse.FromString(reply.content)


class GrpcReceiver(Receiver):
    """OTLP over gRPC."""

    def __init__(
        self,
        script: Sequence[Reply] = (),
        port: int = 0,
        credentials: grpc.ServerCredentials | None = None,
        max_bytes: int = 4 << 20,
    ) -> None:
        super().__init__(script)
        self._server = grpc.server(
            ThreadPoolExecutor(2),
            options=[("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", 0)],
        )
        add_service: Callable[..., None] = logs_service_pb2_grpc.add_LogsServiceServicer_to_server
        add_service(_Service(self), self._server)
        address = f"127.0.0.1:{port}"
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
        )
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()
