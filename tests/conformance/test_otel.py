"""The examples of KubeArmor's document as OpenTelemetry log records, and our names as semantic conventions have them.

What each field of KubeArmor's must become is written here once more, by its words alone.
"""

import json
import pkgutil
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.semconv.schemas import Schemas

from hauberk.formats.kubearmor_reader import read_line
from hauberk.formats.otel import Otel, mapping
from hauberk.model.event import Event

HERE = Path(__file__).parent
EXAMPLES = sorted(HERE.glob("document/*.json"))
GOLDEN = HERE.parent / "golden"
PAGE = HERE.parents[1] / "docs/formats/otel.md"

ENCODE = Otel(labels=True).make().encode

OURS = {"log.record.uid", "process.executable.name", "file.name", "service.instance.id"}
"""What does not come from one field alone."""

ALWAYS_TOLD = {"process.real_user.id", "kubearmor.event_data"}
"""What some of the document's examples leave out and we never do."""


def plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    match kind:
        case "intValue":
            return int(content)
        case "arrayValue":
            return [plain(each) for each in content["values"]]
        case _:
            return content


def told(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {attribute["key"]: plain(attribute["value"]) for attribute in attributes}


def logs_of(event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """Resource and record."""
    (logs,) = json.loads(ENCODE(event))["resourceLogs"]
    return told(logs["resource"]["attributes"]), logs["scopeLogs"][0]["logRecords"][0]


def event_of(case: str) -> Event:
    return msgspec.json.decode((GOLDEN / case / "event.json").read_bytes(), type=Event)


def expected_resource(line: dict[str, Any]) -> dict[str, Any]:
    image, _, digest = line.get("ContainerImage", "").partition("@")
    name, _, tag = image.rpartition(":")
    in_pod = "PodName" in line
    labels = [label.partition("=") for label in line.get("Labels", "").split(",") if label]
    found = {
        "service.name": line.get("PodName", "hauberk"),
        "service.namespace": line.get("NamespaceName"),
        "k8s.cluster.name": line["ClusterName"] if in_pod else None,
        "host.name": line["HostName"],
        "k8s.node.name": line["HostName"] if in_pod else None,
        "k8s.namespace.name": line.get("NamespaceName"),
        "k8s.pod.name": line.get("PodName"),
        "container.id": line.get("ContainerID"),
        "k8s.container.name": line.get("ContainerName"),
        "container.image.name": name,
        "container.image.tags": [tag] if tag else None,
        "container.image.repo_digests": [f"{name}@{digest}"] if digest else None,
    } | {f"k8s.pod.label.{key}": value for key, _, value in labels}
    return {key: value for key, value in found.items() if value}


def expected_attributes(line: dict[str, Any]) -> dict[str, Any]:
    is_process = line["Operation"] == "Process"
    failed = line["Result"] != "Passed"
    found = {
        "process.pid": line["HostPID"],
        "process.parent_pid": line["HostPPID"],
        "process.vpid": line["PID"],
        "kubearmor.process.parent_vpid": line["PPID"],
        "process.real_user.id": line.get("UID"),
        "process.executable.path": line["ProcessName"],
        "kubearmor.process.parent.executable.path": line["ParentProcessName"],
        "process.command_line": line["Resource"] if is_process else line["Source"],
        "file.path": line["Resource"] if line["Operation"] == "File" else None,
        "kubearmor.resource": line.get("Resource"),
        "kubearmor.operation": line["Operation"],
        "kubearmor.type": line["Type"],
        "kubearmor.data": line["Data"],
        "kubearmor.result": line["Result"],
        "error.type": {"Permission denied": "EACCES", "Operation not permitted": "EPERM"}[line["Result"]]
        if failed
        else None,
        "kubearmor.action": line.get("Action"),
        "security_rule.name": line.get("PolicyName"),
        "security_rule.description": line.get("Message"),
        "kubearmor.tags": line.get("ATags"),
        "kubearmor.enforcer": line.get("Enforcer"),
    } | {f"kubearmor.event_data.{key}": value for key, value in line.get("EventData", {}).items()}
    if "sa_family=AF_INET" in line.get("Resource", ""):
        found |= {
            "network.peer.address": "10.0.0.10",
            "network.peer.port": 53,
            "network.type": "ipv4",
            "kubearmor.network.direction": "outbound",
        }
    if "domain=AF_UNIX" in line.get("Resource", ""):
        found["network.transport"] = "unix"
    return {key: value for key, value in found.items() if value is not None}


def expected_severity(line: dict[str, Any]) -> int:
    if "Action" not in line:
        return 9 if line["Result"] == "Passed" else 10
    if "Severity" in line:
        return 10 + int(line["Severity"])
    return 15 if line["Action"] == "Block" else 13


@pytest.mark.parametrize("is_read", [False, True], ids=["event", "line"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_told(example: Path, is_read: bool) -> None:
    """Every field of an example is where it belongs, and nothing is there that it does not say.

    Be it an event of ours, or one that was read from KubeArmor's own line.
    """
    line: dict[str, Any] = json.loads(example.read_bytes())
    event = read_line(example.read_bytes()) if is_read else event_of(example.stem)
    resource, record = logs_of(event)
    attributes = {
        key: value
        for key, value in told(record["attributes"]).items()
        if key not in OURS
        and not (key.startswith(tuple(ALWAYS_TOLD)) and key not in expected_attributes(line))
    }
    resource.pop("service.instance.id", None)

    assert resource == expected_resource(line)
    assert attributes == expected_attributes(line)
    assert record["severityNumber"] == expected_severity(line)
    assert record.get("severityText") == line.get("Severity")
    assert record["body"]["stringValue"] == line.get("Message", record["body"]["stringValue"])
    kind = "alert" if "Action" in line else "log"
    assert record["eventName"] == f"kubearmor.{line['Operation'].lower()}.{kind}"
    if "Timestamp" in line:
        assert int(record["timeUnixNano"]) // 10**9 == line["Timestamp"]


def names() -> Iterator[str]:
    """All attributes of all golden cases."""
    for path in sorted(GOLDEN.glob("*/event.json")):
        given = msgspec.json.decode(path.read_bytes(), type=Event | list[Event])
        for event in given if isinstance(given, list) else [given]:
            resource, record = logs_of(event)
            yield from resource
            yield from told(record["attributes"])


def conventions() -> dict[str, str]:
    """The attributes of the conventions' own package, each with what it says of it, the latest last."""
    found: dict[str, str] = {}
    for room in ("opentelemetry.semconv._incubating.attributes", "opentelemetry.semconv.attributes"):
        spec = find_spec(room)
        assert spec and spec.submodule_search_locations
        for module in pkgutil.iter_modules(spec.submodule_search_locations):
            text = Path(spec.submodule_search_locations[0], f"{module.name}.py").read_text()
            found |= dict(re.findall(r'^[A-Z0-9_]+: Final = "([^"]+)"\n"""\n(.*?)"""', text, re.M | re.S))
    return found


def test_names_are_those_of_the_conventions() -> None:
    """What is not KubeArmor's own is in the conventions, and not deprecated there."""
    known = conventions()
    used = {
        re.sub(r"^(k8s\.pod|container)\.label\..*", r"\1.label", name)
        for name in names()
        if not name.startswith("kubearmor.")
    }

    assert len(used) > 30
    assert used - known.keys() == set()
    assert [name for name in sorted(used) if known[name].lstrip().startswith("Deprecated")] == []


def test_version_is_that_of_the_conventions() -> None:
    """The names were held against the version that is told to receivers."""
    assert mapping.SCHEMA_URL in {schema.value for schema in Schemas}


def test_names_are_documented() -> None:
    """Each attribute stands on the page."""
    page = PAGE.read_text()
    used = {
        re.sub(r"^(k8s\.pod\.label|container\.label|kubearmor\.event_data)\..*", r"\1.<key>", name)
        for name in names()
    }

    assert [name for name in sorted(used) if f"`{name}`" not in page] == []
