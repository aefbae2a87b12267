"""All outputs: from the configuration to running ones."""

import json
from pathlib import Path

import pytest

from hauberk.config import Config, read_config
from hauberk.delivery.outputs import open_outputs, plan_outputs
from hauberk.errors import ConfigError, SinkError
from hauberk.metrics import Ledger
from tests.events import ALERT, EVENT

SOON_S = 60.0


def configured(tmp_path: Path, text: str) -> Config:
    """What a file says; `DIR` stands for a directory."""
    path = tmp_path / "hauberk.yaml"
    path.write_text(text.replace("DIR", str(tmp_path)))
    return read_config(path, environment={})


def test_each_gets_its_own(tmp_path: Path) -> None:
    """Three outputs with filters and formats of their own, and an account of each."""
    config = configured(
        tmp_path,
        """
outputs:
- {name: all, sink: {file: {path: DIR/all}}}
- {name: alerts, sink: {file: {path: DIR/alerts}}, filter: {type: alert}}
- {name: people, sink: {file: {path: DIR/people}}, format: text, filter: {type: log}}
""",
    )
    ledger = Ledger(decoded=5)
    outputs = open_outputs(config, ledger, pytest.fail)
    outputs.put([EVENT, ALERT, EVENT])
    outputs.put([ALERT, EVENT])
    outputs.close(SOON_S)

    types = [json.loads(line)["Type"] for line in (tmp_path / "all").read_text().splitlines()]
    assert ["HostLog", "MatchedHostPolicy", "HostLog", "MatchedHostPolicy", "HostLog"] == types
    alerts = [json.loads(line)["Type"] for line in (tmp_path / "alerts").read_text().splitlines()]
    assert ["MatchedHostPolicy"] * 2 == alerts
    assert 3 == len((tmp_path / "people").read_text().splitlines())
    assert {"all": (0, 5), "alerts": (3, 2), "people": (2, 3)} == {
        name: (counts.filtered, counts.delivered) for name, counts in ledger.outputs.items()
    }
    assert {} == ledger.differences()


def test_equal_outputs_share_what_is_encoded(tmp_path: Path) -> None:
    """One format for equal settings, another for others."""
    config = configured(
        tmp_path,
        """
outputs:
- {name: a, sink: stdout, format: text}
- {name: b, sink: {file: {path: DIR/b}}, format: {text: }}
- {name: c, sink: stdout, format: {text: {colour: yes}}}
""",
    )
    a, b, c = plan_outputs(config)

    assert a.format is b.format
    assert a.format is not c.format


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "outputs:\n- name: a\n  sink:\n    file:\n      path: a\n      rotate_bytes: -1\n",
            r"hauberk.yaml:6: .* in `outputs\[0\].sink.file.rotate_bytes`",
        ),
        (
            "outputs:\n- name: a\n  sink:\n    file: {pfad: a}\n",
            r"hauberk.yaml:4: no setting is named 'pfad'; there are path, .* in `outputs\[0\].sink.file.pfad`",
        ),
        (
            "outputs:\n- name: a\n  sink: file\n",
            r"hauberk.yaml:3: .*`path` in `outputs\[0\].sink`",
        ),
        (
            "outputs:\n- name: a\n  sink: printer\n",
            r"hauberk.yaml:3: no sink is named 'printer'; there are file, .* in `outputs\[0\].sink`",
        ),
        (
            "outputs:\n- name: a\n  sink: stdout\n  format: {text: {color: yes}}\n",
            r"hauberk.yaml:4: no setting is named 'color'; there are colour in `outputs\[0\].format.text.color`",
        ),
        (
            "outputs:\n- name: a\n  sink: {stdout: , file: {path: a}}\n",
            r"hauberk.yaml:3: one name is wanted, not 2; there are file, .* in `outputs\[0\].sink`",
        ),
    ],
)
def test_errors_name_file_line_and_setting(tmp_path: Path, text: str, message: str) -> None:
    """What the shelves know is told as well as what the configuration knows."""
    with pytest.raises(ConfigError, match=message):
        plan_outputs(configured(tmp_path, text))


def test_wrong_format_of_the_command_line() -> None:
    """No file is blamed for it."""
    with pytest.raises(ConfigError, match=r"^no format is named 'sung'"):
        plan_outputs(Config(format="sung"))


def test_an_output_that_can_never_work(tmp_path: Path) -> None:
    """It is an error at the start, and those that were opened before it are closed."""
    config = configured(
        tmp_path,
        """
outputs:
- {name: a, sink: {file: {path: DIR/a}}}
- {name: b, sink: {file: {path: DIR/none/b}}}
""",
    )
    with pytest.raises(SinkError, match=r"none/b: No such file or directory"):
        open_outputs(config, Ledger(), pytest.fail)
