"""Files of policies, and what becomes of them."""

from pathlib import Path

import pytest

from hauberk.enforcement.directory import PolicyDirectory, write_atomically
from hauberk.errors import PolicyError

BAD = "apiVersion: [\n"


def document(name: str, path: str = "/etc/shadow") -> str:
    return (
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\n"
        f"metadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n"
        f"  file: {{matchPaths: [{{path: {path}}}]}}\n"
    )


def names(directory: PolicyDirectory) -> list[str] | None:
    found = directory.read()
    return None if found is None else [policy.name for policy in found]


def told(directory: PolicyDirectory) -> list[tuple[str, str]]:
    """File and severity of each problem."""
    return [(Path(problem.file).name, problem.severity) for problem in directory.problems]


@pytest.fixture
def directory(tmp_path: Path) -> PolicyDirectory:
    """With two good files, which have been read."""
    (tmp_path / "a.yaml").write_text(document("a"))
    (tmp_path / "b.yaml").write_text(document("b"))
    found = PolicyDirectory(tmp_path)
    assert names(found) == ["a", "b"]
    assert found.problems == []
    return found


def test_policies_come_in_the_order_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(document("first") + "---\n" + document("second"))
    (tmp_path / "b.json").write_text(
        '{"apiVersion": "security.kubearmor.com/v1", "kind": "KubeArmorPolicy", "metadata": {"name": "json"},'
        ' "spec": {"selector": {}, "file": {"matchPaths": [{"path": "/a"}]}}}'
    )
    for other in ("README.md", "a.yaml~", ".a.yaml.swp", "a"):
        (tmp_path / other).write_text(BAD)

    directory = PolicyDirectory(tmp_path)
    assert names(directory) == ["json", "first", "second"]
    assert directory.problems == []


def test_what_has_not_changed_is_not_told_again(directory: PolicyDirectory) -> None:
    assert directory.read() is None


def test_an_empty_directory_is_no_news(tmp_path: Path) -> None:
    assert PolicyDirectory(tmp_path).read() is None
    assert PolicyDirectory(tmp_path / "missing").read() is None


def test_files_come_change_and_go(directory: PolicyDirectory) -> None:
    (directory.path / "0.yaml").write_text(document("new"))
    assert names(directory) == ["new", "a", "b"]

    (directory.path / "a.yaml").write_text(document("changed"))
    assert names(directory) == ["new", "changed", "b"]

    (directory.path / "a.yaml").rename(directory.path / "z.yaml")
    assert names(directory) == ["new", "b", "changed"]

    (directory.path / "0.yaml").unlink()
    assert names(directory) == ["b", "changed"]
    assert directory.read() is None


def test_the_directory_itself_may_go(directory: PolicyDirectory) -> None:
    for path in directory.path.iterdir():
        path.unlink()
    directory.path.rmdir()

    assert names(directory) == []
    assert directory.read() is None


def test_a_file_that_turns_bad_keeps_its_last_good_policies(directory: PolicyDirectory) -> None:
    """Though one of its documents is good; until it is mended, or gone."""
    bad = directory.path / "a.yaml"
    bad.write_text(document("other") + "---\n" + BAD)
    assert names(directory) == ["a", "b"]
    assert told(directory) == [("a.yaml", "error")]
    assert directory.read() is None

    bad.write_text(document("mended"))
    assert names(directory) == ["mended", "b"]
    assert directory.problems == []

    bad.write_text(BAD)
    assert names(directory) == ["mended", "b"]
    bad.unlink()
    assert names(directory) == ["b"]


def test_a_file_that_was_never_good_gives_what_is_good_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(document("good") + "---\n" + document("bad", "relative"))
    directory = PolicyDirectory(tmp_path)

    assert names(directory) == ["good"]
    assert told(directory) == [("a.yaml", "error")]


