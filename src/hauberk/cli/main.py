"""hauberk: the command line."""

import os
import sys
from typing import Annotated

import typer

from hauberk import __version__
from hauberk.cli.agent import agent
from hauberk.cli.convert import convert
from hauberk.cli.install import install
from hauberk.cli.logs import logs
from hauberk.cli.outputs import outputs
from hauberk.cli.policy import policy
from hauberk.cli.probe import probe
from hauberk.cli.record import record
from hauberk.cli.replay import replay
from hauberk.cli.workloads import workloads
from hauberk.errors import HauberkError

app = typer.Typer(
    name="hauberk",
    help="See what a machine does, and tell it in KubeArmor's words.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(agent)
app.command()(convert)
app.command()(logs)
app.command()(install)
app.add_typer(outputs)
app.add_typer(policy)
app.command()(probe)
app.command()(record)
app.command()(replay)
app.command()(workloads)


def main() -> None:
    """Run the program; an error of ours is one line on standard error, and an exit code of its kind."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log would tell of every failed handshake
    try:
        app()
    except HauberkError as error:
        sys.stderr.write(f"hauberk: {error}\n")
        sys.exit(error.exit_code)
