"""The pages of sinks: each sink has one, and its examples are settings that the agent takes."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from hauberk.config import Config, check
from hauberk.sinks import SINKS, is_local

PAGES = Path(__file__).parents[2] / "docs/sinks"
REMOTE = [name for name in SINKS.names() if not is_local(SINKS.load(name))]
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \|", re.MULTILINE)


def test_sinks_are_documented() -> None:
    """Each that leads away from the agent."""
    assert {page.stem for page in PAGES.glob("*.md")} == set(REMOTE)


@pytest.mark.parametrize("name", REMOTE)
def test_examples_are_taken(name: str) -> None:
    examples = EXAMPLE.findall((PAGES / f"{name}.md").read_text())

    assert examples
    for example in examples:
        config = check(yaml.safe_load(example), Config)
        for output in config.outputs:
            assert isinstance(output.sink, dict)
            assert set(output.sink) == {name}
            check(output.sink[name], SINKS.load(name))


@pytest.mark.parametrize("name", REMOTE)
def test_settings_are_documented(name: str) -> None:
    """With their defaults, where those are numbers or words."""
    table = (PAGES / f"{name}.md").read_text().split("\n## ")[0]
    rows = dict(ROW.findall(table))
    for field in msgspec.structs.fields(SINKS.load(name)):
        assert field.encode_name in rows
        if isinstance(field.default, (int, float, str)) and field.default != "":
            assert rows[field.encode_name].startswith(f"`{str(field.default).removesuffix('.0').lower()}`")
