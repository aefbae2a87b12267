"""Certificates: read, checked, and read anew when they change."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from hauberk.errors import ConfigError


class Identity(NamedTuple):
    """Files in PEM: who we are, and whom we believe."""

    certificate: Path
    """With those that signed it, up to but without the root."""

    key: Path
    client_ca: Path | None
    """Who signs the certificates of clients; None: a client needs none."""

    def read(self) -> grpc.ServerCertificateConfiguration:
        """The contents of the files; raises ConfigError if they are no certificate, or not of each other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except ssl.SSLError as error:
            raise ConfigError(
                f"{self.certificate} and {self.key} are no certificate and its key, both in PEM: "
                f"{error.reason or error}"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"cannot read tls_cert {self.certificate} and tls_key {self.key}: {error.strerror}"
            ) from error
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise ConfigError(
                    f"{self.client_ca} has no certificates in PEM: {error.reason or error}"
                ) from error
            except OSError as error:
                raise ConfigError(f"cannot read tls_client_ca {self.client_ca}: {error.strerror}") from error
        return grpc.ssl_server_certificate_configuration(
            [(self.key.read_bytes(), self.certificate.read_bytes())],
            root_certificates=self.client_ca.read_bytes() if self.client_ca else None,
        )

    def version(self) -> tuple[tuple[int, int], ...]:
        """Changes when a file does."""
        files = filter(None, (self.certificate, self.key, self.client_ca))
        return tuple((status.st_ino, status.st_mtime_ns) for status in (file.stat() for file in files))


def _no_password() -> str:
    raise ConfigError("tls_key is encrypted: an agent has nobody who could type its password")


def server_credentials(identity: Identity, warn: Callable[[str], None]) -> grpc.ServerCredentials:
    """Credentials that follow the files: each new connection has the certificate of that moment.

    Files that turn bad, as half of a pair that is being replaced is for a moment, leave the last good ones in use.
    """
    first = identity.read()
    seen = identity.version()
    problem = ""

    def renew() -> Any:
        nonlocal seen, problem
        try:
            version = identity.version()
            if version == seen:
                return None
            configuration = identity.read()
        except (ConfigError, OSError) as error:
            if str(error) != problem:
                problem = str(error)
                warn(f"the TLS certificate in use stays the one before: {error}")
            return None
        seen, problem = version, ""
        warn(f"new TLS certificate from {identity.certificate}")
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        first, renew, require_client_authentication=identity.client_ca is not None
    )
