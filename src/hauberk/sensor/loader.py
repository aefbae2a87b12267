"""Loads the kernel programs, tells them what is wanted, and attaches them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hauberk.abi import (
    COUNTERS,
    ERRNO_COUNT,
    FUNCTION,
    IMAGE,
    PREFIX_SIZE,
    SELECTION,
    FunctionKey,
    Operation,
    RuleClass,
    Unwanted,
)
from hauberk.config import Selection
from hauberk.decode.syscalls import kernel_rows
from hauberk.errors import KernelError
from hauberk.metrics import ALERT_CPUS, KernelCounts
from hauberk.pipeline.host import Hide, LeaveOutGroup, LeaveOutImage, Request
from hauberk.sensor.libbpf import Libbpf, Map, Object
from hauberk.sensor.probe import CgroupPlacement
from hauberk.sensor.ring import Ring
from hauberk.sensor.symbols import find_functions
from hauberk.sensor.tables import Tables

OBJECTS: Final = Path(__file__).with_name("objects")


class Programs(msgspec.Struct, frozen=True):
    """One object file, and what is lost where the kernel does not take it."""

    name: str
    without: str = ""
    """Empty if there is no doing without."""

    operations: frozenset[Operation] | None = frozenset(Operation)
    """Needed only if one of these is selected; None: in any case."""

    variants: tuple[frozenset[str], ...] = (frozenset(),)
    """Programs to leave out: the first variant that the kernel takes is used."""


CATALOGUE: Final = (
    Programs("workload", operations=None),
    Programs("process", operations=None),
    Programs("syscall"),
    Programs(
        "named",
        without="paths of calls such as unlink, rename and mkdir are what the caller wrote, not what it led to",
        operations=frozenset({Operation.FILE, Operation.SYSCALL}),
    ),
    Programs(
        "uring",
        without="what is done through io_uring is not seen",
        operations=frozenset({Operation.FILE, Operation.NETWORK}),
        # io_uring_complete once had the result as an argument; newer kernels do not take that program
        variants=(
            frozenset({"uring_sqe", "uring_done"}),
            frozenset({"uring_sqe", "uring_done_flat"}),
            frozenset({"uring_req", "uring_done"}),
        ),
    ),
)
"""In the order in which they are loaded; each map belongs to the first that has it."""

BIRTH: Final = Programs("birth")
"""What gives a container rules when its cgroup is made."""

DECIDING: Final = (
    Programs(
        "entering", without="what a runtime does to set a container up is held against the container's rules"
    ),
    Programs("lsm_process"),
    Programs(
        "lsm_file", variants=(frozenset(), frozenset({"lsm_ftruncate"}))
    ),  # that hook is there since 6.2
    Programs("lsm_path", without="making, removing, renaming and linking files is not decided by rules"),
    Programs(
        "lsm_mount",
        without="mounting over files that rules are about, and moving them by mounts, is not decided",
    ),
    Programs("lsm_network"),
    Programs("lsm_capability"),
    Programs("lsm_call", without="system calls are only audited, whatever the rules say"),
)
"""The programs that decide, where the kernel lets them."""

_UNSEEN_CAPABILITIES: Final = "the use of capabilities is not observed"
_BY_TRACEPOINT: Final = frozenset({"capable_fn"})

OBSERVING: Final = (
    Programs(
        "capability",
        without=_UNSEEN_CAPABILITIES,
        # the function is told as much as LSM programs are; the tracepoint is not, and the stack must be looked at
        variants=(frozenset({"capable_tp"}), _BY_TRACEPOINT),
    ),
)
"""The programs that decide after the fact what else only LSM programs see."""

_PINNED: Final = ("lsm_", "birth", "entering")
"""The programs that go on when the agent does not."""

ALERT_RING_BYTES: Final = 4 << 20


def _possible_cpus() -> int:
    """How many values a per-CPU map holds: the highest possible CPU and those below."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.strip().rpartition(",")[2].rpartition("-")[2]) + 1


