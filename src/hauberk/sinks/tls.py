"""TLS towards destinations: whom to believe, and who we are."""

import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from hauberk.errors import SinkError


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of TLS. That the receiver is who it says is always verified: there is no setting against it."""

    ca: str = ""
    """File of the authorities that may vouch for the receiver, in PEM; the system's if empty."""

    certificate: str = ""
    """File of our own certificate, and those between it and the authority, for receivers that ask for one."""

    key: str = ""
    """File of its key; if empty, it stands in the file of the certificate."""

    server_name: str = ""
    """The name that the receiver's certificate must have, if it is not the one we call it by."""

    def __post_init__(self) -> None:
        if self.key and not self.certificate:
            raise ValueError("tls: there is a `key` but no `certificate`")

    def context(self) -> ssl.SSLContext:
        """What the files hold now; raises SinkError."""
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
        except OSError as error:
            raise SinkError(
                f"tls: cannot read authorities from {self.ca}: {_reason(error)}; it must hold certificates in PEM"
            ) from error
        if self.certificate:
            try:
                # an encrypted key would ask for its password on the terminal
                context.load_cert_chain(self.certificate, self.key or None, password=_no_password)
            except OSError as error:
                files = " and ".join(filter(None, (self.certificate, self.key)))
                raise SinkError(
                    f"tls: cannot use {files}: {_reason(error)}; a certificate and its key are wanted, in PEM"
                ) from error
        return context

    def read(self) -> "Files":
        """What the files hold now, for libraries that want that; raises SinkError."""
        self.context()
        key = self.key or self.certificate
        return Files(
            *(Path(name).read_bytes() if name else None for name in (self.ca, key, self.certificate))
        )


class Files(NamedTuple):
    """What stands in the files of `Tls`; None where there is none."""

    ca: bytes | None
    key: bytes | None
    certificate: bytes | None


def _no_password() -> bytes:
    raise SinkError("tls: the key is encrypted; give one without a password that only the agent may read")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is damaged"
    return error.strerror or str(error)


def is_on_this_node(host: str) -> bool:
    """Whether what is sent to this host stays on the machine."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def warn_of_plain_text(where: str, host: str, warn: Callable[[str], None]) -> None:
    """Say so if events would leave the machine for everybody on the way to read."""
    if not is_on_this_node(host):
        warn(f"{where}: events leave this node in plain text, and anybody could answer; use TLS")
