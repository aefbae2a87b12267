"""The ledger: an exact account of every event, from the hook to each output.

In the kernel, per CPU and operation:  ``seen = filtered + lost + sent``
In the agent, once all that was sent is read:  ``sent + state = decoded + unknown``, and
``decoded + summaries = state + filtered + folded + offered``; at each output
``replayed + offered = filtered + delivered + dropped + queued + spooled``: what an earlier run has left on disk comes
in, and what is left when all is done is on disk.
Records of state tell who is who; they are no events.
"""

from collections.abc import Iterable, Iterator

import msgspec

from hauberk.abi import COUNTERS, CountersFields, Filter, Operation

KERNEL_REASONS = tuple(f.name.lower() for f in Filter if f is not Filter.COUNT)


ALERT_CPUS = 1 << 16
"""Added to the CPU of an alert: its sequence is that of the other ring."""


class KernelCounts(msgspec.Struct):
    """What the kernel programs counted, for one CPU and operation or summed over some."""

    seen: int = 0
    sent: int = 0
    lost: int = 0
    state_sent: int = 0
    state_lost: int = 0
    filtered: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(KERNEL_REASONS, 0))

    @classmethod
    def unpack(cls, content: bytes) -> "KernelCounts":
        """From the bytes of one `struct counters`."""
        fields = CountersFields._make(COUNTERS.unpack(content))
        reasons = fields[5 : 5 + len(KERNEL_REASONS)]
        return cls(*fields[:5], dict(zip(KERNEL_REASONS, reasons, strict=True)))

    def add(self, other: "KernelCounts") -> None:
        self.seen += other.seen
        self.sent += other.sent
        self.lost += other.lost
        self.state_sent += other.state_sent
        self.state_lost += other.state_lost
        for reason, count in other.filtered.items():
            self.filtered[reason] += count

    @property
    def difference(self) -> int:
        """0 if every event that was seen is accounted for."""
        return self.seen - self.sent - self.lost - sum(self.filtered.values())


def total(counts: Iterable[KernelCounts]) -> KernelCounts:
    """The sum."""
    result = KernelCounts()
    for each in counts:
        result.add(each)
    return result


class OutputCounts(msgspec.Struct):
    """What one output did with the events it was offered."""

    replayed: int = 0
    """Left on disk by an earlier run."""

    offered: int = 0
    filtered: int = 0
    delivered: int = 0
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    """By reason."""

    queued: int = 0
    """Waiting in memory."""

    spooled: int = 0
    """Waiting on disk."""

    spool_bytes: int = 0
    oldest_ns: int | None = None
    """When the oldest event that waits was; None if none does."""

    def drop(self, reason: str, count: int) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    @property
    def difference(self) -> int:
        accounted = self.filtered + self.delivered + sum(self.dropped.values()) + self.queued + self.spooled
        return self.replayed + self.offered - accounted


class FeedCounts(msgspec.Struct):
    """What became of events at KubeArmor's gRPC feed: each reader is offered what comes while it is there."""

    offered: int = 0
    readers: dict[str, OutputCounts] = msgspec.field(default_factory=dict)
    """By what they read and where they are: ``alerts ipv4:127.0.0.1:48312``; those that went, by what they read."""

    def forget(self, name: str, stream: str) -> None:
        """A reader is gone: add its account to that of all who are."""
        gone = self.readers.pop(name)
        kept = self.readers.setdefault(stream, OutputCounts())
        kept.offered += gone.offered
        kept.delivered += gone.delivered
        for reason, count in gone.dropped.items():
            kept.drop(reason, count)


class Ledger(msgspec.Struct):
    """The account of one run of the agent."""

    kernel: dict[tuple[int, str], KernelCounts] = msgspec.field(default_factory=dict)
    """By CPU and operation; refreshed from the kernel before it is told."""

    alerts: dict[tuple[int, str], KernelCounts] = msgspec.field(default_factory=dict)
    """The same for verdicts, which the kernel sends by a ring of their own."""

    decoded: int = 0
    unknown: int = 0
    """Entries of the ring buffer that are no record we know."""

    state: int = 0
    gaps: dict[int, int] = msgspec.field(default_factory=dict)
    """By CPU: sequence numbers that never came. Equals what the kernel says it lost there.
    The ring of alerts counts by CPUs of its own, 65,536 higher."""

    filtered: dict[str, int] = msgspec.field(default_factory=dict)
    """By reason, in the agent: what the kernel could not decide."""

    folded: int = 0
    """Repeats of an alert that are told by a summary."""

    summaries: int = 0

    waited: int = 0
    """Events that waited for the name of their container. They are in `offered` once they have it, or enough."""

    unnamed: int = 0
    """Those of them that went out without."""

    waiting: int = 0
    """Those that still wait."""

    cluster_problems: dict[str, str | None] = msgspec.field(default_factory=dict)
    """By what of Kubernetes is followed: why it may be out of date; None: it is not."""

    cluster_restarts: dict[str, int] = msgspec.field(default_factory=dict)
    """By what of Kubernetes is followed: how often all was listed again."""

    outputs: dict[str, OutputCounts] = msgspec.field(default_factory=dict)
    feed: FeedCounts | None = None
    """None: it is off."""

    def filter(self, reason: str) -> None:
        self.filtered[reason] = self.filtered.get(reason, 0) + 1

    @property
    def offered(self) -> int:
        return (
            self.decoded
            - self.state
            - sum(self.filtered.values())
            - self.folded
            + self.summaries
            - self.waiting
        )

    def operations(self) -> Iterator[tuple[str, KernelCounts]]:
        """The kernel's counts by operation, summed over CPUs."""
        for operation in Operation:
            if operation is not Operation.COUNT:
                name = operation.name.lower()
                yield name, total(count for (_, of), count in self.kernel.items() if of == name)

    def differences(self) -> dict[str, int]:
        """What does not add up; empty when everything does and all that was sent has been read."""
        found = {
            f"cpu {cpu} {operation}: seen - filtered - lost - sent": count.difference
            for (cpu, operation), count in self.kernel.items()
        }
        found |= {
            f"cpu {cpu} {operation}: verdicts - lost - sent": count.difference
            for (cpu, operation), count in self.alerts.items()
        }
        if self.kernel:
            kernel = total((*self.kernel.values(), *self.alerts.values()))
            found["sent - decoded - unknown"] = kernel.sent + kernel.state_sent - self.decoded - self.unknown
            # an entry that is no record has a sequence number too, which nobody could read
            gaps = sum(self.gaps.values())
            found["lost + unknown - gaps"] = kernel.lost + kernel.state_lost + self.unknown - gaps
        for name, output in self.outputs.items():
            found[f"output {name}: offered"] = self.offered - output.offered
            found[f"output {name}: what came in and what became of it"] = output.difference
        if self.feed:
            found["feed: offered"] = self.offered - self.feed.offered
            for name, reader in self.feed.readers.items():
                found[f"reader {name}: offered - delivered - dropped"] = reader.difference
        return {name: difference for name, difference in found.items() if difference}
