"""Webhooks, against a receiver that does as it is told."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hauberk.errors import ConfigError, SinkBusy, SinkError, SinkRefused
from hauberk.formats import FORMATS, Format
from hauberk.sinks import Message, wrapped
from hauberk.sinks.webhook import Webhook, WebhookSink
from tests.events import ALERT, EVENT

LINES: Format = FORMATS.load("kubearmor")().make()
KEY = "0123456789abcdef"
PAGE = Path(__file__).parents[3] / "docs/sinks/webhook.md"


def messages(*texts: str) -> list[Message]:
    return [
        Message(json.dumps({"Source": text}).encode(), False, f"id-{number}", "host")
        for number, text in enumerate(texts)
    ]


class Receiver:
    """Answers as the script has it, then 200."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, str]]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self.refuses = b""
        """What a body may not hold: 422."""

        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                status, headers = receiver.script.pop(0) if receiver.script else (200, {})
                if receiver.refuses and receiver.refuses in body:
                    status = 422
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.block_on_close = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def open_sink(receiver: Receiver, said: list[str] | None = None, **settings: object) -> WebhookSink:
    made = msgspec.convert({"url": f"http://127.0.0.1:{receiver.port}/token-in-path"} | settings, Webhook)
    return made.open(wrapped(made, LINES), (said if said is not None else []).append)


def test_one_request_a_batch(receiver: Receiver) -> None:
    """A line each, with the IDs of the events, over one connection."""
    sink = open_sink(receiver, max_events=2)
    sink.write(messages("a", "b", "c"))
    sink.close()

    assert receiver.bodies == [b'{"Source": "a"}\n{"Source": "b"}\n', b'{"Source": "c"}\n']
    assert [headers["Hauberk-Event-Ids"] for headers, _ in receiver.requests] == ["id-0,id-1", "id-2"]
    assert {headers["Content-Type"] for headers, _ in receiver.requests} == {"application/x-ndjson"}
    assert receiver.connections == 1


def test_array(receiver: Receiver) -> None:
    sink = open_sink(receiver, body="array")
    sink.write(messages("a", "b"))
    sink.close()

    assert [json.loads(body) for body in receiver.bodies] == [[{"Source": "a"}, {"Source": "b"}]]
    assert receiver.requests[0][0]["Content-Type"] == "application/json"


def test_ids_cannot_break_out_of_their_header(receiver: Receiver) -> None:
    """The name of a host is in them, and may be anything."""
    sink = open_sink(receiver)
    sink.write([Message(b"{}", False, "nöde,1\r\nX-Evil: 1", "host")])
    sink.close()

    assert receiver.requests[0][0]["Hauberk-Event-Ids"] == "n%C3%B6de%2C1%0D%0AX-Evil%3A%201"
    assert "X-Evil" not in receiver.requests[0][0]


def verifier() -> Any:
    """What the page gives receivers to verify with."""
    found = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    space: dict[str, Any] = {}
    exec(found[1], space)
    return space["is_genuine"]


def test_receivers_can_verify(receiver: Receiver, tmp_path: Path) -> None:
    """By what the documentation tells them; what is changed or old does not pass."""
    (tmp_path / "key").write_text(KEY + "\n")
    sink = open_sink(receiver, signature={"file": str(tmp_path / "key")})
    sink.write(messages("a", "b"))
    sink.close()
    headers, body = receiver.requests[0]
    is_genuine = verifier()

    assert is_genuine(KEY.encode(), headers, body)
    assert not is_genuine(b"another key", headers, body)
    assert not is_genuine(KEY.encode(), headers, body + b" ")
    assert not is_genuine(KEY.encode(), headers | {"Hauberk-Event-Ids": "id-7"}, body)
    assert not is_genuine(KEY.encode(), headers, body, tolerance_s=-10)


