"""KubeArmor's door: its gRPC services at its ports, as the settings want them."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc

from hauberk.api import feed, policies
from hauberk.api.feed import Feed
from hauberk.api.policies import Policies, PolicyService
from hauberk.api.server import AddressTaken, Server, is_loopback, parse_address
from hauberk.api.tls import Identity, server_credentials
from hauberk.config import Config
from hauberk.errors import ConfigError

OFF = "off"


class Door:
    """Open until it is closed. An address that somebody else has is complained of, and the agent goes on without."""

    def __init__(
        self, config: Config, served: Feed, kept: Policies | None, warn: Callable[[str], None]
    ) -> None:
        """Raises ConfigError if the settings are wrong, or would let anybody on the network read along."""
        if config.grpc_health != OFF:
            parse_address("grpc_health", config.grpc_health)
        credentials = _credentials(config, warn)
        self._stack = ExitStack()
        self.ports: list[int] = []
        """In the order of the settings; of an address with port 0, the one that was found."""

        try:
            taking = PolicyService(kept, trusts_certificates=bool(config.tls_client_ca), warn=warn)
            services = [(feed.SERVICE, served.handler()), (policies.SERVICE, taking.handler())]
            server = Server(config.grpc, services, credentials=credentials, on_end=served.end)
            self._add(server)
            taking.port = server.port
            if config.grpc_health != OFF:
                self._add(Server(config.grpc_health, [(name, None) for name, _ in services]))
        except AddressTaken as error:
            warn(f"{error}; set grpc and grpc_health to others, or to off")

    def _add(self, server: Server) -> None:
        self._stack.callback(server.close)
        self.ports.append(server.port)

    def close(self) -> None:
        """Let readers have what waits, for some seconds, and end."""
        self._stack.close()


def _credentials(config: Config, warn: Callable[[str], None]) -> grpc.ServerCredentials | None:
    """As the settings say; None: without TLS."""
    if bool(config.tls_cert) != bool(config.tls_key):
        raise ConfigError("tls_cert and tls_key go together: one of them is not set")
    if config.tls_client_ca and not config.tls_cert:
        raise ConfigError("tls_client_ca means nothing without tls_cert and tls_key")
    host, _ = parse_address("grpc", config.grpc)
    if config.tls_cert:
        client_ca = Path(config.tls_client_ca) if config.tls_client_ca else None
        return server_credentials(Identity(Path(config.tls_cert), Path(config.tls_key), client_ca), warn)
    if not is_loopback(host) and not config.grpc_plaintext:
        raise ConfigError(
            f"grpc {config.grpc} can be reached from other machines, and without TLS anybody there can read "
            "along: set tls_cert and tls_key, or grpc_plaintext: true if that is meant"
        )
    return None
