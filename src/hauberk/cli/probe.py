"""hauberk probe: what this kernel and host can do."""

import sys
from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import hauberk.sensor.probe as sensor
from hauberk.config import read_config
from hauberk.errors import KernelError, RuntimeUnreachable
from hauberk.runtimes import sources_of

_STYLES: Final[dict[sensor.State, str]] = {
    "ok": "green",
    "degraded": "yellow",
    "missing": "bold red",
    "unknown": "magenta",
}

_PIPED_WIDTH: Final = 240
"""Wide enough that no line is broken where nobody looks but `grep`."""


class ReportFormat(StrEnum):
    """How the report is written."""

    text = "text"
    json = "json"


def probe(
    report_format: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How to write the report.")
    ] = ReportFormat.text,
) -> None:
    """Tell what this kernel and host can do, what each missing piece costs, and what to do.

    Changes nothing. The exit code is 0 if all is there that Hauberk needs, else 5.
    """
    report = sensor.probe()
    report = msgspec.structs.replace(report, findings=(*report.findings, *find_runtimes()))
    if report_format is ReportFormat.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        print_report(report)
    if report.missing:
        raise typer.Exit(KernelError.exit_code)


def find_runtimes() -> list[sensor.Finding]:
    """Which container runtimes are there, and whether they answer."""
    found = []
    for source in sources_of(read_config().runtimes):
        if not source.is_there:
            continue
        try:
            runtime = source.connect()
            try:
                count = sum(1 for _ in runtime.containers())
            finally:
                runtime.close()
        except RuntimeUnreachable as error:
            cost = "Its containers are known by their IDs only."
            remedy = "See that it runs, and that root may speak to it."
            found.append(sensor.Finding(source.kind, "degraded", str(error), cost, remedy))
        else:
            found.append(sensor.Finding(source.kind, "ok", f"{source.path}, {count} containers"))
    if not found:
        found.append(sensor.Finding("container runtimes", "ok", "none is there"))
    return found


def print_report(report: sensor.Report) -> None:
    """One row a finding; what it costs and what to do stand below what was found."""
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in report.findings:
        text = Text(finding.found)
        for label, sentence in (("costs", finding.cost), ("to do", finding.remedy)):
            if sentence:
                text.append(f"\n{label}: {sentence}", style="dim")
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.name, text)
    with console.capture() as written:
        console.print(table)
    for line in written.get().splitlines():
        print(line.rstrip())  # a table pads its last column too
    missing = [finding.name for finding in report.missing]
    if missing:
        console.print(f"\nHauberk cannot run here. Missing: {', '.join(missing)}.", style="bold red")
    else:
        console.print("\nHauberk can run here.", style="bold green")
