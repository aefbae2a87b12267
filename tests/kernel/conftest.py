"""The live sensor, and the actors it watches."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from hauberk.config import Selection
from hauberk.decode.records import decode_batch
from hauberk.errors import HauberkError
from hauberk.metrics import Ledger
from hauberk.model.event import Event, Node
from hauberk.model.machine import Machine
from hauberk.pipeline import Pipeline
from hauberk.pipeline.host import Host, Request
from hauberk.sensor.loader import Kernel
from hauberk.sensor.probe import cgroup_placement
from hauberk.sensor.procfs import Procfs
from tests.kernel.actors import Act, Actors
from tests.kernel.acts import fill
from tests.kernel.guard import Guard

RING_BYTES = 64 << 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the running kernel; what denies needs BPF-LSM, which the guests have."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here / "runtimes"):
            item.add_marker(pytest.mark.tier("containers"))
        elif item.path.is_relative_to(here):
            tier = "lsm" if "lsm" in getattr(item, "fixturenames", ()) else "kernel"
            item.add_marker(pytest.mark.tier(tier))


class _Host(Host):
    """The host, as far as these tests ask it."""

    def __init__(self, procfs: Procfs, kernel: Kernel) -> None:
        self._procfs = procfs
        self._kernel = kernel

    def process(self, host_pid: int) -> bytes:
        return self._procfs.process(host_pid)

    def leave_out(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._kernel.leave_out(request)


class Watch:
    """The programs attached to the running kernel, and the real pipeline behind them."""

    def __init__(self, selection: Selection) -> None:
        placement = cgroup_placement()
        self.kernel = Kernel(placement, RING_BYTES)
        self.ring = self.kernel.load(selection)
        procfs = Procfs(Path(placement.mount))
        self.ledger = Ledger()
        self.boot_time_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.pipeline = Pipeline(
            Machine(Node("test"), self.boot_time_ns, procfs.host_pid_ns, {0: "root"}),
            selection,
            self.ledger,
            host=_Host(procfs, self.kernel),
        )
        for batch in (*procfs.cgroups(), *procfs.processes()):
            self.pipeline.events(decode_batch(batch))
        self._seen: list[Event] = []

    @property
    def names_objects(self) -> bool:
        """Whether the kernel's own paths are known for calls that leave no object behind."""
        return "named" not in self.kernel.missing

    def read(self) -> list[Event]:
        """All events since the last call."""
        found: list[Event] = []
        while batch := self.ring.read():
            found += self.pipeline.events(decode_batch(batch))
        return found

    def events_of(self, act: Act, events: list[Event]) -> list[Event]:
        """Those of an act: of its process, and while the call was being made."""
        return [
            event
            for event in events
            if event.host_pid == act.host_pid and act.spans(event.time_ns - self.boot_time_ns)
        ]

    def close(self) -> None:
        self.kernel.detach()
        self.read()
        self.pipeline.finish(self.kernel.sequences())
        self.ledger.kernel = self.kernel.counts()
        self.ring.close()
        self.kernel.close()


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    """Sees everything; at the end of all tests its ledger must add up."""
    if os.geteuid():
        pytest.skip("needs root")
    try:
        watching = Watch(Selection(lifecycle=True))
    except HauberkError as error:
        pytest.skip(str(error))
    yield watching
    watching.close()
    assert watching.ledger.differences() == {}


@pytest.fixture(scope="session")
def actors(watch: Watch) -> Iterator[Actors]:
    """A running actor, started after the sensor."""
    tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
    with (
        tempfile.TemporaryDirectory(prefix="hauberk-", dir=tmpfs) as directory,
        Actors(Path(directory)) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def guard(request: pytest.FixtureRequest) -> Iterator[Guard]:
    """A workload under rules; its parameter is where: a `Place`."""
    if os.geteuid():
        pytest.skip("needs root")
    try:
        guarding = Guard(getattr(request, "param", "cgroup"))
    except HauberkError as error:
        pytest.skip(str(error))
    with guarding:
        yield guarding
    assert guarding.ledger.differences() == {}


@pytest.fixture
def lsm(guard: Guard) -> Guard:
    """For what only LSM programs see or can deny."""
    if not guard.denies:
        pytest.skip("this kernel takes no LSM programs; the guests' do")
    return guard


@pytest.fixture
def there() -> Iterator[Path]:
    """A directory with files, on a file system that others can read."""
    tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
    with tempfile.TemporaryDirectory(prefix="hauberk-", dir=tmpfs) as directory:
        path = Path(directory).resolve()
        fill(path)
        yield path
