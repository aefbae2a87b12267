"""The ledger for Prometheus."""

import time
from collections.abc import Callable, Iterable, Mapping
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hauberk.errors import ConfigError
from hauberk.metrics import FeedCounts, Ledger, OutputCounts
from hauberk.threads import failures


class LedgerCollector(Collector):
    """Reads the ledger anew for each scrape."""

    def __init__(self, ledger: Ledger, refresh: Callable[[], None]) -> None:
        self._ledger = ledger
        self._refresh = refresh

    def collect(self) -> Iterable[Metric]:
        self._refresh()
        ledger = self._ledger
        kernel = {
            name: CounterMetricFamily(f"hauberk_kernel_{name}", text, labels=["cpu", "operation"])
            for name, text in (
                ("seen", "Events that the kernel programs saw."),
                ("sent", "Events that went into the ring buffer."),
                ("lost", "Events that found the ring buffer full."),
                ("state_sent", "Records that tell who is who, sent."),
                ("state_lost", "Records that tell who is who, lost."),
            )
        }
        filtered = CounterMetricFamily(
            "hauberk_kernel_filtered", "Events left out in the kernel.", labels=["cpu", "operation", "reason"]
        )
        for (cpu, operation), counts in list(ledger.kernel.items()):
            for name, family in kernel.items():
                family.add_metric([str(cpu), operation], getattr(counts, name))
            for reason, count in counts.filtered.items():
                filtered.add_metric([str(cpu), operation, reason], count)
        yield from kernel.values()
        yield filtered
        yield CounterMetricFamily("hauberk_decoded", "Records that were decoded.", ledger.decoded)
        yield CounterMetricFamily("hauberk_unknown", "Entries that are no record we know.", ledger.unknown)
        yield CounterMetricFamily("hauberk_state", "Records that are no events.", ledger.state)
        left_out = CounterMetricFamily("hauberk_filtered", "Events left out in the agent.", labels=["reason"])
        for reason, count in list(ledger.filtered.items()):
            left_out.add_metric([reason], count)
        yield left_out
        yield CounterMetricFamily(
            "hauberk_waited", "Events that waited for the name of their container.", ledger.waited
        )
        yield CounterMetricFamily("hauberk_unnamed", "Those that went out without a name.", ledger.unnamed)
        yield GaugeMetricFamily("hauberk_waiting", "Those that wait now.", ledger.waiting)
        failed = CounterMetricFamily(
            "hauberk_thread_failures", "How often a thread failed and was begun anew.", labels=["thread"]
        )
        for name, count in failures().items():
            failed.add_metric([name], count)
        yield failed
        yield from _outputs(ledger.outputs)
        if ledger.feed:
            yield from _readers(ledger.feed)
        if ledger.cluster_problems:
            yield from _cluster(ledger)


def _cluster(ledger: Ledger) -> Iterable[Metric]:
    """Whether what is known of Kubernetes is up to date."""
    followed = GaugeMetricFamily(
        "hauberk_kubernetes_followed", "1 if what is known of it is up to date.", labels=["resource"]
    )
    for name, problem in list(ledger.cluster_problems.items()):
        followed.add_metric([name], float(problem is None))
    yield followed
    relisted = CounterMetricFamily(
        "hauberk_kubernetes_relisted", "How often all was listed again.", labels=["resource"]
    )
    for name, count in list(ledger.cluster_restarts.items()):
        relisted.add_metric([name], count)
    yield relisted


def _outputs(outputs: Mapping[str, OutputCounts]) -> Iterable[Metric]:
    """What became of what each output was offered, and what waits before it."""
    counters = {
        name: CounterMetricFamily(f"hauberk_{name}", text, labels=["output"])
        for name, text in (
            ("delivered", "Events an output delivered."),
            ("output_filtered", "Events that an output's filter left out."),
            ("output_replayed", "Events that an earlier run had left on disk."),
        )
    }
    dropped = CounterMetricFamily(
        "hauberk_dropped", "Events an output gave up on.", labels=["output", "reason"]
    )
    gauges = {
        name: GaugeMetricFamily(f"hauberk_output_{name}", text, labels=["output"])
        for name, text in (
            ("queued", "Events that wait in memory."),
            ("spooled", "Events that wait on disk."),
            ("spool_bytes", "What they take there."),
            ("oldest_seconds", "Age of the oldest event that waits; 0 if none does."),
        )
    }
    now_ns = time.time_ns()
    for name, output in list(outputs.items()):
        counters["delivered"].add_metric([name], output.delivered)
        counters["output_filtered"].add_metric([name], output.filtered)
        counters["output_replayed"].add_metric([name], output.replayed)
        for reason, count in list(output.dropped.items()):
            dropped.add_metric([name, reason], count)
        gauges["queued"].add_metric([name], output.queued)
        gauges["spooled"].add_metric([name], output.spooled)
        gauges["spool_bytes"].add_metric([name], output.spool_bytes)
        gauges["oldest_seconds"].add_metric([name], (now_ns - (output.oldest_ns or now_ns)) / 1e9)
    yield from counters.values()
    yield dropped
    yield from gauges.values()


def _readers(feed: FeedCounts) -> Iterable[Metric]:
    """Of each reader of the gRPC feed, and of all that are gone."""
    offered = CounterMetricFamily(
        "hauberk_reader_offered", "What came while a reader was there.", labels=["reader"]
    )
    delivered = CounterMetricFamily("hauberk_reader_delivered", "What a reader was sent.", labels=["reader"])
    dropped = CounterMetricFamily(
        "hauberk_reader_dropped", "What made room before a reader took it.", labels=["reader", "reason"]
    )
    for name, counts in list(feed.readers.items()):
        offered.add_metric([name], counts.offered)
        delivered.add_metric([name], counts.delivered)
        for reason, count in list(counts.dropped.items()):
            dropped.add_metric([name, reason], count)
    yield from (offered, delivered, dropped)


class MetricsServer:
    """Serves the ledger over HTTP at `address` (HOST:PORT) until it is closed."""

    def __init__(self, address: str, ledger: Ledger, refresh: Callable[[], None]) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"metrics {address!r} is not ADDRESS:PORT, such as 127.0.0.1:9464")
        registry = CollectorRegistry()
        registry.register(LedgerCollector(ledger, refresh))
        try:
            started: tuple[WSGIServer, Thread] = start_http_server(int(port), host.strip("[]"), registry)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"cannot serve metrics at {address}: {error}") from error
        self._server, self._thread = started

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
