"""Events a second on one core for every format, and OTLP against the OpenTelemetry SDK, all in turns in one run."""

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from statistics import median
from time import process_time
from typing import Any

import msgspec

from benchmarks.measure import describe, interleave
from benchmarks.opentelemetry_sdk import SDK
from benchmarks.world import World
from hauberk.formats import FORMATS, Format
from hauberk.model.event import Event

ROUNDS = 7
EVENTS = 8_192
BATCH = 512
BUDGET = 5.0
"""How many times the SDK's rate ours must be."""


def run() -> None:
    """Print a line a format, then what OTLP is to the SDK."""
    world = World()
    forms: dict[str, Format] = {name: FORMATS.load(name)().make() for name in FORMATS.names()}
    cases = {name: _case(world, requests_of(form)) for name, form in forms.items()}
    sdk = SDK(BATCH)
    cases["opentelemetry-sdk"] = _case(world, sdk.requests, sdk.prepare)
    cases["json.dumps"] = _case(world, lambda lines: (json.dumps(line).encode() for line in lines), _as_json)
    sample = world.events(EVENTS)
    if list(requests_of(forms["otel-protobuf"])(sample)) != list(sdk.requests(sdk.prepare(sample))):
        sys.exit("our requests are not those of the SDK: there is nothing to compare")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        found = interleave(cases, ROUNDS)
    finally:
        os.sched_setaffinity(0, cores)
    for name, rates in found.items():
        size = ""
        if name in forms:
            size = f", {sum(map(len, requests_of(forms[name])(sample))) / len(sample):,.0f} bytes each"
        print(f"{name:<18} {describe(rates, 'events/s')}{size}")
    for name in ("otel-protobuf", "otel"):
        ratio = median(found[name]) / median(found["opentelemetry-sdk"])
        print(f"{name} : opentelemetry-sdk = {ratio:.1f} (budget {BUDGET:.0f})")


def _case(
    world: World,
    requests: Callable[[list[Any]], Iterator[bytes]],
    prepare: Callable[[list[Event]], list[Any]] | None = None,
) -> Callable[[], float]:
    """Events a second of the processor's time; making and preparing them is not counted."""

    def measure() -> float:
        events: list[Any] = world.events(EVENTS)
        if prepare:
            events = prepare(events)
        gc.collect()
        begin = process_time()
        for _ in requests(events):
            pass
        return len(events) / (process_time() - begin)

    return measure


def requests_of(form: Format) -> Callable[[list[Event]], Iterator[bytes]]:
    """What a sink would send: messages encoded and joined."""

    def requests(events: list[Event]) -> Iterator[bytes]:
        for begin in range(0, len(events), BATCH):
            yield form.join([form.encode(event) for event in events[begin : begin + BATCH]])

    return requests


def _as_json(events: list[Event]) -> list[Any]:
    encode = FORMATS.load("kubearmor")().make().encode
    return [msgspec.json.decode(encode(event)) for event in events]
