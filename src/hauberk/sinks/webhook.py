"""Webhooks: events posted to a URL, signed, in batches or one by one, as they are or in the receiver's shape."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from hauberk.errors import ConfigError, SinkBusy, SinkError
from hauberk.formats import Format
from hauberk.sinks import Message
from hauberk.sinks.batches import BatchRefused, deliver
from hauberk.sinks.http import Answer, Headers, Poster, check_headers, check_url, reveal_headers
from hauberk.sinks.secret import Secret, reveal
from hauberk.sinks.template import Value, check_template, fill
from hauberk.sinks.tls import Tls, warn_of_plain_text

_JSON: Final = "application/json"
_LINES: Final = "application/x-ndjson"
_CONTENT: Final = frozenset({400, 413, 415, 422})
"""Answers that speak of what was sent, not of who sent it or where to: the same will never be taken."""

_OURS: Final = frozenset(
    {"content-type", "content-length", "host", "user-agent", "hauberk-event-ids", "hauberk-signature"}
)
_SHORTEST_SECRET: Final = 16


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a webhook."""

    url: str | Secret
    """A URL that is itself a secret, as Slack's are, is kept elsewhere: ``{file: PATH}``."""

    max_events: Annotated[int, Meta(ge=1, le=100)] = 100
    """At most so many events a request; 1 for a request an event."""

    max_bytes: Annotated[int, Meta(ge=1024)] = 1 << 20
    """And so many bytes, unless a single event is longer."""

    body: Literal["lines", "array"] = "lines"
    """How a request holds events: one a line, or all in one JSON array."""

    template: dict[str, Value] = {}
    """The body of a request, with one event's fields in it as ``${Field}``; every event is then a request of its own."""

    escape: Literal["markup", "none"] = "markup"
    """With a template: whether ``&``, ``<`` and ``>`` in fields are escaped, as Slack wants it."""

    signature: Secret | None = None
    """The key that signatures are made with."""

    headers: Headers = {}
    timeout_s: Annotated[float, Meta(gt=0)] = 10.0
    tls: Tls = Tls()

    def __post_init__(self) -> None:
        check_headers(self.headers)
        if ours := sorted(name for name in self.headers if name.lower() in _OURS):
            raise ValueError(f"the header {ours[0]} is not to be set: the webhook does")
        if isinstance(self.url, str) and check_url(self.url).scheme != "https" and self.tls != Tls():
            raise ValueError("`tls` is of no use with http://; write https://")
        if self.template and not check_template(self.template):
            raise ValueError("template: it names no field of the event, such as ${Source}")

    def wrap(self, form: Format) -> Format:
        """As it is, if it can go where it shall. Raises ConfigError."""
        if (self.template or self.body == "array") and form.media_type != _LINES:
            what = "a template" if self.template else "an array"
            raise ConfigError(f"{what} is made of JSON: choose a format such as kubearmor")
        return form

    def open(self, form: Format, warn: Callable[[str], None]) -> "WebhookSink":
        sink = WebhookSink(self, form)
        if sink.is_plain:
            warn_of_plain_text(sink.where, sink.host, warn)
        return sink


class WebhookSink:
    """Posts. Errors name no more of the URL than the host, in case the rest of it is a secret."""

    def __init__(self, settings: Webhook, form: Format, now_s: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._join = form.join
        self._media_type = _JSON if settings.template or settings.body == "array" else form.media_type
        self._now_s = now_s
        self._poster, self._headers, self._key = self._prepare()

    def _prepare(self) -> tuple[Poster, dict[str, str], bytes | None]:
        """What hangs on files and environment. Raises SinkError."""
        settings = self._settings
        try:
            parts = check_url(reveal(settings.url))
        except ValueError as error:
            raise SinkError(f"webhook: {error}") from None
        self.host = parts.hostname or ""
        self.is_plain = parts.scheme == "http"
        self.where = f"webhook {parts.scheme}://{parts.netloc}"
        key = settings.signature.read().encode() if settings.signature else None
        if key is not None and len(key) < _SHORTEST_SECRET:
            raise SinkError(
                f"{self.where}: a key for signatures has at least {_SHORTEST_SECRET} bytes; make a longer one"
            )
        headers = {"User-Agent": "hauberk"} | reveal_headers(settings.headers)
        headers["Content-Type"] = self._media_type
        return Poster(self.where, parts, settings.tls, settings.timeout_s), headers, key

    def write(self, messages: Sequence[Message]) -> None:
        settings = self._settings
        max_events = 1 if settings.template else settings.max_events
        deliver(messages, self._send, max_events=max_events, max_bytes=settings.max_bytes)

    def _send(self, batch: Sequence[Message]) -> None:
        body = self._body([message.content for message in batch])
        ids = ",".join(quote(message.id) for message in batch)  # the name of a host may be anything
        headers = self._headers | {"Hauberk-Event-Ids": ids}
        if self._key is not None:
            headers["Hauberk-Signature"] = sign(self._key, int(self._now_s()), ids, body)
        self._judge(self._poster.post(body, headers))

    def _body(self, contents: Sequence[bytes]) -> bytes:
        settings = self._settings
        if settings.template:
            filled = fill(settings.template, json.loads(contents[0]), escapes=settings.escape == "markup")
            return json.dumps(filled, ensure_ascii=False).encode()
        if settings.body == "array":
            return b"[" + b",".join(contents) + b"]"
        return self._join(contents)

    def _judge(self, answer: Answer) -> None:
        if answer.is_success:
            return
        text = f"{self.where}: {answer}"
        if answer.status in _CONTENT:
            raise BatchRefused(f"{text}: it does not take what was sent", refused=1)
        if answer.is_redirect:
            raise SinkError(f"{text}: redirects are not followed; set `url` to where it is now")
        if answer.retry_after_s is not None:
            raise SinkBusy(text, retry_after_s=answer.retry_after_s)
        if answer.status in (401, 403, 404, 410):
            text += ": see `url`, `headers` and `signature`"
        raise SinkError(text)

    def reopen(self) -> None:
        before = self._poster
        self._poster, self._headers, self._key = self._prepare()
        before.close()

    def close(self) -> None:
        self._poster.close()


def sign(key: bytes, second: int, ids: str, body: bytes) -> str:
    """The value of `Hauberk-Signature`: when, and the HMAC-SHA256 of when, of which events and what."""
    signed = b"%d.%b.%b" % (second, ids.encode(), body)
    return f"t={second},v1={hmac.new(key, signed, hashlib.sha256).hexdigest()}"
