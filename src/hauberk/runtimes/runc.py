"""runc without anybody above it: what it leaves in its directory of state."""

import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from hauberk.errors import RuntimeUnreachable
from hauberk.runtimes import Container, Unreadable, described, outside_kubernetes

_POLL_S: Final = 0.2
_MOUNT: Final = "/sys/fs/cgroup/"


class _Config(msgspec.Struct):
    labels: list[str] | None = None


class _State(msgspec.Struct):
    id: str
    created: datetime | None = None
    config: _Config = msgspec.field(default_factory=_Config)
    cgroup_paths: dict[str, str] = {}


class Runc:
    """A directory of state, which has one directory a container."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._closing = threading.Event()

    def changes(self) -> Iterator[str]:
        known = set(self._ids())
        while not self._closing.wait(_POLL_S):
            found = set(self._ids())
            yield from known ^ found
            known = found

    def _ids(self) -> list[str]:
        try:
            return [each.name for each in self._path.iterdir()]
        except OSError as error:
            raise RuntimeUnreachable(f"{self._path}: {error.strerror}") from None

    def containers(self) -> Iterable[Container | Unreadable]:
        return [found for each in self._ids() if (found := described(each, partial(self.find, each)))]

    def find(self, container_id: str) -> Container | None:
        if "/" in container_id:
            return None
        try:
            state = msgspec.json.decode((self._path / container_id / "state.json").read_bytes(), type=_State)
        except (OSError, msgspec.DecodeError):  # none, or it is just being written
            return None
        labels = dict(label.split("=", 1) for label in state.config.labels or () if "=" in label)
        labels.pop("bundle", None)
        started_ns = int(state.created.timestamp() * 1e9) if state.created else None
        workload = outside_kubernetes(state.id, labels, name=state.id, image=None, started_ns=started_ns)
        return Container(state.id, workload, _cgroup(state.cgroup_paths))

    def close(self) -> None:
        self._closing.set()


def _cgroup(paths: dict[str, str]) -> str | None:
    """How the cgroup's path ends in its hierarchy."""
    for controller, path in paths.items():
        below = path.removeprefix(_MOUNT).removeprefix(controller).strip("/")
        return f"/{below}" if below else None
    return None
