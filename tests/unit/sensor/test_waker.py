"""What the reader of the rings sleeps by."""

import os
import threading
import time

from hauberk.sensor.waker import Waker

LONG_S = 60.0


def test_ring_wakes_the_sleeper() -> None:
    """From another thread, long before its time is up."""
    waker = Waker()
    threading.Timer(0.01, waker.wake).start()
    begin = time.monotonic()
    waker.wait(LONG_S)

    assert time.monotonic() - begin < LONG_S / 2
    waker.close()


def test_ring_before_the_sleep_counts_once() -> None:
    """However often it has rung, it does not sleep now, and does the next time."""
    waker = Waker()
    waker.wake()
    waker.wake()
    begin = time.monotonic()
    waker.wait(LONG_S)
    assert time.monotonic() - begin < LONG_S / 2
    begin = time.monotonic()
    waker.wait(0.05)

    assert time.monotonic() - begin >= 0.04
    waker.close()
    waker.wake()  # somebody who does not know yet


def test_descriptor_rings_while_it_can_be_read() -> None:
    """As the ring of alerts does until it is empty."""
    waker = Waker()
    reading, writing = os.pipe()
    waker.listen_to(reading)
    os.write(writing, b"!")
    begin = time.monotonic()
    waker.wait(LONG_S)
    waker.wait(LONG_S)
    assert time.monotonic() - begin < LONG_S / 2
    os.read(reading, 1)
    begin = time.monotonic()
    waker.wait(0.05)

    assert time.monotonic() - begin >= 0.04
    waker.close()
    os.close(reading)
    os.close(writing)
