"""Each folder here is a case: event.json in (an event, or a list of them), one file a format out.

Run with --accept to rewrite the expected files, then read the diff.
"""

from pathlib import Path

import msgspec
import pytest

from hauberk.formats import FORMATS
from hauberk.model.event import Event

VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "cef": ("cef", {"device_version": "1.0"}),
    "cef-minimal": ("cef", {"profile": "minimal", "equals": "colon", "device_version": "1.0"}),
    "kubearmor-hosted": ("kubearmor", {"cluster_id": "596", "tenant_id": "11"}),
    "ocsf-finding": ("ocsf", {"alerts": "finding"}),
    "otel-adapter": ("otel", {"profile": "adapter"}),
    "text-colour": ("text", {"colour": True}),
}
"""Formats with settings other than their defaults."""

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/event.json"))

pytestmark = pytest.mark.usefixtures("utc")


@pytest.mark.parametrize("format_name", sorted({*FORMATS.names(), *VARIANTS}))
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_golden(case: Path, format_name: str, accept: bool) -> None:
    """The same events give the same bytes in every format."""
    given = msgspec.json.decode((case / "event.json").read_bytes(), type=Event | list[Event])
    events = given if isinstance(given, list) else [given]
    name, settings = VARIANTS.get(format_name, (format_name, {}))
    encode = FORMATS.load(name)(**settings).make().encode
    found = b"".join(encode(event) + b"\n" for event in events)

    expected = case / f"{format_name}.out"
    if accept:
        expected.write_bytes(found)

    assert expected.read_bytes() == found
