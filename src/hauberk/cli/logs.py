"""hauberk logs: follow the gRPC feed of an agent, here or elsewhere, Hauberk's or KubeArmor's."""

import os
import queue
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hauberk.cli import options
from hauberk.cli.bookmarks import Bookmarks
from hauberk.config import OutputFilter, compile_paths
from hauberk.errors import ConfigError, DecodeError

if TYPE_CHECKING:
    from hauberk.api.client import Stream
    from hauberk.model.event import Event

_AHEAD: Final = 1000
"""How many may wait to be printed; while more do, the agent keeps them, or drops them."""

_IDLE_S: Final = 1.0


class Filter(StrEnum):
    """What there is to follow, in KubeArmor's words."""

    policy = "policy"
    system = "system"
    all = "all"


class Operation(StrEnum):
    """KubeArmor's operations."""

    process = "process"
    file = "file"
    network = "network"
    capabilities = "capabilities"
    syscall = "syscall"


def logs(
    address: Annotated[
        str, typer.Option("--grpc", help="ADDRESS:PORT of the agent.", envvar="KUBEARMOR_SERVICE")
    ] = "127.0.0.1:32767",
    what: Annotated[
        Filter, typer.Option("--filter", help="policy: alerts; system: logs; all: both.")
    ] = Filter.policy,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", help="Output format.", show_default="text on a terminal, else kubearmor"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.", show_default="none")] = None,
    recent: Annotated[bool, typer.Option("--recent", help="Begin with what the agent keeps.")] = False,
    cursor_file: Annotated[
        Path | None,
        typer.Option(help="Go on where the last run with this file ended, and keep the place there."),
    ] = None,
    messages: Annotated[
        bool, typer.Option("--messages", help="What the agent says of itself, too, on standard error.")
    ] = False,
    operation: Annotated[
        list[Operation] | None,
        typer.Option(
            "--operation", help="Only this operation; may be repeated, as all below.", show_default="all"
        ),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Only of this Kubernetes namespace, or glob."),
    ] = None,
    pod: Annotated[list[str] | None, typer.Option(help="Only of this pod, or glob.")] = None,
    container: options.Containers = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Only of workloads with this label: key=value.")
    ] = None,
    policy: Annotated[list[str] | None, typer.Option(help="Only alerts of this policy, or glob.")] = None,
    severity: Annotated[
        int | None, typer.Option("--min-severity", min=1, max=10, help="Only alerts at least so severe.")
    ] = None,
    process: options.Processes = None,
    resource: Annotated[
        list[str] | None,
        typer.Option(
            help="Only what is done to this: a path, a directory ending in /, an address, or a glob."
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS, and believe whom this machine believes.")
    ] = False,
    tls_ca: Annotated[Path | None, typer.Option(help="Speak TLS, and believe these authorities.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Our certificate, for mutual TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    tls_name: Annotated[
        str | None,
        typer.Option(help="The name in the server's certificate, if it is not that of its address."),
    ] = None,
) -> None:
    """Follow the alerts and logs of an agent as they happen.

    When the connection breaks, it is made again, and goes on where it was; what is missing is said on standard error.
    Works with KubeArmor's own agent and relay, too: there, what happens during a break is missing.
    """
    from hauberk.api.client import ALERTS, LOGS, MESSAGES, Stream, Trust, connect

    trust = (
        Trust(tls_ca, tls_cert, tls_key, tls_name or "")
        if tls or tls_ca or tls_cert or tls_key or tls_name
        else None
    )
    wants = compile_wanted(
        OutputFilter(
            operations=tuple(each.value for each in operation or ()),
            namespaces=tuple(namespace or ()),
            policies=tuple(policy or ()),
            min_severity=severity,
        ),
        pods=tuple(pod or ()),
        containers=tuple(container or ()),
        labels=tuple(label or ()),
        processes=tuple(process or ()),
        resources=tuple(resource or ()),
    )
    write = _writer(format_name)
    bookmarks = Bookmarks(cursor_file)
    kinds = [
        kind for kind, of in ((ALERTS, Filter.policy), (LOGS, Filter.system)) if what in (of, Filter.all)
    ]
    with connect(address, trust) as channel:
        default = "oldest" if recent else ""
        streams = [
            Stream(address, channel, kind, _say, bookmarks.find(kind.name) or default)
            for kind in (*kinds, *([MESSAGES] if messages else []))
        ]
        if sys.stderr.isatty():
            more = "" if what is Filter.all else "; --filter all shows alerts and logs"
            _say(f"following {' and '.join(kind.name for kind in kinds)} of {address}{more}")
        try:
            _print(streams, wants, write, limit, bookmarks)
        except BrokenPipeError:  # as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            pass
        finally:
            for stream in streams:
                stream.stop()
            bookmarks.save()


def _print(
    streams: "list[Stream]",
    wants: "Callable[[Event], bool]",
    write: "Callable[[Event], None]",
    limit: int | None,
    bookmarks: Bookmarks,
) -> None:
    """Print what the streams give, in the order in which it comes."""
    from hauberk.api.client import fields_of
    from hauberk.api.kubearmor_pb2 import Message
    from hauberk.formats.kubearmor_reader import read_mapping

    ready: queue.Queue[Any] = queue.Queue(_AHEAD)

    def read(stream: "Stream") -> None:
        try:
            for thing in stream:
                ready.put((stream.name, thing))
        except BaseException as error:  # it is the other thread's to say
            ready.put((stream.name, error))

    for stream in streams:
        threading.Thread(target=read, args=(stream,), daemon=True).start()
    count = 0
    while limit is None or count < limit:
        try:
            name, thing = ready.get(timeout=_IDLE_S)
        except queue.Empty:
            bookmarks.save()
            continue
        if isinstance(thing, BaseException):
            raise thing
        if isinstance(thing, Message):
            _say(f"{thing.Level} {thing.Message}")
        else:
            try:
                event = read_mapping(fields_of(thing))
            except DecodeError as error:
                _say(f"left out: {error}")
            else:
                if wants(event):
                    write(event)
                    count += 1
        bookmarks.note(name, thing.Cursor)


def _writer(name: str | None) -> "Callable[[Event], None]":
    """Writes an event to standard output, at once."""
    from hauberk.formats import FORMATS, Format

    on_terminal = sys.stdout.isatty()
    name = name or ("text" if on_terminal else "kubearmor")
    settings = {"colour": True} if on_terminal and name == "text" else {}
    form: Format = FORMATS.load(name)(**settings).make()

    def write(event: "Event") -> None:
        sys.stdout.buffer.write(form.join([form.encode(event)]))
        sys.stdout.buffer.flush()

    return write


def compile_wanted(
    common: OutputFilter,
    *,
    pods: tuple[str, ...] = (),
    containers: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    processes: tuple[str, ...] = (),
    resources: tuple[str, ...] = (),
) -> "Callable[[Event], bool]":
    """Whether an event is to be shown. Everything must hold; within a list, one entry must."""
    from hauberk.delivery.filter import compile_filter

    tests: list[Callable[[Event], bool]] = []
    if test := compile_filter(common):
        tests.append(test)
    if pods:
        of_pods = compile_paths(pods)
        tests.append(lambda event: bool(of_pods.fullmatch(event.workload.pod or "")))
    if "all" in containers:
        tests.append(lambda event: not event.workload.is_host)
    elif containers:
        of_containers = compile_paths(containers)
        tests.append(
            lambda event: (
                bool(of_containers.fullmatch(event.workload.container_name or ""))
                or (event.workload.container_id or "").startswith(containers)
            )
        )
    if labels:
        if wrong := [label for label in labels if "=" not in label]:
            raise ConfigError(f"a label is written key=value, not {wrong[0]!r}")
        wanted = {tuple(label.split("=", 1)) for label in labels}
        tests.append(lambda event: not wanted.isdisjoint(event.workload.labels.items()))
    if processes:
        by_processes = compile_paths(processes)
        tests.append(lambda event: bool(by_processes.fullmatch(event.process.executable)))
    if resources:
        of_resources = compile_paths(resources)
        tests.append(lambda event: bool(of_resources.fullmatch(event.resource or "")))
    return lambda event: all(test(event) for test in tests)


def _say(text: str) -> None:
    sys.stderr.write(f"hauberk: {_printable(text)}\n")
    sys.stderr.flush()


def _printable(text: str) -> str:
    """What a server says goes to a terminal here."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
