import io
from collections.abc import Iterable

import pytest

from hauberk import conversion
from hauberk.conversion import Conversion, Rejected, convert
from hauberk.formats import FORMATS
from hauberk.formats.kubearmor import encode
from hauberk.formats.kubearmor_reader import read_line
from hauberk.model.event import Event
from tests.events import ALERT, EVENT

ONE, TWO = encode(EVENT), encode(ALERT)
FORM = FORMATS.load("kubearmor")().make()


class Pieces:
    """A file that gives its bytes in these pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read1(self, size: int, /) -> bytes:
        piece = next(self._pieces, b"")
        assert len(piece) <= size
        return piece


def run(pieces: Iterable[bytes]) -> tuple[bytes, list[Rejected], Conversion]:
    written = io.BytesIO()
    rejected: list[Rejected] = []
    done = Conversion()
    convert(
        Pieces(pieces),
        read_line,
        FORM,
        lambda content: void(written.write(content)),
        rejected.append,
        rejected.append,
        done,
        fallback_ns=7,
    )
    return written.getvalue(), rejected, done


def void(_result: object) -> None:
    """What a writer returns."""


@pytest.mark.parametrize("size", [1, 7, 300, 10_000])
def test_lines_are_whole_however_they_come(size: int) -> None:
    content = ONE + b"\n\n  \r\n" + TWO + b"\n" + ONE
    written, rejected, done = run(content[i : i + size] for i in range(0, len(content), size))

    assert written == b"\n".join([ONE, TWO, ONE]) + b"\n"
    assert rejected == []
    assert (done.events, done.rejected) == (3, 0)


def test_bad_lines_are_told_by_number_as_they_were() -> None:
    written, rejected, done = run([ONE + b"\nbad\xff\n\n" + TWO + b"\n{"])

    assert written == ONE + b"\n" + TWO + b"\n"
    assert [(bad.number, bad.line) for bad in rejected] == [(2, b"bad\xff"), (5, b"{")]
    assert (done.events, done.rejected) == (2, 2)


def test_line_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what follows it is read."""
    monkeypatch.setattr(conversion, "_LINE_BYTES", 1000)
    written, rejected, _ = run([ONE + b"\n{", b"x" * 900, b"x" * 900, b"x" * 900, b"x\n" + TWO + b"\n"])

    assert written == ONE + b"\n" + TWO + b"\n"
    assert [(bad.number, len(bad.line)) for bad in rejected] == [(2, 1000)]


def test_line_without_a_time_happened_after_the_one_before() -> None:
    times: list[int] = []

    def read(line: bytes, fallback_ns: int) -> Event:
        times.append(read_line(line, fallback_ns).time_ns)
        return read_line(line, fallback_ns)

    bare = b'{"Operation":"File"}\n'
    convert(
        Pieces([bare, ONE + b"\n" + bare]),
        read,
        FORM,
        lambda _: None,
        lambda _: None,
        lambda _: None,
        Conversion(),
        fallback_ns=7,
    )

    assert times == [7, EVENT.time_ns // 1000 * 1000, EVENT.time_ns // 1000 * 1000]
