"""Events to messages, remembering what was written before.

Nearly all of a message is the same for many events: the workload and the process, from one to the next; how it
was done, for all who do it; what is opened again and again. So those runs of attributes are kept as bytes, and
only the time, the ID and the body are written anew. Without that, an event takes two and a half times as long.
"""

from collections.abc import Callable, Hashable
from typing import Final

import msgspec

from hauberk.abi import Operation
from hauberk.formats import kubearmor
from hauberk.formats.frames import ByProcess, ByWorkload
from hauberk.formats.otel import mapping
from hauberk.formats.otel.mapping import Value
from hauberk.formats.otel.wire import Envelope, Wire
from hauberk.model.event import Event, Relayed
from hauberk.model.policy import Verdict

_NETWORK: Final = Operation.NETWORK
_NS: Final = 1_000_000_000

_KEPT: Final = 8192
"""How many runs of a kind are kept; all are forgotten at once, which costs less than knowing the oldest."""

_RUN_BYTES: Final = 1024
"""Longest run that is kept."""

_NOT_OF_THE_ADAPTER: Final = frozenset(
    {
        *("Timestamp", "EventData", "UserName", "NodeID", "ExecEvent", "KubeArmorVersion"),
        *("ProcessHash", "ParentHash", "ResourceHash", "HashAlgo"),
        *("MaxAlertsPerSec", "DroppingAlertsInterval"),
    }
)
"""What KubeArmor's otel-adapter does not have in its bodies: the time of a record, and fields younger than it."""


class _Frame(msgspec.Struct, frozen=True):
    """What does not change from one event of a process to the next."""

    envelope: Envelope
    process: bytes


class _Memo(dict[Hashable, bytes]):
    """Runs of attributes, by what they are made of."""

    def keep(self, made_of: Hashable, run: bytes) -> bytes:
        if len(run) <= _RUN_BYTES:
            if len(self) >= _KEPT:
                self.clear()
            self[made_of] = run
        return run


class Encoder:
    """Writes events by one wire and one set of settings."""

    def __init__(
        self,
        wire: Wire,
        *,
        has_attributes: bool,
        has_adapter_body: bool,
        labels: bool,
        service_from_labels: bool,
    ) -> None:
        self._wire = wire
        self._has_adapter_body = has_adapter_body
        self._labels = labels
        self._service_from_labels = service_from_labels
        self._frames = ByProcess(self._frame)
        self._envelopes = ByWorkload(self._envelope)

        self._acts = _Memo()
        self._named = _Memo()
        self._objects = _Memo()
        self._verdicts = _Memo()
        self._relayed = _Memo()
        self._names = _Memo()
        self._bare = wire.envelope(None, None)
        self._nameless = wire.name("")
        self.encode: Callable[[Event], bytes] = self._record if has_attributes else self._adapter_record

    def _record(self, event: Event) -> bytes:
        wire, verdict, time_ns = self._wire, event.verdict, mapping.time_of(event)
        frame = self._frames.of(event, mapping.command_line_of(event))
        runs = [
            frame.process,
            self._act(event),
            self._details(event),
            self._object(event),
            wire.attributes(mapping.own_attributes(event)),
        ]
        if verdict is not None:
            runs.append(self._verdict(verdict))
        if event.relayed is not None:
            runs.append(self._more(event.relayed))
        return wire.message(
            frame.envelope,
            time_ns,
            time_ns,
            mapping.severity_of(event),
            str(verdict.severity) if verdict is not None and verdict.severity else "",
            wire.body(_adapter_body(event) if self._has_adapter_body else mapping.body_of(event)),
            runs,
            self._name(event),
        )

    def _adapter_record(self, event: Event) -> bytes:
        time_ns = mapping.time_of(event)
        body = self._wire.body(_adapter_body(event))
        return self._wire.message(
            self._bare, time_ns - time_ns % _NS, time_ns, 0, "", body, (), self._nameless
        )

    def _frame(self, event: Event) -> _Frame:
        run = self._wire.attributes(mapping.process_attributes(event))
        return _Frame(self._envelopes.of(event), run)

    def _envelope(self, event: Event) -> Envelope:
        resource = mapping.resource_attributes(
            event.node, event.workload, labels=self._labels, service_from_labels=self._service_from_labels
        )
        return self._wire.envelope(resource, mapping.scope_of(event))

    def _act(self, event: Event) -> bytes:
        made_of = (
            event.operation,
            event.verdict is None,
            event.workload.container_id is None,
            event.data,
            event.error,
            event.relayed,
        )
        return self._acts.get(made_of) or self._acts.keep(
            made_of, self._wire.attributes(mapping.act_attributes(event))
        )

    def _details(self, event: Event) -> bytes:
        made_of = tuple(event.details.items())
        return self._named.get(made_of) or self._named.keep(
            made_of, self._wire.attributes(mapping.details_attributes(event))
        )

    def _object(self, event: Event) -> bytes:
        made_of: tuple[object, ...] = event.operation, event.resource
        if event.operation == _NETWORK:  # its named values tell of addresses, too
            made_of += tuple(event.details.items())
        return self._objects.get(made_of) or self._objects.keep(
            made_of, self._wire.attributes(mapping.object_attributes(event))
        )

    def _verdict(self, verdict: Verdict) -> bytes:
        return self._verdicts.get(verdict) or self._verdicts.keep(
            verdict, self._wire.attributes(mapping.verdict_attributes(verdict))
        )

    def _more(self, relayed: Relayed) -> bytes:
        found = self._relayed.get(relayed)
        if found is None:  # it may be empty
            found = self._relayed.keep(relayed, self._wire.attributes(mapping.relayed_attributes(relayed)))
        return found

    def _name(self, event: Event) -> bytes:
        made_of = event.operation, event.verdict is None, event.relayed
        return self._names.get(made_of) or self._names.keep(made_of, self._wire.name(mapping.name_of(event)))


def _adapter_body(event: Event) -> dict[str, Value]:
    """What KubeArmor's otel-adapter makes of an event: its native JSON, in which numbers are floats."""
    told: dict[str, Value] = msgspec.json.decode(kubearmor.encode(event))
    return {
        key: float(value) if isinstance(value, int) else value
        for key, value in told.items()
        if key not in _NOT_OF_THE_ADAPTER
    }
