"""Syslog to rsyslog: over TCP and TLS, killed and started again in the middle."""

import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.receivers.delivering import ALERT_EVERY, Delivery, eventually, number_of
from tests.receivers.rsyslog import Rsyslog
from tools import receivers

pytestmark = pytest.mark.tier("receivers")


@pytest.fixture
def root() -> Path:
    found = receivers.rsyslog()
    if not found:
        pytest.skip("rsyslog is not here: python3 tools/receivers.py prepare")
    return found


@pytest.fixture
def plain(root: Path, tmp_path: Path) -> Iterator[Rsyslog]:
    server = Rsyslog(root, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


@pytest.fixture
def secured(root: Path, tmp_path: Path, authority: Authority) -> Iterator[Rsyslog]:
    """It wants a certificate of its clients."""
    server = Rsyslog(root, tmp_path, authority=authority.file, pair=authority.vouch("127.0.0.1"))
    server.start()
    yield server
    server.kill()


def numbers(server: Rsyslog) -> list[int]:
    return [number_of(line) for line in server.lines]


def tls(authority: Authority) -> dict[str, str]:
    ours = authority.vouch("node-1")
    return {"ca": authority.file, "certificate": ours.certificate, "key": ours.key}


@pytest.mark.parametrize("framing", ["octets", "newline"])
@pytest.mark.parametrize("header", ["rfc5424", "rfc3164"])
def test_every_line_arrives_whole(plain: Rsyslog, tmp_path: Path, framing: str, header: str) -> None:
    """As it was written, header and all."""
    sink = {"syslog": {"url": f"tcp://127.0.0.1:{plain.port}", "framing": framing, "header": header}}
    delivery = Delivery(tmp_path, sink)
    delivery.put(50)
    delivery.close()
    eventually(lambda: len(plain.lines) >= 50)
    begin = (
        r"<16\d>1 \S+Z node-1 hauberk - \S+ - \{"
        if header == "rfc5424"
        else r"<16\d>Jun 27 \S+ node-1 hauberk: \{"
    )

    assert all(re.match(begin, line) and line.endswith("}") for line in plain.lines)
    delivery.hold_against(numbers(plain))


def test_long_lines_arrive_whole(plain: Rsyslog, tmp_path: Path) -> None:
    """As long as rsyslog lets them be."""
    delivery = Delivery(tmp_path, {"syslog": {"url": f"tcp://127.0.0.1:{plain.port}"}}, format="kubearmor")
    delivery.long = "x" * 60_000
    delivery.put(3)
    delivery.close()
    eventually(lambda: len(plain.lines) >= 3)

    assert all(delivery.long in line for line in plain.lines)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle(plain: Rsyslog, tmp_path: Path, number: signal.Signals) -> None:
    """What it had not read comes again when it is back; what was put meanwhile waits."""
    _kill_in_the_middle(
        plain, Delivery(tmp_path, {"syslog": {"url": f"tcp://127.0.0.1:{plain.port}"}}), number
    )


def test_killed_in_the_middle_of_tls(secured: Rsyslog, tmp_path: Path, authority: Authority) -> None:
    sink = {"syslog": {"url": f"tls://127.0.0.1:{secured.port}", "tls": tls(authority)}}
    _kill_in_the_middle(secured, Delivery(tmp_path, sink), signal.SIGKILL)


def has_more_than(server: Rsyslog, count: int) -> bool:
    return len(server.lines) > count


def _kill_in_the_middle(server: Rsyslog, delivery: Delivery, number: signal.Signals) -> None:
    for _ in range(2):
        delivery.put_slowly(1000, partial(has_more_than, server, len(server.lines)))
        server.kill(number)
        delivery.put_slowly(1000)
        server.start()
    delivery.put_slowly(200)
    eventually(delivery.settled)
    delivery.close()
    eventually(lambda: set(range(delivery.put_count)) <= set(numbers(server)))

    assert delivery.counts.dropped == {}
    delivery.hold_against(numbers(server))


def test_stopped_for_a_while(plain: Rsyslog, tmp_path: Path) -> None:
    """A receiver that hangs and then dies: what had filled the connection's buffers comes again."""
    settings: dict[str, Any] = {"url": f"tcp://127.0.0.1:{plain.port}", "timeout_s": 1}
    delivery = Delivery(tmp_path, {"syslog": settings})
    delivery.put_slowly(100, lambda: len(plain.lines) > 10)
    plain.stop()
    delivery.put_slowly(6000, at_once=200)
    plain.kill()
    plain.start()
    eventually(delivery.settled)
    delivery.close()
    eventually(lambda: set(range(delivery.put_count)) <= set(numbers(plain)))

    delivery.hold_against(numbers(plain))


def test_certificates_are_renewed(secured: Rsyslog, tmp_path: Path, authority: Authority) -> None:
    """Without the right certificate events wait; with it, after a reopen, all of them arrive."""
    ours = Authority(tmp_path / "other").vouch("node-1")
    sink = {
        "syslog": {
            "url": f"tls://127.0.0.1:{secured.port}",
            "tls": {"ca": authority.file, "certificate": ours.certificate, "key": ours.key},
        }
    }
    delivery = Delivery(tmp_path, sink)
    delivery.put(2 * ALERT_EVERY)
    eventually(lambda: any("it may not know us" in line for line in delivery.said))
    assert delivery.counts.delivered == 0
    renewed = authority.vouch("node-1")
    Path(ours.certificate).write_bytes(Path(renewed.certificate).read_bytes())
    Path(ours.key).write_bytes(Path(renewed.key).read_bytes())
    delivery.reopen()
    eventually(delivery.settled)
    delivery.close()
    eventually(lambda: len(secured.lines) == 2 * ALERT_EVERY)

    delivery.hold_against(numbers(secured))
