"""The examples of KubeArmor's document on events, word for word in document/.

The document has lost the head of its container process alert: brace and times are put back there, from the
table of the same section. Of each there is a golden case of the same name: the event that the example tells of.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hauberk.formats.kubearmor import encode
from hauberk.model.event import Event

HERE = Path(__file__).parent
EXAMPLES = sorted(HERE.glob("document/*.json"))

ALWAYS_PRESENT = {"Timestamp", "UpdatedTime", "UID", "EventData"}
"""What some of the document's examples leave out and KubeArmor never does."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_reproduced(example: Path) -> None:
    """An example's event gives its keys and values in its order, and only what is always present besides."""
    expected: dict[str, Any] = json.loads(example.read_bytes())
    event = HERE.parent / "golden" / example.stem / "event.json"
    found: dict[str, Any] = json.loads(encode(msgspec.json.decode(event.read_bytes(), type=Event)))
    added = found.keys() - expected.keys()

    assert added <= ALWAYS_PRESENT
    assert json.dumps({key: found[key] for key in found if key not in added}) == json.dumps(expected)


def test_every_example_is_here() -> None:
    """The document shows three logs and three alerts of containers, and three alerts of hosts."""
    assert [path.stem for path in EXAMPLES] == [
        "container-file-alert",
        "container-file-log",
        "container-network-alert",
        "container-network-log",
        "container-process-alert",
        "container-process-log",
        "host-process-alert",
        "host-setgid-alert",
        "host-setuid-alert",
    ]