def test_key_is_read_again(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    sink = open_sink(receiver, signature={"file": str(file)})
    file.write_text("another key, long enough")
    sink.reopen()
    sink.write(messages("a"))
    sink.close()

    assert verifier()(b"another key, long enough", *receiver.requests[0])


def test_short_key_is_refused(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2")
    with pytest.raises(SinkError, match="at least 16 bytes") as caught:
        open_sink(receiver, signature={"file": str(tmp_path / "key")})

    assert "hunter2" not in str(caught.value)


TEMPLATE = {
    "text": "*${Action}* on ${HostName}: ${Source} $$5",
    "blocks": [{"type": "section", "n": 5, "text": "${EventData.syscall} ${ATags} ${Missing}${UID}"}],
}


def test_template(receiver: Receiver) -> None:
    """Each event in the receiver's shape, in a request of its own."""
    sink = open_sink(receiver, template=TEMPLATE)
    sink.write([Message(LINES.encode(event), False, event.id, "host") for event in (ALERT, EVENT)])
    sink.close()
    first, second = (json.loads(body) for body in receiver.bodies)

    assert first == {
        "text": "*Block* on node-1: /bin/bash $5",
        "blocks": [{"type": "section", "n": 5, "text": "openat MITRE, T1003 1000"}],
    }
    assert second["text"] == "** on node-1: /bin/bash $5"


HOSTILE = [
    '"}],"text":"forged',
    "\\",
    "${HostName}",
    "$HostName $$ ${",
    "<!channel> & <https://evil.example|click>",
    "\n\r\x00\x1b[31m\u2028",
    "{0.__class__}",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("escape", ["markup", "none"])
def test_fields_stay_within_their_text(receiver: Receiver, text: str, escape: str) -> None:
    """Whatever a workload says, the shape is the template's, and nothing is filled in twice."""
    sink = open_sink(receiver, template={"text": "by ${Source}.", "other": "fixed"}, escape=escape)
    sink.write([*messages(text)])
    sink.close()
    found = json.loads(receiver.bodies[0])
    expected = text if len(text) <= 2000 else text[:2000] + "…"
    if escape == "markup":
        expected = expected.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    assert found == {"text": f"by {expected}.", "other": "fixed"}


def test_what_is_not_taken_is_found(receiver: Receiver) -> None:
    """One event that the receiver does not like costs none of its neighbours."""
    receiver.refuses = b"poison"
    sink = open_sink(receiver)
    with pytest.raises(SinkRefused, match="422") as caught:
        sink.write(messages("a", "b", "poison", "d", "e"))
    sink.close()
    taken = [body for body in receiver.bodies if b"poison" not in body]

    assert caught.value.refused == 1
    assert re.findall('"Source": "(.*?)"', b"".join(taken).decode()) == ["a", "b", "d", "e"]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 410, 425, 429, 500, 502, 503])
def test_what_is_not_the_events_fault_waits(receiver: Receiver, status: int) -> None:
    receiver.script = [(200, {}), (status, {})]
    with pytest.raises(SinkError, match=str(status)) as caught:
        open_sink(receiver, max_events=1).write(messages("a", "b"))

    assert not isinstance(caught.value, (SinkRefused, SinkBusy))
    assert (caught.value.delivered, caught.value.refused) == (1, 0)


def test_patience(receiver: Receiver) -> None:
    receiver.script = [(429, {"Retry-After": "3"})]
    with pytest.raises(SinkBusy) as caught:
        open_sink(receiver).write(messages("a"))

    assert caught.value.retry_after_s == 3


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    """Not even to the same host: nobody but the operator says where events go."""
    for status in (301, 302, 303, 307, 308):
        receiver.script = [(status, {"Location": "/elsewhere"})]
        receiver.requests.clear()
        with pytest.raises(SinkError, match="redirects are not followed") as caught:
            open_sink(receiver).write(messages("a"))

        assert not isinstance(caught.value, SinkRefused)
        assert len(receiver.requests) == 1


def test_errors_hold_no_secrets(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL may be a secret: no more than its host is told, whatever goes wrong."""
    (tmp_path / "url").write_text(f"http://127.0.0.1:{receiver.port}/hunter2?hunter2")
    monkeypatch.setenv("HAUBERK_TEST_TOKEN", "hunter2-token")
    settings: dict[str, Any] = {
        "url": {"file": str(tmp_path / "url")},
        "headers": {"Authorization": {"env": "HAUBERK_TEST_TOKEN"}},
    }
    sink = open_sink(receiver, **settings)
    problems = [repr(msgspec.convert(settings, Webhook))]
    receiver.script = [(500, {}), (302, {"Location": "/hunter2"}), (422, {})]
    for _ in range(3):
        with pytest.raises(SinkError) as caught:
            sink.write(messages("a"))
        problems.append(str(caught.value))
    receiver.close()
    sink.reopen()
    with pytest.raises(SinkError) as caught:
        sink.write(messages("a"))
    problems.append(str(caught.value))

    assert receiver.requests[0][0]["Authorization"] == "hunter2-token"
    assert not any("hunter2" in problem for problem in problems)
    assert f"webhook http://127.0.0.1:{receiver.port}: " in problems[-1]
    (tmp_path / "url").write_text("ftp://hunter2")
    with pytest.raises(SinkError) as caught:
        sink.reopen()
    assert "hunter2" not in str(caught.value)


def test_template_needs_json() -> None:
    for settings in ({"template": {"text": "${A}"}}, {"body": "array"}):
        made = msgspec.convert({"url": "https://h"} | settings, Webhook)
        with pytest.raises(ConfigError, match="choose a format such as kubearmor"):
            wrapped(made, Format(LINES.encode, "text/plain"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "responder.example.org/x"}, "is not like https://"),
        ({"url": "https://ada:hunter2@responder.example.org"}, "as a header"),
        ({"url": {"file": "a", "env": "b"}}, "name one"),
        ({"url": "https://h", "template": {"text": "fixed"}}, "names no field"),
        ({"url": "https://h", "template": {"text": "${}"}}, "not well formed"),
        ({"url": "https://h", "template": {"text": "5 $"}}, "not well formed"),
        ({"url": "https://h", "headers": {"content-type": "x"}}, "not to be set"),
        ({"url": "https://h", "headers": {"X-Api-Key": "hunter2"}}, "keep it elsewhere"),
        ({"url": "https://h", "max_events": 1000}, "<= 100"),
        ({"url": "https://h", "signature": "hunter2"}, "Expected `object"),
    ],
)
def test_bad_settings_are_told(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem) as caught:
        msgspec.convert(settings, Webhook)

    assert "hunter2" not in str(caught.value)
