"""hauberk policy: check, keep, explain and try out policies. Needs no root and no kernel."""

import os
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TextIO, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hauberk.abi import Decision, Operation, RuleClass
from hauberk.cli import options
from hauberk.config import Config, read_config
from hauberk.decode.access import accesses_told
from hauberk.enforcement.directory import SUFFIXES
from hauberk.enforcement.kept import Document, Kept, policy_files, read_documents
from hauberk.errors import ConfigError, DecodeError, PolicyError
from hauberk.formats.kubearmor_reader import read_line
from hauberk.formats.names import operation_name
from hauberk.model.access import Access
from hauberk.model.policy import Action, Policy
from hauberk.policy.asked import NAMES, asked
from hauberk.policy.check import check as check_policies
from hauberk.policy.check import check_kernel, check_name, check_node
from hauberk.policy.decide import Numbered, Posture, RuleSet, rule_set
from hauberk.policy.document import Problem
from hauberk.policy.rules import rule_classes
from hauberk.policy.select import Identity, holds_for, holds_for_host
from hauberk.policy.simulate import (
    Explanation,
    Simulation,
    access_text,
    can_be_judged,
    explain,
    target_text,
    workload_name,
)
from hauberk.sensor.probe import probe
from hauberk.sensor.recording import Recording

policy = typer.Typer(
    name="policy",
    help="Check, keep, explain and try out policies.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PIPED_WIDTH: Final = 240
"""Wide enough that no line is broken where nobody looks but `grep`."""

_STYLES: Final = {
    "error": "bold red",
    "warning": "yellow",
    "Block": "bold red",
    "Audit": "yellow",
    "Allow": "green",
}


class ReportFormat(StrEnum):
    """How what was found is written."""

    text = "text"
    json = "json"


class KindOption(StrEnum):
    """The kinds of policies."""

    policy = "KubeArmorPolicy"
    host = "KubeArmorHostPolicy"
    cluster = "KubeArmorClusterPolicy"


class OperationOption(StrEnum):
    """What can be asked about by hand."""

    process = "process"
    file = "file"


Files: TypeAlias = Annotated[
    list[Path], typer.Argument(help="Policy files; a directory stands for those in it.", show_default=False)
]
Format: TypeAlias = Annotated[ReportFormat, typer.Option("--format", "-f", help="How to write it.")]
Directory: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--policies", help="The directory of the policies in force.", show_default="setting `policies`"
    ),
]


# Commands


@policy.command()
def check(
    files: Files,
    config: options.ConfigFile = None,
    report_format: Format = ReportFormat.text,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail, too.")] = False,
) -> None:
    """Tell what is wrong or doubtful about policies: in their text, together, and on this node.

    The exit code is 0 if there is no error (with --strict: and no warning, else 1), and 3 if there is one.
    """
    _, problems = _read_and_check(files, read_config(config))
    if report_format is ReportFormat.json:
        _print_json(problems)
    else:
        _print_problems(problems, sys.stdout)
    if _has_errors(problems):
        raise typer.Exit(PolicyError.exit_code)
    if strict and problems:
        raise typer.Exit(1)


@policy.command()
def apply(files: Files, config: options.ConfigFile = None, policies: Directory = None) -> None:
    """Put policies into force: write each into the directory that the agent watches.

    If there is an error in one of them, nothing is written and the exit code is 3.
    """
    settings = read_config(config)
    found, problems = _read_and_check(files, settings)
    _print_problems(problems, sys.stderr)
    if _has_errors(problems):
        raise typer.Exit(PolicyError.exit_code)
    kept = _kept(policies or Path(settings.policies))
    for each in found:
        print(f"{each.policy.kind} {each.policy.name} {kept.apply(each)}")


@policy.command()
def delete(
    name: Annotated[str, typer.Argument(help="Name of the policy.", show_default=False)],
    kind: Annotated[
        KindOption | None, typer.Option(case_sensitive=False, help="Only of this kind.", show_default="any")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Only of this namespace.", show_default="any")
    ] = None,
    config: options.ConfigFile = None,
    policies: Directory = None,
) -> None:
    """Take a policy out of force. If there is none of that name, or several, the exit code is 2."""
    kept = _kept(policies or Path(read_config(config).policies))
    found = [
        each
        for each in kept.documents
        if each.policy.name == name
        and kind in (None, each.policy.kind)
        and namespace in (None, each.policy.namespace)
    ]
    if len(found) > 1:
        which = ", ".join(_full_name(each.policy) for each in found)
        raise ConfigError(f"{len(found)} policies are called so: {which}; say which by --kind or --namespace")
    if not found:
        names = [each.policy.name for each in kept.documents]
        close = [f"`{text}`" for text in dict.fromkeys(get_close_matches(name, names, n=3))]
        if name in names:
            mend = "there is one of another kind or namespace"
        elif close:
            mend = f"did you mean {' or '.join(close)}?"
        else:
            mend = "`hauberk policy list` shows what there is"
        raise ConfigError(f"no such policy is in {kept.path}: {_printable(name)}; {mend}")
    kept.delete(found[0])
    print(f"{found[0].policy.kind} {name} deleted")


