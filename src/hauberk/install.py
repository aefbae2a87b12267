"""What an installation consists of: manifests with the operator's settings in them.

The templates lie in `manifests/`. In them ``${name}`` is a setting of `values.yaml`, and a line ``#{config}`` the
agent's own settings. The chart is made of the same templates (`tools/gen_chart.py`).
"""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

import yaml

from hauberk.config import Config, check
from hauberk.errors import ConfigError

NAMESPACE: Final = "hauberk"
_PLACE: Final = re.compile(r"\$\{(\w+)\}")
_BLOCK: Final = re.compile(r"^( *)#\{config\}$", re.M)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SAFE: Final = re.compile(r"[\w./:@-]+")
_MONITOR: Final = "70-monitor.yaml"


def template(name: str) -> str:
    """One of the files of `manifests/`."""
    return files("hauberk").joinpath("manifests", name).read_text("utf-8")


def template_names() -> list[str]:
    """Those of objects, in the order in which they are to be made."""
    folder = files("hauberk").joinpath("manifests")
    return sorted(each.name for each in folder.iterdir() if each.name[0].isdigit())


def default_values() -> dict[str, Any]:
    """The settings as they are when nobody says otherwise."""
    return dict(yaml.safe_load(template("values.yaml")))


def read_values(changes: Iterable[str]) -> dict[str, Any]:
    """The settings with changes such as ``image=registry/hauberk:1`` or ``config.cluster=production``."""
    values = default_values()
    for change in changes:
        name, equals, text = change.partition("=")
        section, _, key = name.rpartition(".")
        target = values["config"] if section == "config" else values
        known = section == "config" or (not section and name in values and name != "config")
        if not equals or not known:
            shown = ", ".join(each for each in values if each != "config")
            raise ConfigError(f"--set {change!r} is not NAME=VALUE; there are {shown} and config.SETTING")
        try:
            target[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {change!r}: {text!r} is no YAML value") from error
    return values


def render(values: Mapping[str, Any], namespace: str = NAMESPACE) -> str:
    """All manifests as one YAML text, the CRDs first; raises ConfigError if a setting is wrong."""
    if not _NAME.fullmatch(namespace):
        raise ConfigError(f"{namespace!r} is no name of a namespace")
    check(values["config"], Config)
    parts = [template("crds.yaml")]
    parts += [
        _fill(template(name), {**values, "namespace": namespace})
        for name in template_names()
        if name != _MONITOR or values["serviceMonitor"]
    ]
    return "---\n".join(parts)


def _fill(text: str, values: Mapping[str, Any]) -> str:
    def place(found: re.Match[str]) -> str:
        value = str(values[found[1]])
        if not _SAFE.fullmatch(value):
            raise ConfigError(f"{found[1]} {value!r} has characters that do not belong in it")
        return value

    def block(found: re.Match[str]) -> str:
        written = yaml.safe_dump(values["config"], sort_keys=False, default_flow_style=None, width=110)
        return "\n".join(found[1] + line for line in written.splitlines())

    return _BLOCK.sub(block, _PLACE.sub(place, text))
