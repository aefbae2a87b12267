"""What an output holds on disk until it is delivered: an SQLite file, one row a run of messages.

When `save` returns, a run is on disk, synced, and survives whatever ends the process. The file is bounded: the
oldest telemetry goes to make room. Alerts go for nothing: those that do not fit when there is nothing else left
to go stay with the caller.
"""

import fcntl
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from hauberk.delivery.queue import Kind, Run
from hauberk.errors import ConfigError, SpoolError
from hauberk.sinks import Message

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE runs(
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    first INTEGER NOT NULL,     -- the number of its first message: the order
    is_alert INTEGER NOT NULL,
    count INTEGER NOT NULL,     -- of messages
    size INTEGER NOT NULL,      -- what it counts for, in bytes
    time_ns INTEGER NOT NULL,
    checksum INTEGER NOT NULL,  -- CRC-32 of the content
    content BLOB NOT NULL       -- the messages: MessagePack in zlib
);
CREATE INDEX by_kind ON runs(is_alert, first);
"""
_TOTALS: Final = (
    "SELECT coalesce(sum(count), 0), coalesce(sum(count * is_alert), 0), coalesce(sum(size), 0) FROM runs"
)
_ROW_BYTES: Final = 256
"""What a row takes beside its content, about."""

_VACUUM_PAGES: Final = 1024
_CLOSE_S: Final = 1.0
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Message]).decode


class Saved(msgspec.Struct, frozen=True):
    """What became of runs that were to be saved."""

    left_out: list[Run]
    """Alerts for which there is no room."""

    evicted: int
    """Messages of telemetry that had to go, or were not even taken."""


class Spool:
    """The spool of one output. Any thread may use it, but only one process."""

    def __init__(self, path: Path, limit_bytes: int, purpose: str, warn: Callable[[str], None]) -> None:
        """`purpose` says of what sort its messages are: those of another sort are not for this output.

        Raises ConfigError if it cannot be made or is another process's.
        """
        self._path = path
        self._limit_bytes = limit_bytes
        self._purpose = zlib.crc32(purpose.encode()) >> 1 or 1
        self._complain = warn
        self._lock = threading.RLock()
        self._is_closed = False
        self._database: sqlite3.Connection | None = None
        self._loaded: set[int] = set()
        """Rows that are on their way to the sink."""

        self._gone: set[int] = set()
        """Rows that were delivered and could not be removed yet."""

        self._sent: dict[int, int] = {}
        """How many messages of a row were delivered, if not all."""

        self.found = 0
        """Messages of an earlier run."""

        self.count = 0
        """Of messages; `alerts` of them are alerts."""

        self.alerts = 0
        self.size_bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._owner = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot make the spool {path}: {error.strerror}; spool_directory can be elsewhere, "
                "and an output with spool_bytes: 0 has none"
            ) from error
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._owner)
            raise ConfigError(f"the spool {path} belongs to another hauberk, which runs now") from None
        try:
            with self._use():
                pass
        except SpoolError as error:  # a disk that is full must not keep the agent from starting
            warn(str(error))

    @property
    def next(self) -> int:
        """The number after that of the last message; 0 if nobody can say."""
        with suppress(SpoolError), self._use() as database:
            ((found,),) = database.execute("SELECT coalesce(max(first + count), 0) FROM runs")
            return int(found)
        return 0

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest event in it was."""
        if not self.count:
            return None
        with suppress(SpoolError), self._use() as database:
            ((found,),) = database.execute("SELECT min(time_ns) FROM runs")
            return None if found is None else int(found)
        return None

    def save(self, runs: Sequence[Run]) -> Saved:
        """Put runs on disk. Raises SpoolError, and has saved none of them."""
        rows = []
        for run in runs:
            content = zlib.compress(_encode(run.messages), 1)
            is_alert = run.kind == "alerts"
            size = len(content) + _ROW_BYTES
            rows.append(
                (run.first, is_alert, len(run.messages), size, run.time_ns, zlib.crc32(content), content)
            )
        left_out: list[Run] = []
        evicted = 0
        changes: list[tuple[int, int, bool]] = []
        with self._transaction() as database:
            size_bytes = self.size_bytes
            for run, row in zip(runs, rows, strict=True):
                _, is_alert, count, size, *_ = row
                fits = size <= self._limit_bytes
                while fits and size_bytes + size > self._limit_bytes and (gone := self._evict(database)):
                    gone_count, gone_size = gone
                    evicted += gone_count
                    size_bytes -= gone_size
                    changes.append((-gone_count, -gone_size, False))
                if size_bytes + size <= self._limit_bytes:
                    database.execute("INSERT INTO runs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row)
                    size_bytes += size
                    changes.append((count, size, is_alert))
                elif is_alert:
                    left_out.append(run)
                else:
                    evicted += count
            # until they are on disk they do not count
            database.execute("COMMIT")
            for change in changes:
                self._count(*change)
        return Saved(left_out, evicted)

    def _evict(self, database: sqlite3.Connection) -> tuple[int, int] | None:
        """Let the oldest telemetry go that is not on its way; how many messages and bytes that is."""
        found = database.execute(
            f"SELECT row, count, size FROM runs WHERE is_alert = 0 AND {self._not_in_hand} ORDER BY first LIMIT 1"
        ).fetchone()
        if not found:
            return None
        row, count, size = found
        database.execute("DELETE FROM runs WHERE row = ?", (row,))
        return int(count) - self._sent.get(row, 0), int(size)

    @property
    def _not_in_hand(self) -> str:
        return f"row NOT IN ({', '.join(map(str, self._loaded | self._gone))})"

    def _count(self, count: int, size: int, is_alert: bool) -> None:
        self.count += count
        self.size_bytes += size
        if is_alert:
            self.alerts += count

    def load(self, kind: Kind, limit: int) -> list[Run]:
        """The oldest runs of this kind: at most `limit` messages, or one run. They are to be settled."""
        runs: list[Run] = []
        with self._use() as database:
            rows = database.execute(
                "SELECT row, first, count, size, time_ns, checksum, content FROM runs "
                f"WHERE is_alert = ? AND {self._not_in_hand} ORDER BY first",
                (kind == "alerts",),
            )
            for row, first, count, size, time_ns, checksum, content in rows:
                sent = self._sent.get(row, 0)
                if runs and count - sent > limit:
                    break
                messages = _unpack(content, checksum, count)
                if messages is None:
                    rows.close()
                    self._forget_damaged(database, row, count - sent, size, kind)
                runs.append(Run(first, kind, messages[sent:] if sent else messages, size, time_ns, row))
                limit -= count - sent
                if limit <= 0:
                    break
            rows.close()
            self._loaded.update(run.row for run in runs)
        return runs

    def _forget_damaged(
        self, database: sqlite3.Connection, row: int, count: int, size: int, kind: Kind
    ) -> NoReturn:
        """A row whose content is not what was written goes."""
        database.execute("DELETE FROM runs WHERE row = ?", (row,))
        self._sent.pop(row, None)
        self._count(-count, -size, kind == "alerts")
        raise SpoolError(f"{count} messages of the spool {self._path} are damaged and lost", lost=count)

    def settle(self, loaded: Sequence[Run], done: int) -> int:
        """Of what was loaded, the first `done` messages are done with. Raises SpoolError; they are all the same.

        Returns how many of these were lost meanwhile with a damaged file, and told of.
        """
        lost = 0
        with self._lock:
            for run in loaded:
                count = len(run.messages)
                taken = min(done, count)
                done -= taken
                if run.row not in self._loaded:
                    lost += taken
                    continue
                self._loaded.discard(run.row)
                if taken == count:
                    self._gone.add(run.row)
                    self._sent.pop(run.row, None)
                    self._count(-count, -run.size_bytes, run.kind == "alerts")
                elif taken:
                    self._sent[run.row] = self._sent.get(run.row, 0) + taken
                    self._count(-taken, 0, run.kind == "alerts")
            if self._gone:
                with self._transaction() as database:
                    database.executemany("DELETE FROM runs WHERE row = ?", [(row,) for row in self._gone])
                    database.execute("COMMIT")
                self._gone.clear()
                if not self.count:
                    self._shrink()
        return lost

    def _shrink(self) -> None:
        """Give the disk back what a long outage took."""
        with self._use() as database:
            ((pages,),) = database.execute("PRAGMA freelist_count")
            if pages > _VACUUM_PAGES:
                database.executescript("PRAGMA incremental_vacuum")  # `execute` would end after one page

    def close(self) -> None:
        """What is in it stays for the next run."""
        if not self._lock.acquire(timeout=_CLOSE_S):
            return  # the disk hangs with one of our threads: the end of the process will part them
        try:
            if self._database:
                with suppress(sqlite3.Error):
                    self._database.close()
                self._database = None
            self._is_closed = True
            os.close(self._owner)
        finally:
            self._lock.release()

    # The file

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """The open database; errors of it become a SpoolError, and a file that is damaged is set aside."""
        with self._lock:
            try:
                if self._is_closed:
                    raise SpoolError(f"the spool {self._path} is closed")
                if not self._database:
                    self._open()
                assert self._database
                yield self._database
            except OSError as error:
                raise SpoolError(f"cannot use the spool {self._path}: {error.strerror}") from error
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                    raise SpoolError(f"cannot use the spool {self._path}: {error}") from error
                lost = self.count
                raise SpoolError(
                    f"the spool {self._path} is damaged ({error}), and {self._set_aside()}; "
                    f"{lost} messages in it are lost",
                    lost=lost,
                ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; whoever is in it commits."""
        with self._use() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    def _open(self) -> None:
        # SQLite would go by the umask
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            fits = self._prepare(database)
            counts = database.execute(_TOTALS).fetchone()
            self._sync_directory()
        except (sqlite3.Error, OSError):
            database.close()
            raise
        if fits:
            self._database = database
            self.count, self.alerts, self.size_bytes = counts
            self.found += self.count
            return
        database.close()
        done = self._set_aside()
        if counts[0]:
            self._complain(
                f"the spool {self._path} holds {counts[0]} messages of another sort than this output now writes, "
                f"and {done}"
            )
        self._open()

    def _sync_directory(self) -> None:
        """A new file is there only when its directory says so."""
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _prepare(self, database: sqlite3.Connection) -> bool:
        """Whether what is in it is for us."""
        ask = database.execute
        ask("PRAGMA auto_vacuum=INCREMENTAL")
        ask("PRAGMA journal_mode=WAL")
        ask("PRAGMA synchronous=FULL")
        ask("PRAGMA journal_size_limit=4194304")
        ((version,),) = ask("PRAGMA user_version")
        ((purpose,),) = ask("PRAGMA application_id")
        if version:
            return bool((version, purpose) == (_VERSION, self._purpose))
        database.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA user_version={_VERSION}; PRAGMA application_id={self._purpose}; COMMIT;"
        )
        return True

    def _set_aside(self) -> str:
        """What became of the file. Only the last that was set aside is kept: the disk is not ours alone."""
        if self._database:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        self.count = self.alerts = self.size_bytes = 0
        for numbers in (self._loaded, self._gone, self._sent):
            numbers.clear()
        aside = self._path.with_name(f"{self._path.name}.aside-{time.time_ns()}")
        try:
            for older in self._path.parent.glob(f"{self._path.name}.aside-*"):
                older.unlink(missing_ok=True)
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + suffix).rename(f"{aside}{suffix}")
        except OSError as error:
            return f"cannot be set aside: {error.strerror}"
        return f"set aside as {aside}"


def _unpack(content: bytes, checksum: int, count: int) -> list[Message] | None:
    """The messages of a row; None if they are not what was written."""
    if not isinstance(content, bytes) or zlib.crc32(content) != checksum:
        return None
    try:
        messages = _decode(zlib.decompress(content))
    except (zlib.error, msgspec.MsgspecError):
        return None
    return messages if len(messages) == count else None
