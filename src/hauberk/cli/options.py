"""The options that several commands share: what to see, and how to tell it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ConfigFile: TypeAlias = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file of settings.", envvar="HAUBERK_CONFIG")
]


class OperationOption(StrEnum):
    """KubeArmor's operations."""

    process = "process"
    file = "file"
    network = "network"
    syscall = "syscall"


Operations: TypeAlias = Annotated[
    list[OperationOption] | None,
    typer.Option("--operation", help="Only this operation; may be repeated.", show_default="all"),
]
Host: TypeAlias = Annotated[bool, typer.Option("--host", help="Only the host's own processes.")]
Containers: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--container", help="Only this container: ID, its beginning, or name; `all` for any container."
    ),
]
Processes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--process", help="Only what this executable does: a path, a directory ending in /, or a glob."
    ),
]
Paths: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--path", help="Only what is done to this path: a path, a directory ending in /, or a glob."
    ),
]
Results: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--result", help="Only this result: passed, failed, or an error such as EACCES."),
]
Lifecycle: TypeAlias = Annotated[
    bool | None, typer.Option("--lifecycle", help="Tell of fork and exit too.", show_default=False)
]
OutputFile: TypeAlias = Annotated[
    str | None,
    typer.Option("--output", "-o", help="File to append to; - is standard output.", show_default="-"),
]
FormatName: TypeAlias = Annotated[
    str | None,
    typer.Option("--format", "-f", help="Output format.", show_default="text on a terminal, else kubearmor"),
]


def selection_flags(
    operations: list[OperationOption] | None,
    host: bool,
    containers: list[str] | None,
    processes: list[str] | None,
    paths: list[str] | None,
    results: list[str] | None,
    lifecycle: bool | None,
) -> dict[str, object]:
    """The settings that these options stand for; what was not given is None."""
    workloads = None
    if host:
        workloads = "host"
    if containers and "all" in containers:
        workloads, containers = "containers", None
    return {
        "operations": [operation.value for operation in operations] if operations else None,
        "workloads": workloads,
        "containers": containers or None,
        "processes": processes or None,
        "paths": paths or None,
        "results": results or None,
        "lifecycle": lifecycle,
    }
