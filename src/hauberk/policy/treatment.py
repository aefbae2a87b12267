"""How policies are treated on a workload: whether they hold there, and under which posture."""

import msgspec

from hauberk.model.cluster import Mode
from hauberk.model.policy import Action, Policy
from hauberk.policy.decide import Posture


class Treatment(msgspec.Struct, frozen=True):
    """Of the host, or of a container with its namespace and its pod."""

    posture: Posture = Posture()
    mode: Mode = "enabled"

    @property
    def effective_posture(self) -> Posture:
        """Where policies are only audited, so is what no rule covers."""
        return Posture() if self.mode == "audited" else self.posture


def audited(policy: Policy) -> Policy:
    """The same policy, which tells of what it would block."""
    rules = tuple(
        msgspec.structs.replace(rule, action=Action.AUDIT, is_held_back=True)
        if rule.action is Action.BLOCK
        else rule
        for rule in policy.rules
    )
    return msgspec.structs.replace(policy, rules=rules)
