"""The ledger as Prometheus reads it."""

import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hauberk.api.prometheus import LedgerCollector
from hauberk.metrics import FeedCounts, Ledger, OutputCounts


def test_readers_of_the_feed_have_their_account() -> None:
    """Each by itself, and together those that are gone."""
    here, gone = OutputCounts(offered=7, delivered=4), OutputCounts(offered=3, delivered=3)
    here.drop("too late", 2)
    name = "alerts ipv4:127.0.0.1:4711"
    registry = CollectorRegistry()
    ledger = Ledger(feed=FeedCounts(10, {name: here, "logs ipv4:127.0.0.1:4711": gone}))
    assert ledger.feed
    ledger.feed.forget("logs ipv4:127.0.0.1:4711", "logs")
    registry.register(LedgerCollector(ledger, lambda: None))
    text = generate_latest(registry).decode()

    assert f'hauberk_reader_offered_total{{reader="{name}"}} 7.0' in text
    assert f'hauberk_reader_dropped_total{{reader="{name}",reason="too late"}} 2.0' in text
    assert 'hauberk_reader_delivered_total{reader="logs"} 3.0' in text


def test_feed_is_part_of_the_account() -> None:
    """What a reader was offered and neither had nor lost is a fault of ours, and is named."""
    feed = FeedCounts(5, {"alerts": OutputCounts(offered=3, delivered=2)})

    assert Ledger(decoded=5, feed=feed).differences() == {"reader alerts: offered - delivered - dropped": 1}
    assert Ledger(decoded=6, feed=FeedCounts(5)).differences() == {"feed: offered": 1}


def test_outputs() -> None:
    """What became of what each output was offered, what waits before it, and since when."""
    ledger = Ledger(
        outputs={
            "siem": OutputCounts(
                replayed=3,
                offered=20,
                filtered=4,
                delivered=10,
                dropped={"refused": 2},
                queued=1,
                spooled=6,
                spool_bytes=4_096,
                oldest_ns=time.time_ns() - 90 * 10**9,
            ),
            "idle": OutputCounts(),
        }
    )
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger, lambda: None))
    text = generate_latest(registry).decode()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    expected = {
        'hauberk_delivered_total{output="siem"}': 10,
        'hauberk_dropped_total{output="siem",reason="refused"}': 2,
        'hauberk_output_filtered_total{output="siem"}': 4,
        'hauberk_output_replayed_total{output="siem"}': 3,
        'hauberk_output_queued{output="siem"}': 1,
        'hauberk_output_spooled{output="siem"}': 6,
        'hauberk_output_spool_bytes{output="siem"}': 4_096,
        'hauberk_output_oldest_seconds{output="idle"}': 0,
    }
    assert expected == {name: float(samples[name]) for name in expected}
    age_s = float(samples['hauberk_output_oldest_seconds{output="siem"}'])
    assert age_s == pytest.approx(90, abs=60)
    assert 0 == ledger.outputs["siem"].difference
