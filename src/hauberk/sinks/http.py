"""HTTP towards destinations: one connection, kept open; no redirects, no endless answers, no secrets in errors."""

import re
import ssl
from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

import msgspec

from hauberk.errors import SinkError
from hauberk.sinks.secret import Secret, reveal
from hauberk.sinks.tls import Tls

Headers: TypeAlias = dict[str, str | Secret]

_ANSWER_BYTES: Final = 64 << 10
_LONGEST_PATIENCE_S: Final = 3600.0
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_SECRET_NAMES: Final = re.compile(r"auth|cookie|token|secret|key|password", re.IGNORECASE)


def check_url(url: str) -> SplitResult:
    """The parts of a URL that events can be sent to; raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError("the url is not like https://HOST:PORT/PATH")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the url holds a name or password: give it as a header from a file, {file: …}")
    _ = parts.port  # raises ValueError if there can be none such
    return parts


def check_headers(headers: Headers) -> None:
    """Raise ValueError for headers that cannot be, or that would hold a secret in the settings."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"no header can be named {name!r}")
        if isinstance(value, str):
            if not _VALUE.fullmatch(value):
                raise ValueError(f"the value of the header {name} has letters that no header can have")
            if _SECRET_NAMES.search(name):
                raise ValueError(
                    f"the header {name} looks like a secret: keep it elsewhere and write {{file: PATH}} or {{env: NAME}}"
                )


def reveal_headers(headers: Headers) -> dict[str, str]:
    """With the secrets that they are now; raises SinkError."""
    revealed = {name: reveal(value) for name, value in headers.items()}
    for name, value in revealed.items():
        if not _VALUE.fullmatch(value):
            raise SinkError(f"the secret for the header {name} has letters that no header can have")
    return revealed


class Answer(msgspec.Struct, frozen=True):
    """What a receiver says to a request."""

    status: int
    reason: str
    media_type: str
    retry_after_s: float | None
    content: bytes
    """Its beginning, if it is very long."""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400

    def __str__(self) -> str:
        return f"{self.status} {printable(self.reason)}".rstrip()


def printable(text: str, length: int = 200) -> str:
    """What a peer says, fit to be shown to people."""
    shown = text if len(text) <= length else text[:length] + "…"
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


class Poster:
    """Posts to one URL. `where` is how errors call it: a URL may be a secret."""

    def __init__(self, where: str, parts: SplitResult, tls: Tls, timeout_s: float) -> None:
        # imported here: whoever sends nothing by HTTP starts quicker
        from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout

        self._where = where
        self._target = parts._replace(scheme="", netloc="").geturl() or "/"
        self._timeout_s = timeout_s
        host, timeout = parts.hostname or "", Timeout(connect=timeout_s, read=timeout_s)
        self._pool: HTTPConnectionPool
        if parts.scheme == "https":
            self._pool = HTTPSConnectionPool(
                host,
                parts.port,
                timeout=timeout,
                retries=False,
                ssl_context=tls.context(),
                server_hostname=tls.server_name or None,
                assert_hostname=tls.server_name or None,
            )
        else:
            self._pool = HTTPConnectionPool(host, parts.port, timeout=timeout, retries=False)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """What the receiver answers, whatever that is; raises SinkError if it does not."""
        from urllib3 import exceptions

        try:
            response = self._pool.urlopen(
                "POST",
                self._target,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                content = response.read(_ANSWER_BYTES)
                response.drain_conn() if len(content) < _ANSWER_BYTES else response.close()
            finally:
                response.release_conn()
        except (exceptions.HTTPError, OSError) as error:
            raise SinkError(f"{self._where}: {self._reason(error)}") from error
        return Answer(
            response.status,
            response.reason or "",
            response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            _patience(response.headers.get("Retry-After")),
            content,
        )

    def _reason(self, error: BaseException) -> str:
        """What has gone wrong, in words; libraries wrap it and add addresses of objects and whole URLs."""
        from urllib3 import exceptions

        cause: BaseException | None = error
        while cause:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"the receiver's certificate does not hold: {cause.verify_message}; see `tls`"
            if isinstance(cause, ssl.SSLError) and cause.reason:
                return f"TLS: {cause.reason.replace('_', ' ').lower()}"
            if isinstance(cause, (TimeoutError, exceptions.TimeoutError)) and not isinstance(
                cause, exceptions.NewConnectionError
            ):
                return f"no answer within {self._timeout_s:g} s"
            if isinstance(cause, OSError) and cause.strerror:
                return cause.strerror
            cause = cause.__cause__ or cause.__context__
        return "the connection ended in the middle of an answer"

    def close(self) -> None:
        self._pool.close()


def _patience(text: str | None) -> float | None:
    """The seconds that `Retry-After` asks for, by number or by date."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        seconds = Retry().parse_retry_after(text) if text else None
    except (InvalidHeader, ValueError, OverflowError):
        return None
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_PATIENCE_S)
