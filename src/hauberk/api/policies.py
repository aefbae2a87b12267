"""KubeArmor's PolicyService: policies put into force and taken out of it by gRPC, as `karmor vm policy` does.

What is put into force is written where all policies are kept, and takes effect as files there do; so it is there
after a restart, and `hauberk policy list` shows it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, Protocol

import grpc
import grpc.aio
import msgspec
import yaml

from hauberk.api.peers import parse_peer, user_of
from hauberk.api.policy_pb2 import PolicyStatus, policy, response
from hauberk.errors import HauberkError
from hauberk.model.policy import Kind, Policy
from hauberk.policy.document import API_VERSION, parse_documents

SERVICE: Final = "policy.PolicyService"
_SIZE: Final = 1 << 20
_Context = grpc.aio.ServicerContext[Any, Any]
_ROOT: Final = 0


class Policies(Protocol):
    """Where policies are kept and put into force. Called in threads of the server, one at a time."""

    def apply(self, new: Policy, text: str) -> Literal["applied", "modified", "unchanged"]:
        """Once this returns, it is in force; raises PolicyError or SinkError, and what was in force still is."""

    def delete(self, identity: tuple[str, str, str]) -> bool:
        """The same for its end; False if there is none."""


class _Request(msgspec.Struct):
    """What KubeArmor's clients send: an event of Kubernetes."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: dict[str, Any]


_STATUS: Final = {
    "applied": PolicyStatus.Applied,
    "modified": PolicyStatus.Modified,
    "unchanged": PolicyStatus.Applied,
}


class PolicyService:
    """Takes policies of whoever may give them: with a certificate that we trust, or root on this machine."""

    def __init__(
        self, policies: Policies | None, *, trusts_certificates: bool, warn: Callable[[str], None]
    ) -> None:
        """Without `policies`, policies do nothing here, and that is the answer."""
        self._policies = policies
        self._trusts_certificates = trusts_certificates
        self._complain = warn
        self._turn = asyncio.Lock()
        self.port = 0
        """Where it is served."""

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve this."""
        methods: dict[str, Callable[[policy, _Context], Awaitable[response]]] = {
            "containerPolicy": self._taker("KubeArmorPolicy"),
            "hostPolicy": self._taker("KubeArmorHostPolicy"),
            "networkPolicy": _refuse,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    method,
                    request_deserializer=policy.FromString,
                    response_serializer=response.SerializeToString,
                )
                for name, method in methods.items()
            },
        )

    def _taker(self, kind: Kind) -> Callable[[policy, _Context], Awaitable[response]]:
        async def take(request: policy, context: _Context) -> response:
            await self._admit(context)
            if self._policies is None:
                return response(status=PolicyStatus.NotEnabled)
            async with self._turn:
                status = await asyncio.to_thread(self._take, self._policies, request.policy, kind)
            return response(status=status)

        return take

    async def _admit(self, context: _Context) -> None:
        if self._trusts_certificates:
            return
        peer = parse_peer(context.peer())
        if not (peer and peer.address.is_loopback and user_of(peer, self.port) == _ROOT):
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                "without client certificates (tls_client_ca), policies are taken only of root on the agent's machine",
            )

    def _take(self, policies: Policies, content: bytes, kind: Kind) -> PolicyStatus:
        """Put one policy into force, or take it out."""
        try:
            event = _parse(content)
            name = str(_mapping(event.object.get("metadata")).get("name") or "")
            if event.type == "DELETED":
                namespace = str(_mapping(event.object.get("metadata")).get("namespace") or "")
                identity = kind, namespace if kind == "KubeArmorPolicy" else "", name
                return PolicyStatus.Deleted if policies.delete(identity) else PolicyStatus.NotExist
            new, text = _document(event.object, kind)
        except _Invalid as error:
            self._complain(f"a {kind} that came by gRPC is not put into force: {error}")
            return PolicyStatus.Invalid
        except HauberkError as error:
            self._complain(f"{kind} {name!r} is not taken out of force: {error}")
            return PolicyStatus.Failure
        try:
            return _STATUS[policies.apply(new, text)]
        except HauberkError as error:
            self._complain(f"{kind} {new.name} that came by gRPC is not put into force: {error}")
            return PolicyStatus.Failure


class _Invalid(Exception):
    """What came is no policy; the text says why."""


async def _refuse(_request: policy, _context: _Context) -> response:
    return response(status=PolicyStatus.NotEnabled)


def _parse(content: bytes) -> _Request:
    if len(content) > _SIZE:
        raise _Invalid(f"it is longer than {_SIZE:,} bytes")
    try:
        return msgspec.json.decode(content, type=_Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Invalid(str(error) or "too deeply nested") from error


def _document(given: dict[str, Any], kind: Kind) -> tuple[Policy, str]:
    """The policy, and the document that says the same in a file."""
    said = given.get("kind") or kind
    if said != kind:
        raise _Invalid(f"it says that it is a {said!s:.80}")
    metadata = _mapping(given.get("metadata"))
    spec = _stated(_mapping(given.get("spec")))
    selecting = "nodeSelector" if kind == "KubeArmorHostPolicy" else "selector"
    if selecting in _mapping(given.get("spec")):
        spec.setdefault(selecting, {})
    document = {
        "apiVersion": given.get("apiVersion") or API_VERSION,
        "kind": kind,
        "metadata": {key: metadata[key] for key in ("name", "namespace") if metadata.get(key)},
        "spec": spec,
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    parsed = parse_documents(text, "policy")
    if parsed.has_errors or len(parsed.policies) != 1:
        raise _Invalid("; ".join(problem.text for problem in parsed.problems if problem.severity == "error"))
    return parsed.policies[0], text


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _stated(value: Any) -> Any:
    """Without what Go's encoder writes for fields that were never set; an empty list says something."""
    if isinstance(value, dict):
        stated = {key: _stated(inner) for key, inner in value.items()}
        return {key: inner for key, inner in stated.items() if inner is not None and inner not in ("", {})}
    if isinstance(value, list):
        return [_stated(inner) for inner in value]
    return value
