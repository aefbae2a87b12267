"""An API server of the tests' own: Kubernetes' wire protocol over real HTTP, and the ways in which it hurts.

No ready-made API server can be had where these tests run. This one keeps objects, gives each change a
resource version, lists in pages, watches with bookmarks, checks and prunes custom resources by the schemas of
their CRDs, and fails as it is told: `Fault` says of which requests, and how. What it does not do: admission,
controllers, anything but JSON. `docs/kubernetes.md` says how the same tests run against a real one.
"""

import copy
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from openapi_schema_validator import OAS30Validator

Object = dict[str, Any]
_PATH = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+)(?P<status>/status)?)?"
)
NAMESPACED = {"pods", "replicasets", "jobs", "kubearmorpolicies"}
CRDS = "customresourcedefinitions"
CONTINUE = "page-"


@dataclass
class Fault:
    """What goes wrong, with which requests, how often."""

    status: int
    verb: str
    plural: str
    times: int = 1_000_000
    headers: dict[str, str] = field(default_factory=dict)

    def hits(self, verb: str, plural: str) -> bool:
        if self.times <= 0 or (self.verb, self.plural) != (verb, plural):
            return False
        self.times -= 1
        return True


@dataclass
class Happening:
    version: int
    kind: str
    plural: str
    object: Object


def strict_problems(schema: Object, value: Any, path: str = "") -> Iterator[str]:
    """Fields that a schema does not know: what `kubectl` is told of with its strict validation."""
    if schema.get("type") == "object" and isinstance(value, dict) and "properties" in schema:
        for key, child in value.items():
            if key in schema["properties"]:
                yield from strict_problems(schema["properties"][key], child, f"{path}.{key}")
            else:
                yield f"unknown field {path}.{key}"
    elif isinstance(schema.get("additionalProperties"), dict) and isinstance(value, dict):
        for key, child in value.items():
            yield from strict_problems(schema["additionalProperties"], child, f"{path}.{key}")
    elif schema.get("type") == "array" and isinstance(value, list):
        for index, child in enumerate(value):
            yield from strict_problems(schema["items"], child, f"{path}[{index}]")


def prune(schema: Object, value: Any) -> Any:
    """Without the fields that the schema does not know."""
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return {key: prune(known[key], child) for key, child in value.items() if key in known}
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        return {key: prune(schema["additionalProperties"], child) for key, child in value.items()}
    if isinstance(value, list) and "items" in schema:
        return [prune(schema["items"], child) for child in value]
    return value


