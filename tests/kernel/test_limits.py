"""How much is held, and that what is too much is said when policies are loaded; rules that change under load."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hauberk.abi import PATH_SIZE, Operation
from hauberk.errors import HauberkError
from hauberk.model.policy import Action, Directory, ExactPath, Policy, Rule, Selector
from hauberk.model.workload import Workload
from tests.kernel.guard import Guard

RULES = 10_000
WORKLOADS = 10_000
SWAPS = 100
NOWHERE = 1 << 40
"""Cgroup IDs from here on are nobody's."""


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    if os.geteuid():
        pytest.skip("needs root")
    try:
        guarding = Guard()
    except HauberkError as error:
        pytest.skip(str(error))
    with guarding:
        yield guarding
    assert guarding.ledger.differences() == {}


@pytest.fixture
def there() -> Iterator[Path]:
    tmpfs = "/dev/shm" if Path("/dev/shm").is_mount() else None
    with tempfile.TemporaryDirectory(prefix="hauberk-", dir=tmpfs) as directory:
        path = Path(directory).resolve()
        (path / "secret").write_text("s")
        (path / "open").write_text("o")
        yield path


def block(*targets: ExactPath | Directory, name: str = "p", selector: Selector | None = None) -> Policy:
    rules = tuple(Rule(operation=Operation.FILE, target=each, action=Action.BLOCK) for each in targets)
    return Policy(kind="KubeArmorPolicy", name=name, rules=rules, selector=selector or Selector())


def read(path: Path) -> None:
    with suppress(PermissionError):
        os.close(os.open(path, os.O_RDONLY))


def verdicts(guard: Guard) -> int:
    """How many the kernel has come to."""
    return sum(counts.seen for counts in guard.kernel.alert_counts().values())


def test_ten_thousand_rules(guard: Guard, there: Path) -> None:
    """The last of them decides like the first."""
    many = [
        Directory(f"/srv/{i % 97}/{i}/") if i % 3 else ExactPath(f"/srv/{i % 97}/{i}") for i in range(RULES)
    ]
    guard.installed.replace([block(*many, ExactPath(str(there / "secret")))])

    secret = guard.act(lambda: read(there / "secret"))
    other = guard.act(lambda: read(there / "open"))

    assert [event.resource for event in secret.alerts] == [str(there / "secret")]
    assert other.alerts == []


def test_ten_thousand_workloads(guard: Guard, there: Path) -> None:
    """Each has its rules, and who comes after all of them has his."""
    policies = [
        block(ExactPath(f"/srv/{i}"), name=f"of-{i}", selector=Selector(labels={"app": str(i)}))
        for i in range(100)
    ]
    for i in range(WORKLOADS):
        guard.installed.learn(NOWHERE + i, Workload(f"{i:064x}", labels={"app": str(i % 100)}))
    try:
        guard.installed.replace([*policies, block(ExactPath(str(there / "secret")), name="of-all")])

        assert {NOWHERE + i for i in range(WORKLOADS)} <= guard.kernel.tables.subjects()
        assert len(guard.kernel.tables.numbers()) == 101
        done = guard.act(lambda: read(there / "secret"))
        assert [event.verdict.policy for event in done.alerts if event.verdict] == ["of-all"]
    finally:
        for i in range(WORKLOADS):
            guard.installed.forget(NOWHERE + i)
    assert len(guard.kernel.tables.numbers()) == 1


def test_names_of_every_length(guard: Guard, there: Path) -> None:
    """The kernel keeps short names in one place and long ones in another; none loses a byte, nor costs one beside it."""
    name = "".join(chr(ord("a") + i % 26) for i in range(255))
    path = there / "/".join(name[i : i + length] for i, length in enumerate((*range(1, 49), 254, 255)))
    path.parent.mkdir(parents=True)
    path.write_text("s")
    guard.installed.replace([block(ExactPath(str(path)))])

    done = guard.act(lambda: read(path))

    assert [event.resource for event in done.alerts] == [str(path)]


def test_the_longest_path(guard: Guard, there: Path) -> None:
    """A rule for a path of PATH_MAX, which nobody can open in one piece; and for a directory on its way."""
    here = os.open(there, os.O_RDONLY)
    length = len(bytes(there))
    while length < PATH_SIZE - 1:
        name = "d" * min(200, PATH_SIZE - 2 - length)
        length += 1 + len(name)
        if length == PATH_SIZE - 1:
            break
        if length == PATH_SIZE - 2:  # no room for a name behind it
            name, length = name[:-1], length - 1
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=here))
    path = f"{Path(f'/proc/self/fd/{here}').readlink()}/{name}"
    assert len(path) == PATH_SIZE - 1

    def act() -> None:
        os.close(os.open(name, os.O_RDONLY, dir_fd=here))

    for target in (
        ExactPath(path),
        Directory(path.rpartition("/")[0] + "/"),
        Directory(f"{there}/", recursive=True),
    ):
        guard.installed.replace([block(target)])
        done = guard.act(act)
        assert [event.resource for event in done.alerts] == [path]
    os.close(here)


def test_rules_that_change_under_load(guard: Guard, there: Path) -> None:
    """While rules are replaced a hundred times, what all of them forbid is found each time, and nothing else is."""
    secret, other = there / "secret", there / "open"
    guard.installed.replace([block(ExactPath(str(secret)))])
    guard.read()
    before = verdicts(guard)
    reading, writing = os.pipe()
    stopping, stop = os.pipe()
    os.set_blocking(stopping, False)
    pid = os.fork()
    if not pid:
        guard.enter()
        count = 0
        while True:
            try:
                if os.read(stopping, 1):
                    break
            except BlockingIOError:
                pass
            count += 1
            read(secret)
            read(other)
            time.sleep(0.0005)
        os.write(writing, str(count).encode())
        os._exit(0)
    told = []
    for i in range(SWAPS):
        guard.installed.replace([block(ExactPath(str(secret)), Directory(f"/srv/{i}/", recursive=True))])
        told += guard.read()
    os.write(stop, b"x")
    count = int(os.read(reading, 100))
    os.waitpid(pid, 0)
    told += guard.read()
    for fd in (reading, writing, stopping, stop):
        os.close(fd)

    assert count > SWAPS
    assert verdicts(guard) - before == count  # by the kernel's own account: the ring may have been full
    assert {event.resource for event in told if event.is_alert and event.host_pid == pid} == {str(secret)}
