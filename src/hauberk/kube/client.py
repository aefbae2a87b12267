"""A thin client of the API server: requests, and the lines of a watch.

Thin on purpose. What an agent needs of the API is four verbs on six resources; what it must get right are the
ways in which a watch ends, and those are in `watch.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
import urllib3

from hauberk import __version__
from hauberk.errors import ClusterError
from hauberk.kube.access import Access

_CONNECT_S: Final = 10.0
_REQUEST_S: Final = 30.0
_WATCH_SILENCE_S: Final = 120.0
"""A watch that says nothing for so long, no bookmark either, is asked for again where it was: who knows what
became of the other side."""

_LINE_SIZE: Final = 16 << 20
_MESSAGE_SIZE: Final = 300
_RETRY_AFTER_LIMIT_S: Final = 300.0


class _Status(msgspec.Struct):
    """The API server's answer when it has no better one (`meta/v1 Status`)."""

    message: str = ""
    reason: str = ""


class Client:
    """Speaks to one API server. May be used by several threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._pool = urllib3.PoolManager(
            maxsize=8,
            retries=False,
            ssl_context=access.tls,
            headers={"User-Agent": f"hauberk/{__version__}", "Accept": "application/json"},
        )

    @property
    def url(self) -> str:
        return self._access.url

    def get(self, path: str, parameters: Mapping[str, str] = {}) -> bytes:
        """The content of an object or a list."""
        return self._ask("GET", path, parameters).data

    def merge(self, path: str, change: Any) -> bytes:
        """Change an object by a JSON merge patch; the object as it is then."""
        body = msgspec.json.encode(change)
        return self._ask("PATCH", path, {}, body, {"Content-Type": "application/merge-patch+json"}).data

    def watch(
        self,
        path: str,
        parameters: Mapping[str, str],
        opened: Callable[[urllib3.BaseHTTPResponse], None],
    ) -> Iterator[bytes]:
        """The lines of a watch, until it ends. What was cut off in the middle is no line.

        `opened` is given the answer, for others to end it by its `shutdown`.
        """
        response = self._ask("GET", path, {**parameters, "watch": "true"}, stream=True)
        try:
            opened(response)
            rest = b""
            for chunk in response.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from filter(None, lines)
                if len(rest) > _LINE_SIZE:
                    raise ClusterError(f"{self.url}{path} sent a line of more than {_LINE_SIZE >> 20} MiB")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"{self.url}: the watch of {path} broke off: {_reason(error)}") from error
        finally:
            response.close()

    def close(self) -> None:
        self._pool.clear()

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        query = f"?{urlencode(parameters)}" if parameters else ""
        read_s = _WATCH_SILENCE_S if stream else _REQUEST_S
        try:
            response = self._pool.request(
                method,
                f"{self.url}{path}{query}",
                body=body,
                headers={**self._pool.headers, **self._access.headers(), **headers},
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=read_s),
                preload_content=not stream,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"{self.url} cannot be reached: {_reason(error)}") from error
        if response.status != 200:
            try:
                content = response.data
            except (urllib3.exceptions.HTTPError, OSError):
                content = b""
            response.close()
            raise ClusterError(
                f"{self.url} answered {method} {path} with {response.status}: {_message(content)}",
                status=response.status,
                retry_after_s=_retry_after(response.headers.get("Retry-After")),
            )
        return response


def segment(name: str) -> str:
    """A name as a part of a path: whatever is in it, it stays one part."""
    return quote(name, safe="")


def _message(content: bytes) -> str:
    try:
        status = msgspec.json.decode(content, type=_Status)
        text = status.message or status.reason
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = content.decode(errors="replace")
    text = "".join(each if each.isprintable() else " " for each in text[:_MESSAGE_SIZE]).strip()
    return text or "no reason given"


def _reason(error: Exception) -> str:
    """The innermost cause, which is what a person can do something about."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return str(inner)[:_MESSAGE_SIZE] or type(inner).__name__


def _retry_after(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return min(max(seconds, 0.0), _RETRY_AFTER_LIMIT_S)
