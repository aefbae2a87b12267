"""A directory of policy files, and what became of it since it was last looked at."""

import os
from pathlib import Path

from hauberk.errors import PolicyError
from hauberk.model.policy import Policy
from hauberk.policy.document import Problem, parse_documents

SUFFIXES = (".yaml", ".yml", ".json")


class PolicyDirectory:
    """Every policy file below a directory. A file that turns bad keeps its last good policies in force."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._good: dict[Path, tuple[Policy, ...]] = {}
        self.problems: list[Problem] = []
        """Of the files that have changed, as of the last `read`."""

    def read(self) -> tuple[Policy, ...] | None:
        """The policies, if a file has come, gone or changed since the last time; else None.

        Raises PolicyError if the directory cannot be read: what is in force then stays so.
        """
        try:
            found = {path: _version(path) for path in sorted(self.path.iterdir()) if path.suffix in SUFFIXES}
        except FileNotFoundError:
            found = {}
        except OSError as error:
            raise PolicyError(f"cannot read the policies in {self.path}: {error.strerror}") from error
        if found == self._seen:
            return None
        self.problems = []
        for path in set(self._seen) - set(found):
            self._good.pop(path, None)
        for path, version in found.items():
            if self._seen.get(path) != version:
                self._read_file(path)
        self._seen = found
        policies: dict[tuple[str, str, str], Policy] = {}
        for path in found:
            for policy in self._good.get(path, ()):
                first = policies.setdefault(policy.identity, policy)
                if first is not policy:
                    self._complain(path, f"{policy.kind} {policy.name} is in {first.file} too, which counts")
        return tuple(policies.values())

    def _read_file(self, path: Path) -> None:
        text = read_text(path)
        if isinstance(text, Problem):
            self.problems.append(text)
            return
        parsed = parse_documents(text, str(path))
        self.problems += parsed.problems
        is_good = all(problem.severity != "error" for problem in parsed.problems)
        if is_good or path not in self._good:
            self._good[path] = parsed.policies

    def _complain(self, path: Path, text: str) -> None:
        self.problems.append(Problem("error", str(path), 1, text))


def read_text(path: Path) -> str | Problem:
    """What is in a policy file, or why that cannot be said."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        return Problem("error", str(path), 1, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Problem("error", str(path), line, "is not UTF-8 text")


def _version(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:  # gone since it was listed
        return 0, 0, 0
    # of the inode: a file that has become readable has changed, too
    return status.st_ino, status.st_ctime_ns, status.st_size


def write_atomically(path: Path, text: str) -> None:
    """Write a file that others may be reading: they see all of the old or all of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