@policy.command(name="list")
def list_policies(
    config: options.ConfigFile = None, policies: Directory = None, report_format: Format = ReportFormat.text
) -> None:
    """Show the policies in force, in the files that they are in."""
    kept = _kept(policies or Path(read_config(config).policies))
    rows = [_Row.of(each.policy) for each in kept.documents]
    if report_format is ReportFormat.json:
        _print_json(rows)
    elif not rows:
        print(f"no policies in {kept.path}")
    else:
        _print_table(
            ("kind", "namespace", "name", "rules", "actions", "selector", "file"),
            [
                (row.kind, row.namespace or "", row.name, str(row.rules),
                 ", ".join(f"{name} {count}" for name, count in row.actions.items()), row.selector, row.file)
                for row in rows
            ],
        )  # fmt: skip


@policy.command(name="explain")
def explain_access(
    path: Annotated[
        str | None, typer.Argument(help="What is executed or opened.", show_default=False)
    ] = None,
    policies: Annotated[
        list[Path] | None,
        typer.Option(help="Policy files or directories.", show_default="setting `policies`"),
    ] = None,
    operation: Annotated[
        OperationOption, typer.Option(help="What is done to the path.")
    ] = OperationOption.file,
    protocol: Annotated[
        str | None, typer.Option(help="A socket is made: tcp, raw …", show_default=False)
    ] = None,
    capability: Annotated[
        str | None, typer.Option(help="A capability is used: net_raw …", show_default=False)
    ] = None,
    syscall: Annotated[
        str | None, typer.Option(help="A system call is made; with a path, on that.", show_default=False)
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="What a preset is about is done: filelessExec …", show_default=False)
    ] = None,
    source: Annotated[
        str, typer.Option(help="The image that acts; of what is executed, the one that executes it.")
    ] = "",
    write: Annotated[bool, typer.Option("--write", help="The file is changed, not only read.")] = False,
    owner: Annotated[bool, typer.Option("--owner", help="Who acts owns the file.")] = False,
    terminal: Annotated[bool, typer.Option("--terminal", help="Who acts has a terminal.")] = False,
    argument: Annotated[
        list[str] | None, typer.Option(help="An argument of what is executed.", show_default="none")
    ] = None,
    container: Annotated[
        str | None, typer.Option(help="Name of the container that it is in.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A label of its workload: key=value.", show_default=False)
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace of its workload.", show_default=False)
    ] = None,
    host: Annotated[bool, typer.Option("--host", help="It is one of the host's own processes.")] = False,
    event: Annotated[
        str | None,
        typer.Option(
            help="Explain the JSON lines in this file, of Hauberk or KubeArmor; - is standard input."
        ),
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Explain a recording of `hauberk record`.", show_default=False)
    ] = None,
    record: Annotated[
        int | None,
        typer.Option(min=1, help="Only this one of its records.", show_default="all with a rule for them"),
    ] = None,
    config: options.ConfigFile = None,
) -> None:
    """Tell what would happen to an access: which rule decides and why, and which ones nearly would.

    Where no workload is named, the selectors of policies are not asked.
    """
    settings = read_config(config)
    names = {"protocol": protocol, "capability": capability, "syscall": syscall, "preset": preset}
    kinds = [kind for kind, name in names.items() if name is not None]
    takes_path = not kinds or kinds[0] in ("syscall", "preset")
    if len(kinds) + (event is not None) + (recording is not None) + (path is not None and not kinds) != 1:
        raise ConfigError(
            "say what to explain, and one thing only: a path, --protocol, --capability, --syscall, --preset, "
            "--event or --recording"
        )
    if path is not None and not takes_path:
        raise ConfigError(f"--{kinds[0]} goes without a path")
    if path is not None and not path.startswith("/"):
        raise ConfigError(f"{_printable(path)} is not absolute: begin it with a slash")
    if record is not None and recording is None:
        raise ConfigError("--record is one of a recording: say which by --recording")
    labels = _labels(label or [])
    target = (path or "").encode(errors="surrogateescape")
    is_process = operation is OperationOption.process
    about = (
        asked(kinds[0], _known(kinds[0], names[kinds[0]] or ""), target)
        if kinds
        else Access(
            rule_class=RuleClass.PROCESS if is_process else RuleClass.FILE,
            path=target,
            writes=write and not is_process,
            arguments=tuple(text.encode(errors="surrogateescape") for text in argument or ())
            if is_process
            else None,
        )
    )
    if not policies and not Path(settings.policies).is_dir():
        raise ConfigError(f"no policies are in {settings.policies}; name their files by --policies")
    found = _read_valid(policies or [Path(settings.policies)])
    console = _console(sys.stdout)
    if event is not None:
        _explain_events(console, event, found, settings)
        return
    if recording is not None:
        _explain_recording(console, recording, record, found, settings)
        return
    access = msgspec.structs.replace(
        about, source=source.encode(errors="surrogateescape"), is_owner=owner, has_terminal=terminal
    )
    is_named = container is not None or bool(labels) or namespace is not None
    if host and is_named:
        raise ConfigError("the host's own processes are in no container: leave out --host or what names one")
    if not host and not is_named:
        # of the host where there is nothing else, so that nobody has to say so
        host = all(each.kind == "KubeArmorHostPolicy" for each in found)
        held = [each for each in found if (each.kind == "KubeArmorHostPolicy") == host]
    else:
        held = _held(found, None if host else Identity(namespace, labels, container), settings)
    explanation = explain(rule_set(held), _postures(settings)[host], access)
    _print_explanation(console, access, explanation, others=len(found) - len(held))


