"""Threads that do not end in silence: one that fails is reported, counted, and begun anew."""

import time
import traceback
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

_FIRST_PAUSE_S: Final = 0.5
_LAST_PAUSE_S: Final = 30.0
"""Before a thread that failed is begun anew: from the first up to the second, doubling while it fails at once."""

_SETTLED_S: Final = 60.0
"""Who ran for so long begins with the first pause again."""

_failures: dict[str, int] = {}


def failures() -> dict[str, int]:
    """How often each thread has failed, by its name."""
    return dict(_failures)


def supervised(
    name: str,
    run: Callable[[], None],
    warn: Callable[[str], None],
    stopping: Event,
    pause_s: float = _FIRST_PAUSE_S,
) -> Thread:
    """A thread, not yet started, that calls `run` until it returns; after an error of it anew, unless `stopping` is set.

    `run` must be able to begin again from whatever a failure has left. `warn` takes one line for the operator.
    """
    return Thread(target=_supervise, args=(name, run, warn, stopping, pause_s), name=name, daemon=True)


def _supervise(
    name: str, run: Callable[[], None], warn: Callable[[str], None], stopping: Event, first_pause_s: float
) -> None:
    pause_s = first_pause_s
    while True:
        begun = time.monotonic()
        try:
            run()
            return
        except Exception as error:  # whatever it is, it may not end this thread for good
            if stopping.is_set():
                return
            _failures[name] = _failures.get(name, 0) + 1
            if time.monotonic() - begun > _SETTLED_S:
                pause_s = first_pause_s
            warn(
                f"the thread `{name}` failed and begins again in {pause_s:g} s: {_describe(error)}. "
                "This is a fault of Hauberk: please report it"
            )
        if stopping.wait(pause_s):
            return
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)


def _describe(error: Exception) -> str:
    """What it was and where: the last place of ours."""
    places = traceback.extract_tb(error.__traceback__)
    where = f" ({places[-1].name}, line {places[-1].lineno})" if places else ""
    text = "".join(each if each.isprintable() else " " for each in str(error))[:200]
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"
