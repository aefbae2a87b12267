"""KubeArmor's names for what an event is, which several formats use."""

from typing import Final

from hauberk.abi import Operation
from hauberk.formats.results import PASSED, result_text
from hauberk.model.event import Event

OPERATIONS: Final = tuple(operation.name.capitalize() for operation in Operation)
"""KubeArmor's `Operation`, by number."""

_PROCESS: Final = int(Operation.PROCESS)
_EXECUTIONS: Final = {"execve", "execveat"}


def operation_name(event: Event) -> str:
    """KubeArmor's `Operation`."""
    relayed = event.relayed
    return relayed.operation if relayed and relayed.operation else OPERATIONS[event.operation]


def type_name(event: Event) -> str:
    """KubeArmor's `Type`."""
    relayed = event.relayed
    if relayed and relayed.type:
        return relayed.type
    if event.verdict is not None:
        return "MatchedHostPolicy" if event.workload.is_host else "MatchedPolicy"
    return "HostLog" if event.workload.is_host else "ContainerLog"


def class_name(event: Event) -> str:
    """Type and operation, ``MatchedPolicy.File``: one word."""
    return f"{type_name(event)}.{operation_name(event)}"


def result_name(event: Event) -> str:
    """KubeArmor's `Result`."""
    if not event.error:
        return PASSED
    relayed = event.relayed
    return relayed.result if relayed and relayed.result else result_text(event.error)


def is_execution(event: Event) -> bool:
    """Whether the event is that a program was executed, or was not let to: then its parent is who acts."""
    details = event.details
    return (
        event.operation == _PROCESS
        and "tracepoint" not in details
        and ("syscall" not in details or details["syscall"] in _EXECUTIONS)
    )


def call_name(event: Event) -> str:
    """What was called, ``openat``, ``tcp_connect``, ``file_open``; empty if the event does not say."""
    details = event.details
    for hook in ("syscall", "lsm", "io_uring", "kprobe", "kfunc", "tracepoint"):
        if hook in details:
            return details[hook].removeprefix("sched_process_")
    return ""


def base_name(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]
