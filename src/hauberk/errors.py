"""Every error we raise on purpose.

HauberkError
├── ClusterError       the API server of Kubernetes cannot be reached, or refuses
├── ConfigError        the operator's settings are wrong
├── DecodeError        bytes from the kernel, or of a recording, are not what we know
├── FeedError          nobody serves the feed that is to be read, or it refuses
├── KernelError        the kernel refused: program load, attach, map
├── PolicyError        a policy document is wrong, or holds more than can be enforced
├── RuntimeUnreachable a container runtime does not answer; to be asked again
├── SpoolError         what waits for a destination cannot be kept on disk now
└── SinkError          a destination cannot be written to; to be tried again
    ├── SinkBusy       ... and says when
    └── SinkRefused    a destination will never take what it was given

Anything else that escapes is a bug, and is shown with its traceback.
"""


class HauberkError(Exception):
    """The text is one sentence for the person who must act: what, where, and what to do."""

    exit_code = 1


class ConfigError(HauberkError):
    """The operator's settings are wrong."""

    exit_code = 2

    def __init__(self, problem: str, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(problem)
        self.at = at
        """The way to the setting: names, and numbers in lists."""


class ClusterError(HauberkError):
    """The API server cannot be reached, or refuses; to be tried again."""

    exit_code = 7

    def __init__(
        self, problem: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        """Of its answer; None: there was none."""

        self.retry_after_s = retry_after_s
        """How long it wants to be left alone; None: it did not say."""


class DecodeError(HauberkError):
    """Bytes are not a record that this version knows."""

    exit_code = 4


class KernelError(HauberkError):
    """The kernel cannot or will not run what we need."""

    exit_code = 5


class SpoolError(HauberkError):
    """What waits for a destination cannot be written to disk, or read from it."""

    exit_code = 6

    def __init__(self, problem: str, *, lost: int = 0) -> None:
        super().__init__(problem)
        self.lost = lost
        """How many messages that were on disk are gone."""


class SinkError(HauberkError):
    """A destination cannot be written to now; what was given to it is to be tried again."""

    exit_code = 6

    def __init__(self, problem: str, *, delivered: int = 0, refused: int = 0) -> None:
        super().__init__(problem)
        self.delivered = delivered
        """How many of the messages got there before."""

        self.refused = refused
        """How many were refused for good before. The first `delivered + refused` are not sent again."""


class SinkBusy(SinkError):
    """A destination asks for patience."""

    def __init__(
        self, problem: str, *, retry_after_s: float | None = None, delivered: int = 0, refused: int = 0
    ) -> None:
        super().__init__(problem, delivered=delivered, refused=refused)
        self.retry_after_s = retry_after_s
        """How long it wants to be left alone; None: it did not say."""


class SinkRefused(SinkError):
    """A destination has refused some messages for good and taken all others of the same write."""

    def __init__(self, problem: str, *, refused: int) -> None:
        super().__init__(problem, refused=refused)


class FeedError(HauberkError):
    """The feed of an agent cannot be followed: nobody is there, or it refuses."""

    exit_code = 8


class PolicyError(HauberkError):
    """A policy document is wrong, or holds more than can be enforced; names file and line."""

    exit_code = 3


class RuntimeAnswerError(HauberkError):
    """A container runtime answers about one container with something that is of no use; it may know the others."""

    exit_code = 9


class RuntimeUnreachable(HauberkError):
    """A container runtime does not answer; what it is asked is to be asked again."""

    exit_code = 9
