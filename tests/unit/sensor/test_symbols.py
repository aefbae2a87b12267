"""Where the kernel's functions lie."""

from pathlib import Path

from hauberk.sensor.symbols import find_functions

SYMBOLS = b"""\
ffffffff81000000 T startup
ffffffff81000100 t asked.cold
ffffffff81000140 T asked
ffffffff81000180 T asked_noaudit
ffffffff810001c0 D behind
"""


def test_functions_end_where_the_next_symbol_begins(tmp_path: Path) -> None:
    """Only whole names count, and only functions."""
    (tmp_path / "kallsyms").write_bytes(SYMBOLS)

    found = find_functions(["asked", "asked_noaudit", "behind", "absent"], tmp_path / "kallsyms")

    assert found == {
        "asked": (0xFFFFFFFF81000140, 0xFFFFFFFF81000180),
        "asked_noaudit": (0xFFFFFFFF81000180, 0xFFFFFFFF810001C0),
    }


def test_hidden_addresses_are_none(tmp_path: Path) -> None:
    """Those that may not see them get zeros."""
    (tmp_path / "kallsyms").write_bytes(b"0000000000000000 T asked\n0000000000000000 T next\n")

    assert find_functions(["asked"], tmp_path / "kallsyms") == {}
    assert find_functions(["asked"], tmp_path / "nothing") == {}
