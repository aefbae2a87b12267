"""The node agent: puts the stages together, and takes them apart in reverse.

The only place where the edges meet. One thread reads the ring buffer, makes events and encodes them; each
output writes in a thread of its own.
"""

import ctypes
import gc
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hauberk.config import Config
from hauberk.decode.records import NOTHING, Batch, decode_batch
from hauberk.delivery.outputs import Outputs, open_outputs
from hauberk.enforcement.force import InForce, Level
from hauberk.enforcement.live import LivePolicies
from hauberk.enrich.throttle import Throttle
from hauberk.errors import KernelError
from hauberk.kube.state import Defaults, State
from hauberk.metrics import FeedCounts, Ledger, OutputCounts
from hauberk.model.event import Event, Node
from hauberk.model.machine import Machine
from hauberk.model.policy import Action
from hauberk.model.workload import Removed, Workload, WorkloadNews
from hauberk.pipeline import Pipeline
from hauberk.pipeline.host import Host, Request
from hauberk.policy.decide import Numbered, Posture
from hauberk.runtimes import sources_of
from hauberk.runtimes.watcher import Runtimes
from hauberk.sensor.loader import Kernel
from hauberk.sensor.pins import Pins
from hauberk.sensor.probe import probe
from hauberk.sensor.procfs import Procfs
from hauberk.sensor.recording import Recorder, Recording
from hauberk.sensor.ring import Ring
from hauberk.sensor.rings import Rings
from hauberk.sensor.users import Users
from hauberk.sensor.waker import Waker

if TYPE_CHECKING:
    from hauberk.api.feed import Feed
    from hauberk.kube.cluster import Cluster

_POLL_S: Final = 0.002
_POLL_IDLE_S: Final = 0.02
"""How long to sleep when the ring was empty: from the first up to the second, doubling."""

_GC_THRESHOLD: Final = 50_000
"""Events make no cycles, so looking for some at every few of them is work for nothing."""

_SWITCH_S: Final = 0.0005
"""So long a thread keeps the interpreter while others wait for it: a tenth of what is usual."""

_MALLOC: Final = {-8: 2, -3: 128 << 10}
"""M_ARENA_MAX and M_MMAP_THRESHOLD of the C library."""

_CLOCK_DRIFT_NS: Final = 1_000_000
_CLOSE_S: Final = 30.0
_USERS_S: Final = 2.0
"""How long the names of users are waited for at the start. They are there in a moment, unless who serves them is away."""


class _Messages:
    """What the agent says of itself."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str, str], None]] = []
        """Told the text and KubeArmor's level of it."""

    def __call__(self, text: str, level: Level = "WARN") -> None:
        """One line for the operator."""
        sys.stderr.write(f"hauberk: {text}\n")
        sys.stderr.flush()
        for listener in self.listeners:
            listener(text, level)


warn: Final = _Messages()


class Receiver(Protocol):
    """Who is told of events: all outputs, a feed."""

    def put(self, events: Sequence[Event]) -> None:
        """Take them, and never wait."""


