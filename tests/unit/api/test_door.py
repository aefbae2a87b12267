"""KubeArmor's ports: who may listen where, certificates, health."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from hauberk.api.door import Door
from hauberk.api.feed import SERVICE, Feed
from hauberk.api.kubearmor_pb2 import NonceMessage, ReplyMessage
from hauberk.config import Config
from hauberk.errors import ConfigError
from hauberk.metrics import FeedCounts
from hauberk.model.event import Node
from tests.unit.api.certificates import make_ca, make_certificate

SOON_S = 60.0


@contextmanager
def opened(said: list[str] | None = None, **settings: object) -> Iterator[Door]:
    """A door at free ports of this machine."""
    config = Config(**({"grpc": "127.0.0.1:0", "grpc_health": "off"} | settings))  # type: ignore[arg-type]
    feed = Feed(Node("node-1"), FeedCounts())
    door = Door(config, feed, None, (said if said is not None else []).append)
    try:
        yield door
    finally:
        door.close()


def check(port: int, credentials: grpc.ChannelCredentials | None = None) -> int:
    """What a health check answers, over a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    address = f"localhost:{port}"
    channel = (
        grpc.secure_channel(address, credentials, options)
        if credentials
        else grpc.insecure_channel(address, options)
    )
    with channel:
        call = channel.unary_unary(
            f"/{SERVICE}/HealthCheck",
            request_serializer=NonceMessage.SerializeToString,
            response_deserializer=ReplyMessage.FromString,
        )
        return int(call(NonceMessage(nonce=47), timeout=SOON_S).Retval)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's and a client's, of one authority, and some of another."""
    directory = tmp_path_factory.mktemp("certificates")
    ca, other = make_ca(directory), make_ca(directory, "other-ca")
    for name, by in (("server", ca), ("client", ca), ("stranger", other), ("renewed", other)):
        make_certificate(directory, name, by)
    (directory / "no.crt").write_text("no certificate")
    return directory


def believing(directory: Path, ca: str, client: str | None = None) -> grpc.ChannelCredentials:
    """A client's credentials."""
    key = (directory / f"{client}.key").read_bytes() if client else None
    chain = (directory / f"{client}.crt").read_bytes() if client else None
    return grpc.ssl_channel_credentials((directory / f"{ca}.crt").read_bytes(), key, chain)


def test_loopback_needs_no_tls() -> None:
    """As KubeArmor's clients expect."""
    with opened() as door:
        assert check(door.ports[0]) == 47


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "node-1.example:0"])
def test_network_needs_tls(address: str) -> None:
    """Unless a setting says that plain text is meant."""
    with pytest.raises(ConfigError, match="without TLS anybody there can read along"), opened(grpc=address):
        pass


def test_plaintext_on_the_network_when_asked() -> None:
    """The operator has said so."""
    with opened(grpc="0.0.0.0:0", grpc_plaintext=True) as door:
        assert check(door.ports[0]) == 47


@pytest.mark.parametrize("address", ["32767", "localhost:", "localhost:70000", "", ":32767", "localhost:x"])
def test_address_that_is_none_is_refused(address: str) -> None:
    """With an example of one that is."""
    with pytest.raises(ConfigError, match=r"such as 127\.0\.0\.1:32767"), opened(grpc=address):
        pass


def test_taken_port_is_complained_of() -> None:
    """An agent that protects goes on: nobody else may share its port, nor stop it by taking it."""
    said: list[str] = []
    with opened() as first, opened(said, grpc=f"127.0.0.1:{first.ports[0]}") as second:
        assert second.ports == []
        assert check(first.ports[0]) == 47
    assert "the port is in use" in said[0]


def test_tls(certificates: Path) -> None:
    """A client believes our certificate, and plain text gets no answer."""
    files: dict[str, Any] = {
        "tls_cert": str(certificates / "server.crt"),
        "tls_key": str(certificates / "server.key"),
    }
    with opened(**files) as door:
        assert check(door.ports[0], believing(certificates, "ca")) == 47
        for other in (believing(certificates, "other-ca"), None):
            with pytest.raises(grpc.RpcError):
                check(door.ports[0], other)


