"""The soak of `benchmarks/soak.py`, short."""

from benchmarks.soak import soak


def test_soak() -> None:
    """Three outputs, one of them dead: the account is exact, and the alerts that cannot be delivered are on disk."""
    said: list[str] = []
    report = soak(3.0, 2_000, every_s=1.0, tell=said.append)
    counts = report.ledger.outputs

    assert {} == report.ledger.differences(), said
    assert [{}, {}, {}] == [output.dropped for output in counts.values()], said
    assert report.offered == counts["file"].delivered == counts["siem"].delivered == report.received
    assert report.offered == counts["dead"].spooled
    assert report.alerts == report.alerts_on_disk > 0
