"""Batches: one write as several requests, with one account of what became of all."""

from collections.abc import Callable, Iterator, Sequence

from hauberk.errors import SinkError, SinkRefused
from hauberk.sinks import Message


class BatchRefused(SinkRefused):
    """A batch was refused because of what it is, as a whole: its halves may not be."""


def batches(messages: Sequence[Message], *, max_events: int, max_bytes: int) -> Iterator[Sequence[Message]]:
    """The messages in their order; one that is too long for any batch is one of its own."""
    begin = size = 0
    for number, message in enumerate(messages):
        length = len(message.content)
        if number > begin and (number - begin >= max_events or size + length > max_bytes):
            yield messages[begin:number]
            begin, size = number, 0
        size += length
    if begin < len(messages):
        yield messages[begin:]


def deliver(
    messages: Sequence[Message],
    send: Callable[[Sequence[Message]], None],
    *,
    max_events: int,
    max_bytes: int,
) -> None:
    """Send all in batches. Raises what a sink's `write` does, with the counts of the whole.

    `send` raises the same for its batch; after BatchRefused it gets the halves.
    """
    waiting = list(batches(messages, max_events=max_events, max_bytes=max_bytes))[::-1]
    done = refused = 0
    problem = ""
    while waiting:
        batch = waiting.pop()
        try:
            send(batch)
        except BatchRefused as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                waiting += batch[middle:], batch[:middle]
                continue
            refused += 1
            problem = str(error)
        except SinkRefused as error:
            refused += error.refused
            problem = str(error)
        except SinkError as error:
            error.delivered, error.refused = done - refused, refused
            raise
        done += len(batch)
    if refused:
        raise SinkRefused(problem, refused=refused)