@policy.command()
def simulate(
    files: Files,
    recording: Annotated[Path, typer.Option(help="A recording of `hauberk record`.", show_default=False)],
    config: options.ConfigFile = None,
    report_format: Format = ReportFormat.text,
) -> None:
    """Tell what policies would have done to what was recorded, had they been in force."""
    from hauberk.simulation import simulate_recording

    settings = read_config(config)
    found = _read_valid(files)
    done, read = simulate_recording(recording, found, *_postures(settings))
    if report_format is ReportFormat.json:
        _print_json(done)
    else:
        _print_simulation(done)
    _tell_of_damage(recording, read)


# Files of policies


def _files_of(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = [each for each in policy_files(path) if each.is_file()]
        if not found:
            raise ConfigError(f"no policy is in {path}: its files end with {', '.join(SUFFIXES)}")
        yield from found


def _read(paths: Iterable[Path]) -> tuple[list[Document], list[Problem]]:
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in dict.fromkeys(_files_of(paths)):
        found, told = read_documents(path)
        documents += found
        problems += told
    return documents, problems


def _read_and_check(paths: Iterable[Path], settings: Config) -> tuple[list[Document], list[Problem]]:
    documents, problems = _read(paths)
    found = [each.policy for each in documents]
    problems += check_policies(found, *_postures(settings))
    problems += check_node(found, os.path.realpath)
    problems += check_name(found, _host_name(settings))
    if any(rule.operation is Operation.CAPABILITIES for policy in found for rule in policy.rules):
        problems += check_kernel(found, probe().unseen)
    return documents, sorted(problems, key=lambda each: (each.file, each.line))


def _read_valid(paths: Iterable[Path]) -> list[Policy]:
    """The policies of these files; raises PolicyError if one is wrong."""
    documents, problems = _read(paths)
    errors = [each for each in problems if each.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more; `hauberk policy check` tells them)" if errors[1:] else ""
        raise PolicyError(f"{errors[0].file}:{errors[0].line}: {errors[0].text}{more}")
    return [each.policy for each in documents]


def _kept(path: Path) -> Kept:
    """What a directory keeps; errors in its files are told."""
    kept = Kept(path)
    _print_problems([problem for problem in kept.problems if problem.severity == "error"], sys.stderr)
    return kept


# Workloads


def _labels(texts: Sequence[str]) -> dict[str, str]:
    wrong = next((text for text in texts if "=" not in text), None)
    if wrong is not None:
        raise ConfigError(f"a label is written key=value, not {_printable(wrong)}")
    return dict(text.split("=", 1) for text in texts)


def _known(kind: str, text: str) -> str:
    """A name that can be asked about, as rules may spell it too."""
    name = text if kind == "preset" else text.lower()
    name = name.removeprefix("cap_") if kind == "capability" else name
    if name not in NAMES[kind]:
        close = get_close_matches(name[:80], NAMES[kind], n=1)
        mend = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(NAMES[kind])}"
        raise ConfigError(f"no {kind} is called `{_printable(text[:80])}`; {mend}")
    return name


