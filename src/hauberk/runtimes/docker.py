"""Docker and Podman by the API of Docker's engine, which Podman has too; of its own one we take what that lacks."""

import http.client
import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from hauberk.errors import RuntimeAnswerError, RuntimeUnreachable
from hauberk.model.workload import Workload
from hauberk.runtimes import (
    POD_NAME,
    Container,
    Unreadable,
    described,
    digest_of,
    in_kubernetes,
    outside_kubernetes,
    with_digest,
)

_CALL_S: Final = 5.0
_MEBIBYTE: Final = 1 << 20
_LONGEST: Final = 64 * _MEBIBYTE
_LIBPOD: Final = "/v4.0.0/libpod"
_PAUSE: Final = "POD"
"""What the kubelet called the pause container of a pod, when it spoke to Docker."""


class _Listed(msgspec.Struct, rename="pascal"):
    id: str


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID", default="")


class _Event(msgspec.Struct, rename="pascal"):
    actor: _Actor = msgspec.field(default_factory=_Actor)
    id: str = msgspec.field(name="id", default="")


class _Config(msgspec.Struct, rename="pascal"):
    image: str = ""
    labels: dict[str, str] | None = None


class _State(msgspec.Struct, rename="pascal"):
    started_at: str = ""


class _Inspected(msgspec.Struct, rename="pascal"):
    """A container; the fields below the state are Podman's own."""

    id: str
    name: str
    image: str = ""
    """ID of the image."""

    config: _Config = msgspec.field(default_factory=_Config)
    state: _State = msgspec.field(default_factory=_State)
    image_name: str = ""
    image_digest: str = ""
    pod: str = ""
    is_infra: bool = False


class _Image(msgspec.Struct, rename="pascal"):
    repo_digests: list[str] | None = None


class _Pod(msgspec.Struct, rename="pascal"):
    name: str = ""
    labels: dict[str, str] | None = None


Body = TypeVar("Body")


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = self.socket = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Following:
    """A stream of events, which one thread reads and another may end."""

    def __init__(self, connection: _Connection, answer: http.client.HTTPResponse) -> None:
        self._connection = connection
        self.answer = answer
        self.is_read = False

    def end(self) -> None:
        if self.is_read:
            with suppress(OSError):  # it is closed already
                self._connection.socket.shutdown(socket.SHUT_RDWR)  # wakes who reads, and that one closes
        else:
            self.close()

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


class Docker:
    """An engine that answers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: dict[str, str] = {}
        """By ID of the image."""

        self._following: _Following | None = None

    def changes(self) -> Iterator[str]:
        # what happens while we list the containers is told after it
        since = int(time.time())
        question = urlencode({"since": since, "filters": json.dumps({"type": ["container"]})})
        connection = _Connection(self._path, _CALL_S)
        answer = self._request(connection, f"/events?{question}")
        if answer.status != http.client.OK:
            connection.close()
            raise self._unreachable(f"it answers {answer.status} {answer.reason}")
        connection.socket.settimeout(None)  # it may be quiet for long
        self._following = _Following(connection, answer)
        return self._ids(self._following)

    def _ids(self, following: "_Following") -> Iterator[str]:
        try:
            following.is_read = True
            while line := following.answer.readline(_MEBIBYTE):
                try:
                    event = msgspec.json.decode(line, type=_Event)
                except ValueError:
                    yield ""
                    continue
                container_id = event.actor.id or event.id
                if container_id:
                    yield container_id
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from None
        finally:
            following.close()

    def containers(self) -> Iterable[Container | Unreadable]:
        try:
            listed = self._get("/containers/json?all=1", list[_Listed]) or []
        except RuntimeAnswerError as error:
            raise RuntimeUnreachable(str(error)) from None
        found = (described(each.id, partial(self.find, each.id)) for each in listed)
        return [each for each in found if each]

    def find(self, container_id: str) -> Container | None:
        found = self._inspect(container_id)
        if found is None:
            return None
        labels = found.config.labels or {}
        image = self._image(found)
        started_ns = _nanoseconds(found.state.started_at)
        if POD_NAME in labels:
            workload = in_kubernetes(
                found.id,
                labels,
                pod_labels=labels,
                image=image,
                started_ns=started_ns,
                is_pause=labels.get("io.kubernetes.docker.type") == "podsandbox",
            )
        else:
            name = found.name.removeprefix("/")
            workload = outside_kubernetes(found.id, labels, name=name, image=image, started_ns=started_ns)
        return Container(found.id, self._in_pod(found, workload))

    def _inspect(self, container_id: str) -> _Inspected | None:
        return self._get(f"/containers/{quote(container_id, safe='')}/json", _Inspected)

    def _image(self, found: _Inspected) -> str | None:
        if not found.config.image:
            return None
        if found.image not in self._digests:
            image = self._get(f"/images/{quote(found.image, safe=':')}/json", _Image)
            digests = image.repo_digests if image else None
            self._digests[found.image] = digest_of(digests[0]) if digests else ""
        return with_digest(found.config.image, self._digests[found.image])

    def _in_pod(self, found: _Inspected, workload: Workload) -> Workload:  # noqa: ARG002
        return workload

    def _get(self, path: str, body: type[Body]) -> Body | None:
        connection = _Connection(self._path, _CALL_S)
        try:
            answer = self._request(connection, path)
            if answer.status == http.client.NOT_FOUND:
                return None
            content = answer.read(_LONGEST)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        else:
            if answer.status != http.client.OK:
                raise RuntimeAnswerError(f"{self._path} answers {path} with {answer.status} {answer.reason}")
            try:
                return msgspec.json.decode(content, type=body)
            except ValueError as error:
                raise RuntimeAnswerError(
                    f"{self._path}: its answer to {path} cannot be read: {error}"
                ) from None
        finally:
            connection.close()

    def _request(self, connection: _Connection, path: str) -> http.client.HTTPResponse:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None
        return answer

    def _unreachable(self, error: object) -> RuntimeUnreachable:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return RuntimeUnreachable(f"{self._path}: {reason}")

    def close(self) -> None:
        if self._following:
            self._following.end()


class Podman(Docker):
    """Podman, whose own API knows pods and what was really pulled."""

    def _inspect(self, container_id: str) -> _Inspected | None:
        return self._get(f"{_LIBPOD}/containers/{quote(container_id, safe='')}/json", _Inspected)

    def _image(self, found: _Inspected) -> str | None:
        return with_digest(found.image_name, found.image_digest) if found.image_name else None

    def _in_pod(self, found: _Inspected, workload: Workload) -> Workload:
        if not found.pod:
            return workload
        pod = self._get(f"{_LIBPOD}/pods/{quote(found.pod, safe='')}/json", _Pod) or _Pod()
        return msgspec.structs.replace(
            workload,
            pod=pod.name or workload.pod,
            labels=dict(sorted({**(pod.labels or {}), **workload.labels}.items())),
            is_pause=found.is_infra,
        )


def _nanoseconds(moment: str) -> int | None:
    """Unix time of ``2026-11-25T01:55:13.418968361Z``; None of what never was, year 1."""
    try:
        seconds = datetime.fromisoformat(moment)
    except ValueError:
        return None
    if seconds.year < 1970:
        return None
    fraction = moment.partition(".")[2]
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    return int(seconds.replace(microsecond=0).timestamp()) * 1_000_000_000 + int(
        digits[:9].ljust(9, "0") or 0
    )
