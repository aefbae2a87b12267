"""What an installation consists of: whole, valid, and of one source."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from hauberk.config import read_config
from hauberk.errors import ConfigError
from hauberk.install import default_values, read_values, render, template

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
VERSIONS = ("1.30", "1.37")
"""The oldest Kubernetes that we name, and the newest whose schemas there are."""

NOT_KUBERNETES_OWN = {"ServiceMonitor"}
Object = dict[str, Any]


def objects(text: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(text) if each]


def find(found: list[Object], kind: str) -> Object:
    (only,) = (each for each in found if each["kind"] == kind)
    return only


def fill_in(text: str, values: Object, namespace: str) -> str:
    """What Helm makes of a template: the four forms that ours have, and no other."""

    def block(found: re.Match[str]) -> str:
        indent = " " * int(found[1])
        return "\n".join(indent + line for line in yaml.safe_dump(values["config"]).splitlines())

    text = re.sub(
        r"^\{\{- if \.Values\.serviceMonitor \}\}\n(.*?)^\{\{- end \}\}\n", r"\1", text, flags=re.M | re.S
    )
    text = re.sub(r"\{\{- toYaml \.Values\.config \| nindent (\d+) \}\}", block, text)
    text = text.replace("{{ .Release.Namespace }}", namespace)
    text = re.sub(r"\{\{ \.Values\.(\w+) \}\}", lambda found: str(values[found[1]]), text)
    assert "{{" not in text
    return text


def chart() -> list[Object]:
    """The chart's objects."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    texts = [path.read_text() for path in sorted((CHART / "templates").iterdir())]
    return [each for text in texts for each in objects(fill_in(text, values, "hauberk"))]


def without_namespace(found: list[Object]) -> list[Object]:
    """What both have, with what stands in the ConfigMap as what it means."""
    for each in found:
        if each["kind"] == "ConfigMap":
            each["data"] = {name: yaml.safe_load(text) for name, text in each["data"].items()}
    left = [each for each in found if each["kind"] not in ("Namespace", "CustomResourceDefinition")]
    return sorted(left, key=lambda each: (each["kind"], each["metadata"]["name"]))


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_what_kubernetes_publishes(version: str) -> None:
    """Held, strictly, against the schemas of Kubernetes' own release."""
    found = objects(render(default_values()))
    assert {each["kind"] for each in found} == {
        "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "Service",
        "PodDisruptionBudget", "ServiceMonitor", "CustomResourceDefinition",
    }  # fmt: skip
    for each in found:
        if each["kind"] not in NOT_KUBERNETES_OWN:
            kubernetes_validate.validate(each, version, strict=True)


def test_a_slip_in_a_manifest_would_be_seen() -> None:
    """So that the test above can fail."""
    daemon_set = find(objects(render(default_values())), "DaemonSet")
    daemon_set["spec"]["template"]["spec"]["hostPid"] = True

    with pytest.raises(kubernetes_validate.ValidationError, match="hostPid"):
        kubernetes_validate.validate(daemon_set, VERSIONS[0], strict=True)


def test_the_chart_holds_the_same_objects() -> None:
    assert without_namespace(chart()) == without_namespace(objects(render(default_values())))
    crds = objects((CHART / "crds/crds.yaml").read_text())
    assert len(crds) == 3
    assert crds == [
        each for each in objects(render(default_values())) if each["kind"] == "CustomResourceDefinition"
    ]


def test_helm_renders_the_chart(tmp_path: Path) -> None:
    """By Helm itself, where it is installed."""
    helm = shutil.which("helm")
    if not helm:
        pytest.skip(
            "helm is not installed; the test above reads the four forms of template that the chart has"
        )
    command = [
        helm,
        "template",
        "hauberk",
        str(CHART),
        "--namespace",
        "hauberk",
        "--kube-version",
        VERSIONS[-1],
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"HOME": str(tmp_path)})

    assert without_namespace(objects(done.stdout)) == without_namespace(objects(render(default_values())))


def test_the_settings_in_the_config_map_are_settings(tmp_path: Path) -> None:
    config_map = find(objects(render(read_values(["config.cluster=production"]))), "ConfigMap")
    path = tmp_path / "hauberk.yaml"
    path.write_text(config_map["data"]["hauberk.yaml"])
    config = read_config(path, environment={})

    assert config.cluster == "production"
    assert config.host_visibility == ("none",)


def test_what_is_set_is_in_the_manifests() -> None:
    changes = [
        "image=registry.example/hauberk@sha256:ab",
        "runtimeDirectory=/run/crio",
        "serviceMonitor=false",
    ]
    found = objects(render(read_values(changes), "security"))
    pod = find(found, "DaemonSet")["spec"]["template"]["spec"]

    assert pod["containers"][0]["image"] == "registry.example/hauberk@sha256:ab"
    assert "/run/crio" in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert {each["metadata"]["namespace"] for each in found if "namespace" in each["metadata"]} == {
        "security"
    }
    assert "ServiceMonitor" not in {each["kind"] for each in found}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["imag=x"], "there are image, runtimeDirectory, serviceMonitor and config.SETTING"),
        (["image"], "is not NAME=VALUE"),
        (["config=x"], "is not NAME=VALUE"),
        (['image=x"y'], "characters that do not belong"),
        (["config.clustr=x"], "clustr"),
        (["config.visibility=[proces]"], "proces"),
        (["image=[x"], "no YAML value"),
    ],
)
def test_a_wrong_setting_is_an_error(changes: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        render(read_values(changes))


def test_a_namespace_has_a_name() -> None:
    with pytest.raises(ConfigError, match="no name of a namespace"):
        render(default_values(), "x: y")


def test_every_volume_is_mounted_and_the_other_way_round() -> None:
    pod = find(objects(render(default_values())), "DaemonSet")["spec"]["template"]["spec"]
    mounts = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}

    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_unit_has_the_powers_of_the_pod() -> None:
    """Least privilege is one list."""
    pod = find(objects(render(default_values())), "DaemonSet")["spec"]["template"]["spec"]
    powers = pod["containers"][0]["securityContext"]["capabilities"]["add"]
    unit = dict(line.split("=", 1) for line in template("hauberk.service").splitlines() if "=" in line)

    assert unit["CapabilityBoundingSet"].split() == [f"CAP_{power}" for power in powers]


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "hauberk.service"
    unit.write_text(template("hauberk.service").replace("/opt/hauberk/bin/hauberk", "/bin/true"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if "hauberk.service" in line] == []
