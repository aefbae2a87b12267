"""Certificates to try TLS with: an authority, a receiver and a client, as files."""

from pathlib import Path
from typing import NamedTuple

import trustme


class Pair(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: str
    key: str


class Authority:
    """An authority that only these tests know, and what it vouches for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority = trustme.CA()
        self._count = 0
        directory.mkdir(exist_ok=True)
        self.file = str(directory / "authority.pem")
        self._authority.cert_pem.write_to_path(self.file)

    def vouch(self, *names: str) -> Pair:
        """A certificate for hosts or addresses."""
        self._count += 1
        certificate = self._authority.issue_cert(*names)
        pair = Pair(str(self._directory / f"{self._count}.pem"), str(self._directory / f"{self._count}.key"))
        for number, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(pair.certificate, append=number > 0)
        certificate.private_key_pem.write_to_path(pair.key)
        return pair
