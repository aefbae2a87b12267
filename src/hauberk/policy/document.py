"""Policy documents to policies: KubeArmor's CRDs (security.kubearmor.com/v1), with errors that name their line.

Read from YAML's node tree, which knows the line of everything. JSON is YAML, so KubeArmor's gRPC form is
read by the same code.
"""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import msgspec
import yaml

from hauberk.abi import Operation
from hauberk.decode.arguments import CAPABILITIES
from hauberk.errors import PolicyError
from hauberk.model.policy import (
    Action,
    Calls,
    Capability,
    Directory,
    ExactPath,
    Expression,
    Glob,
    Kind,
    Name,
    Policy,
    Preset,
    Protocol,
    Rule,
    Selector,
    Source,
    Target,
)
from hauberk.policy.globs import compile_glob
from hauberk.policy.rules import ANY_PROTOCOL, PROTOCOLS, SOCKET_TYPES, call_names, is_known_call

API_VERSION: Final = "security.kubearmor.com/v1"
CONTAINER_NAME: Final = "kubearmor.io/container.name"
_LOADER: Final = yaml.CSafeLoader
"""libyaml, which every wheel of PyYAML has in it: PyYAML's own parser takes eight times as long, and the stack for depth."""

_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
"""Those that YAML itself finds. All scalars are read as the text that stands there."""

_KINDS: Final = get_args(Kind)
_PATH_SIZE: Final = 4095
_DEPTH: Final = 32
"""No policy is nested deeper."""

_OPERATIONS: Final = {
    "process": Operation.PROCESS,
    "file": Operation.FILE,
    "network": Operation.NETWORK,
    "capabilities": Operation.CAPABILITIES,
    "syscalls": Operation.SYSCALL,
}
_FILE_PRESETS: Final = ("anonymousMapExec", "protectEnv", "protectProc")
_PRESETS: Final = ("filelessExec", "anonymousMapExec", "protectEnv", "protectProc", "exec")
_SAID: Final = ("severity", "tags", "message", "action")
_SEVERITIES: Final = tuple(map(str, range(1, 11)))


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a document, and where."""

    severity: Literal["error", "warning"]
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.text}"


class Parsed(msgspec.Struct, frozen=True):
    """What a text holds. A document with an error is no policy; the others are."""

    policies: tuple[Policy, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def has_errors(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


def parse_documents(text: str, file: str) -> Parsed:
    """All documents of a YAML text. Whatever the text is, what is wrong with it is told, not raised."""
    policies: list[Policy] = []
    problems: list[Problem] = []
    try:
        for node in yaml.compose_all(text, Loader=_LOADER):
            if node is not None and not _is_null(node):  # as behind a last line of dashes
                parsed = _parse(node, file, None)
                policies += parsed.policies
                problems += parsed.problems
    except _NOT_YAML as error:
        line, reason = _explain(error, text)
        problems.append(_error(file, line, f"not YAML: {reason}"))
    if not policies and not problems:
        problems.append(_error(file, 1, "there is no policy in it"))
    return Parsed(tuple(policies), tuple(problems))


def parse_object(text: str, file: str, kind: Kind) -> Parsed:
    """One policy of KubeArmor's gRPC form, which leaves `apiVersion` and `kind` out."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except _NOT_YAML as error:
        line, reason = _explain(error, text)
        return Parsed(problems=(_error(file, line, f"not JSON: {reason}"),))
    if node is None or _is_null(node):
        return Parsed(problems=(_error(file, 1, "there is no policy in it"),))
    return _parse(node, file, kind)


_NOT_YAML: Final = (yaml.YAMLError, UnicodeEncodeError)


