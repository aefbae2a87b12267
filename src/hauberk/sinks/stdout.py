"""Standard output."""

import os

from hauberk.errors import SinkError


class Stdout:
    """Writes to a descriptor without a buffer of its own, so that nothing is held back."""

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd

    def write(self, lines: list[bytes]) -> None:
        content = memoryview(b"\n".join(lines) + b"\n")
        try:
            while content:
                content = content[os.write(self._fd, content) :]
        except OSError as error:
            raise SinkError(f"cannot write to standard output: {error.strerror}") from error

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Standard output is not ours to close."""