def _host_name(settings: Config) -> str:
    return settings.host or socket.gethostname()


def _held(policies: Iterable[Policy], identity: Identity | None, settings: Config) -> list[Policy]:
    """Those that hold for a workload; for this node's host if it is None."""
    if identity is None:
        return [each for each in policies if holds_for_host(each, _host_name(settings), {})]
    return [each for each in policies if holds_for(each, identity)]


def _postures(settings: Config) -> tuple[Posture, Posture]:
    """Of containers and of the host."""

    def posture(*names: str) -> Posture:
        return Posture(*(Action(name.capitalize()) for name in names))

    return (
        posture(
            settings.default_file_posture,
            settings.default_network_posture,
            settings.default_capabilities_posture,
        ),
        posture(
            settings.host_default_file_posture,
            settings.host_default_network_posture,
            settings.host_default_capabilities_posture,
        ),
    )


# What is printed


def _console(file: TextIO) -> Console:
    return Console(file=file, highlight=False, markup=False, soft_wrap=True)


def _printable(text: str) -> str:
    """Without what moves a cursor or turns text round: events and names are of anybody's making."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _print_json(what: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(what)).decode())


def _has_errors(problems: Iterable[Problem]) -> bool:
    return any(each.severity == "error" for each in problems)


def _print_problems(problems: Iterable[Problem], file: TextIO) -> None:
    console = _console(file)
    for each in problems:
        console.print(
            Text.assemble(
                f"{_printable(each.file)}:{each.line}: ",
                (each.severity, _STYLES[each.severity]),
                f": {_printable(each.text)}",
            )
        )


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column in ("rules", "count", "record")
        table.add_column(column, overflow="fold", justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(Text(_printable(text), style=_STYLES.get(text, "")) for text in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    with console.capture() as written:
        console.print(table)
    for line in written.get().splitlines():
        print(line.rstrip())  # a table pads its last column too


def _full_name(each: Policy) -> str:
    return f"{each.kind} {f'{each.namespace}/' if each.namespace else ''}{each.name}"


class _Row(msgspec.Struct, frozen=True):
    """A policy in short."""

    kind: str
    namespace: str | None
    name: str
    rules: int
    actions: dict[str, int]
    selector: str
    file: str

    @classmethod
    def of(cls, each: Policy) -> "_Row":
        selector = [f"{key}={value}" for key, value in each.selector.labels.items()]
        selector += [
            f"{expression.key} {expression.operator} ({', '.join(expression.values)})"
            for expression in each.selector.expressions
        ]
        if each.selector.containers:
            selector.append(f"container {' or '.join(each.selector.containers)}")
        actions = Counter(rule.action for rule in each.rules)
        return cls(
            each.kind,
            each.namespace,
            each.name,
            len(each.rules),
            {action.value: actions[action] for action in Action if actions[action]},
            ", ".join(selector) or "all",
            each.file,
        )


def _rule_text(each: Numbered) -> str:
    return f"{each.policy.name} ({each.policy.file}:{each.rule.line})"


def _print_explanation(
    console: Console, access: Access, explanation: Explanation, *, before: str = "", others: int = 0
) -> None:
    """`others` are policies that do not hold for the workload."""
    acting = _printable(access.source.decode(errors="backslashreplace"))
    head = Text.assemble(
        (before, "dim"),
        (explanation.action, _STYLES.get(explanation.action, "bold")),
        f"  {_printable(access_text(access))}",
        f" by {acting}" if acting else "",
    )
    by = explanation.decision.by
    lines = [("decides", f"{_rule_text(by)}: {explanation.why}" if by else explanation.why)]
    lines += [
        ("later", f"{each.rule.action} by {_rule_text(each)}: {target_text(each.rule)}")
        for each in explanation.later
    ]
    lines += [
        ("nearly", f"{each.rule.rule.action} by {_rule_text(each.rule)}: {'; '.join(each.reasons)}")
        for each in explanation.near
    ]
    if others:
        policies = "1 policy that does" if others == 1 else f"{others} policies that do"
        lines.append(("not asked", f"{policies} not hold for this workload"))
    console.print(head)
    for label, text in lines:
        console.print(Text.assemble((f"  {label:<9}  ", "dim"), _printable(text)))


def _tell_of_damage(path: Path, recording: Recording) -> None:
    if recording.damaged or recording.cut_bytes:
        sys.stderr.write(
            f"hauberk: {path} is damaged: {recording.damaged} chunks, and {recording.cut_bytes} bytes at the end; "
            "what could be decoded was looked at\n"
        )


def _print_unknown(console: Console, rules: RuleSet, access: Access, source: str) -> None:
    if not can_be_judged(rules, access):
        console.print(Text(f"  unknown    {_unknown(access)}: {source} do not tell it", "dim"))


def _explain_recording(
    console: Console, path: Path, number: int | None, found: Sequence[Policy], settings: Config
) -> None:
    """One record; or all that a rule or the posture decides about, or nearly would."""
    from hauberk.simulation import Candidates, RecordedAccesses

    recording = Recording(path)
    candidates = Candidates(found, recording.machine.node.host, *_postures(settings))
    recorded = RecordedAccesses(recording)
    told: set[int] = set()
    for record, access, workload, _ in recorded:
        if number not in (None, record):
            continue
        rules, posture = candidates.rules_of(workload)
        explanation = explain(rules, posture, access)
        is_decided = explanation.decision.decided != Decision.NONE or explanation.near
        if not is_decided and (number is None or not any(_is_about(each, access) for each in rules)):
            continue
        told.add(record)
        before = f"record {record} in {_printable(workload_name(workload))}: "
        others = len(found) - len({each.policy.identity for each in rules})
        _print_explanation(console, access, explanation, before=before, others=others)
        _print_unknown(console, rules, access, "recordings")
    _tell_of_damage(path, recording)
    if number is None:
        console.print(f"{len(told):,} of {recorded.records:,} records explained; no rule is about the others")
    elif number > recorded.records:
        raise ConfigError(
            f"{path} has {recorded.records:,} records that rules can ask about: there is no {number:,}"
        )
    elif not told:
        console.print(f"record {number}: no rule is about it")


def _is_about(each: Numbered, access: Access) -> bool:
    return access.rule_class in rule_classes(each.rule)


def _lines(name: str) -> Iterator[bytes]:
    """Of a file, or of standard input, as they come."""
    try:
        if name == "-":
            yield from sys.stdin.buffer
        else:
            with Path(name).open("rb") as file:
                yield from file
    except OSError as error:
        raise ConfigError(f"cannot read the events in {_printable(name)}: {error.strerror}") from error


def _explain_events(console: Console, name: str, found: Sequence[Policy], settings: Config) -> None:
    for number, line in enumerate(_lines(name), start=1):
        if not line.strip():
            continue
        try:
            event = read_line(line)
        except DecodeError as error:
            raise ConfigError(f"{_printable(name)}:{number}: {error}") from None
        workload = event.workload
        is_host = not workload.container_id and not workload.container_name
        identity = Identity(
            workload.namespace, workload.labels, workload.container_name or workload.container_id or None
        )
        host_settings = msgspec.structs.replace(settings, host=settings.host or event.node.host)
        held = _held(found, None if is_host else identity, host_settings)
        rules = rule_set(held)
        accesses = accesses_told(event)
        about = [access for access in accesses if any(_is_about(each, access) for each in rules)]
        if not accesses:
            text = f"cannot be judged  {operation_name(event)} {event.resource or ''}: it tells too little"
            console.print(Text(_printable(text)))
        for access in about or accesses[:1]:
            explanation = explain(rules, _postures(settings)[is_host], access)
            _print_explanation(console, access, explanation, others=len(found) - len(held))
            _print_unknown(console, rules, access, "events")


def _unknown(access: Access) -> str:
    """What a decision hangs on that an event does not tell."""
    if not access.path_is_known:
        return "the whole path"
    if access.rule_class == RuleClass.NETWORK and not access.socket_type:
        return "what kind of socket it is"
    return "who owns the file"


def _print_simulation(done: Simulation) -> None:
    if done.outcomes:
        _print_table(
            ("workload", "action", "rule", "policy", "count", "record", "first example"),
            [
                (each.workload, each.action, each.rule or "posture", each.policy, f"{each.count:,}",
                 str(each.record), each.example)
                for each in done.outcomes
            ],
        )  # fmt: skip
        print()
    told = sum(each.count for each in done.outcomes)
    blocked = sum(each.count for each in done.outcomes if each.action == Decision.BLOCK.name.capitalize())
    print(
        f"records {done.records:,}  accesses {done.accesses:,}  blocked {blocked:,}  audited {told - blocked:,}  "
        f"allowed {done.allowed:,}  could not be judged {done.unjudged:,}"
    )
