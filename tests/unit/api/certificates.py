"""Certificates that a test makes for itself."""

from pathlib import Path

import trustme


def make_ca(directory: Path, name: str = "ca") -> trustme.CA:
    """Somebody who signs; NAME.crt says who."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(directory / f"{name}.crt")
    return ca


def make_certificate(directory: Path, name: str, ca: trustme.CA) -> None:
    """NAME.crt and NAME.key, signed by `ca`, for localhost."""
    issued = ca.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(directory / f"{name}.key")
    issued.cert_chain_pems[0].write_to_path(directory / f"{name}.crt")
