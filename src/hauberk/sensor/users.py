"""The names of the host's users, as whatever serves them knows them: files, LDAP, SSSD."""

import pwd
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final

from hauberk.threads import supervised

_PASSWD: Final = Path("/etc/passwd")
_LOOK_S: Final = 1.0
_CLOSE_S: Final = 2.0


class Users:
    """Follows them in a thread of its own: whoever serves them may take long to answer."""

    def __init__(self, warn: Callable[[str], None], passwd: Path = _PASSWD) -> None:
        self.names: dict[int, str] = {}
        """By UID; another mapping, never a changed one, when they change."""

        self._passwd = passwd
        self._changed = 0.0
        self._read = Event()
        self._closing = Event()
        self._thread = supervised("users", self._follow, warn, self._closing)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until they were read for the first time; whether they were."""
        return self._read.wait(timeout_s)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(_CLOSE_S)

    def _follow(self) -> None:
        while True:
            self._look()
            self._read.set()
            if self._closing.wait(_LOOK_S):
                return

    def _look(self) -> None:
        try:
            changed = self._passwd.stat().st_mtime
        except OSError:
            return
        if changed != self._changed:
            # of several names of one UID the first
            self.names = {user.pw_uid: user.pw_name for user in reversed(pwd.getpwall())}
            self._changed = changed
