"""ArcSight's Common Event Format, as SIEMs read it: ``CEF:0|vendor|product|version|class|name|severity|key=value …``.

Command lines, paths and the like are the words of whoever is watched. So

* what was decided stands first, then what else is known, then those words: a line that is cut keeps its verdict;
* a value holds nothing that a reader takes for a header (``CEF:0``, ``|``) or for a key that was known before it
  (``act=``): it is shown in another way, ``CEF\\x3a0``, ``¦``, ``act:``;
* what has a meaning in CEF is escaped, and what cannot be printed is shown as an escape: ``\\x1b``;
* a value that is too long for its key is cut and ends with ``…``;
* only what has the type of a key is put under it.
"""

import re
from functools import lru_cache, partial
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from hauberk import __version__
from hauberk.abi import Operation
from hauberk.formats import Format
from hauberk.formats.frames import ByProcess, ByWorkload
from hauberk.formats.names import base_name, class_name, is_execution, operation_name, result_name
from hauberk.formats.network import NO_FLOW, Flow, flow_of
from hauberk.formats.severity import severity
from hauberk.formats.techniques import techniques
from hauberk.model.event import Event, Folded, Relayed
from hauberk.model.policy import Verdict

_NAMES: Final = {
    "Process": "Process execution",
    "File": "File access",
    "Network": "Network activity",
    "Capabilities": "Capability use",
    "Syscall": "System call",
    "Device": "Device access",
    "NetworkFirewall": "Network firewall",
    "AlertThreshold": "Alert throttling",
}
_VERBS: Final = {"Block": " blocked", "Allow": " allowed"}
_THROTTLED_SEVERITY: Final = 6

_LONGEST: Final = {
    "act": 63,
    "app": 31,
    "cat": 1023,
    "cs1": 4000,
    "cs2": 4000,
    "cs3": 4000,
    "cs4": 4000,
    "cs5": 4000,
    "cs6": 4000,
    "deviceExternalId": 255,
    "dvchost": 100,
    "fileHash": 255,
    "frameworkName": 256,
    "proto": 31,
    "threatAttackID": 32,
}
"""Of a value, in characters before escapes."""

_CUT: Final = "…"
"""At the end of a value that was longer."""

_LONGEST_OTHER: Final = 1023
_LONGEST_OWN: Final = 4000
"""Of keys that are ours: nobody limits them."""

_KNOWN_KEYS: Final = (
    "act", "c6a2", "c6a2Label", "c6a3", "c6a3Label", "cat", "cn1", "cn1Label", "cn2", "cn2Label", "cn3", "cn3Label", "cnt",
    "cs1", "cs1Label", "cs2", "cs2Label", "cs3", "cs3Label", "cs4", "cs4Label", "cs5", "cs5Label", "deviceDirection",
    "deviceExternalId", "deviceFacility", "dpid", "dpt", "dst", "dvchost", "dvcpid", "end", "externalId", "frameworkName",
    "outcome", "proto", "reason", "rt", "shost", "spid", "spt", "src", "start", "suid", "threatAttackID",
)  # fmt: skip
"""Keys that no value may set again: some readers know no escapes, and take the last of two."""

_LIKE_KNOWN_KEY: Final = re.compile(rf"(?<![A-Za-z])({'|'.join(_KNOWN_KEYS)})=")
"""Readers differ in what may stand before a key; none takes one out of the middle of a word."""

# as plain numbers: looking up the member of an enum costs more than what it is compared with
_FILE: Final = int(Operation.FILE)
_NETWORK: Final = int(Operation.NETWORK)

_SHORT: Final = 512
"""Longer texts are not kept for the next time: they seldom come again, and many of them are much memory."""

_INT32_MAX: Final = (1 << 31) - 1
_KEPT: Final = 4096

HeaderField = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^|\\=\x00-\x1f\x7f]+$")]


