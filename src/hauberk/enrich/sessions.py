"""Who came into a container from outside, by `kubectl exec`, `docker exec`, nsenter or else: a session.

A container's own processes descend from the first one that is put into it. Whoever is in it and descends from
none of them has been put there later. Told by where a process was seen last: in its cgroup, or in its mount
namespace, at a fork and at an exec.
"""

from collections.abc import Callable
from typing import Final

from hauberk.abi import Hook, ItemKind
from hauberk.decode.text import decode_text
from hauberk.model.process import ExecSession
from hauberk.model.record import Record

COMMAND_LENGTH: Final = 15
"""What the kernel keeps of a name (TASK_COMM_LEN, without the NUL)."""


class _Seen:
    """Where a process was last, and what it is below of."""

    __slots__ = ("container_id", "is_named", "session")

    def __init__(self, container_id: str | None, session: ExecSession | None, is_named: bool) -> None:
        self.container_id = container_id
        self.session = session
        self.is_named = is_named
        """Whether the session is called by what was executed, not by the tool that did it."""


class Sessions:
    """The sessions of all live processes."""

    def __init__(self, host_pid_ns: int) -> None:
        self._host_pid_ns = host_pid_ns
        self._seen: dict[int, _Seen] = {}
        """By PID on the host. Who is not there was there before us: where it is seen first is where it belongs."""

        self._begun: set[str] = set()
        """Containers that have had a process."""

        self._mnt_ns: dict[int, str] = {}
        self._mnt_ns_of: dict[str, int] = {}
        """The mount namespaces of containers, one each."""

    def begin(self, container_id: str) -> None:
        """A container that was there before: its first process is long past."""
        self._begun.add(container_id)

    def forget(self, container_id: str) -> None:
        """Its cgroup has come anew or gone: the next process in it is the first again."""
        self._begun.discard(container_id)
        mnt_ns = self._mnt_ns_of.pop(container_id, None)
        if mnt_ns is not None:
            del self._mnt_ns[mnt_ns]

    def apply(
        self,
        record: Record,
        container_id: str | None,
        forker_container_id: str | None,
        command_of: Callable[[], str],
    ) -> ExecSession | None:
        """The session that the process of this record is in after it.

        Told besides: the container by the cgroup of the process and of who forked it; and whom to ask for the
        name of the tool that brought it there, if that is news.
        """
        hook = record.hook
        if hook == Hook.FORK:
            forker = self._seen.get(record.arguments[0])
            if forker_container_id is not None:
                forker = self._move(record.arguments[0], forker_container_id, record, command_of)
            seen = _Seen(None, None, False)
            if forker:
                seen = _Seen(forker.container_id, forker.session, forker.is_named)
            self._seen[record.host_pid] = seen
        elif hook == Hook.EXIT:
            ended = self._seen.pop(record.host_pid, None)
            return ended.session if ended else None
        elif hook != Hook.EXEC:
            known = self._seen.get(record.host_pid)
            return known.session if known else None
        inside = container_id or self._mnt_ns.get(record.mnt_ns)
        seen = self._move(record.host_pid, inside, record, command_of)
        if hook == Hook.EXEC and record.pid_ns != self._host_pid_ns:
            if container_id is not None:
                self._learn_mnt_ns(container_id, record.mnt_ns)
            if seen.session and not seen.is_named:
                seen.session = ExecSession(seen.session.id, _executed(record))
                seen.is_named = True
        return seen.session

    def _move(
        self, host_pid: int, container_id: str | None, record: Record, command_of: Callable[[], str]
    ) -> _Seen:
        """Take in where a process is now."""
        seen = self._seen.get(host_pid)
        if seen is None:
            seen = self._seen[host_pid] = _Seen(container_id, None, False)
        elif seen.container_id != container_id:
            seen.container_id = container_id
            seen.session = None
            if container_id in self._begun:
                seen.session = ExecSession(str(record.time_ns | host_pid), command_of()[:COMMAND_LENGTH])
                seen.is_named = False
        if container_id is not None:
            self._begun.add(container_id)
        return seen

    def _learn_mnt_ns(self, container_id: str, mnt_ns: int) -> None:
        if container_id not in self._mnt_ns_of and mnt_ns not in self._mnt_ns:
            self._mnt_ns_of[container_id] = mnt_ns
            self._mnt_ns[mnt_ns] = container_id


def _executed(record: Record) -> str:
    """What the kernel calls the process after this exec."""
    filename = record.find(ItemKind.FILENAME) or b""
    return decode_text(filename.rpartition(b"/")[2][:COMMAND_LENGTH])
