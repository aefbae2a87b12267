"""A workload: whatever events belong to, a container or the host."""

import msgspec


class Workload(msgspec.Struct, frozen=True):
    """The host, if there is no container ID.

    What only a runtime or Kubernetes can tell is None until they have told it.
    """

    container_id: str | None = None
    container_name: str | None = None
    image: str | None = None
    namespace: str | None = None
    pod: str | None = None
    labels: dict[str, str] = {}
    """Ordered by key."""

    @property
    def is_host(self) -> bool:
        return self.container_id is None


HOST = Workload()
