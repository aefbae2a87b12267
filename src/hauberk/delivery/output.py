"""An output: a sink, and what waits for it in memory and on disk.

`put` never waits: a slow sink costs its own events and a number, nobody else's. One thread sends; where there is a
spool, another saves, so that a sink that hangs keeps nothing from the disk.

Without a spool, messages wait in memory. With one,

- every alert goes to disk before it is sent: it is on disk one write and sync after `put`, however the sink is;
- telemetry goes to disk when the sink is behind or fails, and is sent from memory as long as it keeps up;
- what is still there at the end goes to disk, and is sent first by the next run.

A message is gone from the disk only when the sink has taken it, or refused it for good. So an alert that has
reached the disk arrives at least once, as long as the disk is whole.
"""

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from hauberk.delivery.encoder import Encoder
from hauberk.delivery.queue import Batch, Kind, Queue, Run, merge, remaining
from hauberk.delivery.retry import Backoff
from hauberk.delivery.spool import Saved, Spool
from hauberk.errors import SinkBusy, SinkError, SinkRefused, SpoolError
from hauberk.metrics import OutputCounts
from hauberk.model.event import Event
from hauberk.sinks import Sink
from hauberk.threads import supervised

_WRITE_MESSAGES: Final = 4096
"""At most so many messages a write: the smaller, the less is written twice or lost with a failing one."""

_SAVE_MESSAGES: Final = 2048
_ROW_MESSAGES: Final = 1024
_BEHIND: Final = 0.125
"""So full the queue may get before telemetry goes to disk."""

_HALF: Final = 0.5
_HOLD_S: Final = 1.0
"""For so long telemetry stays in memory when the sink fails."""

_SPOOL_RETRY_S: Final = 5.0
_REPEAT_S: Final = 60.0
"""How often the same sort of complaint is told at most."""

_LAST_WRITE_S: Final = 2.0
"""How much longer than it was told the sink may take to end a write."""

_SAVE_S: Final = 30.0
"""How long the disk may take at the end."""