def boot_time_ns() -> int:
    """Unix time at which CLOCK_BOOTTIME was 0."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def now_ns() -> int:
    """CLOCK_BOOTTIME, the clock of records."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def machine_id() -> str | None:
    """What systemd and D-Bus know this machine by."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(path).read_text().strip() or None
        except OSError:
            continue
    return None


def this_node(config: Config) -> Node:
    """The machine we run on."""
    return Node(config.host or socket.gethostname(), config.cluster, machine_id())


class LiveHost(Host):
    """The host that the agent runs on."""

    def __init__(
        self,
        kernel: Kernel,
        procfs: Procfs,
        runtimes: Runtimes,
        state: State,
        in_force: InForce,
        workloads: dict[int, Workload],
    ) -> None:
        """`workloads`: by cgroup, those that are known now."""
        self._kernel = kernel
        self._procfs = procfs
        self._runtimes = runtimes
        self._state = state
        self._in_force = in_force
        self._workloads = workloads
        self.recorder: Recorder | None = None
        """Keeps what procfs was asked for."""

    def process(self, host_pid: int) -> bytes:
        batch = self._procfs.process(host_pid)
        if self.recorder:
            self.recorder.write(batch)
        return batch

    def find_rule(self, number: int, rule: int) -> Numbered | None:
        return self._in_force.find_rule(number, rule)

    def follow(self, news: Sequence[WorkloadNews]) -> list[str]:
        """Give workloads their rules and their visibility, and ask who the nameless are."""
        asked_for = []
        for each in news:
            if isinstance(each, Removed):
                self._workloads.pop(each.cgroup_id, None)
                self._in_force.forget(each.cgroup_id)
                continue
            cgroup_id, workload = each
            self._workloads[cgroup_id] = workload
            self._kernel.hide(cgroup_id, self._state.hidden_of(workload))
            self._in_force.learn(cgroup_id, workload)
            nameless = workload.container_id if workload.container_name is None else None
            if nameless is not None and self._runtimes.ask(nameless):
                asked_for.append(nameless)
        return asked_for

    def leave_out(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._kernel.leave_out(request)


class Agent:
    """The live sensor of this machine and the pipeline behind it."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        report = probe()
        if report.missing:
            needed = "; ".join(
                f"{finding.name}: {finding.cost} {finding.remedy}" for finding in report.missing
            )
            raise KernelError(f"this host cannot run the agent. {needed}. `hauberk probe` tells more")
        self._config = config
        self._selection = config.selection()
        self._ledger = ledger
        self._kernel = Kernel(report.cgroups, config.ring_bytes)
        self._procfs = Procfs(Path(report.cgroups.mount))
        self._users = Users(warn)
        self._workloads: dict[int, Workload] = {}
        node = this_node(config)
        defaults = _defaults(config)
        self._state = State(defaults, node.host)
        self._cluster = _find_cluster(config, node.host)
        self._waker = Waker()
        self.in_force = InForce(
            config,
            defaults,
            self._kernel,
            self._state,
            self._workloads,
            warn,
            host_name=node.host,
            denies=report.denies,
            is_in_cluster=self._cluster is not None,
            has_runtimes=lambda: self._runtimes.are_found,
            on_alerts=self._read_alerts,
            wake=self._waker.wake,
        )
        self._runtimes = Runtimes(
            sources_of(config.runtimes), warn, patience_s=config.name_wait_s, wake=self._waker.wake
        )
        self._rings: Rings | None = None
        self.host = LiveHost(
            self._kernel, self._procfs, self._runtimes, self._state, self.in_force, self._workloads
        )
        self.pipeline = Pipeline(
            Machine(node, boot_time_ns(), self._procfs.host_pid_ns, {}, platform.release()),
            self._selection,
            ledger,
            host=self.host,
            visibility=self._state,
            own_pid=os.getpid(),
            throttle=_throttle(config),
            name_wait_s=config.name_wait_s,
            alert_name_wait_s=config.alert_name_wait_s,
        )
        self._users.wait(_USERS_S)
        self._refresh()
        self._stopping = False

    def _read_alerts(self, alerts: Ring) -> None:
        self._waker.listen_to(alerts.fd)
        assert self._rings
        self._rings.alerts = alerts

    def _take_news(self) -> bool:
        """Take in what runtimes have told; whether they have told anything."""
        told = self._runtimes.news()
        for news in told:
            container = news.container
            self.pipeline.workloads.tell_of_runtime(
                news.container_id,
                container.workload if container else None,
                container.cgroup if container else None,
            )
        self.pipeline.follow(now_ns())
        return bool(told)

    def _hear_of_cluster(self) -> None:
        """Take in what Kubernetes has told since the last time."""
        if not self._cluster:
            return
        for change in self._cluster.changes():
            for told in self._state.apply(change):
                workloads = self.pipeline.workloads
                tell = workloads.expect_pod if told.of == "pod" else workloads.tell_of_pod
                tell(told.id, told.workload)
        self.pipeline.follow(now_ns())
        if self._state.treatment_changed:
            self._state.treatment_changed = False
            self._review()
        if self._state.policies_changed:
            self.in_force.refresh()

    def _review(self) -> None:
        """Treat every workload as its namespace and its pod want it now."""
        self.pipeline.review_visibility()
        for cgroup_id, workload in self._workloads.items():
            self._kernel.hide(cgroup_id, self._state.hidden_of(workload))
        self.in_force.review()

    def _tell_statuses(self) -> None:
        """Let the policies' status say what became of them here."""
        statuses = self.in_force.take_statuses() if self._cluster else None
        if self._cluster and statuses is not None:
            self._cluster.statuses.want(statuses)

    @property
    def missing(self) -> dict[str, str]:
        """What this kernel did not take, and what that costs."""
        return self._kernel.missing

    def stop(self) -> None:
        """End `batches` once what the kernel has sent is read."""
        self._stopping = True
        self._waker.wake()

    def _end(self) -> None:
        self.in_force.end()
        self._users.close()
        self._waker.close()

    def batches(self) -> Iterator[Batch]:
        """What was there before, then what the kernel sends, until `stop`."""
        with ExitStack() as stack:
            stack.callback(self._end)
            stack.callback(self._kernel.close)
            ring = self._kernel.load(self._selection)
            stack.callback(ring.close)
            self._waker.listen_to(
                ring.fd
            )  # which rings for the birth of a cgroup: its rules must be there before it acts
            rings = self._rings = Rings(ring)
            warn(
                f"watching {', '.join(self._selection.operations)} on {self.pipeline.machine.node.host}",
                "INFO",
            )
            for name, cost in self._kernel.missing.items():
                warn(f"without {name}: {cost}; `hauberk probe` tells why")
            # attached first and asked for the past second: nothing falls in between
            stack.callback(self._runtimes.close)
            self._runtimes.look()
            yield from map(decode_batch, self._procfs.cgroups())
            yield from map(decode_batch, self._procfs.processes())
            if self._cluster:
                stack.callback(self._cluster.close)
                self._cluster.start()
                warn(f"following the cluster at {self._cluster.url} as node {self._state.node.name}")
            self.in_force.refresh()
            sleep_s = _POLL_S
            next_refresh = time.monotonic() + 1
            while not self._stopping:  # however much there is to read: after the detach it comes to an end
                batch = rings.read(self.pipeline.knows_who)
                told = self._take_news()
                if batch.content or told or self.pipeline.waiting:
                    yield batch  # or time passes
                if batch.content:
                    sleep_s = _POLL_S
                else:
                    self._waker.wait(sleep_s)  # what happens gathers meanwhile; an alert ends it at once
                    sleep_s = min(2 * sleep_s, _POLL_IDLE_S)
                self._hear_of_cluster()
                if time.monotonic() > next_refresh or self.in_force.is_asked:
                    self._refresh()
                    self.in_force.refresh()
                    self._runtimes.look()
                    self._tell_statuses()
                    next_refresh = time.monotonic() + 1
                    yield NOTHING  # time passes
            self._kernel.detach()
            while (batch := rings.read(self.pipeline.knows_who)).content:
                yield batch
            if self.in_force.outlives_us:
                warn("what is blocked stays blocked; `hauberk agent --uninstall` ends that", "INFO")
            self.pipeline.finish(self._kernel.sequences())
            self.refresh_ledger()

    def refresh_ledger(self) -> None:
        """Take over the kernel's counts, if its programs are loaded."""
        if self._kernel.loaded:
            self._ledger.kernel = self._kernel.counts()
            self._ledger.alerts = self._kernel.alert_counts()
        if self._cluster:
            self._ledger.cluster_problems = dict(self._cluster.problems())
            self._ledger.cluster_restarts = dict(self._cluster.restarts())

    def _refresh(self) -> None:
        """Follow a clock that was set, and users that came or went."""
        machine = self.pipeline.machine
        now = boot_time_ns()
        if abs(now - machine.boot_time_ns) > _CLOCK_DRIFT_NS:
            self.pipeline.machine = machine = msgspec.structs.replace(machine, boot_time_ns=now)
        if machine.users is not self._users.names:
            self.pipeline.machine = msgspec.structs.replace(machine, users=self._users.names)


