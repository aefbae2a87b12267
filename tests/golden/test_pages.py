"""The examples of docs/formats are events of golden cases, as the format really writes them."""

import json
import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent
PAGES = sorted((GOLDEN.parents[1] / "docs/formats").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_examples_are_real(page: Path) -> None:
    """JSON may be spread over lines; anything else stands there to the letter."""
    blocks = re.findall(r"^```(json|text)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    written = [line for path in GOLDEN.glob(f"*/{page.stem}.out") for line in path.read_text().splitlines()]
    shown = [
        line
        for language, block in blocks
        for line in ([json.dumps(json.loads(block))] if language == "json" else block.splitlines())
    ]
    if any(language == "json" for language, _ in blocks):
        written = [json.dumps(json.loads(line)) for line in written]

    assert shown
    assert [line for line in shown if line not in written] == []
