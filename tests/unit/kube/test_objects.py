"""Kubernetes' objects to nouns, whatever they hold."""

import json
from typing import Any

import pytest

from hauberk.kube.objects import decode_namespace, decode_policy
from hauberk.kube.status import difference
from hauberk.model.cluster import NodeStatus
from hauberk.model.policy import Action


def namespace(**annotations: str) -> bytes:
    named = {name.replace("_", "-"): text for name, text in annotations.items()}
    return json.dumps({"metadata": {"name": "n", "annotations": named}}).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("block", Action.BLOCK), ("audit", Action.AUDIT), ("allow", None), ("Block", None), ("", None)],
)
def test_postures_are_audit_or_block(text: str, expected: Action | None) -> None:
    assert decode_namespace(namespace(kubearmor_file_posture=text)).file_posture is expected


def test_an_empty_annotation_says_nothing() -> None:
    assert decode_namespace(namespace(kubearmor_visibility="")).visibility is None
    assert decode_namespace(namespace(kubearmor_visibility="process, file")).visibility == ("process", "file")
    assert decode_namespace(b'{"metadata": {"name": "n"}}').visibility is None


def policy(spec: Any, **more: Any) -> bytes:
    return json.dumps(
        {"metadata": {"name": "p", "namespace": "n", "generation": 2}, "spec": spec} | more
    ).encode()


SOUND = {"selector": {}, "file": {"matchPaths": [{"path": "/a"}]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"selector": {}, "file": {"matchPaths": [{"path": "/a"}, {"path": "b"}]}}, "spec.file.matchPaths[1].path: "),
        ({"selector": {}, "actoin": "Block"}, "spec.actoin: "),
        ({"selector": {}, "file": {}}, "spec: "),
        ({"selector": {}, "message": "é\U0001f600", "file": {"matchPaths": [{"path": 1}]}}, "spec.file.matchPaths[0].path: "),
        (None, "spec"),
        ([], "spec"),
        (7, "spec"),
    ],
)  # fmt: skip
def test_a_problem_names_its_field(spec: Any, expected: str) -> None:
    found = decode_policy("KubeArmorPolicy", "node", policy(spec))

    assert found.policy is None
    assert found.problems[0].startswith(expected), found.problems


def test_a_status_of_another_version_is_written_anew() -> None:
    """Whatever stands in it does no harm."""
    status = {"nodes": {"node": {"state": "Odd", "workloads": "many"}}, "status": 7, "problems": None}
    found = decode_policy("KubeArmorPolicy", "node", policy(SOUND, status=status))
    said = NodeStatus("Enforced", 2, 1)

    assert found.policy
    change = difference(found, said, "node")
    assert change["status"] == "OK"
    assert change["nodes"]["node"] | {"problems": None} == {
        "state": "Enforced",
        "generation": 2,
        "workloads": 1,
        "problems": None,
    }


def test_who_has_nothing_to_say_writes_nothing() -> None:
    assert difference(decode_policy("KubeArmorPolicy", "node", policy(SOUND)), None, "node") == {}
