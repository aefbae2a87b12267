"""Every error we raise on purpose.

HauberkError
├── ConfigError        the operator's settings are wrong
├── DecodeError        bytes from the kernel, or of a recording, are not what we know
├── KernelError        the kernel refused: program load, attach, map
├── PolicyError        a policy document is wrong, or holds more than can be enforced
└── SinkError          a destination refused

Anything else that escapes is a bug, and is shown with its traceback.
"""


class HauberkError(Exception):
    """The text is one sentence for the person who must act: what, where, and what to do."""

    exit_code = 1


class ConfigError(HauberkError):
    """The operator's settings are wrong."""

    exit_code = 2


class DecodeError(HauberkError):
    """Bytes are not a record that this version knows."""

    exit_code = 4


class KernelError(HauberkError):
    """The kernel cannot or will not run what we need."""

    exit_code = 5


class SinkError(HauberkError):
    """A destination cannot be written to."""

    exit_code = 6


class PolicyError(HauberkError):
    """A policy document is wrong, or holds more than can be enforced; names file and line."""

    exit_code = 3
