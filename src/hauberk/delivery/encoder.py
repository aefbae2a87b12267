"""Events to messages, once for all outputs that want the same events in the same format."""

import traceback
from collections.abc import Callable, Sequence

from hauberk.config import OutputFilter
from hauberk.delivery.filter import compile_filter
from hauberk.formats import Format
from hauberk.model.event import Event
from hauberk.sinks import Message


class Encoder:
    """Filters and encodes. Outputs that share one ask one after the other for the same batch."""

    def __init__(
        self, form: Format, wanted: OutputFilter, complain: Callable[[str], None], *, named: bool = True
    ) -> None:
        """Messages that are not `named` have neither `id` nor `key`: to make these takes a while, too."""
        self._encode_event = form.encode
        self._wants = compile_filter(wanted)
        self._complain = complain
        self._named = named
        self._batch: Sequence[Event] | None = None
        self._wanted: Sequence[Event] = ()
        self._messages: list[Message] | None = None
        self._is_broken = False

    def wanted(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Those of the batch that pass the filter."""
        if batch is not self._batch:
            wants = self._wants
            self._batch, self._messages = batch, None
            self._wanted = [event for event in batch if wants(event)] if wants else batch
        return self._wanted

    def messages(self, batch: Sequence[Event]) -> list[Message]:
        """Of those that pass the filter; without what a bug keeps from being encoded."""
        wanted = self.wanted(batch)
        if self._messages is None:
            self._messages = self.encode(wanted)
        return self._messages

    def encode(self, events: Sequence[Event]) -> list[Message]:
        """The messages of events, whether they pass the filter or not."""
        try:
            return self._encode(events)
        except Exception:  # an output's bug must not cost the other outputs anything
            return self._encode_each(events)

    def _encode(self, events: Sequence[Event]) -> list[Message]:
        encode = self._encode_event
        if self._named:
            return [
                Message(
                    encode(event), event.verdict is not None, event.id, event.workload.container_id or "host"
                )
                for event in events
            ]
        return [Message(encode(event), event.verdict is not None, "", "") for event in events]

    def _encode_each(self, events: Sequence[Event]) -> list[Message]:
        messages = []
        for event in events:
            try:
                messages += self._encode([event])
            except Exception:
                if not self._is_broken:
                    self._is_broken = True
                    self._complain(f"an event cannot be encoded, which is a bug:\n{traceback.format_exc()}")
        return messages