class Output:
    """Encodes in the caller's thread, sends in its own."""

    def __init__(
        self,
        encoder: Encoder,
        sink: Sink,
        counts: OutputCounts,
        *,
        queue_events: int,
        queue_bytes: int,
        warn: Callable[[str], None],
        spool: Spool | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._encoder = encoder
        self._sink = sink
        self._counts = counts
        self._complain = warn
        self._spool = spool
        # later than any that an earlier run has left, even if the spool cannot be read yet
        first = max(spool.next, time.time_ns()) if spool else 0
        self._queue = Queue(queue_events, queue_bytes, first)
        self._backoff = backoff or Backoff()
        self._lock = threading.RLock()
        self._to_send = threading.Condition(self._lock)
        self._to_save = threading.Condition(self._lock)
        self._ordered = threading.Condition(self._lock)
        """To end, or to begin anew: what does not wait for a sink that wants patience."""

        self._must_reopen = False
        self._closing = False
        self._ended = False
        """`close` has accounted for everything: a thread that comes back late must touch nothing."""

        self._settling = False
        """What was sent is being removed from the disk."""

        self._saving: int | None = None
        """The number of the first message of telemetry that is on its way to the disk."""

        self._saved_alerts = False
        """It was alerts that were saved last."""

        self._save_all = False
        self._problem = ""
        """What keeps the sink from working."""

        self._told: dict[str, float] = {}
        """When a sort of complaint was told last."""

        self._flushed = 0.0
        self._spool_from = 0.0
        """When the spool may be tried again: it has failed."""

        self._save_from = 0.0
        """When alerts may be saved again: it was full of them."""

        self._account()
        self._sender = supervised("output", self._send, self._warn_of_thread, threading.Event())
        self._sender.start()
        self._saver: threading.Thread | None = None
        if spool:
            save = partial(self._save, spool)
            self._saver = supervised("spool", save, self._warn_of_thread, threading.Event())
            self._saver.start()

    # For the one who has events

    def put(self, events: Sequence[Event]) -> None:
        """Queue events; those that find the queue full are dropped and counted."""
        wanted = self._encoder.wanted(events)
        batch: Batch | None = None
        encoded = len(wanted)
        full = 0
        if wanted and self._queue.is_full:  # what will find no room is not encoded in vain
            alerts = [event for event in wanted if event.verdict is not None]
            encoded = len(alerts)
            full = len(wanted) - encoded
            batch = self._encoder.encode(alerts)
        elif wanted:
            batch = self._encoder.batch(events)
        with self._lock:
            counts = self._counts
            counts.offered += len(events)
            counts.filtered += len(events) - len(wanted)
            if batch:
                if len(batch.messages) < encoded:
                    counts.drop("cannot be encoded", encoded - len(batch.messages))
                dropped = self._queue.add(batch)
                full += dropped.telemetry
                if dropped.alerts:
                    counts.drop("queue full of alerts", dropped.alerts)
            if full:
                counts.drop("queue full", full)
            counts.queued = self._queue.count
            self._to_send.notify()
            if self._queue.waiting("alerts") or self._queue.fill > _BEHIND:
                self._to_save.notify()

    def wait_for_room(self) -> None:
        """Wait until the queue is half empty; not for a sink that fails."""
        with self._lock:
            self._to_send.wait_for(lambda: self._queue.fill <= _HALF or self._problem)

    def reopen(self) -> None:
        """Have the sink begin anew before the next write."""
        with self._lock:
            self._must_reopen = True
            self._notify_all()

    def begin_to_close(self) -> None:
        """End once what waits is sent."""
        with self._lock:
            self._closing = True
            self._notify_all()

    def close(self, timeout_s: float) -> None:
        """Send what waits, for at most `timeout_s`; the rest goes to disk, or is dropped and counted."""
        self.begin_to_close()
        self._sender.join(timeout_s)
        with self._lock:
            self._save_all = True
            self._notify_all()
        self._sender.join(_LAST_WRITE_S)
        if self._saver:
            self._saver.join(_SAVE_S)
        with self._lock:
            self._to_send.wait_for(lambda: not self._settling, _SAVE_S)
            self._account()
            self._ended = True
            if self._queue.count:
                self._counts.drop("sink failed" if self._problem else "closed", self._queue.count)
                self._counts.queued = 0
        if not self._sender.is_alive():
            self._sink.close()
        if self._spool:
            self._spool.close()

    def refresh(self) -> None:
        """Bring up to date what the counts tell of now."""
        with self._lock:
            oldest = [self._queue.oldest_ns]
        if self._spool:
            oldest.append(self._spool.oldest_ns)
        with self._lock:
            self._counts.oldest_ns = min((time_ns for time_ns in oldest if time_ns), default=None)

    # The thread that sends

    def _send(self) -> None:
        while True:
            with self._lock:
                while not (self._must_reopen or self._can_send()):
                    if self._closing and not self._waits():
                        return
                    self._to_send.wait(_HOLD_S if self._spool_from else None)
                reopen, self._must_reopen = self._must_reopen, False
            wait_s = self._write(self._next(), reopen)
            with self._lock:
                if self._save_all or (self._closing and wait_s):
                    return
                if wait_s:
                    self._ordered.wait_for(lambda: self._closing or self._must_reopen, wait_s)

    def _spool_works(self) -> bool:
        if self._spool_from and time.monotonic() > self._spool_from:
            self._spool_from = 0.0
        return self._spool is not None and not self._spool_from

    def _can_send(self) -> bool:
        return bool(self._spool_works() and self._spool and self._spool.count) or bool(
            self._queue.waiting(*self._kinds_in_memory())
        )

    def _waits(self) -> bool:
        """Whether there is anything to be sent before the end, even if not now."""
        return bool(self._queue.count or (self._spool_works() and self._spool and self._spool.count))

    def _kinds_in_memory(self) -> tuple[Kind, ...]:
        """What may be sent from memory: alerts only if they cannot go to disk first; telemetry in its order."""
        if not self._spool_works():
            return ("alerts", "telemetry")
        return ("telemetry",) if self._saving is None else ()

    def _next(self) -> list[Run]:
        """What is to be sent next: alerts before telemetry, each in order."""
        spool = self._spool
        if spool and self._spool_works() and spool.count:
            try:
                runs = spool.load("alerts" if spool.alerts else "telemetry", _WRITE_MESSAGES)
            except SpoolError as error:
                self._spool_failed(error)
                runs = []
            if not runs or runs[0].kind == "alerts":
                return runs
            # telemetry of a write that failed may have come back, and be older than what is on disk
            first = runs[0].first
            with self._lock:
                older = self._queue.take(_WRITE_MESSAGES, "telemetry", before=first)
                comes = not older and self._saving is not None and self._saving < first
                if comes:
                    self._to_send.wait(_HOLD_S)
            if older or comes:
                spool.settle(runs, 0)
                return older
            return runs
        with self._lock:
            return self._queue.take(_WRITE_MESSAGES, *self._kinds_in_memory())

    def _write(self, runs: list[Run], reopen: bool) -> float | None:
        """Try once; if it fails, how long to wait before the next time."""
        messages = (
            [message for run in runs for message in run.messages] if len(runs) != 1 else runs[0].messages
        )
        if not (messages or reopen):
            return None
        delivered, refused, broken, wait_s = len(messages), 0, 0, None
        try:
            if reopen:
                self._sink.reopen()
            if messages:
                self._sink.write(messages)
        except SinkRefused as error:
            refused = min(error.refused, len(messages))
            delivered -= refused
            self._tell("refused", f"{error}; {refused} messages were refused for good, and are dropped")
        except SinkError as error:
            delivered = min(error.delivered, len(messages))
            refused = min(error.refused, len(messages) - delivered)
            if delivered:
                self._backoff.reset()
            wait_s = self._backoff.next_s(error.retry_after_s if isinstance(error, SinkBusy) else None)
            self._fail(str(error))
        except Exception:  # what it was given may be the reason, so it is not given that again
            delivered, broken = 0, len(messages)
            self._tell(
                "bug",
                f"{broken} messages are dropped because of a bug in the sink:\n{traceback.format_exc()}",
            )
        if wait_s is None and messages:
            self._works()
        self._settle(runs, delivered, {"refused": refused, "bug in the sink": broken})
        return wait_s

    def _settle(self, runs: list[Run], delivered: int, dropped: dict[str, int]) -> None:
        """Account for what is done with, and keep the rest."""
        done = delivered + sum(dropped.values())
        with self._lock:
            if self._ended:
                return
            self._settling = True
        if self._spool and runs and runs[0].row:
            try:
                delivered -= self._spool.settle(runs, done)
            except SpoolError as error:
                self._spool_failed(error)
        with self._lock:
            if runs and not runs[0].row:
                self._queue.settle(runs, remaining(runs, done))
            self._counts.delivered += delivered
            for reason, count in dropped.items():
                if count:
                    self._counts.drop(reason, count)
            self._settling = False
            self._account()
            self._notify_all()

    def _fail(self, problem: str) -> None:
        """Tell what is wrong, once; if something else is wrong then, that too, but not all the time."""
        if not self._problem:
            self._told.pop("failing", None)
        if problem != self._problem:
            self._problem = problem
            waits = "on disk" if self._spool else "in memory"
            self._tell(
                "failing",
                f"{problem}; it is tried again, and what comes meanwhile waits {waits} as far as there is room",
            )

    def _works(self) -> None:
        self._backoff.reset()
        if self._problem:
            self._problem = ""
            self._complain("the output works again")

    # The thread that saves

    def _save(self, spool: Spool) -> None:
        while True:
            with self._lock:
                while not (runs := self._what_to_save()):
                    if self._save_all and (
                        not self._spool_works() or not self._queue.waiting("alerts", "telemetry")
                    ):
                        return
                    self._to_save.wait(
                        _HOLD_S if self._problem or self._spool_from or self._save_from else None
                    )
                self._saving = runs[0].first if runs[0].kind == "telemetry" else None
            left = runs
            try:
                saved = spool.save(merge(runs, _ROW_MESSAGES))
                left = saved.left_out
            except SpoolError as error:
                self._spool_failed(error)
                saved = Saved([], 0)
            if saved.left_out:
                self._tell(
                    "full", "the spool is full of alerts: more of them wait in memory as far as there is room"
                )
            with self._lock:
                if self._ended:
                    return
                if saved.left_out:
                    self._save_from = time.monotonic() + _HOLD_S
                    if self._save_all:
                        self._counts.drop("spool full of alerts", sum(len(run.messages) for run in left))
                        left = []
                if saved.evicted:
                    self._counts.drop("spool full", saved.evicted)
                self._queue.settle(runs, left)
                self._saving = None
                self._account()
                self._notify_all()

    def _what_to_save(self) -> list[Run]:
        """What is to go to disk now: alerts, and in turns with them what is too much for memory."""
        if not self._spool_works():
            return []
        now = time.monotonic()
        queue = self._queue
        alerts = queue.waiting("alerts") and (now >= self._save_from or self._save_all)
        held_long = self._problem and now - self._flushed > _HOLD_S
        telemetry = queue.waiting("telemetry") and (self._save_all or held_long or queue.fill > _BEHIND)
        if alerts and not (telemetry and self._saved_alerts):
            self._saved_alerts = True
            self._save_from = 0.0
            return queue.take(_SAVE_MESSAGES, "alerts")
        self._saved_alerts = False
        if not telemetry:
            return []
        if queue.fill < _BEHIND:
            self._flushed = now
        return queue.take(_SAVE_MESSAGES, "telemetry")

    # Both

    def _notify_all(self) -> None:
        for condition in (self._to_send, self._to_save, self._ordered):
            condition.notify_all()

    def _spool_failed(self, error: SpoolError) -> None:
        waits = "" if error.lost else "; until it works again, alerts wait in memory only"
        self._tell("spool", f"{error}{waits}")
        with self._lock:
            if error.lost:
                self._counts.drop("spool damaged", error.lost)
            else:
                self._spool_from = time.monotonic() + _SPOOL_RETRY_S
            self._account()
            self._notify_all()

    def _warn_of_thread(self, text: str) -> None:
        self._tell("thread", text)

    def _tell(self, sort: str, text: str) -> None:
        """Complain, but not all the time of the same."""
        now = time.monotonic()
        if now - self._told.get(sort, -_REPEAT_S) >= _REPEAT_S:
            self._told[sort] = now
            self._complain(text)

    def _account(self) -> None:
        """Take over how much waits, and where."""
        counts = self._counts
        counts.queued = self._queue.count
        if self._spool:
            counts.replayed, counts.spooled = self._spool.found, self._spool.count
            counts.spool_bytes = self._spool.size_bytes
