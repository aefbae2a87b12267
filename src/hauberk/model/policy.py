"""A policy: what workloads may do, as its author wrote it; and a verdict: what was made of one action.

The fields are those of KubeArmor's CRDs (security.kubearmor.com/v1), with inheritance already done: severity,
tags, message and action of a rule are its own, else its section's, else its policy's.
"""

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from hauberk.abi import Operation


class Action(StrEnum):
    """What a policy asks for."""

    ALLOW = "Allow"
    AUDIT = "Audit"
    BLOCK = "Block"


Kind: TypeAlias = Literal["KubeArmorPolicy", "KubeArmorHostPolicy", "KubeArmorClusterPolicy"]

DEFAULT_POSTURE = "DefaultPosture"
"""KubeArmor's `PolicyName` of a verdict that no rule gave."""


# What a rule is about


class ExactPath(msgspec.Struct, frozen=True, tag=True):
    """One path (`matchPaths.path`): ``/etc/shadow``."""

    path: str


class Directory(msgspec.Struct, frozen=True, tag=True):
    """A directory and what is in it (`matchDirectories.dir`): ``/etc/``."""

    path: str
    """Ends with a slash."""

    recursive: bool = False
    """What is in directories below it, too."""


class Glob(msgspec.Struct, frozen=True, tag=True):
    """Paths of a pattern (`matchPatterns.pattern`): ``/etc/*hado?``; ``**`` crosses slashes, ``*`` does not."""

    pattern: str


class Name(msgspec.Struct, frozen=True, tag=True):
    """Any executable of this name, wherever it lies (`matchPaths.execname`)."""

    name: str


class Protocol(msgspec.Struct, frozen=True, tag=True):
    """Sockets of one kind (`matchProtocols.protocol`), lower case: ``tcp``, ``raw``, ``all``."""

    name: str


class Capability(msgspec.Struct, frozen=True, tag=True):
    """Use of a capability (`matchCapabilities.capability`), lower case without CAP_: ``net_raw``."""

    name: str


class Calls(msgspec.Struct, frozen=True, tag=True):
    """System calls (`syscalls.matchSyscalls`), on any path or one of `paths` (`syscalls.matchPaths`)."""

    names: tuple[str, ...]
    """As KubeArmor names them: ``unlink``, ``umount2``."""

    path: ExactPath | Directory | None = None


class Preset(msgspec.Struct, frozen=True, tag=True):
    """One of KubeArmor's built-in behaviours (`presets.name`)."""

    name: Literal["filelessExec", "anonymousMapExec", "protectEnv", "protectProc", "exec"]


Target: TypeAlias = ExactPath | Directory | Glob | Name | Protocol | Capability | Calls | Preset
Source: TypeAlias = ExactPath | Directory


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a policy: what it matches, and what is asked for then."""

    operation: Operation
    target: Target
    sources: tuple[Source, ...] = ()
    """Of which the acting image must be one; empty: any image (`fromSource`)."""

    owner_only: bool = False
    read_only: bool = False
    terminal_only: bool = False
    """Only for processes that have a terminal (`pts: false`)."""

    allowed_args: tuple[str, ...] | None = None
    """The arguments that the command may have; None: any (`allowedArgs`)."""

    action: Action
    is_held_back: bool = False
    """Its author wrote Block, but where it holds policies are only audited."""

    severity: int = 0
    """1 to 10; 0: not said."""

    tags: tuple[str, ...] = ()
    message: str = ""
    line: int = 0
    """Where the rule begins in its file, from 1; 0: nowhere."""


class Expression(msgspec.Struct, frozen=True):
    """One of `selector.matchExpressions`."""

    key: Literal["namespace", "label"]
    operator: Literal["In", "NotIn"]
    values: tuple[str, ...]
    """Names of namespaces, or labels as ``key=value``."""


class Selector(msgspec.Struct, frozen=True):
    """Which workloads a policy holds for: all must be so."""

    labels: dict[str, str] = {}
    """`matchLabels`, or the `nodeSelector.matchLabels` of a host policy; without KubeArmor's own keys."""

    expressions: tuple[Expression, ...] = ()
    containers: tuple[str, ...] = ()
    """Names of containers (the label ``kubearmor.io/container.name``); empty: any."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A document: selector and rules."""

    kind: Kind
    name: str
    namespace: str | None = None
    """Of a KubeArmorPolicy; None: it was not said."""

    selector: Selector = Selector()
    rules: tuple[Rule, ...] = ()
    file: str = ""
    """Where it was read from."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it the same policy when it is applied again."""
        return self.kind, self.namespace or "", self.name

    @property
    def asks_for_pods(self) -> bool:
        """Whether it selects by what only Kubernetes or a runtime can tell: namespaces and labels of containers."""
        if self.kind == "KubeArmorHostPolicy":
            return False
        return bool(self.namespace or self.selector.labels or self.selector.expressions)

    @property
    def selects_any_container(self) -> bool:
        """Whether it holds for every container, whatever there is to be known of it.

        One for a cluster does not: it is not meant for what keeps a pod together, and only a runtime knows that.
        """
        return self.kind == "KubeArmorPolicy" and not (self.asks_for_pods or self.selector.containers)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided for one action, and by whose rule."""

    policy: str
    """Its name, or `DEFAULT_POSTURE`."""

    action: str
    """``Audit``, ``Block``; or ``Audit (Block)`` where Block could only be observed."""

    enforcer: str
    """``BPFLSM``, ``AppArmor``, ``eBPF Monitor`` or ``PRESET-…``."""

    severity: int = 0
    tags: tuple[str, ...] = ()
    message: str = ""
    rule_id: int = 0
    """The rule of this node's tables; 0: the posture."""
