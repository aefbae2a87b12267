"""gRPC over a Unix socket, for runtimes: calls without generated stubs, errors as ours."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would tell the operator of every try

import grpc
from google.protobuf.message import Message

from hauberk.errors import RuntimeUnreachable

CALL_S: Final = 5.0
"""How long a runtime may take to answer."""

LIST_S: Final = 30.0
_MESSAGE_BYTES: Final = 64 << 20

Answer = TypeVar("Answer", bound=Message)
Metadata = tuple[tuple[str, str], ...]


class Channel:
    """A connection to a daemon. It is made by the first call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel = grpc.insecure_channel(
            f"unix://{path}",
            options=(
                ("grpc.max_receive_message_length", _MESSAGE_BYTES),
                ("grpc.default_authority", "localhost"),  # a path is none, and containerd refuses it
                ("grpc.enable_retries", 0),  # the watcher tries again, and knows what that means
            ),
        )

    def call(
        self,
        method: str,
        request: Message,
        answer: type[Answer],
        *,
        metadata: Metadata = (),
        timeout_s: float = CALL_S,
    ) -> Answer | None:
        """The answer; None if there is no such thing."""
        ask: Any = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            found: Answer = ask(request, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise self._unreachable(error) from None
        except ValueError as error:  # it was closed meanwhile
            raise RuntimeUnreachable(f"{self._path}: {error}") from None
        return found

    def stream(
        self,
        method: str,
        request: Message,
        answer: type[Answer],
        *,
        metadata: Metadata = (),
        timeout_s: float | None = None,
    ) -> Iterator[Answer]:
        """The answers, one after the other. The call is made at once, not when the first is asked for."""
        ask: Any = self._channel.unary_stream(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return self._read(ask(request, timeout=timeout_s, metadata=metadata))

    def _read(self, answers: Any) -> Iterator[Any]:
        try:
            yield from answers
        except grpc.RpcError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Any) -> RuntimeUnreachable:
        return RuntimeUnreachable(f"{self._path}: {error.details()}")

    def close(self) -> None:
        self._channel.close()