def _defaults(config: Config) -> Defaults:
    return Defaults(
        config.visibility,
        config.host_visibility,
        _posture(
            config.default_file_posture,
            config.default_network_posture,
            config.default_capabilities_posture,
        ),
        _posture(
            config.host_default_file_posture,
            config.host_default_network_posture,
            config.host_default_capabilities_posture,
        ),
        frozenset(config.untracked_namespaces),
    )


def _find_cluster(config: Config, node: str) -> "Cluster | None":
    """The cluster that this node is of. Its client is loaded only where there is one."""
    if config.kubernetes == "off" or not (config.kubeconfig or os.environ.get("KUBERNETES_SERVICE_HOST")):
        return None
    from hauberk.kube.access import find_access
    from hauberk.kube.cluster import Cluster

    access = find_access(config.kubeconfig)
    return Cluster(access, node, warn) if access else None


def _posture(file: str, network: str, capabilities: str) -> Posture:
    return Posture(*(Action(name.capitalize()) for name in (file, network, capabilities)))


def _throttle(config: Config) -> Throttle | None:
    if not config.alert_throttling:
        return None
    return Throttle(
        per_second=config.max_alert_per_sec, hold_s=config.throttle_sec, blocks=config.throttle_blocks
    )


def run_pipeline(
    batches: Iterable[Batch],
    pipeline: Pipeline,
    receivers: Sequence[Receiver],
    clock: Callable[[], int] = now_ns,
) -> None:
    """The whole way, from batches to receivers, until there are no more."""
    gc.set_threshold(_GC_THRESHOLD)

    def put(events: list[Event]) -> None:
        if events:
            for receiver in receivers:
                receiver.put(events)

    for batch in batches:
        put(pipeline.events(batch, clock()))
    put(pipeline.flush(clock()))


