"""What is visible."""

import pytest

from hauberk.abi import Operation
from hauberk.enrich.visibility import EVERYTHING, hidden_operations


@pytest.mark.parametrize(
    ("names", "visible"),
    [
        ("process,file,network,capabilities", {"PROCESS", "FILE", "NETWORK", "CAPABILITIES", "SYSCALL"}),
        ("process, network", {"PROCESS", "NETWORK"}),
        ("capabilities", {"CAPABILITIES", "SYSCALL"}),
        ("file,file", {"FILE"}),
        ("none", set()),
        ("everything", set()),
        ("", set()),
    ],
)
def test_hidden_operations(names: str, visible: set[str]) -> None:
    """As KubeArmor has it: what is no operation makes nothing visible."""
    hidden = hidden_operations(names.split(","))

    assert {each.name for each in Operation if EVERYTHING & ~hidden & 1 << each} == visible
