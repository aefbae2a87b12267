"""What wakes the reader of the rings: an eventfd, and the rings that notify it."""

import os
import select


class Waker:
    """Wakes one sleeper: any thread may, and so do the rings of programs that notify their reader."""

    def __init__(self) -> None:
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_open = True
        self._epoll = select.epoll()
        self.listen_to(self._eventfd)

    def listen_to(self, fd: int) -> None:
        """Wake by itself as long as this descriptor can be read."""
        self._epoll.register(fd, select.EPOLLIN)

    def wake(self) -> None:
        """Wake the sleeper, or keep it from falling asleep. Any thread may, and a signal's handler."""
        if self._is_open:
            os.eventfd_write(self._eventfd, 1)

    def wait(self, timeout_s: float) -> None:
        """Sleep until woken, at most for `timeout_s`."""
        for fd, _ in self._epoll.poll(timeout_s):
            if fd == self._eventfd:
                os.eventfd_read(fd)

    def close(self) -> None:
        self._is_open = False
        self._epoll.close()
        os.close(self._eventfd)
