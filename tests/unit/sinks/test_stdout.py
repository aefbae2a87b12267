"""Standard output."""

import os
import threading

from hauberk.formats import Format
from hauberk.sinks import Message
from hauberk.sinks.stdout import StdoutSink

LINES = Format(lambda event: str(event).encode(), "text/plain")


def test_a_pipe_that_does_not_block() -> None:
    """Whoever shares it may have made it so: then we wait, and every line is whole and there once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    lines = [f"{number:06}".encode() * 10 for number in range(10_000)]
    writer = threading.Thread(
        target=StdoutSink(LINES, writing).write, args=([Message(line) for line in lines],)
    )
    writer.start()
    found = b""
    while len(found) < len(lines) * 61:
        found += os.read(reading, 1 << 16)
    writer.join()
    for descriptor in (reading, writing):
        os.close(descriptor)

    assert lines == found.splitlines()
