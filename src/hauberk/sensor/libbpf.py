"""The calls we use of the system's libbpf, typed.

Everything here raises `KernelError` with what libbpf said, never returns a null pointer.
"""

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from ctypes import c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final, Self

from hauberk.errors import KernelError

BPF_ANY: Final = 0
_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_DEBUG: Final = 2
_BATCH: Final = 8192
"""Entries that one call writes to a map."""

_LOG_LINES: Final = 12
"""How much of libbpf's last words an error repeats; the verifier's log ends with its reason."""


def _open_library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise KernelError(
            "libbpf.so.1 is missing; install it (Debian, Ubuntu: apt-get install libbpf1; Fedora: dnf install libbpf)"
        ) from error


class Libbpf:
    """The library, with the signatures of what we call. One for the whole program."""

    def __init__(self) -> None:
        self._library = _open_library()
        self._libc = ctypes.CDLL(None)
        self.said: list[str] = []
        self._printer = _PRINT(self._print)
        self._declare("libbpf_set_print", c_void_p, _PRINT)(self._printer)
        self.open_file = self._declare("bpf_object__open", c_void_p, c_char_p)
        self.load = self._declare("bpf_object__load", c_int, c_void_p)
        self.close = self._declare("bpf_object__close", None, c_void_p)
        self.next_map = self._declare("bpf_object__next_map", c_void_p, c_void_p, c_void_p)
        self.next_program = self._declare("bpf_object__next_program", c_void_p, c_void_p, c_void_p)
        self.map_name = self._declare("bpf_map__name", c_char_p, c_void_p)
        self.map_fd = self._declare("bpf_map__fd", c_int, c_void_p)
        self.map_reuse = self._declare("bpf_map__reuse_fd", c_int, c_void_p, c_int)
        self.map_resize = self._declare("bpf_map__set_max_entries", c_int, c_void_p, c_uint32)
        self.program_name = self._declare("bpf_program__name", c_char_p, c_void_p)
        self.program_fd = self._declare("bpf_program__fd", c_int, c_void_p)
        self.program_autoload = self._declare("bpf_program__set_autoload", c_int, c_void_p, c_bool)
        self.program_attach = self._declare("bpf_program__attach", c_void_p, c_void_p)
        self.link_pin = self._declare("bpf_link__pin", c_int, c_void_p, c_char_p)
        self.link_destroy = self._declare("bpf_link__destroy", c_int, c_void_p)
        self.map_update = self._declare("bpf_map_update_elem", c_int, c_int, c_void_p, c_void_p, c_uint64)
        self.map_lookup = self._declare("bpf_map_lookup_elem", c_int, c_int, c_void_p, c_void_p)
        self.map_delete = self._declare("bpf_map_delete_elem", c_int, c_int, c_void_p)
        self.map_update_batch = self._declare(
            "bpf_map_update_batch", c_int, c_int, c_void_p, c_void_p, c_void_p, c_void_p
        )
        self.map_next_key = self._declare("bpf_map_get_next_key", c_int, c_int, c_void_p, c_void_p)
        self.map_create = self._declare(
            "bpf_map_create", c_int, c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p
        )
        self.test_run = self._declare("bpf_prog_test_run_opts", c_int, c_int, c_void_p)

    def _declare(self, name: str, returns: Any, *takes: Any) -> Any:
        function = getattr(self._library, name)
        function.restype = returns
        function.argtypes = takes
        return function

    def _print(self, level: int, template: bytes, values: int) -> int:
        if level == _DEBUG:
            return 0
        buffer = ctypes.create_string_buffer(65536)
        self._libc.vsnprintf(buffer, c_size_t(len(buffer)), c_char_p(template), c_void_p(values))
        self.said += buffer.value.decode(errors="replace").splitlines()
        del self.said[:-200]
        return 0

    def fail(self, what: str) -> KernelError:
        """The error for a call that just failed."""
        number = ctypes.get_errno()
        reason = os.strerror(number) if number else "no reason given"
        if number == errno.EPERM:
            reason += " (are you root, with CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN?)"
        last_words = "".join(f"\n    {line}" for line in self.said[-_LOG_LINES:])
        return KernelError(f"{what}: {reason}{last_words}")


