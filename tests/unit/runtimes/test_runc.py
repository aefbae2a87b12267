"""What runc leaves on disk."""

import json
from pathlib import Path

import pytest

from hauberk.runtimes import Container
from hauberk.runtimes.runc import Runc


def write(directory: Path, container_id: str, **state: object) -> None:
    (directory / container_id).mkdir()
    (directory / container_id / "state.json").write_text(json.dumps({"id": container_id} | state))


def test_container(tmp_path: Path) -> None:
    write(
        tmp_path,
        "web",
        created="2026-11-25T01:55:13.5Z",
        config={"labels": ["bundle=/srv/web", "app=x"]},
        cgroup_paths={"pids": "/sys/fs/cgroup/pids/user/web", "cpu": "/sys/fs/cgroup/cpu/user/web"},
    )

    (found,) = Runc(tmp_path).containers()

    assert isinstance(found, Container)
    assert (found.id, found.workload.container_name, found.cgroup) == ("web", "web", "/user/web")
    assert found.workload.labels == {"app": "x"}
    assert found.workload.started_ns == 1_795_571_713_500_000_000


def test_cgroup_of_the_unified_hierarchy(tmp_path: Path) -> None:
    write(tmp_path, "web", cgroup_paths={"": "/sys/fs/cgroup/web"})

    found = Runc(tmp_path).find("web")

    assert found is not None
    assert found.cgroup == "/web"


@pytest.mark.parametrize("container_id", ["nothing", "../other", "/etc", "empty"])
def test_no_container(tmp_path: Path, container_id: str) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path, "web")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/state.json").write_text("{")

    assert Runc(tmp_path / "web").find(container_id) is None
    assert Runc(tmp_path).find("empty") is None


def test_changes(tmp_path: Path) -> None:
    runtime = Runc(tmp_path)
    write(tmp_path, "old")
    changes = runtime.changes()
    import threading

    threading.Timer(0.1, write, (tmp_path, "new")).start()

    assert "new" in {next(changes), *([] if (tmp_path / "new").exists() else [next(changes)])}
    runtime.close()
    assert list(changes) == []
