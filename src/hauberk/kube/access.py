"""Where the API server is, and how we prove who we are: from inside a pod, or by a kubeconfig file."""

import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from hauberk.errors import ConfigError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Access(msgspec.Struct, frozen=True):
    """An API server, and our papers."""

    url: str
    """Without a slash at its end."""

    tls: ssl.SSLContext | None
    token: str | None = None
    token_file: Path | None = None
    """Read again for each connection: what a pod is given is renewed every hour."""

    def headers(self) -> dict[str, str]:
        """What each request says of who we are."""
        token = self.token
        if self.token_file:
            try:
                token = self.token_file.read_text("ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"cannot read the token in {self.token_file}: {error}") from error
        return {"Authorization": f"Bearer {token}"} if token else {}


def is_in_cluster(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether we run in a pod that may talk to its API server."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


def find_access(kubeconfig: str, environment: Mapping[str, str] = os.environ) -> Access | None:
    """As the settings say, else as the pod is given; None: there is no Kubernetes."""
    if kubeconfig:
        return read_kubeconfig(Path(kubeconfig))
    if not is_in_cluster(environment):
        return None
    host = environment["KUBERNETES_SERVICE_HOST"]
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        tls = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot read the certificate in {SERVICE_ACCOUNT}: {error}") from error
    host = f"[{host}]" if ":" in host else host
    return Access(f"https://{host}:{port}", tls, token_file=SERVICE_ACCOUNT / "token")


def read_kubeconfig(path: Path) -> Access:
    """The current context of a kubeconfig file."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the kubeconfig {path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no kubeconfig: it holds no mapping")
    context = _named(content, "contexts", "context", content.get("current-context"), path)
    cluster = _named(content, "clusters", "cluster", context.get("cluster"), path)
    user = _named(content, "users", "user", context.get("user"), path) if context.get("user") else {}
    url = str(cluster.get("server", "")).rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"{path}: the server {url!r} is no URL")
    for plugin in ("exec", "auth-provider"):
        if plugin in user:
            raise ConfigError(
                f"{path}: its user signs in by a program of its own (`{plugin}`), which an agent does not run; "
                "give it a token or a client certificate"
            )
    token_file = user.get("tokenFile")
    return Access(
        url,
        _tls(cluster, user, path) if url.startswith("https://") else None,
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
    )


def _named(content: dict[str, Any], section: str, field: str, name: Any, path: Path) -> dict[str, Any]:
    for entry in content.get(section) or ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(field), dict):
            return dict(entry[field])
    raise ConfigError(f"{path}: there is no {field} named {name!r} in its {section}")


def _tls(cluster: dict[str, Any], user: dict[str, Any], path: Path) -> ssl.SSLContext:
    authority = _content(cluster, "certificate-authority", path)
    try:
        context = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate = _content(user, "client-certificate", path)
        key = _content(user, "client-key", path)
        if certificate and key:
            with ExitStack() as stack:  # OpenSSL takes them from files only: from such as no disk has
                context.load_cert_chain(
                    _in_memory(certificate, stack), _in_memory(key, stack), password=lambda: ""
                )
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{path}: its certificates cannot be used: {error}") from error
    return context


def _content(section: dict[str, Any], field: str, path: Path) -> bytes | None:
    """What stands in the file itself (`FIELD-data`, base64) or in another one."""
    try:
        if f"{field}-data" in section:
            return base64.b64decode(section[f"{field}-data"], validate=True)
        return (path.parent / section[field]).read_bytes() if field in section else None
    except (OSError, binascii.Error, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read {field}: {error}") from error


def _in_memory(content: bytes, stack: ExitStack) -> str:
    fd = os.memfd_create("pem", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.write(fd, content)
    return f"/proc/self/fd/{fd}"
