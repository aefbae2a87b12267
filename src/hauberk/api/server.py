"""A gRPC server in a thread of its own."""

import asyncio
import ipaddress
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from hauberk.errors import ConfigError

_START_S: Final = 10.0
_END_S: Final = 3.0
"""For how long readers may take what waits for them when the server ends."""

_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # else two agents share a port, and each has some of the readers
    ("grpc.max_receive_message_length", 2 << 20),
    ("grpc.max_concurrent_streams", 128),
    ("grpc.keepalive_time_ms", 30_000),  # a peer that has gone without a word is noticed
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),  # KubeArmor's relay pings as often
)
_CALLS: Final = 512
"""So many may be open at once, streams included; others are refused."""


class AddressTaken(ConfigError):
    """Nobody's settings need be wrong: another server may be there already."""


class Server:
    """Serves some services at one address until it is closed."""

    def __init__(
        self,
        address: str,
        services: Sequence[tuple[str, grpc.GenericRpcHandler | None]],
        *,
        credentials: grpc.ServerCredentials | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Raises AddressTaken if the address cannot be had.

        A service without a handler is served elsewhere; its health is told here, too. `on_end` is called in the
        server's thread.
        """
        self.address = address
        self.port = 0
        self._services = services
        self._credentials = credentials
        self._on_end = on_end
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._started = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="grpc", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_S):
            raise AddressTaken(f"cannot serve gRPC at {address}: it does not start")
        if self._problem:
            self._thread.join()
            raise AddressTaken(f"cannot serve gRPC at {address}: {self._problem}")

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:
            self._problem = str(error)
            raise
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_CALLS)
        status = health.HealthServicer()
        for name, handler in self._services:
            if handler:
                server.add_generic_rpc_handlers((handler,))
            await status.set(name, health_pb2.HealthCheckResponse.SERVING)
        await status.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        try:
            if self._credentials:
                self.port = server.add_secure_port(self.address, self._credentials)
            else:
                self.port = server.add_insecure_port(self.address)
        except RuntimeError:
            self._problem = "the port is in use, or the address is not of this machine"
            return
        await server.start()
        self._started.set()
        await self._ended.wait()
        await status.enter_graceful_shutdown()
        if self._on_end:
            self._on_end()
        await server.stop(_END_S)

    def close(self) -> None:
        """End all calls: those that wait for nothing at once, others after some seconds."""
        with suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


def parse_address(name: str, address: str) -> tuple[str, int]:
    """Host and port of a setting called `name`; raises ConfigError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{name} {address!r} is not ADDRESS:PORT, such as 127.0.0.1:32767, nor off")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
