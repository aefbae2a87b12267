"""An access: one action of a process, as far as rules can ask about it."""

import msgspec

from hauberk.abi import RuleClass


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What is held against rules. What an action does not have is left at its default."""

    rule_class: int
    """A `RuleClass`; for a system call `RuleClass.SYSCALL` and its slot."""

    path: bytes = b""
    """What is acted upon; empty: it has no path."""

    path_is_known: bool = True
    """False: it has a path, which could not be read whole."""

    source: bytes = b""
    """Path of the image that acts."""

    is_owner: bool = False
    """The acting user owns what is acted upon."""

    writes: bool = False
    """What is acted upon may be changed."""

    has_terminal: bool = False
    arguments: tuple[bytes, ...] | None = None
    """Of a command, without its name; None: unknown."""

    family: int = 0
    socket_type: int = 0
    protocol: int = 0
    """0: the one that is usual for the type of socket."""

    capability: int = -1

    @property
    def is_call(self) -> bool:
        return self.rule_class >= RuleClass.SYSCALL
