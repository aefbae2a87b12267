"""OpenTelemetry: an event as a log record of OTLP, by semantic conventions 1.44.0.

What an event means there is written once, in `mapping.py` (and `network.py`); `encoder.py` remembers what many
events have in common; `protobuf.py` and `json.py` are the two ways to write it down. A message is a whole
request that stands on its own: one resource (the workload), one scope (the agent), one log record.
"""

from typing import Literal, TypeAlias

import msgspec

from hauberk.formats import Format
from hauberk.formats.otel import json, protobuf
from hauberk.formats.otel.encoder import Encoder
from hauberk.formats.otel.wire import Wire

Profile: TypeAlias = Literal["semconv", "adapter", "both"]


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of both formats."""

    profile: Profile = "semconv"
    """`semconv`: typed attributes and a line for people as body. `adapter`: what KubeArmor's otel-adapter sends, so
    that rules and dashboards made for it work. `both`: the attributes of the one, the body of the other."""

    labels: bool = False
    """Tell the labels of a pod or container as attributes of the resource."""

    service_from_labels: bool = False
    """Let the label ``app.kubernetes.io/instance``, else ``app.kubernetes.io/name``, name the service."""

    def _encoder(self, wire: Wire) -> Encoder:
        return Encoder(
            wire,
            has_attributes=self.profile != "adapter",
            has_adapter_body=self.profile != "semconv",
            labels=self.labels,
            service_from_labels=self.service_from_labels,
        )


class Otel(_Settings, frozen=True):
    """OTLP/JSON as OpenTelemetry's file exporter writes it: one request a line."""

    def make(self) -> Format:
        return Format(self._encoder(json.JSON()).encode, "application/x-ndjson")


class OtelProtobuf(_Settings, frozen=True):
    """OTLP as receivers want it: binary requests, which several messages join to be one of."""

    def make(self) -> Format:
        encoder = self._encoder(protobuf.Protobuf())
        return Format(encoder.encode, "application/x-protobuf", is_text=False, join=protobuf.join)
