"""rsyslog from the distribution, as the only thing it does here: lines from a port to a file."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.certificates import Pair
from tests.receivers.delivering import SOON_S

CONFIG = """
global(workDirectory="{directory}" maxMessageSize="64k"{tls})
module(load="imtcp"{driver})
main_queue(queue.type="Direct")
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{directory}/received" template="raw")
"""
TLS = """
  defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{pair.certificate}" defaultNetstreamDriverKeyFile="{pair.key}\""""
DRIVER = """ streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid\""""


def free_port() -> int:
    """A port that a server may have, more than once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Rsyslog:
    """A process that can be killed and started again."""

    def __init__(self, root: Path, directory: Path, *, authority: str = "", pair: Pair | None = None) -> None:
        self._root = root
        self._directory = directory
        self.port = free_port()
        tls, driver = (TLS.format(ca=authority, pair=pair), DRIVER) if pair else ("", "")
        self._config = directory / "rsyslog.conf"
        self._config.write_text(CONFIG.format(directory=directory, port=self.port, tls=tls, driver=driver))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        libraries = ":".join(str(found) for found in (self._root / "usr/lib").glob("*-linux-gnu"))
        modules = next((self._root / "usr/lib").glob("*-linux-gnu/rsyslog"))
        self._process = subprocess.Popen(
            [
                self._root / "usr/sbin/rsyslogd",
                *("-n", "-f", self._config, "-i", "NONE", "-M", modules),
            ],
            env=os.environ | {"LD_LIBRARY_PATH": libraries},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        end = time.monotonic() + SOON_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None:
                    assert self._process.stderr
                    raise AssertionError(self._process.stderr.read().decode()) from None
                assert time.monotonic() < end
                time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.communicate(timeout=SOON_S)
            self._process = None

    def stop(self) -> None:
        """Have it hang."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    @property
    def lines(self) -> list[str]:
        """What it has received, in its order; without a last line that its death has torn."""
        try:
            content = (self._directory / "received").read_bytes()
        except FileNotFoundError:
            return []
        return content[: content.rfind(b"\n") + 1].decode().splitlines()
