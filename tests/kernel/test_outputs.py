"""Outputs of the real agent, one of them dead: what it costs, and what arrives in the end."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from tests.kernel.test_agent import Line, free_port, hauberk, scratch, shell, tells, wait_until

__all__ = ["scratch"]

CONFIG = """
policies: DIRECTORY/policies
enforce: observe
alert_throttling: false
spool_directory: DIRECTORY/spool
outputs:
- {name: all, sink: {file: {path: DIRECTORY/all}}}
- {name: alerts, sink: {file: {path: DIRECTORY/alerts}}, filter: {type: alert}}
- {name: remote, sink: {webhook: {url: "http://127.0.0.1:PORT/"}}}
"""
POLICY = """
apiVersion: security.kubearmor.com/v1
kind: KubeArmorHostPolicy
metadata: {name: watch-secret}
spec:
  nodeSelector: {}
  file: {matchPaths: [{path: DIRECTORY/secret}]}
  action: Audit
"""


@contextmanager
def receiver(port: int) -> Iterator[list[Line]]:
    """What is posted to a port of ours."""
    lines: list[Line] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            lines.extend(map(json.loads, body.splitlines()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield lines
        finally:
            server.shutdown()
            thread.join()


def read_lines(path: Path) -> list[Line]:
    """Whole lines only: somebody may be writing."""
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def alerts_on_disk(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        ((count,),) = database.execute("SELECT coalesce(sum(count), 0) FROM runs WHERE is_alert")
        return int(count)


def test_a_dead_output(scratch: Path) -> None:
    """Killed, stopped, and at last heard: every alert that was on disk arrives; the other outputs do not notice."""
    port = free_port()
    config = scratch / "hauberk.yaml"
    for path, text in ((config, CONFIG), (scratch / "policies/watch.yaml", POLICY)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("DIRECTORY", str(scratch)).replace("PORT", str(port)))
    (scratch / "secret").touch()
    spool = scratch / "spool/remote.db"
    alerts = 0

    def read_the_secret(times: int) -> None:
        nonlocal alerts
        alerts += times
        for _ in range(times):
            shell(': < "$1/secret"', scratch)
        wait_until(lambda: len(read_lines(scratch / "alerts")) == alerts, "the alerts are told")

    def agent(number: int) -> Any:
        ready = tells(scratch / "all", scratch / f"ready-{number}")
        return hauberk(scratch, "agent", "--config", config, ready=ready)

    with agent(1) as program:
        wait_until(lambda: "policies in force: 1, observed only" in program.stderr, "the policy is in force")
        read_the_secret(20)
        wait_until(lambda: alerts_on_disk(spool) == alerts, "the alerts are on disk")
        program.process.kill()
        program.process.wait()

    with agent(2) as program:
        wait_until(lambda: "policies in force: 1, observed only" in program.stderr, "the policy is in force")
        read_the_secret(5)
    program.assert_clean()
    assert "output remote: " in program.stderr
    assert program.count(r"output  remote  left by an earlier run ([\d,]+)") >= 20
    assert program.count(r"output  remote .* left on disk for the next run ([\d,]+)") >= 25
    assert program.count(r"output  alerts .* delivered ([\d,]+)") == 5
    assert alerts_on_disk(spool) == alerts

    with receiver(port) as received, agent(3) as program:
        wait_until(lambda: "policies in force: 1, observed only" in program.stderr, "the policy is in force")
        read_the_secret(5)
        wait_until(lambda: sum("PolicyName" in line for line in received) >= alerts, "the alerts arrive")
        program.stop()
    program.assert_clean()
    told = [line for line in received if "PolicyName" in line]

    assert 30 == alerts
    assert told == read_lines(scratch / "alerts")
    assert program.count(r"output  remote .* dropped ([\d,]+)") == 0
    assert "left on disk" not in program.stderr
    assert 0 == alerts_on_disk(spool)
