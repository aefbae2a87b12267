"""KubeArmor's LogService over the wire: a real server, and the stubs that grpcio makes of the contract."""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from msgspec.structs import replace

from hauberk.api.feed import CURSOR, SERVICE, Feed, alert_of, log_of
from hauberk.api.kubearmor_pb2 import NonceMessage, RequestMessage
from hauberk.api.server import Server
from hauberk.formats import kubearmor
from hauberk.metrics import FeedCounts
from hauberk.model.event import Event, Node
from tests.events import ALERT, EVENT

ROOT = Path(__file__).parents[3]
CASES = sorted(path.parent for path in (ROOT / "tests/golden").glob("*/event.json"))
SOON_S = 60.0


def until(condition: Callable[[], Any]) -> None:
    """Wait for what must become true."""
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def numbered(event: Event, *numbers: int) -> list[Event]:
    return [replace(event, host_pid=number) for number in numbers]


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What another client would have: grpcio's stubs, generated from the contract."""
    directory = tmp_path_factory.mktemp("stubs")
    flags = [f"-I{ROOT / 'proto'}", f"--grpc_python_out={directory}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, "api/kubearmor.proto"], check=True)
    source = directory / "api/kubearmor_pb2_grpc.py"
    text = source.read_text().replace("from api import", "from hauberk.api import")
    source.write_text(text)
    spec = importlib.util.spec_from_file_location("kubearmor_pb2_grpc", source)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Served:
    """A feed, its server and a client."""

    def __init__(self, stubs: Any) -> None:
        self.counts = FeedCounts()
        self.feed = Feed(Node("node-1", "cluster-1"), self.counts)
        self.server = Server("127.0.0.1:0", [(SERVICE, self.feed.handler())], on_end=self.feed.end)
        self.stubs = stubs
        self.channels: list[grpc.Channel] = []
        self.client = self.connect()

    def connect(self, *options: tuple[str, int]) -> Any:
        channel = grpc.insecure_channel(f"127.0.0.1:{self.server.port}", options=options)
        self.channels.append(channel)
        return self.stubs.LogServiceStub(channel)

    def watch(self, method: str, filter_: str, cursor: str = "", client: Any = None) -> Any:
        """A stream that the server has begun: what is put from now on is on it."""
        stream = getattr(client or self.client, method)(RequestMessage(Filter=filter_, Cursor=cursor))
        stream.initial_metadata()
        return stream

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        self.server.close()


@pytest.fixture
def served(stubs: Any) -> Iterator[Served]:
    served = Served(stubs)
    yield served
    served.close()
    assert [name for name, counts in served.counts.readers.items() if counts.difference] == []


def test_health_check_echoes(served: Served) -> None:
    """karmor, the relay and the OpenTelemetry receiver refuse to start without it."""
    assert served.client.HealthCheck(NonceMessage(nonce=47)).Retval == 47


def test_alerts_and_logs_have_streams_of_their_own(served: Served) -> None:
    """Each event is on one of them, whole."""
    alerts, logs = served.watch("WatchAlerts", "policy"), served.watch("WatchLogs", "system")
    served.feed.put([EVENT, ALERT, *numbered(EVENT, 43)])

    alert = next(alerts)
    assert (alert.PolicyName, alert.Type, alert.Action) == ("no-passwd", "MatchedHostPolicy", "Block")
    assert [next(logs).HostPID, next(logs).HostPID] == [42, 43]
    assert served.counts.offered == 3


@pytest.mark.parametrize(
    ("method", "filter_", "is_served"),
    [
        ("WatchAlerts", "all", True),
        ("WatchAlerts", "policy", True),
        ("WatchAlerts", "system", False),
        ("WatchAlerts", "", False),
        ("WatchLogs", "all", True),
        ("WatchLogs", "system", True),
        ("WatchLogs", "policy", False),
        ("WatchLogs", "ALL", False),
        ("WatchMessages", "", True),
        ("WatchMessages", "whatever", True),
    ],
)
def test_filters_are_those_of_kubearmor(served: Served, method: str, filter_: str, is_served: bool) -> None:
    """A filter that asks for something else ends the stream at once, and without an error."""
    stream = getattr(served.client, method)(RequestMessage(Filter=filter_))
    if is_served:
        stream.initial_metadata()
        served.feed.put([EVENT, ALERT])
        served.feed.say("hello")
        assert next(stream).UpdatedTime
        stream.cancel()
    else:
        assert list(stream) == []
        assert stream.code() is grpc.StatusCode.OK


def test_messages_say_what_the_agent_says(served: Served) -> None:
    """With KubeArmor's type and levels; who comes late can ask for what was said before."""
    served.feed.say("watching file on node-1")
    served.feed.say("the policies in force stay as they are", "ERROR")
    messages = served.watch("WatchMessages", "", "oldest")
    first, second = next(messages), next(messages)

    assert (first.Type, first.Level, first.Message) == ("Message", "INFO", "watching file on node-1")
    assert (first.HostName, first.ClusterName, second.Level) == ("node-1", "cluster-1", "ERROR")
    assert abs(first.Timestamp - time.time()) < 3600
    assert first.UpdatedTime.endswith("Z") and len(first.UpdatedTime) == 27


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_message_is_the_native_json(case: Path) -> None:
    """Read by protobuf's own JSON mapping, the native JSON of every golden event gives the message that is sent."""
    given = msgspec.json.decode((case / "event.json").read_bytes(), type=Event | list[Event])
    for event in given if isinstance(given, list) else [given]:
        native = msgspec.json.decode(kubearmor.encode(event))
        if native["UID"] >= 1 << 31:  # the one difference, see below
            native["UID"] -= 1 << 32
        sent = alert_of(event) if event.verdict else log_of(event)
        of_json = ParseDict(native, type(sent)())
        assert sent == of_json
        assert type(sent).FromString(sent.SerializeToString()) == of_json
        back = MessageToDict(sent, preserving_proto_field_name=True)
        # the mapping writes 64 bits as text, and leaves out what is 0 or empty
        back |= {"Timestamp": sent.Timestamp, "PPID": sent.PPID, "UID": sent.UID}
        assert back == {name: value for name, value in native.items() if value != ""}


def test_memory_is_bounded_by_what_workloads_say(served: Served) -> None:
    """However long the words that a workload puts into its events, what is kept of them has a limit."""
    long_words = "x" * 100_000
    shouted = replace(
        ALERT,
        process=replace(ALERT.process, command_line=long_words),
        source=long_words,
        details={"argv": long_words},
    )
    # two that take turns: else what they share is counted once
    for event in (shouted, replace(shouted, process=replace(shouted.process, host_pid=43))) * 100:
        served.feed.put([event])
    alerts = served.watch("WatchAlerts", "all", "oldest")
    kept = 200 - int(next(alerts).Cursor.split("-")[1]) + 1

    assert 0 < kept * 300_000 <= 8 << 20


def test_largest_uid_fits() -> None:
    """KubeArmor's UID has a sign: nobody of nobody's user namespace is -2."""
    assert log_of(replace(EVENT, uid=0xFFFF_FFFE)).UID == -2


def test_reader_goes_on_after_a_break(served: Served) -> None:
    """With the cursor of the last that it got: nothing is missed and nothing comes twice."""
    logs = served.watch("WatchLogs", "all")
    served.feed.put(numbered(EVENT, 1, 2, 3))
    assert next(logs).HostPID == 1
    cursor = next(logs).Cursor
    logs.cancel()
    until(lambda: "logs" in served.counts.readers)
    served.feed.put(numbered(EVENT, 4))
    again = served.watch("WatchLogs", "all", cursor)

    assert [next(again).HostPID, next(again).HostPID] == [3, 4]


def test_reader_that_got_nothing_can_go_on_too(served: Served) -> None:
    """The beginning of a stream says where it is."""
    alerts = served.watch("WatchAlerts", "all")
    cursor = dict(alerts.initial_metadata())[CURSOR]
    alerts.cancel()
    served.feed.put([ALERT])

    assert next(served.watch("WatchAlerts", "all", cursor)).PolicyName == "no-passwd"


def test_gap_is_named(served: Served) -> None:
    """Cursors count without gaps, so who comes back too late sees how much it has missed; the ledger says it too."""
    alerts = served.watch("WatchAlerts", "all")
    served.feed.put(numbered(ALERT, 0))
    cursor = next(alerts).Cursor
    alerts.cancel()
    until(lambda: "alerts" in served.counts.readers)
    served.feed.put(numbered(ALERT, *range(1, 20_001)))
    again = served.watch("WatchAlerts", "all", cursor)
    first = next(again)
    run, position = first.Cursor.split("-")
    missed = int(position) - int(cursor.split("-")[1]) - 1

    assert run == cursor.split("-")[0]
    assert missed > 0 and first.HostPID == missed + 1
    (name,) = (name for name in served.counts.readers if name != "alerts")
    assert served.counts.readers[name].dropped == {"too late": missed}


def test_cursor_of_an_earlier_agent_gives_all_there_is(served: Served) -> None:
    """Alerts that came before its reader has come back are not lost to a restart."""
    served.feed.put([ALERT])

    assert next(served.watch("WatchAlerts", "all", "0badcafe-7")).Cursor.endswith("-1")


@pytest.mark.parametrize("cursor", ["7", "x-7", "-", "0badcafe-7; DROP", "0badcafe-" + "9" * 40])
def test_cursor_that_is_none_is_refused(served: Served, cursor: str) -> None:
    """With a sentence that says what it should be."""
    stream = served.client.WatchAlerts(RequestMessage(Filter="all", Cursor=cursor))

    with pytest.raises(grpc.RpcError, match="the cursor is not oldest"):
        next(stream)
    assert stream.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_reader_that_stops_costs_only_itself(served: Served) -> None:
    """`put` returns however many wait; telemetry is shed for who does not read, its alerts are kept, all is counted."""
    idle = served.connect(("grpc.use_local_subchannel_pool", 1))
    stuck_logs = served.watch("WatchLogs", "all", client=idle)
    stuck_alerts = served.watch("WatchAlerts", "all", client=idle)
    quick = served.watch("WatchLogs", "all")
    next_number = 0
    big = replace(EVENT, source="x" * 4000)
    while not sum(sum(counts.dropped.values()) for counts in served.counts.readers.values()):
        served.feed.put(numbered(big, *range(next_number, next_number + 100)))
        for number in range(next_number, next_number + 100):
            assert next(quick).HostPID == number
        next_number += 100
    served.feed.put(numbered(ALERT, 1, 2, 3))

    assert [next(stuck_alerts).HostPID for _ in range(3)] == [1, 2, 3]
    received = sum(1 for _ in iter_until(stuck_logs, next_number - 1))
    stuck_logs.cancel()
    quick.cancel()
    stuck_alerts.cancel()
    until(lambda: {"logs", "alerts"} == set(served.counts.readers))
    logs, alerts = served.counts.readers["logs"], served.counts.readers["alerts"]
    assert logs.offered == 2 * next_number
    assert logs.delivered == received + next_number
    assert logs.dropped == {"too late": next_number - received}
    assert (alerts.offered, alerts.delivered) == (3, 3)


def iter_until(stream: Any, host_pid: int) -> Iterator[Any]:
    for message in stream:
        yield message
        if message.HostPID == host_pid:
            return


def test_end_gives_readers_what_waits(served: Served) -> None:
    """An agent that stops sends what it has told, and says why the stream ends."""
    alerts = served.watch("WatchAlerts", "all")
    served.feed.put(numbered(ALERT, *range(500)))
    served.server.close()

    received = []
    with pytest.raises(grpc.RpcError, match="the agent stops"):
        for alert in alerts:
            received.append(alert.HostPID)  # noqa: PERF401  # the error must not take them along
    assert received == list(range(500))
