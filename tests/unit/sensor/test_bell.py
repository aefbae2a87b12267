"""What the reader of the rings sleeps by."""

import os
import threading
import time

from hauberk.sensor.bell import Bell

LONG_S = 60.0


def test_ring_wakes_the_sleeper() -> None:
    """From another thread, long before its time is up."""
    bell = Bell()
    threading.Timer(0.01, bell.ring).start()
    begin = time.monotonic()
    bell.wait(LONG_S)

    assert time.monotonic() - begin < LONG_S / 2
    bell.close()


def test_ring_before_the_sleep_counts_once() -> None:
    """However often it has rung, it does not sleep now, and does the next time."""
    bell = Bell()
    bell.ring()
    bell.ring()
    begin = time.monotonic()
    bell.wait(LONG_S)
    assert time.monotonic() - begin < LONG_S / 2
    begin = time.monotonic()
    bell.wait(0.05)

    assert time.monotonic() - begin >= 0.04
    bell.close()
    bell.ring()  # somebody who does not know yet


def test_descriptor_rings_while_it_can_be_read() -> None:
    """As the ring of alerts does until it is empty."""
    bell = Bell()
    reading, writing = os.pipe()
    bell.listen_to(reading)
    os.write(writing, b"!")
    begin = time.monotonic()
    bell.wait(LONG_S)
    bell.wait(LONG_S)
    assert time.monotonic() - begin < LONG_S / 2
    os.read(reading, 1)
    begin = time.monotonic()
    bell.wait(0.05)

    assert time.monotonic() - begin >= 0.04
    bell.close()
    os.close(reading)
    os.close(writing)
