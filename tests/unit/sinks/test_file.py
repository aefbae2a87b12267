"""The file sink."""

import gzip
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hauberk.errors import ConfigError, SinkError
from hauberk.formats import Format
from hauberk.sinks import Message, wrapped
from hauberk.sinks.file import File, FileSink

SOON_S = 60.0
LINES = Format(lambda event: str(event).encode(), "text/plain")


def open_file(path: Path, said: list[str] | None = None, **settings: object) -> FileSink:
    warn = pytest.fail if said is None else said.append
    return msgspec.convert({"path": str(path), **settings}, File).open(LINES, warn)


def messages(*lines: bytes) -> list[Message]:
    return [Message(line, False, "", "") for line in lines]


def test_lines_are_appended(tmp_path: Path) -> None:
    """What was there stays, and each line ends in a newline."""
    path = tmp_path / "events"
    path.write_bytes(b"old\n")
    sink = open_file(path)
    sink.write(messages(b"one", b"two"))
    sink.close()

    assert path.read_bytes() == b"old\none\ntwo\n"


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """Command lines of all processes are not for everybody."""
    path = tmp_path / "events"
    open_file(path).close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_torn_line_is_cut_off(tmp_path: Path) -> None:
    """A death in the middle of a line leaves whole lines only, and is told."""
    path = tmp_path / "events"
    path.write_bytes(b'{"a":1}\n{"b":')
    said: list[str] = []
    sink = open_file(path, said)
    sink.write(messages(b'{"c":3}'))
    sink.close()

    assert path.read_bytes() == b'{"a":1}\n{"c":3}\n'
    assert [f"{path}: cut off 5 bytes of a line that was never finished"] == said


def test_a_line_that_another_writes_is_not_cut_off(tmp_path: Path) -> None:
    """It only looks torn."""
    path = tmp_path / "events"
    agent = open_file(path)
    with path.open("ab") as file:
        file.write(b"half a li")
    open_file(path).close()
    assert b"half a li" == path.read_bytes()
    agent.close()
    open_file(path, []).close()

    assert b"half a li\n" == path.read_bytes()


def test_foreign_file_is_left_whole(tmp_path: Path) -> None:
    """A file without any newline is not cut to nothing."""
    path = tmp_path / "events"
    path.write_bytes(b"precious")
    sink = open_file(path)
    sink.write(messages(b"one"))
    sink.close()

    assert path.read_bytes() == b"precious\none\n"


def test_rotation_keeps_so_many(tmp_path: Path) -> None:
    """FILE.1 is the newest of the old ones, and the oldest goes."""
    path = tmp_path / "events"
    sink = open_file(path, rotate_bytes=4, rotate_keep=2)
    for line in (b"111", b"222", b"333", b"444"):
        sink.write(messages(line))
    sink.close()

    contents = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert contents == {"events": b"444\n", "events.1": b"333\n", "events.2": b"222\n"}


def test_reopen_follows_a_rename(tmp_path: Path) -> None:
    """After a rotation by others, reopening starts a new file of the old name."""
    path = tmp_path / "events"
    sink = open_file(path)
    sink.write(messages(b"one"))
    path.rename(tmp_path / "moved")
    sink.reopen()
    sink.write(messages(b"two"))
    sink.close()

    assert path.read_bytes() == b"two\n"
    assert (tmp_path / "moved").read_bytes() == b"one\n"


def wait_until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SOON_S
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


def test_old_files_are_compressed(tmp_path: Path) -> None:
    """Each keeps its place, whole, for its owner only; and nothing half done is left."""
    path = tmp_path / "events"
    sink = open_file(path, rotate_bytes=100, rotate_keep=3, compress=True)
    lines = [f"{number}".encode() * 80 for number in range(5)]
    for number, line in enumerate(lines):
        sink.write(messages(line))
        if number:
            wait_until(lambda: not (tmp_path / "events.1").exists(), "it is compressed")
    sink.close()

    assert path.read_bytes() == lines[4] + b"\n"
    for number in (1, 2, 3):
        assert lines[4 - number] + b"\n" == gzip.decompress((tmp_path / f"events.{number}.gz").read_bytes())
    assert {"events", "events.1.gz", "events.2.gz", "events.3.gz"} == {
        each.name for each in tmp_path.iterdir()
    }
    assert {0o600} == {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}


