"""An alert, from the kernel to a client of the gRPC feed: on a quiet machine, and beside a flood of telemetry."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import grpc

from benchmarks.measure import build_load
from hauberk.api.kubearmor_pb2 import Alert, RequestMessage

BUDGET_MS = 20
ALERTS = 1000
LIMIT_S = 60
LOADS = {"quiet": 0, "beside 10,000 opens/s": 10_000, "beside opens as fast as they go": -1}

POLICY = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorHostPolicy
metadata: {{name: latency}}
spec:
  nodeSelector: {{}}
  file:
    matchDirectories: [{{dir: {directory}/}}]
  action: Audit
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Client:
    """Watches alerts, and notes when each came."""

    def __init__(self, port: int) -> None:
        self.came: dict[str, float] = {}
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        grpc.channel_ready_future(self._channel).result(LIMIT_S)
        self._stream = self._channel.unary_stream(
            "/feeder.LogService/WatchAlerts",
            request_serializer=RequestMessage.SerializeToString,
            response_deserializer=Alert.FromString,
        )(RequestMessage(Filter="all"))
        self._stream.initial_metadata()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for alert in self._stream:
                self.came.setdefault(alert.Resource, time.monotonic())
        except grpc.RpcError:
            return

    def close(self) -> None:
        self._stream.cancel()
        self._channel.close()


@contextmanager
def watched(directory: Path) -> Iterator[Client]:
    """An agent with one policy that audits what is opened in `directory`, and a client of it."""
    policies = directory / "policies"
    policies.mkdir()
    (policies / "latency.yaml").write_text(POLICY.format(directory=directory / "watched"))
    port = free_port()
    settings = {
        "GRPC": f"127.0.0.1:{port}",
        "GRPC_HEALTH": "off",
        "POLICIES": str(policies),
        "ENFORCE": "observe",
        "ALERT_THROTTLING": "false",
    }
    environment = os.environ | {f"HAUBERK_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "hauberk", "agent", "--output", str(directory / "events")],
        stderr=(directory / "said").open("w"),
        env=environment,
    )
    try:
        end = time.monotonic() + LIMIT_S
        while "policies in force" not in (directory / "said").read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the agent does not run: {(directory / 'said').read_text()}")
            time.sleep(0.05)
        client = Client(port)
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def measure(client: Client, directory: Path, per_second: int) -> list[float]:
    """Milliseconds from the call that is audited to its alert, in order of size."""
    load = (
        subprocess.Popen(
            [build_load(), "open", "1000000000", str(max(per_second, 0))], stdout=subprocess.DEVNULL
        )
        if per_second
        else None
    )
    begun = {}
    try:
        for number in range(ALERTS):
            path = str(directory / "watched" / f"{per_second}-{number}")
            time.sleep(random.uniform(0.005, 0.03))
            begun[path] = time.monotonic()
            Path(path).touch()
        end = time.monotonic() + LIMIT_S
        while any(path not in client.came for path in begun):
            if time.monotonic() > end:
                raise RuntimeError(f"{sum(path not in client.came for path in begun)} alerts never came")
            time.sleep(0.01)
    finally:
        if load:
            load.kill()
            load.wait()
    return sorted((client.came[path] - since) * 1000 for path, since in begun.items())


def run() -> None:
    """Print how the times are distributed."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "watched").mkdir()
        with watched(directory) as client:
            for load, per_second in LOADS.items():
                found = measure(client, directory, per_second)
                cuts = quantiles(found, n=100)
                print(
                    f"alert, kernel to client, {load}: p50 {cuts[49]:.2f} ms, p90 {cuts[89]:.2f} ms, "
                    f"p99 {cuts[98]:.2f} ms, longest {found[-1]:.2f} ms; budget p99 {BUDGET_MS}: ratio {cuts[98] / BUDGET_MS:.2f}",
                    flush=True,
                )
