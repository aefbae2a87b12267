"""hauberk replay: a recording through the real pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from hauberk.cli import options
from hauberk.cli.ledger import print_ledger
from hauberk.config import read_config
from hauberk.metrics import Ledger


def replay(
    file: Annotated[Path, typer.Argument(help="A recording of `hauberk record`.", readable=False)],
    config: options.ConfigFile = None,
    operation: options.Operations = None,
    host: options.Host = False,
    container: options.Containers = None,
    process: options.Processes = None,
    path: options.Paths = None,
    result: options.Results = None,
    output: options.OutputFile = None,
    format_name: options.FormatName = None,
) -> None:
    """Send a recording through the real pipeline, as if it happened now. Needs no root and no kernel."""
    from hauberk.agent import replay as replay_from

    settings = read_config(
        config,
        flags=options.selection_flags(operation, host, container, process, path, result, None)
        | {"output": output, "format": format_name},
    )
    ledger = Ledger()
    replay_from(settings, file, ledger)
    print_ledger(ledger)
