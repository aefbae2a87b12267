"""The CRDs hold what `policy/document.py` takes: fields of one are fields of the other."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS30Validator

from hauberk.policy import document
from hauberk.policy.document import parse_documents
from tests.kube.server import strict_problems

EXAMPLES = sorted((Path(__file__).parents[3] / "examples/policies").glob("*.yaml"))
SCHEMAS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for crd in yaml.safe_load_all(files("hauberk").joinpath("manifests/crds.yaml").read_text())
}
SAID = "severity: 3, tags: [a], message: m, action: Block"
SOURCES = "fromSource: [{path: /bin/sh}, {dir: /usr/, recursive: true}]"
RULE = f"ownerOnly: true, pts: false, {SOURCES}, {SAID}"
FEW = f"pts: false, {SOURCES}, {SAID}"
AUDITED = SAID.replace("Block", "Audit")
CALL = f"syscall: [unlink], {SOURCES}, {AUDITED}"
EVERYTHING = f"""
  {SAID.replace(", ", chr(10) + "  ")}
  process: {{
    matchPaths: [{{path: /bin/a, allowedArgs: [x], {RULE}}}, {{execname: b, {RULE}}}],
    matchDirectories: [{{dir: /opt/, recursive: true, {RULE}}}],
    matchPatterns: [{{pattern: /opt/*, {RULE}}}],
    {SAID}}}
  file: {{
    matchPaths: [{{path: /etc/a, readOnly: true, {RULE}}}],
    matchDirectories: [{{dir: /etc/b/, recursive: true, readOnly: true, {RULE}}}],
    matchPatterns: [{{pattern: /etc/c*, readOnly: true, {RULE}}}],
    {SAID}}}
  network: {{matchProtocols: [{{protocol: "tcp,udp", {FEW}}}], {SAID}}}
  capabilities: {{matchCapabilities: [{{capability: net_raw, {FEW}}}], {SAID}}}
  syscalls: {{
    matchSyscalls: [{{{CALL}}}],
    matchPaths: [{{path: /tmp/, recursive: true, {CALL}}}],
    {AUDITED}}}
"""
SELECTORS = {
    "KubeArmorPolicy": """selector:
    matchLabels: {app: web, kubearmor.io/container.name: "[a,b]"}
    matchExpressions: [{key: label, operator: In, values: [a=b]}]""",
    "KubeArmorClusterPolicy": """selector:
    matchExpressions: [{key: namespace, operator: NotIn, values: [a]}, {key: label, operator: In, values: [a=b]}]""",
    "KubeArmorHostPolicy": "nodeSelector: {matchLabels: {zone: a}}",
}


def whole(kind: str) -> str:
    """A policy with every field there is."""
    presets = f"  presets: [{{name: filelessExec, {SAID}}}]\n" if kind != "KubeArmorHostPolicy" else ""
    head = f"apiVersion: {document.API_VERSION}\nkind: {kind}\nmetadata: {{name: all}}\n"
    return f"{head}spec:\n  {SELECTORS[kind]}{EVERYTHING}{presets}"


def paths(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """All fields that a schema knows."""
    for key, child in schema.get("properties", {}).items():
        yield f"{path}.{key}"
        yield from paths(child, f"{path}.{key}")
    if "items" in schema:
        yield from paths(schema["items"], path)


def used(value: Any, path: str = "") -> Iterator[str]:
    """All fields that a document uses."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield f"{path}.{key}"
            yield from used(child, f"{path}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from used(child, path)


def problems(thing: dict[str, Any]) -> list[str]:
    schema = SCHEMAS[thing["kind"]]
    found = [error.message for error in OAS30Validator(schema).iter_errors(thing)]
    return found + list(
        strict_problems(schema, {key: each for key, each in thing.items() if key != "metadata"})
    )


@pytest.mark.parametrize("kind", SELECTORS)
def test_schema_and_reader_know_the_same_fields(kind: str) -> None:
    """A policy with every field of the schema is read without an error, and there is no field that it lacks."""
    text = whole(kind)
    thing = yaml.safe_load(text)
    parsed = parse_documents(text, "all.yaml")

    assert [each for each in parsed.problems if each.severity == "error"] == []
    assert problems(thing) == []
    known = {path for path in paths(SCHEMAS[kind]["properties"]["spec"]) if not path.startswith(".apparmor")}
    found = {re.sub(r"\.matchLabels\..*", ".matchLabels", path) for path in used(thing["spec"])}
    assert found == known


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid(path: Path) -> None:
    for thing in yaml.safe_load_all(path.read_text()):
        assert problems(thing) == []


@pytest.mark.parametrize("kind", SELECTORS)
def test_a_slip_in_any_field_is_seen(kind: str) -> None:
    """Each name of a field in turn, with a letter too many."""
    text = whole(kind)
    names = {path.rpartition(".")[2] for path in used(yaml.safe_load(text)["spec"])} - {"app", "zone"}
    for name in sorted(name for name in names if not name.startswith("kubearmor")):
        slipped = re.sub(rf"\b{name}:", f"{name}x:", text)
        assert problems(yaml.safe_load(slipped)), name


def test_the_schema_is_structural() -> None:
    """As an API server demands: a type everywhere, and no list of fields beside a rule for any field."""

    def check(schema: dict[str, Any]) -> None:
        assert "type" in schema
        assert not ("properties" in schema and "additionalProperties" in schema)
        for child in (*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])):
            check(child)

    for schema in SCHEMAS.values():
        check(schema)
