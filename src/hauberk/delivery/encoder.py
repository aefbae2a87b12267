"""Events to messages, once for all outputs that want the same events in the same format."""

import traceback
from collections.abc import Callable, Sequence

from hauberk.config import OutputFilter
from hauberk.delivery.filter import compile_filter
from hauberk.delivery.queue import Batch
from hauberk.formats import Format
from hauberk.model.event import Event
from hauberk.sinks import Message


class Encoder:
    """Filters and encodes. Outputs that share one ask one after the other for the same batch.

    A batch is known by the list that it is: who gives one does not change it afterwards.
    """

    def __init__(
        self, form: Format, wanted: OutputFilter, warn: Callable[[str], None], *, named: bool = True
    ) -> None:
        """Messages that are not `named` have neither `id` nor `key`: to make these takes a while, too."""
        self._encode_event = form.encode
        self._wants = compile_filter(wanted)
        self._complain = warn
        self._named = named
        self._batch: Sequence[Event] | None = None
        self._wanted: Sequence[Event] = ()
        self._encoded: Batch | None = None
        self._is_broken = False

    def wanted(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Those of the batch that pass the filter."""
        if batch is not self._batch:
            wants = self._wants
            self._batch, self._encoded = batch, None
            self._wanted = [event for event in batch if wants(event)] if wants else batch
        return self._wanted

    def batch(self, batch: Sequence[Event]) -> Batch:
        """Those that pass the filter, encoded; without what a bug keeps from being encoded."""
        wanted = self.wanted(batch)
        if self._encoded is None:
            self._encoded = self.encode(wanted)
        return self._encoded

    def encode(self, events: Sequence[Event]) -> Batch:
        """Events, whether they pass the filter or not."""
        try:
            return self._encode(events)
        except Exception:  # an output's bug must not cost the other outputs anything
            return self._encode(self._encodable(events))

    def _encode(self, events: Sequence[Event]) -> Batch:
        contents = list(map(self._encode_event, events))
        verdicts = [event.verdict for event in events]
        has_alerts = verdicts.count(None) < len(verdicts)
        messages: list[Message]
        if self._named:
            messages = [
                Message(content, event.verdict is not None, event.id, event.workload.container_id or "host")
                for content, event in zip(contents, events, strict=True)
            ]
        elif has_alerts:
            messages = [
                Message(content, verdict is not None)
                for content, verdict in zip(contents, verdicts, strict=True)
            ]
        else:
            messages = list(map(Message, contents))
        return Batch(messages, sum(map(len, contents)), has_alerts, events[0].time_ns if events else 0)

    def _encodable(self, events: Sequence[Event]) -> list[Event]:
        """Without those that raise an error."""
        found = []
        for event in events:
            try:
                self._encode([event])
                found.append(event)
            except Exception:
                if not self._is_broken:
                    self._is_broken = True
                    self._complain(f"an event cannot be encoded, which is a bug:\n{traceback.format_exc()}")
        return found
