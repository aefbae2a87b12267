"""What many events have in common, written once: by the process that acted, by the workload it is in.

Without it, an event takes about twice as long. The last of each is kept: who acts does not change from one event of
a process to the next, and where it does (an exec, a new name of a container) it is written anew.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from hauberk.model.event import Event

_KEPT: Final = 4096
_LONGEST: Final = 4096
"""Of the command lines that are kept, in characters: longer ones are rare, and would fill the memory."""

T = TypeVar("T")


class ByProcess(Generic[T]):
    """What `write` makes of whoever acted; it may look at nothing else of an event.

    `variant` is what else it depends on.
    """

    def __init__(self, write: Callable[[Event], T]) -> None:
        self._write = write
        self._kept: dict[tuple[int, object], tuple[tuple[object, ...], T]] = {}

    def of(self, event: Event, variant: object = None) -> T:
        made_of = (
            event.process,
            event.source,
            event.parent_executable,
            event.host_ppid,
            event.ppid,
            event.pid,
            event.uid,
            event.user,
            event.cwd,
            event.tty,
            event.exec_session,
            event.workload,
            event.node,
            event.relayed,
        )
        key = event.host_pid, variant
        found = self._kept.get(key)
        if found is not None and found[0] == made_of:
            return found[1]
        written = self._write(event)
        if len(event.source) + len(event.process.command_line) <= _LONGEST:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = made_of, written
        return written


class ByWorkload(Generic[T]):
    """What `write` makes of where it acted: the node, the workload, and who relayed it."""

    def __init__(self, write: Callable[[Event], T]) -> None:
        self._write = write
        self._kept: dict[str | None, tuple[tuple[object, ...], T]] = {}

    def of(self, event: Event) -> T:
        workload = event.workload
        made_of = event.node, workload, event.relayed
        found = self._kept.get(workload.container_id)
        if found is not None and found[0] == made_of:
            return found[1]
        written = self._write(event)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[workload.container_id] = made_of, written
        return written