def merge(target: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiServer:
    """Listens on a loopback port, which it keeps when it is stopped and started again."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.objects: dict[str, dict[tuple[str, str], Object]] = {}
        self.schemas: dict[str, Object] = {}
        self.history: list[Happening] = []
        self.version = 1
        self.forgotten = 0
        """The version up to which no watch can begin any more."""

        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        """All that came: verb and plural."""

        self.cuts: set[str] = set()
        """Whose watches end in the middle of their next line."""

        self.tokens = {"secret"}
        self.delay_s = 0.0
        self.page_size = 0
        """The most objects of a page, whatever is asked for; 0: what is asked for."""

        self.is_running = False
        self.rounds = 0
        """How often all watches were ended."""

        self._httpd: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # Coming and going

    def start(self) -> None:
        handler = type("Bound", (_Handler,), {"api": self})
        self._httpd = _Server(("127.0.0.1", self._port), handler)
        self._port = self._httpd.server_address[1]
        self.is_running = True
        threading.Thread(target=self._httpd.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Nobody is answered any more, and who is being answered is cut off."""
        if self._httpd:
            with self.changed:
                self.is_running = False
                self.changed.notify_all()
            self._httpd.shutdown()
            self._httpd.server_close()
            self._httpd = None

    # What goes wrong

    def fail(self, status: int, verb: str, plural: str, times: int = 1_000_000, **headers: str) -> Fault:
        fault = Fault(
            status, verb, plural, times, {key.replace("_", "-"): text for key, text in headers.items()}
        )
        self.faults.append(fault)
        return fault

    def forget_history(self) -> None:
        """As etcd is compacted: whoever resumes from before is told that it is gone."""
        with self.changed:
            self.version += 1
            self.forgotten = self.version
            self.history.clear()

    def end_watches(self) -> None:
        """Cut off all that are open, when they have said what there is to say."""
        with self.changed:
            self.rounds += 1
            self.changed.notify_all()

    def count(self, verb: str, plural: str) -> int:
        return self.requests.count((verb, plural))

    # What is asked for

    def listed(self, plural: str, query: dict[str, str], namespace: str | None) -> list[Object]:
        found = [
            each
            for (space, _), each in sorted(self.objects.get(plural, {}).items())
            if (namespace is None or namespace == space) and self.selects(query, each)
        ]
        return copy.deepcopy(found)

    @staticmethod
    def selects(query: dict[str, str], found: Object) -> bool:
        selector = query.get("fieldSelector", "")
        for part in filter(None, selector.split(",")):
            path, _, wanted = part.partition("=")
            value: Any = found
            for name in path.split("."):
                value = value.get(name, {}) if isinstance(value, dict) else None
            if value != wanted:
                return False
        return True

    def get(self, plural: str, namespace: str | None, name: str) -> Object:
        try:
            return copy.deepcopy(self.objects[plural][namespace or "", name])
        except KeyError:
            raise Refusal(404, f'{plural} "{name}" not found') from None

    def create(self, plural: str, namespace: str | None, content: Object, strict: bool) -> Object:
        meta = content.setdefault("metadata", {})
        if namespace:
            meta["namespace"] = namespace
        key = meta.get("namespace", "") if plural in NAMESPACED else "", meta["name"]
        if key in self.objects.setdefault(plural, {}):
            raise Refusal(409, f'{plural} "{meta["name"]}" already exists')
        content = self.checked(plural, content, strict)
        if plural in self.schemas or plural == "pods":
            content.pop("status", None)  # that is for its subresource
        if plural == CRDS:
            version = content["spec"]["versions"][0]
            self.schemas[content["spec"]["names"]["plural"]] = version["schema"]["openAPIV3Schema"]
        content["metadata"] |= {"uid": str(uuid.uuid4()), "generation": 1}
        return self.keep(plural, key, content, "ADDED")

    def change(
        self, plural: str, namespace: str | None, name: str, change: Object, of_status: bool
    ) -> Object:
        before = self.get(plural, namespace, name)
        version = change.get("metadata", {}).get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            raise Refusal(
                409, "the object has been modified; please apply your changes to the latest version"
            )
        after = merge(before, {"status": change.get("status")} if of_status else change)
        if not of_status:
            after["status"] = before.get("status", {})
            if not after["status"]:
                del after["status"]
        after = self.checked(plural, after, strict=False)
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        if after == before:
            return before
        return self.keep(plural, (namespace or "", name), after, "MODIFIED")

    def delete(self, plural: str, namespace: str | None, name: str) -> Object:
        found = self.get(plural, namespace, name)
        del self.objects[plural][namespace or "", name]
        return self.note(plural, found, "DELETED")

    def checked(self, plural: str, content: Object, strict: bool) -> Object:
        """As the schema has it; what it does not know is refused or left out, as the real one does."""
        schema = self.schemas.get(plural)
        if schema is None:
            return content
        problems = [
            f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
            for error in OAS30Validator(schema).iter_errors(content)
        ]
        meta = content["metadata"]
        if strict:
            problems += strict_problems(schema, {k: v for k, v in content.items() if k != "metadata"})
        if problems:
            raise Refusal(422, "; ".join(problems))
        return {**prune(schema, content), "metadata": meta}

    def keep(self, plural: str, key: tuple[str, str], content: Object, kind: str) -> Object:
        self.objects.setdefault(plural, {})[key] = content
        return self.note(plural, content, kind)

    def note(self, plural: str, content: Object, kind: str) -> Object:
        self.version += 1
        content["metadata"]["resourceVersion"] = str(self.version)
        self.history.append(Happening(self.version, kind, plural, copy.deepcopy(content)))
        self.changed.notify_all()
        return content

    def bookmark(self, plural: str) -> None:
        with self.changed:
            self.version += 1
            found = {"kind": "?", "metadata": {"resourceVersion": str(self.version)}}
            self.history.append(Happening(self.version, "BOOKMARK", plural, found))
            self.changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Of a connection that broke off: its other side knows."""


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, act: Callable[[], tuple[int, Object] | None]) -> None:
        parts = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        self.body: Object = json.loads(self.rfile.read(length)) if length else {}
        found = _PATH.fullmatch(parts.path)
        try:
            if not found:
                raise Refusal(404, "the server could not find the requested resource")
            self.namespace, self.plural = found["namespace"], found["plural"]
            self.name, self.of_status = unquote(found["name"] or "") or None, bool(found["status"])
            verb = self._verb()
            self.api.requests.append((verb, self.plural))
            if self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.api.tokens:
                raise Refusal(401, "Unauthorized")
            for fault in self.api.faults:
                if fault.hits(verb, self.plural):
                    self._send(
                        fault.status, _status(fault.status, f"cannot {verb} {self.plural}"), fault.headers
                    )
                    return
            time.sleep(self.api.delay_s)
            if self.plural.startswith("kubearmor") and self.plural not in self.api.schemas:
                raise Refusal(404, "the server could not find the requested resource")
            answer = act()
            if answer:
                self._send(*answer)
        except Refusal as refusal:
            self._send(refusal.status, _status(refusal.status, str(refusal)))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _verb(self) -> str:
        if self.command == "GET":
            if self.name:
                return "get"
            return "watch" if self.query.get("watch") == "true" else "list"
        return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[self.command]

    def _get(self) -> tuple[int, Object] | None:
        if self.name:
            with self.api.changed:
                return 200, self.api.get(self.plural, self.namespace, self.name)
        if self.query.get("watch") == "true":
            self._watch()
            return None
        with self.api.changed:
            objects = self.api.listed(self.plural, self.query, self.namespace)
            meta: Object = {"resourceVersion": str(self.api.version)}
            first = 0
            if "continue" in self.query:
                version, _, start = self.query["continue"].removeprefix(CONTINUE).partition("-")
                if int(version) < self.api.forgotten:
                    raise Refusal(410, "the provided continue parameter is too old")
                meta["resourceVersion"], first = version, int(start)
            size = self.api.page_size or int(self.query.get("limit", 0)) or len(objects)
            if first + size < len(objects):
                meta["continue"] = f"{CONTINUE}{meta['resourceVersion']}-{first + size}"
            return 200, {"kind": "List", "metadata": meta, "items": objects[first : first + size]}

    def _post(self) -> tuple[int, Object]:
        with self.api.changed:
            strict = self.query.get("fieldValidation") == "Strict"
            return 201, self.api.create(self.plural, self.namespace, self.body, strict)

    def _patch(self) -> tuple[int, Object]:
        if self.headers.get("Content-Type") != "application/merge-patch+json":
            raise Refusal(415, "the body of the request was in an unknown format")
        with self.api.changed:
            changed = self.api.change(self.plural, self.namespace, self.name or "", self.body, self.of_status)
            return 200, changed

    def _delete(self) -> tuple[int, Object]:
        with self.api.changed:
            return 200, self.api.delete(self.plural, self.namespace, self.name or "")

    def _watch(self) -> None:
        """Changes as they happen, each a line of JSON in a chunk of its own."""
        api = self.api
        version = int(self.query.get("resourceVersion") or 0)
        rounds = api.rounds
        deadline = time.monotonic() + float(self.query.get("timeoutSeconds", 300))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if version < api.forgotten:
            self._line({"type": "ERROR", "object": _status(410, f"too old resource version: {version}")})
            self._end()
            return
        while True:
            with api.changed:
                news = self._news(version)
                while not self._is_over(rounds) and not news and (left_s := deadline - time.monotonic()) > 0:
                    api.changed.wait(left_s)
                    news = self._news(version)
                version = max([version, *(each.version for each in news)])
            for each in news:
                if each.kind == "BOOKMARK" and self.query.get("allowWatchBookmarks") != "true":
                    continue
                if each.plural in api.cuts:
                    api.cuts.discard(each.plural)
                    line = json.dumps({"type": each.kind, "object": each.object}).encode()
                    self._chunk(line[: len(line) // 2])
                    self._cut()
                    return
                self._line({"type": each.kind, "object": each.object})
            if self._is_over(rounds):
                self._cut()
                return
            if time.monotonic() >= deadline:
                self._end()
                return

    def _is_over(self, rounds: int) -> bool:
        return not self.api.is_running or self.api.rounds != rounds

    def _news(self, version: int) -> list[Happening]:
        return [
            each
            for each in self.api.history
            if each.version > version
            and each.plural == self.plural
            and (each.kind == "BOOKMARK" or self.api.selects(self.query, each.object))
        ]

    def _line(self, content: Object) -> None:
        self._chunk(json.dumps(content).encode() + b"\n")

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the other side may be gone already
            self.connection.shutdown(socket.SHUT_RDWR)

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _send(self, status: int, content: Object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for key, text in (headers or {}).items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(body)


def _status(code: int, message: str) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
