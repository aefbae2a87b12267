"""The ledger for people."""

import pytest

from hauberk.cli.ledger import print_ledger
from hauberk.metrics import Ledger, OutputCounts


def test_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has its line; what came from an earlier run and what is left for the next are told where there is some."""
    ledger = Ledger(
        decoded=20,
        outputs={
            "siem": OutputCounts(
                replayed=3, offered=20, filtered=4, delivered=10, dropped={"refused": 2}, spooled=7
            ),
            "file": OutputCounts(offered=20, delivered=20),
        },
    )
    print_ledger(ledger)
    lines = capsys.readouterr().err.splitlines()

    assert (
        "output  siem  left by an earlier run 3  filtered 4  delivered 10  dropped 2 (refused 2)  "
        "left on disk for the next run 7"
    ) in lines
    assert "output  file  delivered 20  dropped 0" in lines
    assert "ledger  adds up" in lines


def test_what_does_not_add_up_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that is on disk counts twice, and nothing is nowhere."""
    print_ledger(Ledger(decoded=20, outputs={"siem": OutputCounts(offered=20, delivered=20, spooled=1)}))

    assert "does not add up: output siem: what came in and what became of it = -1" in capsys.readouterr().err
