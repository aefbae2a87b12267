"""The policies that a directory keeps, as their authors wrote them: put in, replaced, taken out."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from hauberk.enforcement.directory import SUFFIXES, read_text, write_atomically
from hauberk.errors import ConfigError, SinkError
from hauberk.model.policy import Policy
from hauberk.policy.document import Problem, parse_documents

_NAME_SIZE: Final = 200


class Document(msgspec.Struct, frozen=True):
    """A policy, and what its author wrote."""

    policy: Policy
    text: str
    path: Path
    """Where it is kept."""


def _texts(text: str) -> Iterator[str]:
    """What the author wrote for each policy, with the comments before it."""
    before = ""
    for part in re.split(r"(?m)^(?=---(?:\s|$))", text):
        before += part
        if parse_documents(part, "").policies:
            yield before
            before = ""


def read_documents(path: Path) -> tuple[list[Document], list[Problem]]:
    """The documents of a file, and what is wrong with it; if that is an error, there are none."""
    text = read_text(path)
    if isinstance(text, Problem):
        return [], [text]
    parsed = parse_documents(text, str(path))
    found: list[Document] = []
    if not parsed.has_errors:
        texts = list(_texts(text))
        if len(texts) != len(parsed.policies):
            problem = Problem("error", str(path), 1, "begin each document with a line `---`")
            return [], [*parsed.problems, problem]
        found = [Document(each, part, path) for each, part in zip(parsed.policies, texts, strict=True)]
    return found, list(parsed.problems)


def policy_files(path: Path) -> list[Path]:
    """The policy files of a directory."""
    try:
        return sorted(each for each in path.iterdir() if each.suffix in SUFFIXES)
    except OSError as error:
        raise ConfigError(f"cannot read the policies in {path}: {error.strerror}") from error


class Kept:
    """The policies of a directory, and their files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.documents: list[Document] = []
        self.problems: list[Problem] = []
        """Of its files. One with an error is left as it is."""

        if not path.is_dir():
            return
        for each in policy_files(path):
            found, problems = read_documents(each)
            self.documents += found
            self.problems += problems

    def find(self, identity: tuple[str, str, str]) -> Document | None:
        """The policy of this kind, namespace and name."""
        return next((each for each in self.documents if each.policy.identity == identity), None)

    def apply(self, new: Document) -> Literal["applied", "modified", "unchanged"]:
        """Keep a policy, where one of its kind and name is already or in a file of its own; raises SinkError."""
        for i, old in enumerate(self.documents):
            if old.policy.identity == new.policy.identity:
                if _bare(old.text) == _bare(new.text):
                    return "unchanged"
                self.documents[i] = Document(new.policy, new.text, old.path)
                self._write(old.path)
                return "modified"
        path = self._path_for(new.policy)
        self.documents.append(Document(new.policy, new.text, path))
        self._write(path)
        return "applied"

    def delete(self, old: Document) -> None:
        """Forget a policy; others in its file stay. Raises SinkError."""
        self.documents.remove(old)
        self._write(old.path)

    def _path_for(self, new: Policy) -> Path:
        """A file of its own. Whatever a name has in it, the file is in the directory, and nobody else's."""
        full = "-".join(filter(None, new.identity))
        name = re.sub(r"[^A-Za-z0-9._-]", "_", full)[:_NAME_SIZE].lower()
        path = self.path / f"{name}.yaml"
        if name != full.lower() or path.exists():
            digest = hashlib.sha256(repr(new.identity).encode()).hexdigest()[:8]
            path = self.path / f"{name}-{digest}.yaml"
        return path

    def _write(self, path: Path) -> None:
        texts = [each.text for each in self.documents if each.path == path]
        try:
            if not texts:
                path.unlink()
                return
            first, *others = (f"{_bare(text)}\n" for text in texts)
            write_atomically(path, "---\n".join([first, *others]))
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from error


def _bare(text: str) -> str:
    """A document without the marker that separates it from the one before."""
    return re.sub(r"\A---[ \t]*\n", "", text).strip()
