"""Which operations of a workload are told as telemetry: KubeArmor's visibility. It decides nothing."""

from collections.abc import Iterable
from typing import Final

from hauberk.abi import Operation

OPERATIONS: Final = {
    "process": 1 << Operation.PROCESS,
    "file": 1 << Operation.FILE,
    "network": 1 << Operation.NETWORK,
    # KubeArmor's word for calls that need a capability: of mount, setuid, bpf and their like
    "capabilities": 1 << Operation.CAPABILITIES | 1 << Operation.SYSCALL,
}
EVERYTHING: Final = sum(OPERATIONS.values())


def hidden_operations(names: Iterable[str]) -> int:
    """What is not told where only `names` are visible: a bit for each operation.

    As in KubeArmor, what is no name of an operation, such as ``none``, makes nothing visible.
    """
    return EVERYTHING & ~sum({OPERATIONS.get(name.strip(), 0) for name in names})
