"""What an output tells of."""

from collections.abc import Callable, Iterable
from fnmatch import translate
from re import compile as compile_pattern

from hauberk.abi import Operation
from hauberk.config import OutputFilter
from hauberk.model.event import Event


def compile_filter(settings: OutputFilter) -> Callable[[Event], bool] | None:
    """Whether an event is wanted; None if every event is."""
    tests: list[Callable[[Event], bool]] = []
    if settings.type != "all":
        wanted = settings.type == "alert"
        tests.append(lambda event: (event.verdict is not None) == wanted)
    if settings.operations:
        operations = frozenset(Operation[name.upper()] for name in settings.operations)
        tests.append(lambda event: event.operation in operations)
    if settings.namespaces:
        in_namespaces = _compile_globs(settings.namespaces)
        tests.append(lambda event: in_namespaces(event.workload.namespace))
    if settings.min_severity is not None:
        least = settings.min_severity
        tests.append(lambda event: event.verdict is not None and event.verdict.severity >= least)
    if settings.policies:
        of_policies = _compile_globs(settings.policies)
        tests.append(lambda event: event.verdict is not None and of_policies(event.verdict.policy))
    if not tests:
        return None
    return lambda event: all(test(event) for test in tests)


def _compile_globs(globs: Iterable[str]) -> Callable[[str | None], bool]:
    matches = compile_pattern("|".join(translate(glob) for glob in globs)).fullmatch
    return lambda name: name is not None and matches(name) is not None