def _explain(error: Exception, text: str) -> tuple[int, str]:
    """The line of what is not YAML, and why it is not."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        reason = str(error.problem)
        if error.context and error.context_mark:
            reason = f"{error.context} in line {error.context_mark.line + 1}, {reason}"
        return mark.line + 1 if mark else 1, reason
    if isinstance(error, yaml.reader.ReaderError):
        before = text.encode()[: error.position].decode(errors="ignore")
        return _line_after(before), f"{error.reason} (U+{error.character:04X})"
    if isinstance(error, UnicodeEncodeError):
        return _line_after(text[: error.start]), "half a character, which is no letter"
    return 1, str(error)


def _line_after(text: str) -> int:
    """Where a text goes on, as YAML counts lines; it has nothing else in it that would break them."""
    return len(f"{text}.".splitlines())


def _error(file: str, line: int, text: str) -> Problem:
    return Problem("error", file, line, text)


def _parse(node: yaml.Node, file: str, kind: Kind | None) -> Parsed:
    reader = _Reader(file)
    try:
        reader.refuse_excess(node)
        policy = reader.policy(node, kind)
    except _Stop:
        policy = None
    if policy is None or any(problem.severity == "error" for problem in reader.problems):
        return Parsed(problems=tuple(reader.problems))
    return Parsed((policy,), tuple(reader.problems))


class _Stop(Exception):
    """What has been found makes it useless to read on."""


class _Said(NamedTuple):
    """What a policy, a section and a rule can all say."""

    severity: int = 0
    tags: tuple[str, ...] = ()
    message: str = ""
    action: Action | None = None

    def under(self, above: "_Said") -> "_Said":
        """With what is not said taken from above."""
        return _Said(
            self.severity or above.severity,
            self.tags or above.tags,
            self.message or above.message,
            self.action or above.action,
        )


_Fields = dict[str, yaml.Node]


class _Reader:
    """Reads one document; collects what is wrong with it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._problems: dict[Problem, None] = {}

    @property
    def problems(self) -> list[Problem]:
        return list(self._problems)

    # What YAML has

    def error(self, node: yaml.Node, text: str) -> None:
        self._tell("error", node.start_mark.line + 1, text)

    def warn(self, node: yaml.Node, text: str) -> None:
        self._tell("warning", node.start_mark.line + 1, text)

    def _tell(self, severity: Literal["error", "warning"], line: int, text: str) -> None:
        """Once: an entry of several names is read for each of them."""
        self._problems[Problem(severity, self.file, line, text)] = None

    def refuse_excess(self, root: yaml.Node) -> None:
        """Stop at tags, aliases and depths that no policy needs: some lines of aliases are a billion nodes."""
        waiting = [(root, 0)]
        seen: set[int] = set()
        while waiting:
            node, depth = waiting.pop()
            if id(node) in seen:
                self.error(node, "aliases are not taken in policies; write out what they stand for")
                raise _Stop
            seen.add(id(node))
            if node.tag not in _TAGS:
                self.error(node, f"tags such as {_quote(node.tag)} are not taken in policies; leave it out")
                raise _Stop
            if depth > _DEPTH:
                self.error(node, f"nested more than {_DEPTH} levels deep")
                raise _Stop
            if isinstance(node, yaml.MappingNode):
                waiting += [(child, depth + 1) for pair in node.value for child in pair]
            elif isinstance(node, yaml.SequenceNode):
                waiting += [(child, depth + 1) for child in node.value]

    def fields(self, node: yaml.Node, what: str, known: tuple[str, ...] | None) -> _Fields:
        """The fields of a mapping; those that are not `known` are errors. None: any."""
        found: _Fields = {}
        if not isinstance(node, yaml.MappingNode):
            if not _is_null(node):
                self.error(node, f"{what} is made of `name: value` lines")
            return found
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if not name:
                self.error(key, f"{what} has a field without a name")
            elif name in found:
                self.error(key, f"{name} stands here twice")
            elif known is not None and name not in known:
                self.error(key, f"{what} has no field {_quote(name)}; {_mend(name, known)}")
            else:
                found[name] = value
        return found

    def items(self, node: yaml.Node | None, what: str) -> Iterator[yaml.Node]:
        """The entries of a list; of nothing, none."""
        if node is None or _is_null(node):
            return
        if not isinstance(node, yaml.SequenceNode):
            self.error(node, f"{what} is a list: begin its entries with a dash")
            return
        yield from node.value

    def text(self, node: yaml.Node | None, what: str) -> str:
        if node is None or _is_null(node):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.error(node, f"{what} is a text")
            return ""
        return str(node.value)

    def line_of_text(self, node: yaml.Node | None, what: str) -> str:
        """A text without control characters."""
        text = self.text(node, what)
        if node is not None and not text.isprintable():
            self.error(node, f"{what} has characters that cannot be printed")
        return text

    def flag(self, node: yaml.Node | None, what: str, default: bool = False) -> bool:
        if node is None or _is_null(node):
            return default
        value = node.value.lower() if isinstance(node, yaml.ScalarNode) else ""
        if value not in ("true", "false"):
            self.error(node, f"{what} is true or false")
        return bool(value == "true")

    def choice(self, node: yaml.Node, what: str, choices: tuple[str, ...]) -> str:
        text = self.text(node, what)
        if text not in choices:
            self.error(node, f"{what} is not {_quote(text)}; {_mend(text, choices)}")
        return text

    # What policies have

    def policy(self, node: yaml.Node, kind: Kind | None) -> Policy | None:
        known = ("apiVersion", "kind", "metadata", "spec", "status")
        fields = self.fields(node, "a policy", known)
        if kind is None:
            kind = self.kind(node, fields)
        metadata = self.fields(fields.get("metadata", node), "metadata", None) if "metadata" in fields else {}
        name = self.line_of_text(metadata.get("name"), "metadata.name")
        if not name:
            self.error(node, "metadata.name is missing: alerts name their policy by it")
        elif len(name) > 253:
            self.error(metadata["name"], "metadata.name is longer than 253 characters")
        namespace = self.line_of_text(metadata.get("namespace"), "metadata.namespace") or None
        if kind is None:
            return None
        if namespace and kind != "KubeArmorPolicy":
            self.warn(metadata["namespace"], f"a {kind} is of the whole cluster: its namespace means nothing")
            namespace = None
        if "spec" not in fields:
            self.error(node, "spec is missing: it says what the policy is for")
            return None
        return self.spec(fields["spec"], kind, name, namespace)

    def kind(self, node: yaml.Node, fields: _Fields) -> Kind | None:
        if "apiVersion" not in fields:
            self.error(node, f"apiVersion is missing; write `apiVersion: {API_VERSION}`")
        else:
            self.choice(fields["apiVersion"], "apiVersion", (API_VERSION,))
        if "kind" not in fields:
            self.error(node, f"kind is missing; it is one of {', '.join(_KINDS)}")
            return None
        text = self.text(fields["kind"], "kind")
        if text == "KubeArmorNetworkPolicy":
            self.error(fields["kind"], "firewall policies (KubeArmorNetworkPolicy) are not supported")
            return None
        self.choice(fields["kind"], "kind", _KINDS)
        return cast(Kind, text) if text in _KINDS else None

    def spec(self, node: yaml.Node, kind: Kind, name: str, namespace: str | None) -> Policy:
        selecting = "nodeSelector" if kind == "KubeArmorHostPolicy" else "selector"
        sections = (*_OPERATIONS, *(() if kind == "KubeArmorHostPolicy" else ("presets",)))
        fields = self.fields(node, "spec", (selecting, *_SAID, *sections, "apparmor"))
        said = self.said(fields)
        if selecting not in fields:
            self.error(node, f"spec.{selecting} is missing: it says which workloads the policy is for")
        selector = self.selector(fields[selecting], kind) if selecting in fields else Selector()
        rules: list[Rule] = []
        for section, operation in _OPERATIONS.items():
            if section in fields:
                rules += self.section(fields[section], section, operation, said)
        if "presets" in fields:
            rules += self.presets(fields["presets"], said)
        if "apparmor" in fields:
            text = "native AppArmor rules are not put into force: they could neither be audited nor explained"
            (self.warn if rules else self.error)(fields["apparmor"], text)
        elif not rules and not any(problem.severity == "error" for problem in self.problems):
            self.error(node, f"the policy has no rules; give it one of {', '.join(sections)}")
        self.warn_of_repeats(rules)
        return Policy(
            kind=kind, name=name, namespace=namespace, selector=selector, rules=tuple(rules), file=self.file
        )

    def warn_of_repeats(self, rules: list[Rule]) -> None:
        seen: dict[Rule, int] = {}
        for rule in rules:
            first = seen.setdefault(msgspec.structs.replace(rule, line=0), rule.line)
            if first != rule.line:
                text = f"the same rule as in line {first}; one of them is enough"
                self._tell("warning", rule.line, text)

    def said(self, fields: _Fields) -> _Said:
        severity, action = 0, None
        if "severity" in fields:
            text = self.text(fields["severity"], "severity")
            if text in _SEVERITIES:
                severity = int(text)
            elif text not in ("", "0"):
                self.error(fields["severity"], f"severity is a number from 1 to 10, not {_quote(text)}")
        if "action" in fields:
            text = self.text(fields["action"], "action").capitalize()
            if text in tuple(Action):
                action = Action(text)
            elif text:
                self.error(
                    fields["action"], f"action is not {_quote(text)}; it is one of {', '.join(Action)}"
                )
        tags = tuple(self.line_of_text(tag, "a tag") for tag in self.items(fields.get("tags"), "tags"))
        return _Said(severity, tags, self.text(fields.get("message"), "message"), action)

    # Who

    def selector(self, node: yaml.Node, kind: Kind) -> Selector:
        if kind == "KubeArmorPolicy":
            fields = self.fields(node, "selector", ("matchLabels", "matchExpressions"))
        elif kind == "KubeArmorClusterPolicy":
            fields = self.fields(node, "the selector of a KubeArmorClusterPolicy", ("matchExpressions",))
        else:
            fields = self.fields(node, "nodeSelector", ("matchLabels",))
        labels = (
            {
                key: self.line_of_text(value, f"the label {key}")
                for key, value in self.fields(fields["matchLabels"], "matchLabels", None).items()
            }
            if "matchLabels" in fields
            else {}
        )
        containers: tuple[str, ...] = ()
        if kind != "KubeArmorHostPolicy" and CONTAINER_NAME in labels:
            names = labels.pop(CONTAINER_NAME).strip().removeprefix("[").removesuffix("]")
            containers = tuple(filter(None, (name.strip(" \"'") for name in names.split(","))))
        expressions = tuple(
            each
            for item in self.items(fields.get("matchExpressions"), "matchExpressions")
            if (each := self.expression(item, kind))
        )
        return Selector(labels, expressions, containers)

    def expression(self, node: yaml.Node, kind: Kind) -> Expression | None:
        fields = self.fields(node, "an expression", ("key", "operator", "values"))
        missing = [name for name in ("key", "operator", "values") if name not in fields]
        if missing:
            self.error(node, f"the expression lacks {' and '.join(missing)}")
            return None
        keys = ("label",) if kind == "KubeArmorPolicy" else ("namespace", "label")
        key = self.choice(fields["key"], "key", keys)
        operator = self.choice(fields["operator"], "operator", ("In", "NotIn"))
        values = tuple(
            self.line_of_text(value, "a value") for value in self.items(fields["values"], "values")
        )
        if not values:
            self.error(fields["values"], "values is empty: nothing could be compared")
        if key == "label":
            for value, item in zip(values, self.items(fields["values"], "values"), strict=True):
                if "=" not in value:
                    self.error(item, f"a label is written key=value, not {_quote(value)}")
        return Expression(cast(Any, key), cast(Any, operator), values)

    # What

    def readers(self, section: str) -> dict[str, Callable[[yaml.Node, Operation, _Said], Iterator[Rule]]]:
        """By list of a section: what reads its entries."""
        if section == "network":
            return {"matchProtocols": self.protocol_rule}
        if section == "capabilities":
            return {"matchCapabilities": self.capability_rule}
        if section == "syscalls":
            return {"matchSyscalls": self.call_rule, "matchPaths": self.call_path_rule}
        return {
            "matchPaths": self.path_rule,
            "matchDirectories": self.directory_rule,
            "matchPatterns": self.glob_rule,
        }

    def section(self, node: yaml.Node, section: str, operation: Operation, above: _Said) -> Iterator[Rule]:
        readers = self.readers(section)
        fields = self.fields(
            node, section, (*readers, *_SAID, *(("matchDNSQueries",) if section == "network" else ()))
        )
        if "matchDNSQueries" in fields:
            self.error(fields["matchDNSQueries"], "rules for DNS queries are not supported")
        said = self.said(fields).under(above)
        for name, read in readers.items():
            for item in self.items(fields.get(name), name):
                yield from read(item, operation, said)

    def rule(
        self,
        node: yaml.Node,
        fields: _Fields,
        operation: Operation,
        above: _Said,
        target: Target,
    ) -> Rule:
        """A rule with what all rules can have."""
        said = self.said(fields).under(above)
        arguments = None
        if "allowedArgs" in fields:
            arguments = tuple(
                self.text(each, "an argument") for each in self.items(fields["allowedArgs"], "allowedArgs")
            )
        return Rule(
            operation=operation,
            target=target,
            sources=self.sources(fields),
            owner_only=self.flag(fields.get("ownerOnly"), "ownerOnly"),
            read_only=self.flag(fields.get("readOnly"), "readOnly"),
            terminal_only=not self.flag(fields.get("pts"), "pts", default=True),
            allowed_args=arguments,
            action=said.action or Action.BLOCK,
            severity=said.severity,
            tags=said.tags,
            message=said.message,
            line=node.start_mark.line + 1,
        )

    def sources(self, fields: _Fields) -> tuple[Source, ...]:
        found: list[Source] = []
        for item in self.items(fields.get("fromSource"), "fromSource"):
            each = self.fields(item, "fromSource", ("path", "dir", "recursive"))
            if ("path" in each) == ("dir" in each):
                self.error(item, "a source has either a path or a dir")
            elif "path" in each:
                if "recursive" in each:
                    self.error(each["recursive"], "recursive goes with dir, not with path")
                if target := self.path(each["path"]):
                    found.append(target)
            elif directory := self.directory(each["dir"], each.get("recursive")):
                found.append(directory)
        return tuple(found)

    _RULE: Final = ("ownerOnly", "fromSource", "pts", *_SAID)

    def path_rule(self, node: yaml.Node, operation: Operation, above: _Said) -> Iterator[Rule]:
        is_process = operation is Operation.PROCESS
        own = ("path", "execname", "allowedArgs") if is_process else ("path", "readOnly")
        fields = self.fields(node, "an entry of matchPaths", (*own, *self._RULE))
        target: Target | None = None
        if ("path" in fields) == ("execname" in fields):
            self.error(node, "an entry of matchPaths has a path" + (" or an execname" if is_process else ""))
        elif "path" in fields:
            target = self.path(fields["path"])
        else:
            name = self.line_of_text(fields["execname"], "execname")
            if not name or "/" in name:
                self.error(fields["execname"], "execname is the last name of a path; with a slash, use path")
            target = Name(name)
        if target:
            yield self.rule(node, fields, operation, above, target)

    def directory_rule(self, node: yaml.Node, operation: Operation, above: _Said) -> Iterator[Rule]:
        own = ("dir", "recursive") if operation is Operation.PROCESS else ("dir", "recursive", "readOnly")
        fields = self.fields(node, "an entry of matchDirectories", (*own, *self._RULE))
        if "dir" not in fields:
            self.error(node, "an entry of matchDirectories has a dir")
        elif target := self.directory(fields["dir"], fields.get("recursive")):
            yield self.rule(node, fields, operation, above, target)

    def glob_rule(self, node: yaml.Node, operation: Operation, above: _Said) -> Iterator[Rule]:
        own = ("pattern",) if operation is Operation.PROCESS else ("pattern", "readOnly")
        fields = self.fields(node, "an entry of matchPatterns", (*own, *self._RULE))
        if "pattern" not in fields:
            self.error(node, "an entry of matchPatterns has a pattern")
            return
        pattern = self.line_of_text(fields["pattern"], "pattern")
        if not pattern.startswith(("/", "{/", "**")):
            self.error(fields["pattern"], f"{_quote(pattern)} matches no path: begin it with a slash or **")
            return
        try:
            compile_glob(pattern)
        except PolicyError as error:
            self.error(fields["pattern"], str(error))
            return
        yield self.rule(node, fields, operation, above, Glob(pattern))

    def protocol_rule(self, node: yaml.Node, operation: Operation, above: _Said) -> Iterator[Rule]:
        fields = self.fields(node, "an entry of matchProtocols", ("protocol", "fromSource", "pts", *_SAID))
        known = (*PROTOCOLS, *SOCKET_TYPES, ANY_PROTOCOL)
        for name in self.names(node, fields, "protocol"):
            if name.lower() not in known:
                self.error(fields["protocol"], f"no protocol is called {_quote(name)}; {_mend(name, known)}")
                continue
            yield self.rule(node, fields, operation, above, Protocol(name.lower()))

    def capability_rule(self, node: yaml.Node, operation: Operation, above: _Said) -> Iterator[Rule]:
        fields = self.fields(
            node, "an entry of matchCapabilities", ("capability", "fromSource", "pts", *_SAID)
        )
        for text in self.names(node, fields, "capability"):
            name = text.lower().removeprefix("cap_")
            if name not in CAPABILITIES:
                self.error(
                    fields["capability"],
                    f"no capability is called {_quote(text)}; {_mend(name, CAPABILITIES)}",
                )
                continue
            yield self.rule(node, fields, operation, above, Capability(name))

    def names(self, node: yaml.Node, fields: _Fields, field: str) -> list[str]:
        """KubeArmor takes several names with commas between them."""
        found = list(filter(None, (name.strip() for name in self.text(fields.get(field), field).split(","))))
        if not found:
            self.error(node, f"{field} is missing")
        return found

    def call_rule(self, node: yaml.Node, operation: Operation, above: _Said) -> Iterator[Rule]:
        fields = self.fields(node, "an entry of matchSyscalls", ("syscall", "fromSource", *_SAID))
        if names := self.call_names(node, fields):
            yield self.call(node, fields, operation, above, Calls(names))

    def call_path_rule(self, node: yaml.Node, operation: Operation, above: _Said) -> Iterator[Rule]:
        fields = self.fields(
            node, "an entry of matchPaths", ("path", "recursive", "syscall", "fromSource", *_SAID)
        )
        if "path" not in fields:
            self.error(node, "an entry of matchPaths has a path")
            return
        text = self.text(fields["path"], "path")
        path: ExactPath | Directory | None
        if text.endswith("/"):
            path = self.directory(fields["path"], fields.get("recursive"))
        else:
            path = self.path(fields["path"])
        if path and (names := self.call_names(node, fields)):
            yield self.call(node, fields, operation, above, Calls(names, path))

    def call(
        self, node: yaml.Node, fields: _Fields, operation: Operation, above: _Said, target: Target
    ) -> Rule:
        """System calls are audited, as KubeArmor has no action for them: only a rule's own Block is taken at its word."""
        asked = self.said(fields).action
        if asked is Action.ALLOW:
            self.warn(fields["action"], "system calls are audited or blocked: Allow means nothing here")
        action = Action.BLOCK if asked is Action.BLOCK else Action.AUDIT
        return msgspec.structs.replace(self.rule(node, fields, operation, above, target), action=action)

    def call_names(self, node: yaml.Node, fields: _Fields) -> tuple[str, ...]:
        found = []
        for item in self.items(fields.get("syscall"), "syscall"):
            name = self.text(item, "syscall")
            if is_known_call(name):
                found.append(name)
            else:
                self.error(item, f"no call named {_quote(name)} is watched; {_mend(name, call_names())}")
        if not any(self.items(fields.get("syscall"), "syscall")):
            self.error(node, "syscall is missing: the names of the system calls")
        return tuple(found)

    def presets(self, node: yaml.Node, above: _Said) -> Iterator[Rule]:
        for item in self.items(node, "presets"):
            fields = self.fields(item, "a preset", ("name", *_SAID))
            if "name" not in fields:
                self.error(item, f"a preset has a name: {', '.join(_PRESETS)}")
                continue
            name = self.choice(fields["name"], "the name of a preset", _PRESETS)
            operation = Operation.FILE if name in _FILE_PRESETS else Operation.PROCESS
            rule = self.rule(item, fields, operation, above, Preset(cast(Any, name)))
            if rule.action is Action.ALLOW:
                self.error(fields.get("action", item), "a preset is audited or blocked, not allowed")
            yield rule

    # Paths

    def path(self, node: yaml.Node) -> ExactPath | None:
        text = self.text(node, "path")
        if text.endswith("/") and text != "/":
            self.error(node, f"{_quote(text)} is a directory; use matchDirectories, or leave the slash out")
            return None
        return ExactPath(text) if self.is_path(node, text) else None

    def directory(self, node: yaml.Node, recursive: yaml.Node | None) -> Directory | None:
        text = self.text(node, "dir")
        if text and not text.endswith("/"):
            self.warn(node, f"a directory ends with a slash: {_quote(text + '/')} is meant")
            text += "/"
        if not self.is_path(node, text):
            return None
        return Directory(text, self.flag(recursive, "recursive"))

    def is_path(self, node: yaml.Node, text: str) -> bool:
        problem = None
        if not text.startswith("/"):
            problem = "is not absolute: begin it with a slash"
        elif "//" in text or any(part in (".", "..") for part in text.split("/")):
            problem = "never matches: no path has //, . or .. in it"
        elif not text.isprintable():
            problem = "has characters that cannot be printed"
        elif len(text.encode()) > _PATH_SIZE:
            problem = f"is longer than {_PATH_SIZE} bytes, which no path is"
        if problem:
            self.error(node, f"{_quote(text)} {problem}")
        return problem is None


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _quote(text: str) -> str:
    shown = text if len(text) <= 80 else text[:80] + "…"
    return repr(shown) if not shown.isprintable() else f"`{shown}`"


def _mend(name: str, known: tuple[str, ...]) -> str:
    """What was probably meant, or what there is."""
    close = get_close_matches(name[:80], known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