class Cef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of this format."""

    version: Literal[0, 1] = 0
    """1: with the keys of CEF 1.2 for techniques of MITRE ATT&CK."""

    device_vendor: HeaderField = "Hauberk"
    """With `device_product`, what no other product may call itself."""

    device_product: HeaderField = "Hauberk"
    device_version: Annotated[str, Meta(min_length=1, max_length=31, pattern=r"^[^|\\=\x00-\x1f\x7f]+$")] = (
        __version__
    )
    profile: Literal["full", "minimal"] = "full"
    """minimal: without keys of our own, numbers of the PID namespace and the image; for UDP."""

    equals: Literal["escape", "colon"] = "escape"
    """colon: ``:`` for each ``=`` of a value, for receivers that do not know ``\\=``, such as Graylog's."""

    pipes: Literal["replace", "keep"] = "replace"
    """replace: ``¦`` for each ``|`` of a value, as some receivers take it for the end of a header or leave it out."""

    event_id: bool = True
    """With the event's ID, by which a receiver knows what it is told twice."""

    def make(self) -> Format:
        return Format(_Writer(self).encode, "text/plain; charset=utf-8")


class _Frame(NamedTuple):
    """What nearly all events of one process have in common."""

    numbers: str
    process: str
    source: str


class _Place(NamedTuple):
    """The same of one workload."""

    names: str
    node: str
    labels: str


class _Sort(NamedTuple):
    """The same of one sort of event."""

    opening: str
    outcome: str
    category: str


class _Decision(NamedTuple):
    """The same of one verdict."""

    message: str
    policy: str
    tags: str
    action: str


_UNDECIDED: Final = _Decision("", "", "", "")


