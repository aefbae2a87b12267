"""Where the API server is, and who we are to it."""

import base64
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from hauberk.errors import ConfigError
from hauberk.kube import access
from hauberk.kube.access import find_access, read_kubeconfig


def kubeconfig(path: Path, user: dict[str, Any], **cluster: Any) -> Path:
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://api.example:6443/"} | cluster}],
        "users": [{"name": "u", "user": user}],
    }
    (path / "config").write_text(yaml.safe_dump(content))
    return path / "config"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a key and its certificate."""
    path = tmp_path_factory.mktemp("pem")
    issued = trustme.CA().issue_cert("client.test")
    issued.private_key_pem.write_to_path(path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(path / "cert.pem")
    return path


def test_a_token(tmp_path: Path) -> None:
    found = read_kubeconfig(kubeconfig(tmp_path, {"token": "t"}))

    assert (found.url, found.headers()) == ("https://api.example:6443", {"Authorization": "Bearer t"})


def test_a_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    found = read_kubeconfig(kubeconfig(tmp_path, {"tokenFile": "token"}))
    for text in ("one", "two"):
        (tmp_path / "token").write_text(f"{text}\n")
        assert found.headers() == {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("inline", [True, False])
def test_a_client_certificate(tmp_path: Path, certificate: Path, inline: bool) -> None:
    """In the file itself, or beside it; and the authority likewise."""
    names = {"client-certificate": "cert.pem", "client-key": "key.pem", "certificate-authority": "cert.pem"}
    fields: dict[str, str] = {}
    for field, name in names.items():
        content = (certificate / name).read_bytes()
        if inline:
            fields[f"{field}-data"] = base64.b64encode(content).decode()
        else:
            (tmp_path / name).write_bytes(content)
            fields[field] = name
    cluster = {field: fields.pop(field) for field in list(fields) if "authority" in field}
    found = read_kubeconfig(kubeconfig(tmp_path, fields, **cluster))

    assert found.tls
    assert found.tls.cert_store_stats()["x509"] == 1
    assert found.headers() == {}


@pytest.mark.parametrize(
    ("user", "cluster", "expected"),
    [
        ({"exec": {"command": "aws"}}, {}, "signs in by a program of its own"),
        ({}, {"server": "api.example"}, "is no URL"),
        ({"client-certificate": "none.pem", "client-key": "none.pem"}, {}, "cannot read client-certificate"),
        ({"client-certificate-data": "!"}, {}, "cannot read client-certificate"),
        ({}, {"certificate-authority-data": "YQ=="}, "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, user: Any, cluster: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        read_kubeconfig(kubeconfig(tmp_path, user, **cluster))


@pytest.mark.parametrize("text", ["", "[]", "a: [", "current-context: x\n", "\0"])
def test_what_is_no_kubeconfig_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)

    with pytest.raises(ConfigError, match="config"):
        read_kubeconfig(tmp_path / "config")


def test_in_a_pod(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kubelet mounts it; without a token it is no pod that may talk to the server."""
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    monkeypatch.setattr(access, "SERVICE_ACCOUNT", tmp_path)
    assert find_access("", environment) is None
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_bytes((certificate / "cert.pem").read_bytes())
    found = find_access("", environment)

    assert found
    assert (found.url, found.headers()) == ("https://[fd00::1]:6443", {"Authorization": "Bearer t"})
    assert find_access("", {}) is None
