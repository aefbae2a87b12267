"""Which workloads a policy holds for."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec

from hauberk.model.policy import Expression, Policy
from hauberk.model.workload import Workload
from hauberk.policy.document import CONTAINER_NAME

_HOST_NAME_LABELS = ("kubernetes.io/hostname", "kubearmor.io/hostname")
_HOST_PATTERN_LABELS = ("kubernetes.io/hostnamereg", "kubearmor.io/hostnamereg")


class Identity(msgspec.Struct, frozen=True):
    """What a selector compares."""

    namespace: str | None
    labels: Mapping[str, str]
    container_name: str | None


def holds_for(policy: Policy, identity: Identity) -> bool:
    """Whether a policy for containers holds for this one.

    A KubeArmorPolicy that names no namespace, as outside Kubernetes, holds in all of them.
    """
    selector = policy.selector
    if policy.kind == "KubeArmorHostPolicy":
        return False
    if policy.kind == "KubeArmorPolicy" and policy.namespace not in (None, identity.namespace):
        return False
    if selector.containers and identity.container_name not in selector.containers:
        return False
    if any(identity.labels.get(key) != value for key, value in selector.labels.items()):
        return False
    # KubeArmor: where namespaces are named by In, their NotIn is not looked at
    names_spaces = any(each.key == "namespace" and each.operator == "In" for each in selector.expressions)
    return all(
        _holds(each, identity)
        for each in selector.expressions
        if each.operator == "In" or each.key != "namespace" or not names_spaces
    )


def holds_for_container(policy: Policy, workload: Workload) -> bool:
    """Whether a policy for containers holds for this one. None does for the pause container of a pod.

    That one must start whatever is allowed in its pod; KubeArmor leaves it alone, too.
    """
    if workload.is_host or workload.is_pause:
        return False
    name = workload.container_name or workload.container_id
    if workload.pod_uid is None:  # outside Kubernetes a container may say itself by which name it is selected
        name = workload.labels.get(CONTAINER_NAME, name)
    return holds_for(policy, Identity(workload.namespace, workload.labels, name))


def _holds(expression: Expression, identity: Identity) -> bool:
    if expression.key == "namespace":
        found = identity.namespace in expression.values
    else:
        found = any(f"{key}={value}" in expression.values for key, value in identity.labels.items())
    return found == (expression.operator == "In")


def holds_for_host(policy: Policy, host_name: str, labels: Mapping[str, str]) -> bool:
    """Whether a host policy holds for this node; one without a selector holds for every node."""
    if policy.kind != "KubeArmorHostPolicy":
        return False
    return all(_is_host(key, wanted, host_name, labels) for key, wanted in policy.selector.labels.items())


def is_selected_by_name(policy: Policy) -> bool:
    """Whether a host policy asks for nothing but the name of the node, as only Kubernetes knows its labels."""
    keys = set(policy.selector.labels)
    is_host = policy.kind == "KubeArmorHostPolicy"
    return is_host and bool(keys) and keys <= {*_HOST_NAME_LABELS, *_HOST_PATTERN_LABELS}


def _is_host(key: str, wanted: str, host_name: str, labels: Mapping[str, str]) -> bool:
    if key in _HOST_NAME_LABELS:
        names = [name.strip() for name in wanted.split(",")]
        return "*" in names or host_name in names or labels.get(key) in names
    if key in _HOST_PATTERN_LABELS:
        return fnmatchcase(host_name, wanted.replace(".*", "*"))
    return labels.get(key) == wanted
