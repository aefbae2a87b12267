"""All outputs: from the configuration to running ones."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec

from hauberk.config import Choice, Config, OutputConfig, Step, check, locate
from hauberk.delivery.encoder import Encoder
from hauberk.delivery.output import Output
from hauberk.delivery.retry import Backoff
from hauberk.delivery.spool import Spool
from hauberk.errors import ConfigError
from hauberk.formats import FORMATS, Format
from hauberk.metrics import Ledger, OutputCounts
from hauberk.model.event import Event
from hauberk.plugins import Shelf
from hauberk.sinks import SINKS, SinkSettings, is_local, usual_format, wrapped

_STDOUT: Final = 1
_SPOOL_BYTES: Final = 256 << 20
_LOCAL_RETRY_S: Final = 1.0
"""A disk of ours is not spared by patience."""


class Plan(msgspec.Struct, frozen=True):
    """What an output is to be: its settings, and those of its sink and its format, all checked."""

    settings: OutputConfig
    sink: SinkSettings
    format: Format
    format_name: str
    purpose: str
    """What sort of messages it writes."""

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def spool_bytes(self) -> int:
        if self.settings.spool_bytes is not None:
            return self.settings.spool_bytes
        return 0 if is_local(self.sink) else _SPOOL_BYTES


class Outputs:
    """All outputs of the agent, as one receiver of events."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs

    def put(self, events: Sequence[Event]) -> None:
        for output in self._outputs:
            output.put(events)

    def reopen(self) -> None:
        for output in self._outputs:
            output.reopen()

    def wait_for_room(self) -> None:
        """For who can wait: until no queue is more than half full, but for those whose sinks fail."""
        for output in self._outputs:
            output.wait_for_room()

    def refresh(self) -> None:
        """Bring up to date what the ledger tells of now."""
        for output in self._outputs:
            output.refresh()

    def close(self, timeout_s: float) -> None:
        """Write what is queued, for at most `timeout_s` in all."""
        for output in self._outputs:
            output.begin_to_close()
        deadline = monotonic() + timeout_s
        for output in self._outputs:
            output.close(max(0.0, deadline - monotonic()))


def open_outputs(
    config: Config, ledger: Ledger, warn: Callable[[str], None], *, spooled: bool = True
) -> Outputs:
    """The outputs that the settings ask for. Raises ConfigError; or SinkError if one can never be written to."""
    plans = plan_outputs(config)
    encoders: list[tuple[Plan, Encoder]] = []
    with ExitStack() as undo:
        opened: list[Output] = []
        undo.callback(lambda: Outputs(opened).close(0))
        for plan in plans:
            tell = _teller(plan.name, warn) if len(plans) > 1 else warn
            encoder = next((made for other, made in encoders if _shares_messages(plan, other)), None)
            if not encoder:
                encoder = Encoder(plan.format, plan.settings.filter, tell, named=not is_local(plan.sink))
                encoders.append((plan, encoder))
            sink = plan.sink.open(plan.format, tell)
            with ExitStack() as unopened:
                unopened.callback(sink.close)
                spool = None
                if plan.spool_bytes and spooled:
                    path = Path(config.spool_directory) / f"{plan.name}.db"
                    spool = Spool(path, plan.spool_bytes, plan.purpose, tell)
                unopened.pop_all()
            opened.append(
                Output(
                    encoder,
                    sink,
                    ledger.outputs.setdefault(plan.name, OutputCounts()),
                    queue_events=plan.settings.queue_events or config.queue_events,
                    queue_bytes=plan.settings.queue_bytes or config.queue_bytes,
                    warn=tell,
                    spool=spool,
                    backoff=Backoff(limit_s=_LOCAL_RETRY_S) if is_local(plan.sink) else Backoff(),
                )
            )
        undo.pop_all()
    return Outputs(opened)


def plan_outputs(config: Config) -> list[Plan]:
    """The outputs that the settings ask for, checked but not begun. Raises ConfigError with file and line."""
    if not config.outputs:
        return [_plan_one(config)]
    formats: list[tuple[Any, Format]] = []
    plans = []
    for number, settings in enumerate(config.outputs):
        at: tuple[Step, ...] = ("outputs", number)
        sink: SinkSettings = _take(SINKS, settings.sink, config, *at, "sink")
        choice = settings.format or _format_of(sink)
        form = _take(FORMATS, choice, config, *at, "format")
        # one Format for equal settings: what is encoded by it is encoded once
        made = next((known for of, known in formats if of == form), None) or form.make()
        formats.append((form, made))
        try:
            purpose = f"{type(sink).__name__} {form!r}"
            plans.append(Plan(settings, sink, wrapped(sink, made), _name(choice), purpose))
        except ConfigError as error:
            raise locate(error, config.file, *at, "sink") from None
    return plans


def _plan_one(config: Config) -> Plan:
    """The one output of `output`, `format` and `rotate_…`."""
    where: Choice = "stdout"
    if config.output != "-":
        rotation = {"rotate_bytes": config.rotate_bytes, "rotate_keep": config.rotate_keep}
        where = {"file": {"path": config.output, **rotation}}
    sink: SinkSettings = _take(SINKS, where, config)
    choice = config.format or _format_of(sink)
    form: Format = _take(FORMATS, choice, config).make()
    # its name is what was asked for, which may be more than a name of an output can be
    return Plan(OutputConfig(name=config.output, sink=where), sink, wrapped(sink, form), _name(choice), "")


def _format_of(sink: SinkSettings) -> Choice:
    """What is written if nobody says."""
    if isinstance(sink, SINKS.load("stdout")) and os.isatty(_STDOUT):
        return {"text": {"colour": True}}
    return usual_format(sink)


def _name(choice: Choice) -> str:
    return choice if isinstance(choice, str) else next(iter(choice))


def _take(shelf: Shelf, choice: Choice, config: Config, *at: Step) -> Any:
    """The settings of a thing of a shelf."""
    if isinstance(choice, str):
        choice = {choice: None}
    if len(choice) != 1:
        problem = f"one name is wanted, not {len(choice)}; there are {', '.join(shelf.names())}"
        raise locate(ConfigError(problem), config.file, *at)
    ((name, given),) = choice.items()
    try:
        kind = shelf.load(name)
        return check(given or {}, kind)
    except ConfigError as error:
        if not at:  # who knows where it comes from
            raise
        raise locate(error, config.file, *at, *((name,) if error.at else ())) from None


def _shares_messages(plan: Plan, other: Plan) -> bool:
    return (
        plan.format is other.format
        and plan.settings.filter == other.settings.filter
        and is_local(plan.sink) == is_local(other.sink)
    )


def _teller(name: str, warn: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: warn(f"output {name}: {text}")
