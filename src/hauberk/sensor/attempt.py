"""Asks the kernel by trying: loads the smallest program or map of a kind, and drops it at once.

A version number does not tell: distributions carry features back, and providers of machines take them out.
Nothing is attached, so nothing runs.
"""

import ctypes
import errno
import os
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from typing import Final

import msgspec

from hauberk.sensor.btf import Btf

# include/uapi/linux/bpf.h
_MAP_RINGBUF: Final = 27
_MAP_TASK_STORAGE: Final = 29
_PROGRAM_RAW_TRACEPOINT: Final = 17
_PROGRAM_TRACING: Final = 26
_PROGRAM_LSM: Final = 29
_ATTACH_RAW_TRACEPOINT: Final = 23
_ATTACH_FENTRY: Final = 24
_ATTACH_LSM: Final = 27
_HELPER_LOOP: Final = 181

_RETURN_0: Final = bytes.fromhex("b700000000000000 9500000000000000")
"""r0 = 0; exit"""


class Answers(msgspec.Struct, frozen=True):
    """What the kernel said to each attempt: 0 is yes, else the number of an error."""

    ring_buffer: int
    task_storage: int
    bpf_loop: int
    tp_btf: int
    fentry: int
    lsm: int


class _LoadOptions(ctypes.Structure):
    """The beginning of libbpf's `struct bpf_prog_load_opts`; its first field tells where ours ends."""

    _fields_ = [
        ("size", c_size_t),
        ("attempts", c_int),
        ("expected_attach_type", c_int),
        ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_ifindex", c_uint32),
        ("kern_version", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32),
    ]


def find_libbpf_version() -> str | None:
    """The version of the system's libbpf, if there is one."""
    try:
        version = ctypes.CDLL("libbpf.so.1")["libbpf_version_string"]
    except OSError:
        return None
    version.restype = c_char_p
    text: bytes = version()
    return text.decode().removeprefix("v")


def attempt(btf: Btf) -> Answers:
    """Try everything. Needs the right to load programs; without it every answer is a no."""
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    return Answers(
        ring_buffer=_probe(library, "libbpf_probe_bpf_map_type", _MAP_RINGBUF, None),
        task_storage=_probe(library, "libbpf_probe_bpf_map_type", _MAP_TASK_STORAGE, None),
        bpf_loop=_probe(library, "libbpf_probe_bpf_helper", _PROGRAM_RAW_TRACEPOINT, _HELPER_LOOP, None),
        tp_btf=_load(library, _PROGRAM_TRACING, _ATTACH_RAW_TRACEPOINT, btf.find_tracepoint("sys_enter")),
        fentry=_load(library, _PROGRAM_TRACING, _ATTACH_FENTRY, btf.find_function("security_path_unlink")),
        lsm=_load(library, _PROGRAM_LSM, _ATTACH_LSM, btf.find_function("bpf_lsm_file_open")),
    )


def _probe(library: ctypes.CDLL, name: str, *arguments: int | None) -> int:
    """libbpf's own probes answer 1, 0, or a negative error."""
    answer: int = library[name](*arguments)
    return 0 if answer > 0 else -answer or errno.EOPNOTSUPP


def _load(library: ctypes.CDLL, kind: int, attach: int, target: int | None) -> int:
    """Load a program that would be called at a function or tracepoint, `target`, and does nothing."""
    if target is None:
        return errno.ENOENT
    options = _LoadOptions(
        size=ctypes.sizeof(_LoadOptions), expected_attach_type=attach, attach_btf_id=target
    )
    load = library["bpf_prog_load"]
    load.argtypes = (c_int, c_char_p, c_char_p, c_char_p, c_size_t, c_void_p)
    fd: int = load(kind, b"hauberk_probe", b"GPL", _RETURN_0, len(_RETURN_0) // 8, ctypes.byref(options))
    if fd < 0:
        return ctypes.get_errno()
    os.close(fd)
    return 0