class Map:
    """A map of a loaded object; keys and values are bytes of the kernel's size."""

    def __init__(self, library: Libbpf, name: str, fd: int) -> None:
        self._library = library
        self.name = name
        self.fd = fd

    def update(self, key: bytes, value: bytes) -> None:
        """Set one entry; raises KernelError where the map is full."""
        if self._library.map_update(self.fd, key, value, BPF_ANY):
            raise self._library.fail(f"map {self.name}: cannot write an entry")

    def update_all(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Set many entries with few calls."""
        for begin in range(0, len(keys), _BATCH):
            some = keys[begin : begin + _BATCH]
            count = c_uint32(len(some))
            options = _BatchOptions(size=ctypes.sizeof(_BatchOptions))
            if self._library.map_update_batch(
                self.fd,
                b"".join(some),
                b"".join(values[begin : begin + _BATCH]),
                ctypes.byref(count),
                ctypes.byref(options),
            ):
                raise self._library.fail(f"map {self.name}: cannot write {len(some):,} entries")

    def delete(self, key: bytes) -> bool:
        """Remove one entry; False if there was none."""
        return not self._library.map_delete(self.fd, key)

    def keys(self, key_size: int) -> Iterator[bytes]:
        """All keys; an entry that comes or goes meanwhile may be told twice or not at all."""
        key = None
        following = ctypes.create_string_buffer(key_size)
        while not self._library.map_next_key(self.fd, key, following):
            key = following.raw
            yield key

    def lookup(self, key: bytes, value_size: int) -> bytes | None:
        """The value in bytes (for a per-CPU map: of all possible CPUs, one after the other)."""
        value = ctypes.create_string_buffer(value_size)
        if self._library.map_lookup(self.fd, key, value):
            return None
        return value.raw


class _BatchOptions(ctypes.Structure):
    """libbpf's `struct bpf_map_batch_opts`."""

    _fields_ = [("size", c_size_t), ("element_flags", c_uint64), ("flags", c_uint64)]


class _CreateOptions(ctypes.Structure):
    """The beginning of libbpf's `struct bpf_map_create_opts`; its first field tells where ours ends."""

    _fields_ = [
        ("size", c_size_t),
        ("btf_fd", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("inner_map_fd", c_uint32),
        ("map_flags", c_uint32),
    ]


class OwnMap(Map):
    """A map that we made ourselves; the kernel keeps it as long as we or another map hold it."""

    def __init__(
        self,
        library: Libbpf,
        name: str,
        *,
        kind: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int,
    ) -> None:
        options = _CreateOptions(size=ctypes.sizeof(_CreateOptions), map_flags=flags)
        fd = library.map_create(kind, name.encode(), key_size, value_size, max_entries, ctypes.byref(options))
        if fd < 0:
            raise library.fail(f"cannot make the map {name} of {max_entries:,} entries")
        super().__init__(library, name, fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class Object:
    """An open `*.bpf.o` file."""

    def __init__(self, library: Libbpf, path: Path) -> None:
        self._library = library
        self.path = path
        self._handle = library.open_file(os.fsencode(path))
        if not self._handle:
            raise library.fail(f"cannot open the kernel programs in {path}")
        self._links: list[int] = []
        self._left_out: set[str] = set()

    def programs(self) -> Iterator[tuple[str, int]]:
        """Name and handle of each program."""
        handle = self._library.next_program(self._handle, None)
        while handle:
            yield self._library.program_name(handle).decode(), handle
            handle = self._library.next_program(self._handle, handle)

    def _maps(self) -> Iterator[tuple[str, int]]:
        handle = self._library.next_map(self._handle, None)
        while handle:
            yield self._library.map_name(handle).decode(), handle
            handle = self._library.next_map(self._handle, handle)

    def leave_out(self, names: frozenset[str]) -> None:
        """Do not load the programs of these names."""
        for program, handle in self.programs():
            if program in names:
                self._library.program_autoload(handle, False)
                self._left_out.add(program)

    def load(self, shared: dict[str, Map], sizes: dict[str, int]) -> None:
        """Load maps and programs. A map that `shared` has is taken from there; new ones are added to it."""
        for name, handle in self._maps():
            if name in shared:
                if self._library.map_reuse(handle, shared[name].fd):
                    raise self._library.fail(f"{self.path.name}: cannot share the map {name}")
            elif name in sizes:
                self._library.map_resize(handle, sizes[name])
        self._library.said.clear()
        if self._library.load(self._handle):
            raise self._library.fail(f"the kernel refused {self.path.name}")
        for name, handle in self._maps():
            if name not in shared:
                shared[name] = Map(self._library, name, self._library.map_fd(handle))

    def attach(self, pins: Path | None = None) -> None:
        """Attach all loaded programs to their hooks; pinned in this directory of a bpffs, they stay without us."""
        for name, handle in self.programs():
            if name in self._left_out:
                continue
            link = self._library.program_attach(handle)
            if not link:
                raise self._library.fail(f"{self.path.name}: cannot attach {name}")
            self._links.append(link)
            if pins and self._library.link_pin(link, os.fsencode(pins / name)):
                raise self._library.fail(f"{self.path.name}: cannot pin {name} in {pins}")

    def program_fd(self, name: str) -> int:
        """Descriptor of the loaded program of this name."""
        return int(self._library.program_fd(dict(self.programs())[name]))

    def program_fds(self) -> Iterator[tuple[str, int]]:
        """Name and descriptor of each program that is loaded."""
        for name, handle in self.programs():
            if name not in self._left_out:
                yield name, int(self._library.program_fd(handle))

    def detach(self) -> None:
        """Take all programs off their hooks; the maps stay."""
        for link in reversed(self._links):
            self._library.link_destroy(link)
        self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        if self._handle:
            self._library.close(self._handle)
            self._handle = None