def test_rotation_does_not_wait_for_compression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that gets another number while it is compressed ends up under that number; one that goes, goes."""
    path = tmp_path / "events"
    gate, entered = threading.Event(), threading.Event()

    class Slow(gzip.GzipFile):
        def flush(self, *arguments: int) -> None:
            entered.set()
            assert gate.wait(SOON_S)
            super().flush(*arguments)

    monkeypatch.setattr(gzip, "GzipFile", Slow)
    sink = open_file(path, rotate_bytes=4, rotate_keep=2, compress=True)
    sink.write(messages(b"111"))
    sink.write(messages(b"222"))
    assert entered.wait(SOON_S)  # 111 is being compressed
    sink.write(messages(b"333"))
    sink.write(messages(b"444"))  # and goes
    gate.set()
    wait_until(
        lambda: (tmp_path / "events.2.gz").exists() and (tmp_path / "events.1.gz").exists(), "all is done"
    )
    sink.close()

    assert b"222\n" == gzip.decompress((tmp_path / "events.2.gz").read_bytes())
    assert b"333\n" == gzip.decompress((tmp_path / "events.1.gz").read_bytes())
    assert {"events", "events.1.gz", "events.2.gz"} == {each.name for each in tmp_path.iterdir()}


def test_compression_is_taken_up_again(tmp_path: Path) -> None:
    """What an agent that was killed has left half done."""
    (tmp_path / "events.2").write_bytes(b"old\n")
    (tmp_path / "events.gz.part").write_bytes(b"half")
    sink = open_file(tmp_path / "events", rotate_bytes=1, compress=True)
    sink.write(messages(b"1"))
    sink.write(messages(b"2"))
    wait_until(
        lambda: not (tmp_path / "events.gz.part").exists() and (tmp_path / "events.3.gz").exists(),
        "it is done",
    )
    sink.close()

    assert b"old\n" == gzip.decompress((tmp_path / "events.3.gz").read_bytes())


@pytest.mark.parametrize(
    ("policy", "before", "after"), [("never", 0, 0), ("always", 3, 4), ("interval", 0, 1)]
)
def test_fsync(policy: str, before: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel likes; with each write, and at the end once more; or by a thread of its own, and at the end."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    monkeypatch.setattr("hauberk.sinks.file._SYNC_S", SOON_S)
    sink = open_file(tmp_path / "events", fsync=policy)
    for line in (b"1", b"2", b"3"):
        sink.write(messages(line))
    assert [2, 4, 6][:before] == synced
    sink.close()

    assert after == len(synced)
    assert not synced or 6 == synced[-1]


def test_fsync_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each write, and once what was written last is on disk, not for nothing."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    monkeypatch.setattr("hauberk.sinks.file._SYNC_S", 0.01)
    sink = open_file(tmp_path / "events", fsync="interval")
    for _ in range(1_000):
        sink.write(messages(b"1"))
    wait_until(lambda: synced and 2_000 == synced[-1], "it is synced")
    count = len(synced)
    time.sleep(0.1)
    assert count == len(synced) < 1_000
    sink.close()


def test_a_file_that_could_not_be_reopened(tmp_path: Path) -> None:
    """It is opened by the next write that can; no other file is written to meanwhile."""
    path = tmp_path / "directory" / "events"
    path.parent.mkdir()
    sink = open_file(path)
    path.parent.rename(tmp_path / "moved")
    with pytest.raises(SinkError, match="No such file"):
        sink.reopen()
    with (tmp_path / "other").open("wb"):  # gets the descriptor that was closed
        with pytest.raises(SinkError, match="No such file"):
            sink.write(messages(b"1"))
        path.parent.mkdir()
        sink.write(messages(b"2"))
    sink.close()

    assert b"2\n" == path.read_bytes()
    assert b"" == (tmp_path / "other").read_bytes()


def test_only_text_goes_into_a_file() -> None:
    """Bytes without lines could not be told apart, and a torn end not be found."""
    with pytest.raises(ConfigError, match=r"application/x-protobuf is not lines of text"):
        wrapped(File(path="/x"), Format(lambda _: b"", "application/x-protobuf", is_text=False))


def test_unwritable_output_is_an_error(tmp_path: Path) -> None:
    """The error names the file and the reason."""
    with pytest.raises(SinkError, match=r"cannot open the output .*missing/events: No such file"):
        open_file(tmp_path / "missing" / "events")


def test_full_disk_is_an_error() -> None:
    """A disk without room is told as such."""
    sink = open_file(Path("/dev/full"))
    with pytest.raises(SinkError, match="No space left on device"):
        sink.write(messages(b"one"))
    sink.close()
