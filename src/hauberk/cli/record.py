"""hauberk record: keep what the kernel says in a file."""

from pathlib import Path
from typing import Annotated

import typer

from hauberk.cli import options
from hauberk.cli.ledger import print_ledger
from hauberk.config import read_config
from hauberk.metrics import Ledger


def record(
    file: Annotated[Path, typer.Argument(help="The recording to write.")],
    config: options.ConfigFile = None,
    operation: options.Operations = None,
    path: options.Paths = None,
    result: options.Results = None,
    lifecycle: options.Lifecycle = None,
) -> None:
    """Keep the raw records of this machine in a file, for `hauberk replay`.

    Only what the kernel itself can leave out is left out. Runs until it is interrupted.
    """
    from hauberk.agent import record as record_to

    settings = read_config(
        config,
        flags=options.selection_flags(operation, False, None, None, path, result, lifecycle),
    )
    ledger = Ledger()
    record_to(settings, file, ledger)
    print_ledger(ledger)
