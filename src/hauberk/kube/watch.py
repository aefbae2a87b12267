"""List and watch of one resource, for ever: what there is, then what changes, through all that can go wrong.

A watch is resumed where it broke off. Where that place is forgotten (410), all is listed again, and what is
not in the list any more is gone. Nothing that was known is forgotten because the server cannot be reached.
"""

import random
import time
from collections.abc import Callable
from threading import Event
from typing import Final, Generic, TypeVar

import msgspec
import urllib3

from hauberk.errors import ClusterError, ConfigError
from hauberk.kube.changes import Changed, Gone, Listed
from hauberk.kube.client import Client

_PAGE: Final = "500"
_WATCH_S: Final = (240, 480)
"""How long we ask the server to keep a watch: at random, so that a cluster's agents do not all come at once."""

_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 30.0
_FORBIDDEN_RETRY_S: Final = 30.0
"""How often what was forbidden, or is not there, is tried again: somebody may mend it."""

_SHORT_S: Final = 1.0
"""A watch that ends sooner, without a word, was none."""

GONE: Final = 410
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404

T = TypeVar("T")
D = TypeVar("D")


class Resource(msgspec.Struct, Generic[T], frozen=True):
    """What is watched, and how its objects become nouns."""

    name: str
    """Plural, as in the path and as people say: ``pods``."""

    path: str
    decode: Callable[[bytes], T | None]
    """An object to a noun; None: it is of no use to us."""

    key: Callable[[T], str]
    selector: dict[str, str] = {}
    """Of the query: such as ``{"fieldSelector": "spec.nodeName=…"}``."""


class _ListMeta(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    more: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Meta(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Versioned(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class Watch(Generic[T]):
    """Tells of all changes of one resource; runs in a thread of its own until it is stopped."""

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        tell: Callable[[Listed[T] | Changed[T] | Gone], None],
        warn: Callable[[str], None],
    ) -> None:
        self.resource = resource
        self._client = client
        self._tell = tell
        self._complain = warn
        self._stopping = Event()
        self._version: str | None = None
        """Up to where all is known; None: nothing is."""

        self._response: urllib3.BaseHTTPResponse | None = None
        self._polls = False
        """We may list but not watch: then all is listed again and again."""

        self._failures = 0
        self.problem: str | None = None
        """Why what is known may be out of date; None: it is not."""

        self.was_listed = Event()
        """Set once all there is has been told for the first time."""

        self.restarts = 0
        """How often all was listed again because the server had forgotten where we were."""

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._version is None or self._polls:
                    self._list()
                self._follow()
            except (ClusterError, ConfigError) as error:
                if not self._stopping.is_set():
                    self._fail(error)

    def stop(self) -> None:
        self._stopping.set()
        if self._response:
            try:
                self._response.shutdown()
            except (OSError, ValueError, AttributeError):
                self._response.close()

    def _list(self) -> None:
        for _ in range(2):
            try:
                objects, version = self._read_list()
            except ClusterError as error:
                if error.status != GONE:
                    raise
                continue  # the pages were of a list that is forgotten by now
            self._version, self._polls = version, False
            self._tell(Listed(self.resource.name, objects))
            self.was_listed.set()
            return
        raise ClusterError(f"{self._client.url}: a list of {self.resource.name} does not hold still")

    def _read_list(self) -> tuple[dict[str, T], str]:
        objects: dict[str, T] = {}
        more = ""
        while True:
            parameters = self.resource.selector | {"limit": _PAGE} | ({"continue": more} if more else {})
            page = self._decode(self._client.get(self.resource.path, parameters), _List)
            for item in page.items:
                if (found := self._noun(bytes(item))) is not None:
                    objects[self.resource.key(found)] = found
            more = page.metadata.more
            if not more:
                return objects, page.metadata.resource_version

    def _follow(self) -> None:
        """One watch, to its end."""
        parameters = self.resource.selector | {
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(random.randint(*_WATCH_S)),
        }
        started, lines = time.monotonic(), 0
        try:
            for line in self._client.watch(self.resource.path, parameters, self._opened):
                self._take(self._decode(line, _Line))
                lines += 1
                self._failures = 0
        finally:
            self._response = None
        if not lines and time.monotonic() < started + _SHORT_S:
            raise ClusterError(
                f"{self._client.url} ends the watch of {self.resource.name} as soon as it begins"
            )

    def _opened(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        if self._stopping.is_set():
            raise ClusterError("stopped")
        if self.problem:
            self.problem = None
            self._complain(f"{self.resource.name} of the cluster are followed again")

    def _take(self, line: _Line) -> None:
        raw = bytes(line.object)
        if line.type == "ERROR":
            error = self._decode(raw, _Error)
            raise ClusterError(f"the watch of {self.resource.name} ended: {error.message}", status=error.code)
        if line.type in ("ADDED", "MODIFIED", "DELETED"):
            found = self._noun(raw)
            if found is not None:
                key = self.resource.key(found)
                gone = line.type == "DELETED"
                name = self.resource.name
                self._tell(Gone(name, key) if gone else Changed(name, key, found))
        self._version = self._decode(raw, _Versioned).metadata.resource_version or self._version

    def _noun(self, raw: bytes) -> T | None:
        try:
            return self.resource.decode(raw)
        except (ValueError, RecursionError) as error:  # msgspec's errors are of the first kind
            self._complain(f"an object of {self.resource.name} is not what Kubernetes documents: {error}")
            return None

    def _decode(self, content: bytes, kind: type[D]) -> D:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClusterError(
                f"{self._client.url}: its answer about {self.resource.name} is not what Kubernetes documents: {error}"
            ) from error

    def _fail(self, error: ClusterError | ConfigError) -> None:
        status = error.status if isinstance(error, ClusterError) else None
        if status == GONE:
            self._version = None
            self.restarts += 1
            if self._failures == 0:
                self._failures = 1
                return  # that is in the order of things
        if status == FORBIDDEN and self._version is not None:
            self._polls = True
        if status == NOT_FOUND and not self.was_listed.is_set():  # a CRD that is not installed
            self._tell(Listed(self.resource.name, {}))
            self.was_listed.set()
        name = self.resource.name
        if self.problem is None:
            kept = (
                "what was known of them stays so" if self.was_listed.is_set() else "nothing is known of them"
            )
            self._complain(f"cannot follow {name} of the cluster, {kept}: {error}")
        self.problem = str(error)
        self._failures += 1
        wait_s = min(_FIRST_RETRY_S * 2 ** min(self._failures - 1, 10), _LAST_RETRY_S)
        if status in (FORBIDDEN, NOT_FOUND):
            wait_s = _FORBIDDEN_RETRY_S
        retry_after_s = error.retry_after_s if isinstance(error, ClusterError) else None
        # at random, so that a cluster's agents do not all come back in the same moment
        self._stopping.wait(retry_after_s if retry_after_s is not None else wait_s * random.uniform(0.5, 1.0))
