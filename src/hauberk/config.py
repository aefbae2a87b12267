"""All settings: what they are, and where they come from.

Weakest first: the defaults below, the configuration file (YAML), the environment (``HAUBERK_`` and the
name in capitals), the command line.
"""

import errno
import os
from collections.abc import Mapping
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from re import compile as compile_pattern
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from msgspec import Meta

from hauberk.abi import ERRNO_COUNT, PREFIX_SIZE, Operation
from hauberk.errors import ConfigError

_WILDCARDS: Final = "*?["
_MEBIBYTE: Final = 1 << 20

OperationName = Literal["process", "file", "network", "syscall"]
VisibilityName = Literal["process", "file", "network", "capabilities", "none"]
PostureName = Literal["audit", "block"]
Result = Annotated[str, Meta(description="passed, failed, or the name of an error such as EACCES")]


class Selection(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What the operator wants to see. Everything must hold; within a list, one entry must."""

    operations: tuple[OperationName, ...] = ("process", "file", "network", "syscall")
    workloads: Literal["all", "host", "containers"] = "all"
    containers: tuple[str, ...] = ()
    """IDs, or how they begin, or names."""

    processes: tuple[str, ...] = ()
    """Executables: paths, directories ending in a slash, or globs whose `*` does not stop at a slash."""

    paths: tuple[str, ...] = ()
    """The same for the path that a file event is about. Events without a path are left out."""

    results: tuple[Result, ...] = ()
    lifecycle: bool = False
    """Tell of fork and exit too."""

    def __post_init__(self) -> None:
        for name in self.results:
            if name not in ("passed", "failed") and name not in errno.errorcode.values():
                raise ValueError(
                    f"result {name!r} is neither passed, nor failed, nor an error such as EACCES"
                )

    @property
    def operation_bits(self) -> int:
        return sum(1 << Operation[name.upper()] for name in set(self.operations))

    @property
    def passed(self) -> bool:
        return not self.results or "passed" in self.results

    @cached_property
    def errors(self) -> frozenset[int]:
        """The errors that are wanted; 0 stands for those that have no number below ERRNO_COUNT."""
        if not self.results or "failed" in self.results:
            return frozenset(range(ERRNO_COUNT))
        return frozenset(getattr(errno, name) for name in self.results if name != "passed")

    @property
    def prefix(self) -> bytes:
        """What every wanted path begins with, for the kernel; empty if nothing can be said."""
        if len(self.paths) != 1:
            return b""
        literal = self.paths[0]
        for wildcard in _WILDCARDS:
            literal = literal.partition(wildcard)[0]
        return os.fsencode(literal)[:PREFIX_SIZE]

    @property
    def selects_workloads(self) -> bool:
        return self.workloads != "all" or bool(self.containers)

    def wants_workload(self, container_id: str | None, name: str | None) -> bool:
        """Whether events of this workload are wanted; the host has no container ID."""
        if container_id is None:
            return self.workloads != "containers" and not self.containers
        if self.workloads == "host":
            return False
        return not self.containers or any(
            container_id.startswith(wanted) or name == wanted for wanted in self.containers
        )

    @cached_property
    def _process_patterns(self) -> Any:
        return compile_paths(self.processes)

    @cached_property
    def _path_patterns(self) -> Any:
        return compile_paths(self.paths)

    def wants_process(self, executable: str) -> bool:
        return not self.processes or bool(self._process_patterns.fullmatch(executable))

    def wants_path(self, path: str | None) -> bool:
        return not self.paths or (path is not None and bool(self._path_patterns.fullmatch(path)))


def compile_paths(patterns: tuple[str, ...]) -> Any:
    """One expression for paths, directories (ending in a slash, with all below) and globs."""
    return compile_pattern("|".join(translate(p + "*" if p.endswith("/") else p) for p in patterns))


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the agent."""

    cluster: str = "default"
    """KubeArmor's `ClusterName`."""

    host: str = ""
    """KubeArmor's `HostName`; the machine's own name if empty."""

    operations: tuple[OperationName, ...] = Selection().operations
    workloads: Literal["all", "host", "containers"] = "all"
    containers: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    results: tuple[Result, ...] = ()
    lifecycle: bool = False

    visibility: tuple[VisibilityName, ...] = ("process", "file", "network", "capabilities")
    """Of containers: which operations are told. Alerts come whatever is visible."""

    host_visibility: tuple[VisibilityName, ...] = ("process", "file", "network", "capabilities")
    """The same for the host's own processes."""

    output: str = "-"
    """A file to append to, or - for standard output."""

    format: str = ""
    """Name of an output format; if empty, text on a terminal and kubearmor elsewhere."""

    rotate_bytes: Annotated[int, Meta(ge=0)] = 0
    """Start a new file when this one has grown to so many bytes; 0 never."""

    rotate_keep: Annotated[int, Meta(ge=1)] = 5
    """How many old files are kept."""

    queue_events: Annotated[int, Meta(ge=1)] = 200_000
    """How many events may wait for a slow output; more are dropped and counted."""

    ring_bytes: Annotated[int, Meta(ge=_MEBIBYTE)] = 16 * _MEBIBYTE
    """Size of the kernel's ring buffer, a power of two."""

    policies: str = "/var/lib/hauberk/policies"
    """The directory of the policies that are in force; it is watched."""

    enforce: Literal["auto", "observe", "off"] = "auto"
    """auto: deny what policies block, where the kernel lets us; observe: only tell; off: policies do nothing."""

    default_file_posture: PostureName = "audit"
    """What becomes of file accesses and executions that no Allow rule covers, where there is one."""

    default_network_posture: PostureName = "audit"
    default_capabilities_posture: PostureName = "audit"
    host_default_file_posture: PostureName = "audit"
    """The same for the host's own processes."""

    host_default_network_posture: PostureName = "audit"
    host_default_capabilities_posture: PostureName = "audit"

    alert_throttling: bool = True
    """Fold the repeats of an alert into summaries."""

    max_alert_per_sec: Annotated[int, Meta(ge=1)] = 10
    """How many alerts of one rule and workload are told in a second before the others are folded."""

    throttle_sec: Annotated[float, Meta(gt=0)] = 30.0
    """For how long they are."""

    throttle_blocks: bool = False
    """Fold repeats of what was denied, too."""

    metrics: str = ""
    """ADDRESS:PORT on which Prometheus may read the ledger, such as 127.0.0.1:9464; empty: nowhere."""

    def __post_init__(self) -> None:
        if self.ring_bytes & (self.ring_bytes - 1):
            raise ValueError(f"ring_bytes {self.ring_bytes} is not a power of two")
        self.selection()

    def selection(self) -> Selection:
        """The part that says what is wanted."""
        return Selection(**{name: getattr(self, name) for name in Selection.__struct_fields__})


def _line_of(text: str, key: str) -> int | None:
    """The line on which a top-level key of a YAML mapping stands."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(node, yaml.MappingNode):
        for name, _ in node.value:
            if name.value == key:
                return int(name.start_mark.line) + 1
    return None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read the configuration {path}: {reason}") from error
    try:
        content = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: {error.problem or 'not YAML'}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}:1: settings are `name: value` lines, not a {type(content).__name__}")
    for name, value in content.items():
        try:
            _convert({name: value})
        except ConfigError as error:
            at = _line_of(text, str(name))
            raise ConfigError(f"{path}:{at}: {error}" if at else f"{path}: {error}") from None
    return content


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in zip(Config.__struct_fields__, msgspec.structs.fields(Config), strict=True):
        text = environment.get(f"HAUBERK_{name.upper()}")
        if text is None:
            continue
        found[name] = text.split(",") if isinstance(field.default, tuple) else text
        try:
            _convert({name: found[name]})
        except ConfigError as error:
            raise ConfigError(f"environment variable HAUBERK_{name.upper()}: {error}") from None
    return found


def _convert(settings: Mapping[str, Any]) -> Config:
    try:
        return msgspec.convert(settings, Config, strict=False)
    except msgspec.ValidationError as error:
        problem = str(error)
        if problem.startswith("Object contains unknown field"):
            unknown = next(name for name in settings if name not in Config.__struct_fields__)
            problem = f"no setting is named {unknown!r}; there are {', '.join(Config.__struct_fields__)}"
        raise ConfigError(problem.replace(" - at `$.", " - in `")) from None


def read_config(
    path: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """The settings of all sources; raises ConfigError with file and line."""
    settings = _read_file(path) if path else {}
    settings |= _read_environment(os.environ if environment is None else environment)
    settings |= {name: value for name, value in (flags or {}).items() if value is not None}
    return _convert(settings)