def expect_threads() -> None:
    """Settings of the process for several outputs, each with threads of its own."""
    # they want the interpreter back after every call that sends or saves, and would wait more than they work
    sys.setswitchinterval(_SWITCH_S)
    # each would have a heap of its own, in whose holes what is written and read in large pieces stays for good
    with suppress(AttributeError):  # another C library has no such thing
        for parameter, value in _MALLOC.items():
            ctypes.CDLL(None).mallopt(parameter, value)


def run(config: Config, ledger: Ledger) -> None:
    """Run the agent until SIGINT or SIGTERM; the ledger is complete afterwards."""
    agent = Agent(config, ledger)
    with ExitStack() as stack:
        outputs = open_outputs(config, ledger, warn)
        stack.callback(outputs.close, _CLOSE_S)
        if len(config.outputs) > 1:
            expect_threads()
        _on_signals(agent, outputs)
        receivers: list[Receiver] = [outputs]
        if config.grpc != "off":
            receivers.append(stack.enter_context(_open_feed(config, ledger, agent)))
        if config.metrics:
            from hauberk.api.prometheus import MetricsServer

            def refresh() -> None:
                agent.refresh_ledger()
                outputs.refresh()

            server = MetricsServer(config.metrics, ledger, refresh)
            stack.callback(server.close)
        run_pipeline(agent.batches(), agent.pipeline, receivers)


@contextmanager
def _open_feed(config: Config, ledger: Ledger, agent: Agent) -> "Iterator[Feed]":
    """KubeArmor's gRPC services while this lasts; raises ConfigError. Readers have what waits before it ends."""
    from hauberk.api.door import Door
    from hauberk.api.feed import Feed

    ledger.feed = FeedCounts()
    feed = Feed(this_node(config), ledger.feed)
    policies = None if config.enforce == "off" else LivePolicies(Path(config.policies), agent.in_force.apply)
    door = Door(config, feed, policies, warn)
    warn.listeners.append(feed.say)
    try:
        yield feed
    finally:
        warn.listeners.remove(feed.say)
        door.close()


def uninstall() -> int:
    """Take away what agents left in the kernel; how many programs that were."""
    return Pins().remove()


def record(config: Config, path: Path, ledger: Ledger) -> None:
    """Write what the kernel sends to a recording until SIGINT or SIGTERM."""
    # who only records decides nothing: the agent beside it does
    agent = Agent(msgspec.structs.replace(config, enforce="off", alert_throttling=False), ledger)
    counts = ledger.outputs.setdefault(str(path), OutputCounts())
    with Recorder(path, agent.pipeline.machine) as recorder:
        _on_signals(agent, None)
        agent.host.recorder = recorder  # what is asked of procfs now cannot be asked at replay
        for batch in agent.batches():
            events = agent.pipeline.events(batch, now_ns())
            recorder.write(batch.content)
            counts.offered += len(events)
            counts.delivered += len(events)
        rest = len(agent.pipeline.flush(now_ns()))
        counts.offered += rest
        counts.delivered += rest


def replay(config: Config, path: Path, ledger: Ledger) -> None:
    """Send a recording through the pipeline."""
    recording = Recording(path)
    pipeline = Pipeline(recording.machine, config.selection(), ledger)
    # the spools are the agent's; and a recording does not run away
    outputs = open_outputs(config, ledger, warn, spooled=False)
    try:
        run_pipeline(_as_there_is_room(recording.batches(), outputs), pipeline, [outputs])
    finally:
        outputs.close(_CLOSE_S)
    if recording.damaged:
        warn(f"{path}: {recording.damaged} chunks are damaged; what could be decoded of them was told")
    if recording.cut_bytes:
        warn(f"{path}: cut off: the last {recording.cut_bytes} bytes are no whole chunk")


def _as_there_is_room(batches: Iterable[bytes], outputs: Outputs) -> Iterator[Batch]:
    """The batches, no faster than the outputs take what is in them."""
    for batch in batches:
        yield decode_batch(batch)
        outputs.wait_for_room()


def _on_signals(agent: Agent, outputs: Outputs | None) -> None:
    """Stop on SIGINT and SIGTERM, reopen outputs on SIGHUP."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        agent.stop()

    def reopen(_signal: int, _frame: FrameType | None) -> None:
        if outputs:
            outputs.reopen()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, reopen)