class Kernel:
    """The loaded programs. Everything is gone again when this is closed or the agent dies."""

    def __init__(self, placement: CgroupPlacement, ring_bytes: int) -> None:
        self._placement = placement
        self._ring_bytes = ring_bytes
        self.cpus = _possible_cpus()
        """How many values a per-CPU map holds."""

        self._library = Libbpf()
        self.maps: dict[str, Map] = {}
        """Of all loaded programs, by name."""

        self._objects: list[Object] = []
        self._selection: Selection | None = None
        self._by_group = False
        """Whether cgroups have been told of whose events are left out."""

        self._left_out: dict[str, bytes] = {}
        """What each map was told last."""

        self._deciding: list[Object] = []
        self._loaded: set[str] = set()
        self._left_out_programs: dict[str, frozenset[str]] = {}
        """By object: the programs of it that this kernel is not given."""

        self.missing: dict[str, str] = {}
        """By object that the kernel did not take: what that costs."""

        self.tables = Tables(self._library, self.maps)

    def load(self, selection: Selection) -> Ring:
        """Load and attach all that this selection needs; the ring of their records."""
        try:
            selected = {Operation[name.upper()] for name in selection.operations}
            for programs in CATALOGUE:
                if programs.operations is None or programs.operations & selected:
                    self._load(programs)
            self.select(selection)
            self._fill_catalogue()
            for loaded in self._objects:
                loaded.attach()
            return Ring(self.maps["records"], self._ring_bytes)
        except BaseException:
            self.close()
            raise

    def load_deciding(self, *, by_lsm: bool, pins: Path | None = None) -> Ring:
        """Load and attach what decides; the ring of its alerts. It has no rules yet.

        LSM programs are pinned in the directory `pins`: they go on when we do not.
        """
        had_catalogue = "syscalls" in self.maps
        begin = len(self._objects)
        self._load(BIRTH)
        for programs in DECIDING if by_lsm else OBSERVING:
            self._load(programs)
        for programs in CATALOGUE:  # those that decide after the fact, if they are not there already
            if programs.name in ("process", "syscall") and programs.name not in self._loaded:
                self._load(programs)
        if not by_lsm:
            self._fill_functions()
        self._deciding = self._objects[begin:]
        del self._objects[begin:]
        if not had_catalogue:
            self._fill_catalogue()
        for loaded in self._deciding:
            loaded.attach(pins if loaded.path.name.startswith(_PINNED) else None)
        return Ring(self.maps["alerts"], ALERT_RING_BYTES)

    def _fill_catalogue(self) -> None:
        if "syscalls" in self.maps:
            for slot, row in kernel_rows():
                self.maps["syscalls"].update(slot.to_bytes(4, "little"), row)

    def _fill_functions(self) -> None:
        """Tell the program that looks at the stack where the functions lie that it looks for."""
        if "functions" not in self.maps or self._left_out_programs["capability"] != _BY_TRACEPOINT:
            return
        names = {key: key.name.lower() for key in FunctionKey if key is not FunctionKey.COUNT}
        found = find_functions(names.values())
        if not found.keys() >= {"security_capable", "ns_capable_noaudit"}:
            self.missing["capability"] = _UNSEEN_CAPABILITIES
            return
        for key, name in names.items():
            self.maps["functions"].update(key.to_bytes(4, "little"), FUNCTION.pack(*found.get(name, (0, 0))))

    @property
    def unseen(self) -> frozenset[int]:
        """The rule classes of what is neither decided nor observed on this kernel."""
        return frozenset({RuleClass.CAPABILITIES} if "capability" in self.missing else ())

    def _load(self, programs: Programs) -> None:
        path = OBJECTS / f"{programs.name}.bpf.o"
        if not path.exists():
            raise KernelError(f"the kernel programs are not built: {path} is missing; run `make bpf`")
        refusal: KernelError | None = None
        for left_out in programs.variants:
            loaded = Object(self._library, path)
            loaded.leave_out(left_out)
            try:
                loaded.load(self.maps, {"records": self._ring_bytes})
            except KernelError as error:
                loaded.close()
                refusal = refusal or error
                continue
            self._objects.append(loaded)
            self._loaded.add(programs.name)
            self._left_out_programs[programs.name] = left_out
            return
        if refusal and not programs.without:
            raise refusal
        self.missing[programs.name] = programs.without

    def select(self, selection: Selection) -> None:
        """Tell the programs what is wanted; takes effect at once."""
        self._selection = selection
        prefix = selection.prefix
        self.maps["selections"].update(
            bytes(4),
            SELECTION.pack(
                selection.operation_bits,
                self._placement.controller,
                self._placement.hierarchy,
                selection.lifecycle,
                selection.passed,
                self._by_group,
                True,  # by image: at least the agent's own is left out
                min(len(prefix), PREFIX_SIZE),
                self._ring_bytes // 4 * 3,
                bytes(number in selection.errors for number in range(ERRNO_COUNT)),
                prefix,
            ),
        )

    def leave_out(self, request: Request) -> None:
        """From now on count these events as filtered in the kernel."""
        match request:
            case LeaveOutGroup(cgroup_id):
                self._tell_of_group(cgroup_id, Unwanted.WHOLLY)
            case Hide(cgroup_id, operations):
                self.hide(cgroup_id, operations)
            case LeaveOutImage(host_pid, start_ns, exec_id):
                self._leave_out("unwanted_images", IMAGE.pack(start_ns, host_pid, exec_id))

    def hide(self, cgroup_id: int, operations: int) -> None:
        """Leave out the events of these operations, a bit for each, and no others."""
        self._tell_of_group(cgroup_id, operations)

    def _tell_of_group(self, cgroup_id: int, unwanted: int) -> None:
        key = cgroup_id.to_bytes(8, "little")
        if not unwanted:
            if "unwanted_groups" in self.maps:
                self.maps["unwanted_groups"].delete(key)
                self._left_out.pop("unwanted_groups", None)
            return
        self._leave_out("unwanted_groups", key, unwanted.to_bytes(4, "little"))
        if not self._by_group and self._selection:
            self._by_group = True
            self.select(self._selection)

    def _leave_out(self, name: str, key: bytes, value: bytes = b"\1") -> None:
        # what was sent before the kernel knew comes in a row
        if name in self.maps and self._left_out.get(name) != key + value:
            self.maps[name].update(key, value)
            self._left_out[name] = key + value

    def counts(self) -> dict[tuple[int, str], KernelCounts]:
        """The ledger's kernel side, by CPU and operation."""
        return self._counts("ledger")

    def alert_counts(self) -> dict[tuple[int, str], KernelCounts]:
        """The same for verdicts."""
        return self._counts("alert_ledger") if "alert_ledger" in self.maps else {}

    def _counts(self, name: str) -> dict[tuple[int, str], KernelCounts]:
        found = {}
        for operation in Operation:
            if operation is Operation.COUNT:
                continue
            key = int(operation).to_bytes(4, "little")
            content = self.maps[name].lookup(key, COUNTERS.size * self.cpus)
            if content is None:
                raise self._library.fail("cannot read the kernel's counters")
            for cpu in range(self.cpus):
                part = content[cpu * COUNTERS.size : (cpu + 1) * COUNTERS.size]
                found[cpu, operation.name.lower()] = KernelCounts.unpack(part)
        return found

    def sequences(self) -> dict[int, int]:
        """How many records each CPU has wanted to send; for alerts, by the numbers that the ledger has for them."""
        found = {}
        for name, first in (("sequences", 0), ("alert_sequences", ALERT_CPUS)):
            content = self.maps[name].lookup(bytes(4), 8 * self.cpus) if name in self.maps else None
            for cpu in range(self.cpus if content else 0):
                found[first + cpu] = int.from_bytes((content or b"")[8 * cpu : 8 * cpu + 8], "little")
        return found

    def program_fds(self) -> Iterator[tuple[str, int]]:
        """Name and descriptor of each loaded program."""
        for loaded in (*self._objects, *self._deciding):
            yield from loaded.program_fds()

    @property
    def loaded(self) -> bool:
        return bool(self._objects)

    def detach(self) -> None:
        """Stop the programs; what they sent can still be read."""
        for loaded in (*self._deciding, *self._objects):
            loaded.detach()

    def close(self) -> None:
        for loaded in reversed((*self._objects, *self._deciding)):
            loaded.close()
        self._objects.clear()
        self._deciding.clear()
