"""The ledger for people: a table on standard error when the work is done."""

import sys

from rich.console import Console
from rich.table import Table

from hauberk.metrics import Ledger, OutputCounts


def print_ledger(ledger: Ledger) -> None:
    """Print the account, and say plainly whether it adds up."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    if ledger.kernel:
        table = Table(title="kernel", title_justify="left", box=None, pad_edge=False)
        table.add_column("operation")
        for column in ("seen", "filtered", "lost", "sent"):
            table.add_column(column, justify="right")
        table.add_column("filtered by")
        for name, counts in ledger.operations():
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.filtered.items() if count)
            numbers = (counts.seen, sum(counts.filtered.values()), counts.lost, counts.sent)
            table.add_row(name, *(f"{number:,}" for number in numbers), reasons)
        console.print(table)
    filtered = ", ".join(f"{reason} {count:,}" for reason, count in ledger.filtered.items())
    console.print(
        f"agent   decoded {ledger.decoded:,}  unknown {ledger.unknown:,}  state {ledger.state:,}  "
        f"filtered {sum(ledger.filtered.values()):,}{f' ({filtered})' if filtered else ''}  "
        f"events {ledger.offered:,}"
    )
    if ledger.waited:
        console.print(
            f"names   {ledger.waited:,} events waited for the name of their container; {ledger.unnamed:,} were sent without it"
        )
    for name, output in ledger.outputs.items():
        console.print(f"output  {name}  {_outcome(output)}", markup=False)
    for name, reader in ledger.feed.readers.items() if ledger.feed else ():
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in reader.dropped.items())
        console.print(
            f"reader  {name}  offered {reader.offered:,}  delivered {reader.delivered:,}  "
            f"dropped {sum(reader.dropped.values()):,}{f' ({dropped})' if dropped else ''}",
            markup=False,
        )
    differences = ledger.differences()
    if differences:
        for what, difference in differences.items():
            console.print(f"ledger  does not add up: {what} = {difference:,}", style="bold red", markup=False)
    else:
        console.print("ledger  adds up", style="green")


def _outcome(output: OutputCounts) -> str:
    """What became of what an output was offered; what only some outputs have is told if it is there."""
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in output.dropped.items())
    parts = (
        output.replayed and f"left by an earlier run {output.replayed:,}",
        output.filtered and f"filtered {output.filtered:,}",
        f"delivered {output.delivered:,}",
        f"dropped {sum(output.dropped.values()):,}{f' ({dropped})' if dropped else ''}",
        output.spooled and f"left on disk for the next run {output.spooled:,}",
    )
    return "  ".join(part for part in parts if part)
