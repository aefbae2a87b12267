"""What the reader of the rings sleeps by."""

import os
import select


class Bell:
    """Wakes one sleeper: threads ring it, and so do the rings of programs that wake their reader."""

    def __init__(self) -> None:
        self._rung = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_open = True
        self._epoll = select.epoll()
        self.listen_to(self._rung)

    def listen_to(self, fd: int) -> None:
        """Ring by itself as long as this descriptor can be read."""
        self._epoll.register(fd, select.EPOLLIN)

    def ring(self) -> None:
        """Wake the sleeper, or keep it from falling asleep. Any thread may, and a signal's handler."""
        if self._is_open:
            os.eventfd_write(self._rung, 1)

    def wait(self, timeout_s: float) -> None:
        """Sleep until it rings, at most for `timeout_s`."""
        for fd, _ in self._epoll.poll(timeout_s):
            if fd == self._rung:
                os.eventfd_read(fd)

    def close(self) -> None:
        self._is_open = False
        self._epoll.close()
        os.close(self._rung)
