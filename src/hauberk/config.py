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
from re import findall
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec
import yaml
from msgspec import Meta
from msgspec.structs import fields

from hauberk.abi import ERRNO_COUNT, PREFIX_SIZE, Operation
from hauberk.errors import ConfigError

_WILDCARDS: Final = "*?["
_MEBIBYTE: Final = 1 << 20

OperationName = Literal["process", "file", "network", "syscall"]
VisibilityName = Literal["process", "file", "network", "capabilities", "none"]
Severity = Annotated[int, Meta(ge=1, le=10)]
Choice: TypeAlias = str | dict[str, dict[str, Any] | None]
"""A thing of a shelf: its name, or its name with its settings."""

Step: TypeAlias = str | int
"""From a setting to one within it."""

T = TypeVar("T")
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


class OutputFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an output tells of. Everything must hold; within a list, one entry must."""

    operations: tuple[Literal["process", "file", "network", "capabilities", "syscall"], ...] = ()
    type: Literal["all", "alert", "log"] = "all"
    namespaces: tuple[str, ...] = ()
    """Kubernetes namespaces, or globs of them. Events without one are left out."""

    min_severity: Severity | None = None
    """Only alerts have a severity: logs are left out, and alerts of rules that name none."""

    policies: tuple[str, ...] = ()
    """Names, or globs of them. Logs are left out."""


class OutputConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one output; those of its sink and its format are read by the shelves."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """In the ledger, the metrics and the names of files."""

    sink: Choice
    format: Choice = ""
    """If empty, what the sink is usually given."""

    filter: OutputFilter = OutputFilter()
    queue_events: Annotated[int, Meta(ge=1)] | None = None
    """As the setting of the same name of all outputs, for this one."""

    queue_bytes: Annotated[int, Meta(ge=_MEBIBYTE)] | None = None
    spool_bytes: Annotated[int, Meta(ge=0)] | None = None
    """What may wait on disk; 0: nothing. If not said, 256 MiB, and nothing if the sink is on this machine."""

    def __post_init__(self) -> None:
        if self.spool_bytes and self.spool_bytes < _MEBIBYTE:
            raise ValueError(f"spool_bytes is 0 or at least {_MEBIBYTE:,}, not {self.spool_bytes:,}")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the agent."""

    file: Path | None = None
    """Where the settings come from: no setting itself."""

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

    outputs: tuple[OutputConfig, ...] = ()
    """If there are none, `output`, `format` and `rotate_…` are the one output."""

    untracked_namespaces: tuple[str, ...] = ("kube-system", "kubearmor")
    """Whose containers are neither told of nor have policies."""

    kubernetes: Literal["auto", "off"] = "auto"
    """auto: follow the cluster when we run in one of its pods, or `kubeconfig` says where it is."""

    kubeconfig: str = ""
    """A kubeconfig file; empty: what a pod is given by its service account."""

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

    queue_bytes: Annotated[int, Meta(ge=_MEBIBYTE)] = 64 * _MEBIBYTE
    """How much memory they may take."""

    spool_directory: str = "/var/lib/hauberk/spool"
    """Where what waits for a destination is kept on disk."""

    ring_bytes: Annotated[int, Meta(ge=_MEBIBYTE)] = 16 * _MEBIBYTE
    """Size of the kernel's ring buffer, a power of two."""

    runtimes: tuple[str, ...] = ("auto",)
    """Where container runtimes are asked: auto, off, or KIND:PATH such as docker:/run/docker.sock."""

    name_wait_s: Annotated[float, Meta(ge=0)] = 2.0
    """How long events of a container that its runtime has not told of yet wait for its name."""

    alert_name_wait_s: Annotated[float, Meta(ge=0)] = 0.5
    """The same for alerts, and for what waits before them."""

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

    grpc: str = "127.0.0.1:32767"
    """ADDRESS:PORT of KubeArmor's gRPC services, or off."""

    grpc_health: str = "127.0.0.1:32766"
    """ADDRESS:PORT where only the health service is, never with TLS, for the probes of Kubernetes; or off."""

    grpc_plaintext: bool = False
    """Serve other machines at `grpc` though there is no TLS."""

    tls_cert: str = ""
    """Our certificate in PEM, with those that signed it; followed when it changes. Empty: no TLS."""

    tls_key: str = ""
    """Its key."""

    tls_client_ca: str = ""
    """Who signs the certificates that clients must show; empty: they need none."""

    def __post_init__(self) -> None:
        if self.ring_bytes & (self.ring_bytes - 1):
            raise ValueError(f"ring_bytes {self.ring_bytes} is not a power of two")
        names = [output.name for output in self.outputs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"more than one of the outputs is named {name!r}")
        self.selection()

    def selection(self) -> Selection:
        """The part that says what is wanted."""
        return Selection(**{name: getattr(self, name) for name in Selection.__struct_fields__})


