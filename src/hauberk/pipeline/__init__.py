"""The data's way: batches of raw records to events, one stage a file.

Pure: no clock, no I/O. What only the live machine can tell or do goes through one noun, `Host`.
"""

from collections.abc import Iterable, Mapping

from hauberk.config import Selection
from hauberk.decode.records import Batch
from hauberk.enrich.throttle import Throttle
from hauberk.enrich.waiting import ALERT_WAIT_S, LOG_WAIT_S, Waiting
from hauberk.metrics import Ledger
from hauberk.model.event import Event
from hauberk.model.machine import Machine
from hauberk.model.record import Record
from hauberk.model.workload import Found
from hauberk.pipeline.account import Account
from hauberk.pipeline.attribute import Attribution
from hauberk.pipeline.complete import complete
from hauberk.pipeline.decide import decide
from hauberk.pipeline.describe import describe
from hauberk.pipeline.host import Host
from hauberk.pipeline.select import Select, Visibility

_NO_HOST = Host()


class Pipeline:
    """The stages, for the records of one kernel. What they know from batch to batch is in the stages."""

    def __init__(
        self,
        machine: Machine,
        selection: Selection,
        ledger: Ledger,
        *,
        host: Host = _NO_HOST,
        visibility: Visibility | None = None,
        own_pid: int = 0,
        throttle: Throttle | None = None,
        name_wait_s: float = LOG_WAIT_S,
        alert_name_wait_s: float = ALERT_WAIT_S,
    ) -> None:
        """`visibility` None: all is visible; `own_pid`: of the agent; `throttle` None: no alerts are folded."""
        self.machine = machine
        self.ledger = ledger
        self._host = host
        self._account = Account(ledger)
        self._attribution = Attribution(machine.host_pid_ns, host)
        self.workloads = self._attribution.workloads
        self._select = Select(selection, visibility, self.workloads, ledger, own_pid)
        self.waiting = Waiting(
            ledger,
            is_wanted=self._select.wants,
            is_hidden=self._select.hides,
            log_wait_s=name_wait_s,
            alert_wait_s=alert_name_wait_s,
        )
        self._throttle = throttle

    def events(self, batch: Batch, now_ns: int = 0) -> list[Event]:
        """The events that are wanted of a batch, and of those that were held back; everything else is counted.

        `now_ns`: CLOCK_BOOTTIME, as in records.
        """
        records = self._account.enter(batch)
        attributed = self._attribution.attribute(records)
        self.follow(now_ns)  # before anything is selected by what is known of workloads
        attributed, unwanted = self._select.by_actor(attributed, self.waiting.is_expected)
        described = describe(attributed)
        decided = decide(described, self._host, self.ledger)
        decided, hidden = self._select.by_action(decided)
        if unwanted or hidden:
            self._host.leave_out(unwanted | hidden)
        events = complete(decided, self.machine)
        events = self.waiting.pass_on(events, now_ns)
        return self._fold(events, now_ns)

    def follow(self, now_ns: int) -> None:
        """Let everybody know what has become known of workloads."""
        news = self.workloads.take_news()
        if not news:
            return
        self._select.follow(news)
        for container_id in self._host.follow(news):
            self.waiting.expect(container_id, now_ns)
        for each in news:
            if isinstance(each, Found) and each.workload.container_name is not None:
                self.waiting.tell(each.workload)

    def flush(self, now_ns: int = 0) -> list[Event]:
        """What is still held back, at the end: nothing more will come."""
        events = self._fold(self.waiting.flush(), now_ns)
        summaries = self._throttle.flush() if self._throttle else []
        self.ledger.summaries += len(summaries)
        return events + summaries

    def _fold(self, events: list[Event], now_ns: int) -> list[Event]:
        if self._throttle is None:
            return events
        return self._throttle.fold(events, self.machine.boot_time_ns + now_ns, self.ledger)

    def knows_who(self, alerts: Iterable[Record]) -> bool:
        """Whether it is known who acted in each of these, so that no record from before them is needed."""
        return self._attribution.knows(alerts)

    def review_visibility(self) -> None:
        """Ask anew what is visible of whom."""
        self._select.review()

    def finish(self, sequences: Mapping[int, int]) -> None:
        """Account for what was lost after the last record that came: `sequences` are the kernel's own counts."""
        self._account.finish(sequences)
