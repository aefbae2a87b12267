"""Names of users, read beside everything else."""

import pwd
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hauberk.sensor.users import Users

LIMIT_S = 30


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_names_are_those_of_the_system() -> None:
    users = Users(lambda _: None)
    assert users.wait(LIMIT_S)
    users.close()

    assert users.names[0] == "root"
    assert users.names == {each.pw_uid: pwd.getpwuid(each.pw_uid).pw_name for each in pwd.getpwall()}


def test_whoever_is_slow_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor does one who fails: that is reported, and they are asked for again."""
    passwd = tmp_path / "passwd"
    passwd.touch()
    answers: Iterator[OSError | list[pwd.struct_passwd]] = iter(
        [OSError("the directory is away"), [pwd.getpwuid(0)]]
    )
    said: list[str] = []

    def getpwall() -> list[pwd.struct_passwd]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(pwd, "getpwall", getpwall)
    users = Users(said.append, passwd)
    assert not users.wait(0.05)
    assert users.names == {}
    wait_until(lambda: users.names == {0: "root"})
    users.close()

    assert len(said) == 1
    assert "the directory is away" in said[0]