SETTINGS: Final = tuple(name for name in Config.__struct_fields__ if name != "file")
_ONE_OUTPUT: Final = ("output", "format", "rotate_bytes", "rotate_keep")
"""What stands for a single output."""

_FIELDS: Final = dict(zip(Config.__struct_fields__, fields(Config), strict=True))


def check(settings: object, kind: type[T]) -> T:
    """The settings as a `kind`; raises ConfigError that says which is wrong."""
    try:
        return msgspec.convert(settings, kind, strict=False)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        at: list[Step] = []
        for name, number in findall(r"\.(\w+)|\[(\d+)\]", place):
            at.append(name or int(number))
        if found := findall(r"^Object contains unknown field `(.*)`$", problem):
            there_are = ", ".join(_settings_at(kind, at))
            raise ConfigError(
                f"no setting is named {found[0]!r}; there are {there_are}", (*at, *found)
            ) from None
        raise ConfigError(problem, tuple(at)) from None


def _settings_at(kind: Any, at: list[Step]) -> tuple[str, ...]:
    """The names that there are in a struct within structs and lists; none if nobody can say."""
    for step in at:
        if isinstance(step, int):
            kind = next(iter(get_args(kind)), None)
        elif hasattr(kind, "__struct_fields__"):
            kind = next((field.type for field in fields(kind) if field.encode_name == step), None)
    return SETTINGS if kind is Config else getattr(kind, "__struct_encode_fields__", ())


def _line_of(text: str, at: tuple[Step, ...]) -> int | None:
    """The line on which a setting stands in YAML, or the nearest around it."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for step in at:
        if isinstance(node, yaml.MappingNode):
            found = next(((name, value) for name, value in node.value if name.value == step), None)
            if not found:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def locate(error: ConfigError, file: Path | None, *at: Step) -> ConfigError:
    """The error of a setting with the file, the line and the setting; `at` is what the error's own place is within."""
    place = (*at, *error.at)
    setting = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    problem = f"{error} in `{setting}`" if setting and setting not in str(error) else str(error)
    if not file:
        return ConfigError(problem)
    try:
        line = _line_of(file.read_text(), place)
    except (OSError, ValueError, yaml.YAMLError):  # it has changed meanwhile
        line = None
    return ConfigError(f"{file}:{line}: {problem}" if line else f"{file}: {problem}")


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
            _check_one(str(name), value)
        except ConfigError as error:
            raise locate(error, path) from None
    if content.get("outputs") and (both := [name for name in _ONE_OUTPUT if name in content]):
        problem = f"{both[0]} is a short way to say what one output is: it goes among the outputs"
        raise locate(ConfigError(problem, (both[0],)), path)
    return content


def _check_one(name: str, value: object) -> None:
    if name not in SETTINGS:
        raise ConfigError(f"no setting is named {name!r}; there are {', '.join(SETTINGS)}", (name,))
    try:
        check({name: value}, Config)
    except ConfigError as error:
        raise ConfigError(str(error), error.at or (name,)) from None


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in SETTINGS:
        text = environment.get(f"HAUBERK_{name.upper()}")
        if text is None or name == "outputs":
            continue
        found[name] = text.split(",") if isinstance(_FIELDS[name].default, tuple) else text
        try:
            _check_one(name, found[name])
        except ConfigError as error:
            raise ConfigError(f"environment variable HAUBERK_{name.upper()}: {error}") from None
    return found


def read_config(
    path: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """The settings of all sources; raises ConfigError with file and line."""
    settings = _read_file(path) if path else {}
    stronger = _read_environment(os.environ if environment is None else environment)
    stronger |= {name: value for name, value in (flags or {}).items() if value is not None}
    if any(name in stronger for name in _ONE_OUTPUT):
        settings.pop("outputs", None)
    return check(settings | stronger | {"file": path}, Config)
