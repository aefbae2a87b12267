"""What the kernel's own type information (BTF) knows: functions, tracepoints, enumerations.

libbpf reads it: some 15 ms for the 6 MB of a whole kernel.
"""

import ctypes
import os
import struct
from ctypes import c_char_p, c_int32, c_uint32, c_void_p
from pathlib import Path
from typing import Any, Final, Self

from hauberk.errors import KernelError

BTF: Final = Path("sys/kernel/btf/vmlinux")
"""Where the kernel shows it, below the root directory."""

_ENUM: Final = 6
_TYPEDEF: Final = 8
_FUNC: Final = 12
_TYPE: Final = struct.Struct("=III")
_ENUMERATOR: Final = struct.Struct("=Ii")


class Btf:
    """An open BTF file. The numbers are the kernel's own: what `attach_btf_id` wants."""

    def __init__(self, path: Path) -> None:
        try:
            self._library = ctypes.CDLL("libbpf.so.1", use_errno=True)
        except OSError as error:
            raise KernelError(f"cannot read {path} without libbpf.so.1: install libbpf") from error
        parse = self._declare("btf__parse_raw", c_void_p, c_char_p)
        self._find = self._declare("btf__find_by_name_kind", c_int32, c_void_p, c_char_p, c_uint32)
        self._type = self._declare("btf__type_by_id", c_void_p, c_void_p, c_uint32)
        self._name = self._declare("btf__name_by_offset", c_char_p, c_void_p, c_uint32)
        self._free = self._declare("btf__free", None, c_void_p)
        # a missing file is told by us: libbpf would write about it to standard error
        self._handle = parse(os.fsencode(path)) if path.exists() else None
        if not self._handle:
            raise KernelError(f"{path} cannot be read: this needs a kernel with CONFIG_DEBUG_INFO_BTF=y")

    def _declare(self, name: str, returns: Any, *takes: Any) -> Any:
        function = self._library[name]  # by index: a function of our own, whose types nobody else sets
        function.restype = returns
        function.argtypes = takes
        return function

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._free(self._handle)

    def _find_type(self, name: str, kind: int) -> int | None:
        found = self._find(self._handle, name.encode(), kind)
        return found if found > 0 else None

    def find_function(self, name: str) -> int | None:
        """What fentry and LSM programs attach to."""
        return self._find_type(name, _FUNC)

    def find_tracepoint(self, name: str) -> int | None:
        """What a `tp_btf` program attaches to."""
        return self._find_type(f"btf_trace_{name}", _TYPEDEF)

    def find_enumerator(self, enumeration: str, name: str) -> int | None:
        """The value of one name of an enumeration."""
        number = self._find_type(enumeration, _ENUM)
        if number is None:
            return None
        address = self._type(self._handle, number)
        _, info, _ = _TYPE.unpack(ctypes.string_at(address, _TYPE.size))
        size = (info & 0xFFFF) * _ENUMERATOR.size
        for offset, value in _ENUMERATOR.iter_unpack(ctypes.string_at(address + _TYPE.size, size)):
            if self._name(self._handle, offset) == name.encode():
                return int(value)
        return None
