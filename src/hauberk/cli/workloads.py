"""hauberk workloads: the containers of this machine, and the policies that select them."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hauberk.cli import options
from hauberk.config import Config, read_config
from hauberk.errors import RuntimeUnreachable
from hauberk.model.policy import Policy
from hauberk.model.workload import Workload

_PIPED_WIDTH: Final = 240
_ID_SHOWN: Final = 12


class ListFormat(StrEnum):
    """How the list is written."""

    text = "text"
    json = "json"


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One container."""

    runtime: str
    workload: Workload
    policies: list[str] = []
    """Names of those that select it."""


def workloads(
    config: options.ConfigFile = None,
    list_format: Annotated[
        ListFormat, typer.Option("--format", "-f", help="How to write the list.")
    ] = ListFormat.text,
) -> None:
    """List the containers that the runtimes of this machine know, and the policies that select them.

    Asks the runtimes themselves, as the agent does; no agent need run. The exit code is 9 if a runtime
    that is there does not answer, or there is none.
    """
    settings = read_config(config)
    found, silent = list_workloads(settings)
    if list_format is ListFormat.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif found:
        _print(found)
    if silent:
        raise RuntimeUnreachable("; ".join(silent))


def list_workloads(settings: Config) -> tuple[list[Listed], list[str]]:
    """All containers, and what is wrong with the runtimes that do not tell of any."""
    from hauberk.enforcement.directory import PolicyDirectory
    from hauberk.policy.select import holds_for_container
    from hauberk.runtimes import Unreadable, sources_of

    policies: tuple[Policy, ...] = PolicyDirectory(Path(settings.policies)).read() or ()
    found, silent = [], []
    sources = [source for source in sources_of(settings.runtimes) if source.is_there]
    if not sources:
        silent.append("no container runtime is there that could be asked; the setting `runtimes` says where")
    for source in sources:
        try:
            runtime = source.connect()
            try:
                containers = list(runtime.containers())
            finally:
                runtime.close()
        except RuntimeUnreachable as error:
            silent.append(str(error))
            continue
        for container in containers:
            if isinstance(container, Unreadable):
                silent.append(
                    f"{source.name}: container {container.id[:12]} cannot be read: {container.reason}"
                )
                continue
            names = [policy.name for policy in policies if holds_for_container(policy, container.workload)]
            found.append(Listed(source.kind, container.workload, names))
    found.sort(
        key=lambda each: (
            each.workload.namespace or "",
            each.workload.pod or "",
            each.workload.container_name or "",
        )
    )
    return found, silent


def _print(found: list[Listed]) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "name", "namespace", "pod", "image", "labels", "started", "runtime", "policies"):
        table.add_column(column, overflow="fold")
    for each in found:
        workload = each.workload
        cells = (
            (workload.container_id or "")[:_ID_SHOWN],
            workload.container_name or "",
            workload.namespace or "",
            workload.pod or "",
            (workload.image or "").partition("@")[0],
            ",".join(f"{key}={value}" for key, value in workload.labels.items()),
            _moment(workload.started_ns),
            each.runtime,
            ", ".join(each.policies),
        )
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    with console.capture() as written:
        console.print(table)
    for line in written.get().splitlines():
        print(line.rstrip())


def _moment(time_ns: int | None) -> str:
    if time_ns is None:
        return ""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _printable(text: str) -> str:
    """Names and labels are whatever somebody has called a container: nothing of them moves the cursor."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