def test_mtls(certificates: Path) -> None:
    """Only clients with a certificate of the authority that we name are served."""
    files: dict[str, Any] = {
        "tls_cert": str(certificates / "server.crt"),
        "tls_key": str(certificates / "server.key"),
        "tls_client_ca": str(certificates / "ca.crt"),
    }
    with opened(**files) as door:
        assert check(door.ports[0], believing(certificates, "ca", "client")) == 47
        for client in (None, "stranger"):
            with pytest.raises(grpc.RpcError):
                check(door.ports[0], believing(certificates, "ca", client))


def test_certificates_are_followed(certificates: Path, tmp_path: Path) -> None:
    """New ones hold for new connections without a restart; half of a pair leaves the old ones in use."""
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(name: str, *paths: Path) -> None:
        for path in paths:
            new = tmp_path / "new"
            new.write_bytes((certificates / f"{name}{path.suffix}").read_bytes())
            new.replace(path)

    said: list[str] = []
    put("server", cert, key)
    with opened(said, tls_cert=str(cert), tls_key=str(key)) as door:
        assert check(door.ports[0], believing(certificates, "ca")) == 47
        put("renewed", cert)
        assert check(door.ports[0], believing(certificates, "ca")) == 47
        assert check(door.ports[0], believing(certificates, "ca")) == 47
        assert [text.partition(":")[0] for text in said] == [
            "the TLS certificate in use stays the one before"
        ]
        put("renewed", key)
        assert check(door.ports[0], believing(certificates, "other-ca")) == 47
        with pytest.raises(grpc.RpcError):
            check(door.ports[0], believing(certificates, "ca"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"tls_cert": "server.crt"}, "tls_cert and tls_key go together"),
        ({"tls_client_ca": "ca.crt"}, "means nothing without tls_cert and tls_key"),
        ({"tls_cert": "nowhere.crt", "tls_key": "server.key"}, "cannot read tls_cert"),
        ({"tls_cert": "server.crt", "tls_key": "client.key"}, "no certificate and its key"),
        ({"tls_cert": "no.crt", "tls_key": "server.key"}, "no certificate and its key"),
        (
            {"tls_cert": "server.crt", "tls_key": "server.key", "tls_client_ca": "no.crt"},
            "no certificates in PEM",
        ),
        (
            {"tls_cert": "server.crt", "tls_key": "server.key", "tls_client_ca": "nowhere.crt"},
            "cannot read tls_client_ca",
        ),
    ],
)
def test_wrong_certificates_are_refused(certificates: Path, settings: dict[str, str], problem: str) -> None:
    """At the start, with a sentence that names the files."""
    paths: dict[str, Any] = {name: str(certificates / file) for name, file in settings.items()}
    with pytest.raises(ConfigError, match=problem), opened(**paths):
        pass


def test_health(certificates: Path) -> None:
    """grpc.health.v1 at both ports, by service; the second is for probes and has never TLS."""
    files: dict[str, Any] = {
        "tls_cert": str(certificates / "server.crt"),
        "tls_key": str(certificates / "server.key"),
    }
    with opened(grpc_health="127.0.0.1:0", **files) as door:
        with grpc.insecure_channel(f"127.0.0.1:{door.ports[1]}") as channel:
            health: Any = HealthStub(channel)
            for service in ("", SERVICE):
                answer = health.Check(HealthCheckRequest(service=service), timeout=SOON_S)
                assert answer.status == HealthCheckResponse.SERVING
            with pytest.raises(grpc.RpcError) as caught:
                health.Check(HealthCheckRequest(service="nobody's"), timeout=SOON_S)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError):
            check(door.ports[1])  # there is no feed
        with grpc.secure_channel(f"localhost:{door.ports[0]}", believing(certificates, "ca")) as channel:
            health = HealthStub(channel)
            answer = health.Check(HealthCheckRequest(service=SERVICE), timeout=SOON_S)
            assert answer.status == HealthCheckResponse.SERVING
