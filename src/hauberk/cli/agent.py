"""hauberk agent: tell what this machine does, as it happens."""

from typing import Annotated

import typer

from hauberk.cli import options
from hauberk.cli.ledger import print_ledger
from hauberk.config import read_config
from hauberk.metrics import Ledger


def agent(
    config: options.ConfigFile = None,
    operation: options.Operations = None,
    host: options.Host = False,
    container: options.Containers = None,
    process: options.Processes = None,
    path: options.Paths = None,
    result: options.Results = None,
    lifecycle: options.Lifecycle = None,
    output: options.OutputFile = None,
    format_name: options.FormatName = None,
    rotate_bytes: Annotated[
        int | None, typer.Option(help="Start a new file at this size.", show_default="never")
    ] = None,
    rotate_keep: Annotated[int | None, typer.Option(help="Old files to keep.", show_default="5")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="ADDRESS:PORT for Prometheus, such as 127.0.0.1:9464.", show_default="none"),
    ] = None,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Take away what is enforced without an agent, and end.")
    ] = False,
    cluster: Annotated[str | None, typer.Option(help="ClusterName of the events.")] = None,
) -> None:
    """Tell what this machine does, as it happens.

    Runs until it is interrupted or terminated; then what is still on its way is written, and the ledger
    tells what became of every event. SIGHUP opens the output file anew. What policies block stays blocked
    while no agent runs, until the next one or --uninstall.
    """
    from hauberk.agent import run
    from hauberk.agent import uninstall as take_away

    if uninstall:
        print(f"{take_away()} programs taken away: nothing is enforced any more")
        return
    settings = read_config(
        config,
        flags=options.selection_flags(operation, host, container, process, path, result, lifecycle)
        | {
            "output": output,
            "format": format_name,
            "rotate_bytes": rotate_bytes,
            "rotate_keep": rotate_keep,
            "metrics": metrics,
            "cluster": cluster,
        },
    )
    ledger = Ledger()
    run(settings, ledger)
    print_ledger(ledger)