class _Escapes(dict[int, str]):
    """For `str.translate`, where there is something that cannot be printed."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character.isprintable():
            return character
        return (
            f"\\\\x{code:02x}"
            if code < 0x100
            else f"\\\\u{code:04x}"
            if code < 0x10000
            else f"\\\\U{code:08x}"
        )


class _Writer:
    """Writes events with one set of settings."""

    def __init__(self, settings: Cef) -> None:
        self._head = f"CEF:{settings.version}|{settings.device_vendor}|{settings.device_product}|{settings.device_version}|"
        self._is_full = settings.profile == "full"
        self._with_id = settings.event_id
        self._with_attack = settings.version == 1
        self._equals = "\\=" if settings.equals == "escape" else ":"
        self._pipe = "|" if settings.pipes == "keep" else "¦"
        self._escapes = _Escapes(
            {
                ord("\\"): "\\\\",
                ord("="): self._equals,
                ord("|"): self._pipe,
                ord("\n"): "\\n",
                ord("\r"): "\\r",
            }
        )
        self._acting = ByProcess(partial(self._frame, executes=False))
        self._executing = ByProcess(partial(self._frame, executes=True))
        self._places = ByWorkload(self._place)
        self._sorts: dict[tuple[object, ...], _Sort] = {}
        # what comes again and again is written once
        self._known_pair = lru_cache(maxsize=8192)(self._pair)
        self._known_slot = lru_cache(maxsize=8192)(self._slot)
        self._known_path = lru_cache(maxsize=8192)(self._path)
        self._known_words = lru_cache(maxsize=4096)(self._words)
        self._known_addresses = lru_cache(maxsize=8192)(_addresses)
        self._known_decision = lru_cache(maxsize=1024)(self._decision)

    def encode(self, event: Event) -> bytes:
        """One line."""
        verdict, relayed = event.verdict, event.relayed
        executes = is_execution(event)
        sort, place = self._sort(event, executes), self._places.of(event)
        frame = (self._executing if executes else self._acting).of(event)
        decision = self._known_decision(verdict) if verdict else _UNDECIDED
        flow = flow_of(event) if event.operation == _NETWORK else NO_FLOW
        folded = _counted(event.folded) if event.folded else ""
        identity = f"externalId={_id(event)} " if self._with_id else ""
        resource, data = event.resource or "", event.data
        return "".join(
            (
                sort.opening,
                decision.action,
                decision.policy,
                sort.outcome,
                f"{folded}{identity}rt={event.time_ns // 1_000_000} ",
                place.names,
                place.node,
                frame.numbers,
                self._known_addresses(flow) if flow is not NO_FLOW else "",
                decision.tags,
                # from here on, what people have written: first policies, then workloads
                decision.message,
                self._target(event, executes, flow),
                frame.process,
                (self._known_slot if len(resource) <= _SHORT else self._slot)("cs6", "Resource", resource),
                (self._known_slot if len(data) <= _SHORT else self._slot)("flexString1", "Data", data),
                frame.source,
                place.labels,
                self._hashes(relayed, executes) if relayed else "",
                sort.category,  # a constant last: some readers keep the blanks and escapes of a last value
            )
        ).encode()

    # What is known of whoever acted

    def _frame(self, event: Event, *, executes: bool) -> _Frame:
        return _Frame(*self._process(event, executes), self._source(event))

    def _source(self, event: Event) -> str:
        if not self._is_full:
            return ""
        session = event.exec_session
        cwd = event.cwd if not event.cwd or event.cwd.endswith("/") else f"{event.cwd}/"
        return "".join(
            (
                self._own("Source", event.source) if event.source != event.process.executable else "",
                self._known_pair("KubeArmorCwd", cwd),
                self._known_pair("KubeArmorTTY", event.tty or ""),
                self._own("ExecID", session.id) + self._own("ExecComm", session.command) if session else "",
            )
        )

    def _process(self, event: Event, executes: bool) -> tuple[str, str]:
        """Numbers and names. Who executes is the parent, and the process is what it acts on; else the process acts."""
        pair = self._known_pair
        name, parent = event.process.executable, event.parent_executable or ""
        process = pair("deviceProcessName", name)
        if executes:
            process += pair("sproc", parent) + pair("dproc", name)
            numbers = _number("spid", event.host_ppid) + _number("dpid", event.host_pid)
        else:
            process += pair("sproc", name) + (
                pair("KubeArmorParentProcessName", parent) if self._is_full else ""
            )
            numbers = _number("spid", event.host_pid)
            if self._is_full and event.host_ppid:
                numbers += f"cn3Label=HostPPID cn3={event.host_ppid} "
        if self._is_full:
            numbers += f"cn1Label=PID cn1={event.pid} " if event.pid else ""
            numbers += f"cn2Label=PPID cn2={event.ppid} "
        user = pair("suser", event.user or "")
        return f"{_number('dvcpid', event.host_pid)}{numbers}suid={event.uid} ", f"{process}{user}"

    def _place(self, event: Event) -> _Place:
        node, workload = event.node, event.workload
        owner = workload.owner
        labels = ",".join(f"{key}={value}" for key, value in workload.labels.items())
        names = (
            self._slot("cs2", "NamespaceName", workload.namespace or ""),
            self._slot("cs3", "ClusterName", node.cluster),
            self._slot("cs4", "ContainerName", workload.container_name or ""),
        )
        place = (
            self._pair("dvchost", node.host),
            self._pair("deviceExternalId", node.node_id or ""),
            self._pair("shost", workload.pod or node.host),
            self._own("ContainerID", workload.container_id or ""),
        )
        more = (
            self._slot("flexString2", "ContainerImage", workload.image or "") if self._is_full else "",
            self._pair("sourceServiceName", owner.name) + self._own("OwnerRef", owner.kind) if owner else "",
            self._own("Labels", labels),
        )
        return _Place("".join(names), "".join(place), "".join(more))

    # What is known of what was done

    def _sort(self, event: Event, executes: bool) -> _Sort:
        verdict = event.verdict
        key = (
            event.operation,
            event.workload.container_id is None,
            executes,
            event.error,
            event.relayed,
            verdict and (verdict.action, verdict.severity),
        )
        known = self._sorts.get(key)
        if known is not None:
            return known
        if len(self._sorts) >= _KEPT:
            self._sorts.clear()
        operation, number = operation_name(event), severity(event)
        noun = _NAMES.get(operation, "Activity")
        verb = _VERBS.get(verdict.action, " audited") if verdict and verdict.action else ""
        if operation == "Process" and not executes:
            noun = "Process activity"
        elif operation == "AlertThreshold":
            verb, number = "", _THROTTLED_SEVERITY
        reason = self._pair("reason", result_name(event)) if event.error else ""
        made = self._sorts[key] = _Sort(
            f"{self._head}{class_name(event)}|{noun}{verb}|{number}|",
            f"outcome={'failure' if event.error else 'success'} {reason}",
            f"cat={operation}",
        )
        return made

    def _target(self, event: Event, executes: bool, flow: Flow) -> str:
        if executes or event.operation == _FILE:
            path = event.process.executable if executes else event.resource or ""
            return (self._known_path if len(path) <= _SHORT else self._path)(path)
        return self._known_words(flow.path, flow.domain) if flow.path or flow.domain else ""

    def _path(self, path: str) -> str:
        return self._pair("filePath", path) + self._pair("fname", base_name(path))

    def _words(self, path: str, domain: str) -> str:
        if domain:
            return self._pair("dhost", domain) + "app=DNS "
        return self._pair("filePath", path) + "fileType=socket "

    def _hashes(self, relayed: Relayed, executes: bool) -> str:
        of_file, of_other = relayed.resource_hash, relayed.process_hash
        if executes:
            of_file, of_other = of_other, of_file
        return "".join(
            (
                self._pair("fileHash", of_file),
                self._own("ResourceHash" if executes else "ProcessHash", of_other),
                self._own("ParentHash", relayed.parent_hash),
                self._own("HashAlgo", relayed.hash_algorithm),
                self._own("MaxAlertsPerSec", str(relayed.max_alerts_per_s or "")),
                self._own("DroppingAlertsInterval", str(relayed.throttled_s or "")),
            )
        )

    def _decision(self, verdict: Verdict) -> _Decision:
        tags = self._slot("cs5", "Tags", ",".join(verdict.tags))
        if self._with_attack and (found := techniques(verdict.tags)):
            tags += f"{self._pair('threatAttackID', found[0])}frameworkName=MITRE ATT&CK "
        return _Decision(
            self._pair("msg", verdict.message),
            self._slot("cs1", "PolicyName", verdict.policy),
            tags,
            self._pair("act", verdict.action) + self._pair("deviceFacility", verdict.enforcer),
        )

    # How it is written

    def _slot(self, key: str, label: str, text: str) -> str:
        """A custom field with its label: neither ever without the other."""
        return f"{key}Label={label} {self._pair(key, text)}" if text else ""

    def _own(self, name: str, text: str) -> str:
        return self._pair(f"KubeArmor{name}", text) if self._is_full else ""

    def _pair(self, key: str, text: str) -> str:
        if not text:
            return ""
        longest = _LONGEST.get(key) or (_LONGEST_OWN if key.startswith("KubeArmor") else _LONGEST_OTHER)
        if len(text) > longest:
            text = text[: longest - len(_CUT)] + _CUT
        if "=" in text:
            text = _LIKE_KNOWN_KEY.sub(r"\1:", text)
        if text.isprintable():
            text = text.replace("\\", "\\\\").replace("=", self._equals).replace("|", self._pipe)
        else:
            text = text.translate(self._escapes)
        if "CEF:" in text:
            text = text.replace("CEF:", "CEF\\\\x3a")
        return f"{key}={text} "


def _addresses(flow: Flow) -> str:
    source, destination = flow.source, flow.destination
    parts = []
    if source.address:
        label, key = ("c6a2Label=Source IPv6 Address ", "c6a2") if source.is_ipv6 else ("", "src")
        parts.append(f"{label}{key}={source.address} ")
    if source.port:
        parts.append(f"spt={source.port} ")
    if destination.address:
        label, key = ("c6a3Label=Destination IPv6 Address ", "c6a3") if destination.is_ipv6 else ("", "dst")
        parts.append(f"{label}{key}={destination.address} ")
    if destination.port:
        parts.append(f"dpt={destination.port} ")
    if flow.transport and flow.transport != "unix":
        parts.append(f"proto={flow.transport.upper()} ")
    if flow.direction:
        parts.append(f"deviceDirection={int(flow.direction == 'outbound')} ")
    return "".join(parts)


def _counted(folded: Folded) -> str:
    return f"start={folded.first_ns // 1_000_000} end={folded.last_ns // 1_000_000} cnt={folded.count} "


def _number(key: str, number: int) -> str:
    return f"{key}={number} " if 0 < number <= _INT32_MAX else ""


def _id(event: Event) -> str:
    """What no other event of its node is called, in the 40 characters that there are."""
    folded = f"-{event.folded.count:x}" if event.folded else ""
    return f"{event.time_ns:x}-{event.sequence:x}{folded}"[:40]
