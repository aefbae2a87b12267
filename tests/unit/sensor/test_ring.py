"""What the reader of the rings takes at once."""

from hauberk.abi import ITEMS_SIZE, RECORD
from hauberk.sensor.ring import BATCH_BYTES, HEADER


def test_largest_record_fits_a_batch() -> None:
    """Else the reader would wait for its end for ever."""
    padding = 7

    assert HEADER.size + RECORD.size + ITEMS_SIZE + padding <= BATCH_BYTES
