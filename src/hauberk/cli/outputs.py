"""hauberk outputs: where events go, and whether they get there."""

import sys
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table

from hauberk.cli import options
from hauberk.config import Choice, Config, OutputFilter, read_config
from hauberk.errors import SinkError

_PIPED_WIDTH = 400
"""Of a table that nobody looks at: one row a line."""

outputs = typer.Typer(
    name="outputs", help="Show and try the outputs of a configuration.", no_args_is_help=True
)


@outputs.command(name="list")
def list_outputs(
    config: options.ConfigFile = None,
    output: options.OutputFile = None,
    format_name: options.FormatName = None,
) -> None:
    """Show the outputs of a configuration, after checking all their settings."""
    from hauberk.delivery.outputs import plan_outputs

    plans = plan_outputs(_settings(config, output, format_name))
    rows = []
    for plan in plans:
        spool = f"{plan.spool_bytes / (1 << 20):,.0f} MiB" if plan.spool_bytes else "none"
        rows.append(
            (plan.name, _name(plan.settings.sink), plan.format_name, _told(plan.settings.filter), spool)
        )
    _print_table(("output", "sink", "format", "tells of", "spool"), rows)


@outputs.command(name="test")
def test_outputs(
    config: options.ConfigFile = None,
    output: options.OutputFile = None,
    format_name: options.FormatName = None,
) -> None:
    """Send one alert, marked as a test, through each output, and say what happened.

    It goes past queues, spools and filters, while an agent may run. The exit code is 6 if one of them fails.
    """
    from hauberk.agent import this_node
    from hauberk.delivery.outputs import plan_outputs
    from hauberk.delivery.sample import sample_alert, send

    settings = _settings(config, output, format_name)
    plans = plan_outputs(settings)
    event = sample_alert(this_node(settings), sys.executable)
    rows, failed = [], 0
    for plan in plans:
        outcome = send(plan, event, _complain)
        failed += outcome.problem is not None
        result = outcome.problem or f"taken in {outcome.took_s * 1e3:,.0f} ms"
        if outcome.is_filtered:
            result += "; its filter leaves this test out, and it was sent all the same"
        rows.append((plan.name, _name(plan.settings.sink), plan.format_name, result))
    _print_table(("output", "sink", "format", "result"), rows)
    if failed:
        raise SinkError(f"{failed} of {len(plans)} outputs failed")


def _settings(config: object, output: str | None, format_name: str | None) -> Config:
    return read_config(config, flags={"output": output, "format": format_name})  # type: ignore[arg-type]


def _complain(text: str) -> None:
    sys.stderr.write(f"hauberk: {text}\n")


def _name(choice: Choice) -> str:
    return choice if isinstance(choice, str) else next(iter(choice))


def _told(settings: OutputFilter) -> str:
    """A filter in few words."""
    parts = [] if settings.type == "all" else [f"{settings.type}s"]
    parts += [
        ", ".join(names) for names in (settings.operations, settings.namespaces, settings.policies) if names
    ]
    if settings.min_severity:
        parts.append(f"severity {settings.min_severity} and more")
    return "; ".join(parts) or "everything"


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    console = Console(highlight=False, markup=False, width=width)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
