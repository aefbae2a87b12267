"""What a watch tells of one resource."""

from typing import Generic, TypeAlias, TypeVar

import msgspec

from hauberk.model.cluster import ClusterNode, ClusterPolicy, Namespace, Pod

T = TypeVar("T")


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """All there is; what was before and is not among them is gone."""

    resource: str
    objects: dict[str, T]


class Changed(msgspec.Struct, Generic[T], frozen=True):
    """One object is new, or other than before."""

    resource: str
    key: str
    object: T


class Gone(msgspec.Struct, frozen=True):
    """One object is no more."""

    resource: str
    key: str


Change: TypeAlias = (
    Listed[Pod]
    | Listed[Namespace]
    | Listed[ClusterNode]
    | Listed[ClusterPolicy]
    | Changed[Pod]
    | Changed[Namespace]
    | Changed[ClusterNode]
    | Changed[ClusterPolicy]
    | Gone
)
