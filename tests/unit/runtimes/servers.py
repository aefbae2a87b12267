"""Small runtimes that speak the real protocols over real Unix sockets."""

import json
import queue
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message

from hauberk.runtimes import containerd_pb2, cri_pb2

END = object()


def _answer(request: type[Message], handle: Callable[[Any, Any], Any], *, streams: bool = False) -> Any:
    kind = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    return kind(handle, request.FromString, lambda message: message.SerializeToString())


class _GrpcServer:
    """Serves `handlers` of one service a name until it is stopped."""

    def __init__(self, path: Path, services: dict[str, dict[str, Any]]) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self._server = grpc.server(ThreadPoolExecutor(8))
        for name, methods in services.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
        self._server.add_insecure_port(f"unix://{path}")
        self._server.start()

    def follow(self, _request: Any, _context: Any) -> Iterator[Any]:
        while (event := self.events.get()) is not END:
            yield event

    def stop(self) -> None:
        self.events.put(END)
        self._server.stop(0).wait()


class ContainerdServer(_GrpcServer):
    """Containers by namespace and ID; images by name."""

    def __init__(self, path: Path) -> None:
        self.containers: dict[tuple[str, str], containerd_pb2.Container] = {}
        self.images: dict[str, str] = {}
        prefix = "containerd.services"
        wire = containerd_pb2
        super().__init__(
            path,
            {
                f"{prefix}.events.v1.Events": {
                    "Subscribe": _answer(wire.SubscribeRequest, self.follow, streams=True)
                },
                f"{prefix}.namespaces.v1.Namespaces": {
                    "List": _answer(wire.ListNamespacesRequest, self._namespaces)
                },
                f"{prefix}.containers.v1.Containers": {
                    "ListStream": _answer(wire.ListContainersRequest, self._list, streams=True),
                    "Get": _answer(wire.GetContainerRequest, self._get),
                },
                f"{prefix}.images.v1.Images": {"Get": _answer(wire.GetImageRequest, self._image)},
            },
        )

    def add(self, namespace: str, container_id: str, specification: dict[str, Any], **fields: Any) -> None:
        container = containerd_pb2.Container(id=container_id, **fields)
        container.spec.value = json.dumps(specification).encode()
        self.containers[namespace, container_id] = container

    def tell(self, namespace: str, topic: str, event: Message, time_ns: int = 0) -> None:
        envelope = containerd_pb2.Envelope(namespace=namespace, topic=topic)
        envelope.timestamp.FromNanoseconds(time_ns)
        envelope.event.value = event.SerializeToString()
        self.events.put(envelope)

    def _namespaces(self, _request: Any, _context: Any) -> Message:
        names = {namespace for namespace, _ in self.containers}
        return containerd_pb2.ListNamespacesResponse(
            namespaces=[containerd_pb2.Namespace(name=name) for name in sorted(names)]
        )

    def _list(self, _request: Any, context: Any) -> Iterator[Message]:
        for (namespace, _), container in self.containers.items():
            if namespace == _namespace(context):
                yield containerd_pb2.ListContainerMessage(container=container)

    def _get(self, request: Any, context: Any) -> Message:
        container = self.containers.get((_namespace(context), request.id))
        if container is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"container {request.id}: not found")
        return containerd_pb2.GetContainerResponse(container=container)

    def _image(self, request: Any, context: Any) -> Message:
        if request.name not in self.images:
            context.abort(grpc.StatusCode.NOT_FOUND, f"image {request.name}: not found")
        target = containerd_pb2.Descriptor(digest=self.images[request.name])
        return containerd_pb2.GetImageResponse(image=containerd_pb2.Image(name=request.name, target=target))


def _namespace(context: Any) -> str:
    return str(dict(context.invocation_metadata())["containerd-namespace"])


class CriServer(_GrpcServer):
    """A runtime that speaks the CRI; with events or, like an older one, without."""

    def __init__(self, path: Path, *, has_events: bool) -> None:
        self.containers: list[cri_pb2.Container] = []
        self.statuses: dict[str, cri_pb2.ContainerStatus] = {}
        self.sandboxes: list[cri_pb2.PodSandbox] = []
        self.has_events = has_events
        wire = cri_pb2
        methods = {
            "ListContainers": _answer(wire.ListContainersRequest, self._list),
            "ListPodSandbox": _answer(wire.ListPodSandboxRequest, self._list_sandboxes),
            "ContainerStatus": _answer(wire.ContainerStatusRequest, self._status),
        }
        if has_events:
            methods["GetContainerEvents"] = _answer(wire.GetEventsRequest, self.follow, streams=True)
        super().__init__(path, {"runtime.v1.RuntimeService": methods})

    def _list(self, request: Any, _context: Any) -> Message:
        found = [each for each in self.containers if request.filter.id in ("", each.id)]
        return cri_pb2.ListContainersResponse(containers=found)

    def _list_sandboxes(self, request: Any, _context: Any) -> Message:
        found = [each for each in self.sandboxes if request.filter.id in ("", each.id)]
        return cri_pb2.ListPodSandboxResponse(items=found)

    def _status(self, request: Any, context: Any) -> Message:
        if request.container_id not in self.statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "an error occurred: not found")
        return cri_pb2.ContainerStatusResponse(status=self.statuses[request.container_id])


class EngineServer:
    """Docker's engine: answers by path, and a stream of events."""

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.events: queue.Queue[Any] = queue.Queue()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                engine.asked.append(self.path)
                where = urlsplit(self.path).path
                if where == "/events":
                    self._follow()
                elif where in engine.answers:
                    answer = engine.answers[where]
                    if isinstance(answer, int):  # what it fails with
                        self._send(answer, {"message": "internal error"})
                    else:
                        self._send(200, answer)
                else:
                    self._send(404, {"message": f"no such container: {where}"})

            def _send(self, status: int, content: Any) -> None:
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _follow(self) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.flush()
                with suppress(BrokenPipeError):  # who followed has gone
                    while (event := engine.events.get()) is not END:
                        line = json.dumps(event).encode() + b"\n"
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = True

            def log_message(self, *_: Any) -> None: ...

            def address_string(self) -> str:
                return "a Unix socket"

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.events.put(END)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
