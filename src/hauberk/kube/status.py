"""What the status of each policy says: of the document, and of this node.

    status:
      status: OK                  # or Invalid; KubeArmor's own field
      problems: [...]             # what is wrong with the document, by field
      nodes:
        node-1: {state: Enforced, generation: 2, workloads: 3}

Each node writes its own entry, by a merge patch that touches no other: nodes never wait for each other. A node
for which a policy means nothing writes nothing.
"""

import random
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final

import msgspec

from hauberk.errors import ClusterError
from hauberk.kube.client import Client, segment
from hauberk.kube.objects import GROUP, PLURALS
from hauberk.model.cluster import ClusterPolicy, NodeStatus

OK: Final = "OK"
INVALID: Final = "Invalid"
_PROBLEMS_KEPT: Final = 10
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404
_ATTEMPTS: Final = 5
_RETRY_S: Final = 30.0

Identity = tuple[str, str, str]


class Statuses:
    """What is to be written, and what was."""

    def __init__(self, client: Client, node: str, warn: Callable[[str], None]) -> None:
        self._client = client
        self._node = node
        self._complain = warn
        self._lock = Lock()
        self._wanted: dict[Identity, tuple[ClusterPolicy, NodeStatus | None]] = {}
        self._written: dict[Identity, tuple[int, NodeStatus | None, tuple[str, ...]]] = {}
        self.problem: str | None = None
        """Why statuses may be out of date; None: they are not."""

    def want(self, statuses: Mapping[Identity, tuple[ClusterPolicy, NodeStatus | None]]) -> None:
        """From now on this is what there is to say."""
        with self._lock:
            self._wanted = dict(statuses)

    def write(self) -> float:
        """Write what is not yet said; how long to leave the server alone then."""
        with self._lock:
            wanted = dict(self._wanted)
        for identity in self._written.keys() - wanted.keys():
            del self._written[identity]
        for identity, (policy, status) in wanted.items():
            says = policy.generation, status, policy.problems
            if self._written.get(identity) == says:
                continue
            try:
                self._write_one(policy, status)
            except ClusterError as error:
                if error.status == _NOT_FOUND:  # deleted, or a CRD that has no status
                    self._written[identity] = says
                    continue
                if self.problem is None:
                    self._complain(f"cannot write the status of policies: {error}")
                self.problem = str(error)
                return error.retry_after_s if error.retry_after_s is not None else _RETRY_S
            self._written[identity] = says
            if self.problem:
                self.problem = None
                self._complain("the status of policies is written again")
        return 0.0

    def _write_one(self, policy: ClusterPolicy, status: NodeStatus | None) -> None:
        change = difference(policy, status, self._node)
        if not change:
            return
        namespace = f"/namespaces/{segment(policy.namespace)}" if policy.namespace else ""
        path = f"{GROUP}{namespace}/{PLURALS[policy.kind]}/{segment(policy.name)}/status"
        for attempt in range(_ATTEMPTS):
            try:
                self._client.merge(path, {"status": change})
                return
            except ClusterError as error:  # the server itself gives up when too many write at once
                if error.status != _CONFLICT or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, 0.1 * 2**attempt))


def difference(policy: ClusterPolicy, status: NodeStatus | None, node: str) -> dict[str, Any]:
    """The merge patch that makes a status say what it should; empty if it does."""
    change: dict[str, Any] = {}
    text = OK if policy.policy else INVALID
    problems = policy.problems[:_PROBLEMS_KEPT]
    is_ours = status is not None or policy.policy is None
    if policy.status != text and (is_ours or policy.status is not None):
        change["status"] = text
    if policy.told_problems != problems and (is_ours or policy.told_problems):
        change["problems"] = list(problems) or None
    if status != policy.node_status:
        entry = msgspec.to_builtins(status) if status else None
        if entry is not None and policy.node_status is not None:
            # a merge patch leaves what is not named as it was
            entry = dict.fromkeys(NodeStatus.__struct_fields__, None) | entry
        change["nodes"] = {node: entry}
    return change