def test_problems_are_of_what_has_changed(directory: PolicyDirectory) -> None:
    (directory.path / "a.yaml").write_text(BAD)
    directory.read()
    (directory.path / "b.yaml").write_text(document("b", "/etc/passwd"))
    directory.read()

    assert directory.problems == []


def make_directory(path: Path) -> None:
    path.mkdir()


def make_dangling_link(path: Path) -> None:
    path.symlink_to("missing")


def make_latin_1(path: Path) -> None:
    path.write_bytes(document("caf\xe9").encode("latin-1"))


@pytest.mark.parametrize("make", [make_directory, make_dangling_link, make_latin_1])
@pytest.mark.parametrize("name", ["a.yaml", "new.yaml"])
def test_what_cannot_be_read_is_told(directory: PolicyDirectory, make: object, name: str) -> None:
    """What it was before stays in force."""
    path = directory.path / name
    path.unlink(missing_ok=True)
    assert callable(make)
    make(path)

    assert names(directory) == ["a", "b"]
    assert told(directory) == [(name, "error")]
    assert directory.read() is None


def test_a_link_is_followed(directory: PolicyDirectory, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As Kubernetes mounts what it keeps for us."""
    kept = tmp_path_factory.mktemp("kept") / "policy"
    kept.write_text(document("linked"))
    (directory.path / "c.yaml").symlink_to(kept)
    assert names(directory) == ["a", "b", "linked"]

    kept.write_text(document("linked-anew"))
    assert names(directory) == ["a", "b", "linked-anew"]


def test_a_file_that_may_be_read_again_is(directory: PolicyDirectory) -> None:
    """A change of its mode is a change."""
    (directory.path / "a.yaml").chmod(0o600)

    assert names(directory) == ["a", "b"]


def test_text_is_utf_8_whatever_the_locale_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    read_text = Path.read_text

    def record(path: Path, encoding: str | None = None) -> str:
        seen.append(encoding)
        return read_text(path, encoding)

    monkeypatch.setattr(Path, "read_text", record)
    (tmp_path / "a.yaml").write_bytes(document("a", "/ä").encode())

    assert names(PolicyDirectory(tmp_path)) == ["a"]
    assert seen == ["utf-8"]


def test_of_two_policies_that_are_the_same_the_first_counts(directory: PolicyDirectory) -> None:
    (directory.path / "c.yaml").write_text(document("a", "/etc/passwd"))
    found = directory.read()

    assert found is not None
    assert [(policy.name, Path(policy.file).name) for policy in found] == [("a", "a.yaml"), ("b", "b.yaml")]
    (problem,) = directory.problems
    assert (Path(problem.file).name, problem.severity) == ("c.yaml", "error")
    assert problem.text == f"KubeArmorPolicy a is in {directory.path / 'a.yaml'} too, which counts"

    (directory.path / "a.yaml").unlink()
    found = directory.read()
    assert found is not None
    assert [(policy.name, Path(policy.file).name) for policy in found] == [("b", "b.yaml"), ("a", "c.yaml")]


def test_a_directory_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")

    with pytest.raises(PolicyError, match=rf"cannot read the policies in {path}: Not a directory"):
        PolicyDirectory(path).read()


# Writing


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    """Readers that have the old one open keep it; nothing else is left."""
    path = tmp_path / "new" / "a.yaml"
    write_atomically(path, "old ä\n")
    with path.open() as reader:
        write_atomically(path, "new\n")
        assert reader.read() == "old ä\n"

    assert path.read_bytes() == b"new\n"
    assert [each.name for each in path.parent.iterdir()] == ["a.yaml"]


def test_what_cannot_be_written_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("old\n")

    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a.yaml"]


def test_a_file_that_is_being_written_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file is none of the policies."""
    directory = PolicyDirectory(tmp_path)
    monkeypatch.setattr(Path, "replace", lambda *_: None)
    write_atomically(tmp_path / "a.yaml", document("half"))

    assert list(tmp_path.iterdir())
    assert directory.read() is None
