"""Where the kernel's functions lie."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SYMBOLS: Final = Path("/proc/kallsyms")


def find_functions(names: Iterable[str], path: Path = SYMBOLS) -> dict[str, tuple[int, int]]:
    """The first byte of each of these functions and the one behind its last, as far as the kernel says so.

    It hides addresses, as zeros, from those who have not `CAP_SYSLOG`, and from everybody if `kernel.kptr_restrict`
    is 2.
    """
    try:
        symbols = path.read_bytes()
    except OSError:
        return {}
    found = {}
    for name in names:
        # they are in the order of their addresses
        row = re.search(rb"^([0-9a-f]+) [tT] %s\n([0-9a-f]+) " % name.encode(), symbols, re.MULTILINE)
        if row and (start := int(row[1], 16)) and (end := int(row[2], 16)) > start:
            found[name] = start, end
    return found
