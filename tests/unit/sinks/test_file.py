"""The file sink."""

from pathlib import Path

import pytest

from hauberk.errors import SinkError
from hauberk.formats import Format
from hauberk.sinks import Message
from hauberk.sinks.file import FileSink

LINES = Format(lambda event: str(event).encode(), "text/plain")


def messages(*lines: bytes) -> list[Message]:
    return [Message(line, False, "", "") for line in lines]


def test_lines_are_appended(tmp_path: Path) -> None:
    """What was there stays, and each line ends in a newline."""
    path = tmp_path / "events"
    path.write_bytes(b"old\n")
    sink = FileSink(path, LINES)
    sink.write(messages(b"one", b"two"))
    sink.close()

    assert path.read_bytes() == b"old\none\ntwo\n"


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """Command lines of all processes are not for everybody."""
    path = tmp_path / "events"
    FileSink(path, LINES).close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_torn_line_is_cut_off(tmp_path: Path) -> None:
    """A death in the middle of a line leaves whole lines only, and is told."""
    path = tmp_path / "events"
    path.write_bytes(b'{"a":1}\n{"b":')
    sink = FileSink(path, LINES)
    sink.write(messages(b'{"c":3}'))
    sink.close()

    assert path.read_bytes() == b'{"a":1}\n{"c":3}\n'
    assert sink.cut_bytes == 5


def test_foreign_file_is_left_whole(tmp_path: Path) -> None:
    """A file without any newline is not cut to nothing."""
    path = tmp_path / "events"
    path.write_bytes(b"precious")
    sink = FileSink(path, LINES)
    sink.write(messages(b"one"))
    sink.close()

    assert path.read_bytes() == b"precious\none\n"


def test_rotation_keeps_so_many(tmp_path: Path) -> None:
    """FILE.1 is the newest of the old ones, and the oldest goes."""
    path = tmp_path / "events"
    sink = FileSink(path, LINES, rotate_bytes=4, keep=2)
    for line in (b"111", b"222", b"333", b"444"):
        sink.write(messages(line))
    sink.close()

    contents = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert contents == {"events": b"444\n", "events.1": b"333\n", "events.2": b"222\n"}


def test_reopen_follows_a_rename(tmp_path: Path) -> None:
    """After a rotation by others, reopening starts a new file of the old name."""
    path = tmp_path / "events"
    sink = FileSink(path, LINES)
    sink.write(messages(b"one"))
    path.rename(tmp_path / "moved")
    sink.reopen()
    sink.write(messages(b"two"))
    sink.close()

    assert path.read_bytes() == b"two\n"
    assert (tmp_path / "moved").read_bytes() == b"one\n"


def test_unwritable_output_is_an_error(tmp_path: Path) -> None:
    """The error names the file and the reason."""
    with pytest.raises(SinkError, match=r"cannot open the output .*missing/events: No such file"):
        FileSink(tmp_path / "missing" / "events", LINES)


def test_full_disk_is_an_error() -> None:
    """A disk without room is told as such."""
    sink = FileSink(Path("/dev/full"), LINES)
    with pytest.raises(SinkError, match="No space left on device"):
        sink.write(messages(b"one"))
    sink.close()
