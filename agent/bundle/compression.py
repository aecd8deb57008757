"""Unpacking of one block at a time, with a cap on the output, for the compressors that squashfs knows.

The work is done in C and without the interpreter lock: zlib and lzma of the standard library, zstd from whatever is at
hand (``zstandard``, ``compression.zstd`` or libzstd itself), lz4 from liblz4. No function here trusts the input: it may
be longer, shorter or larger when unpacked than it claims. All functions may be called from several threads at once.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import lzma
import threading
import zlib
from collections.abc import Callable
from typing import Any

from agent.errors import BundleError, EnvironmentFault

Decompress = Callable[[bytes, int], bytes]
"""Unpacks ``data``; raises BundleError ``bundle.squashfs-invalid`` for broken data or more than ``limit`` bytes."""

GZIP, XZ, LZ4, ZSTD = 1, 4, 5, 6  # the superblock's numbers; 2 is lzma and 3 is lzo
_NAMES = {2: "lzma", 3: "lzo"}

_ZSTD_WINDOW_LOG = 20  # no block is larger than 1 MiB; a frame may announce 128 MiB, which a decoder takes at once
# A decoder needs its dictionary, which mksquashfs keeps within one block (1 MiB at most), and some 100 KiB of state.
_XZ_MEMORY = 4 * 1024 * 1024


def decompressor(kind: int, backend: str = "") -> Decompress:
    """Returns the function that unpacks blocks of one kind.

    Args:
        kind: the compressor's number in the squashfs superblock.
        backend: for zstd, ``zstandard``, ``compression.zstd`` or ``ctypes``; empty takes the first one available.

    Raises:
        BundleError: ``bundle.squashfs-unsupported`` for a compressor that we do not read.
        EnvironmentFault: ``bundle.decompressor-missing`` when this system lacks the library.
    """
    if kind == GZIP:
        return _gunzip
    if kind == XZ:
        return _unxz
    if kind == LZ4:
        return _lz4()
    if kind == ZSTD:
        return _ZSTD_BACKENDS[backend or _zstd_backend()]()
    raise BundleError(
        "bundle.squashfs-unsupported",
        "the bundle uses a compressor that is not supported",
        details=f"compressor {_NAMES.get(kind, kind)}",
        resolution="build the bundle with gzip, xz, zstd or lz4",
    )


def _gunzip(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        # One byte more than allowed, so that a block of exactly the limit reaches its end mark.
        out = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise _broken("gzip", str(error)) from error
    return _checked("gzip", out, limit, complete=stream.eof and not stream.unused_data)


def _unxz(data: bytes, limit: int) -> bytes:
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    try:
        out = stream.decompress(data, limit + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise _broken("xz", str(error)) from error
    return _checked("xz", out, limit, complete=stream.eof and not stream.unused_data)


def _zstd_backend() -> str:
    if importlib.util.find_spec("zstandard"):
        return "zstandard"
    if importlib.util.find_spec("_zstd"):  # what compression.zstd of Python 3.14 is made of
        return "compression.zstd"
    return "ctypes"


def _zstd_by_zstandard() -> Decompress:
    module = _module("zstandard")
    local = threading.local()

    def unpack(data: bytes, limit: int) -> bytes:
        context = getattr(local, "context", None)
        if context is None:  # a context must not be shared between threads
            context = local.context = module.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG)
        try:
            # The library allocates what the frame announces, whatever max_output_size says.
            if module.frame_content_size(data) > limit:
                raise _broken("zstd", f"more than {limit} bytes")
            out: bytes = context.decompress(data, max_output_size=limit, allow_extra_data=False)
        except module.ZstdError as error:
            raise _broken("zstd", str(error)) from error
        return _checked("zstd", out, limit, complete=True)

    return unpack


def _zstd_by_stdlib() -> Decompress:
    module = _module("compression.zstd")
    options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}

    def unpack(data: bytes, limit: int) -> bytes:
        stream = module.ZstdDecompressor(options=options)
        try:
            out: bytes = stream.decompress(data, limit + 1)
        except (module.ZstdError, EOFError) as error:
            raise _broken("zstd", str(error)) from error
        return _checked("zstd", out, limit, complete=stream.eof and not stream.unused_data)

    return unpack


def _zstd_by_library() -> Decompress:
    library = _library("libzstd.so.1")
    run = library.ZSTD_decompress  # size_t f(void *dst, size_t capacity, const void *src, size_t length)
    run.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    run.restype = ctypes.c_size_t

    def unpack(data: bytes, limit: int) -> bytes:
        out = bytearray(limit or 1)
        count = run(ctypes.byref(ctypes.c_char.from_buffer(out)), limit, data, len(data))
        if count > limit:  # errors are returned as numbers close to SIZE_MAX
            raise _broken("zstd", f"error {(1 << 8 * ctypes.sizeof(ctypes.c_size_t)) - count}")
        return bytes(memoryview(out)[:count])

    return unpack


def _lz4() -> Decompress:
    library = _library("liblz4.so.1")
    run = library.LZ4_decompress_safe  # int f(const char *src, char *dst, int length, int capacity)
    run.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    run.restype = ctypes.c_int

    def unpack(data: bytes, limit: int) -> bytes:
        out = bytearray(limit or 1)
        count = run(data, ctypes.byref(ctypes.c_char.from_buffer(out)), len(data), limit)
        if not 0 <= count <= limit:
            raise _broken("lz4", f"error {count}")
        return bytes(memoryview(out)[:count])

    return unpack


_ZSTD_BACKENDS: dict[str, Callable[[], Decompress]] = {
    "zstandard": _zstd_by_zstandard,
    "compression.zstd": _zstd_by_stdlib,
    "ctypes": _zstd_by_library,
}


def _module(name: str) -> Any:  # noqa: ANN401  the modules have no common type, and one of them no stubs
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name) from error


@functools.cache
def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise _missing(name) from error


def _checked(kind: str, out: bytes, limit: int, *, complete: bool) -> bytes:
    if len(out) > limit:
        raise _broken(kind, f"more than {limit} bytes")
    if not complete:
        raise _broken(kind, "the data does not end where the block ends")
    return out


def _broken(kind: str, details: str) -> BundleError:
    return BundleError(
        "bundle.squashfs-invalid",
        "the bundle's content cannot be unpacked",
        details=f"{kind}: {details}",
        resolution="build the bundle again",
    )


def _missing(name: str) -> EnvironmentFault:
    return EnvironmentFault(
        "bundle.decompressor-missing",
        "this system cannot unpack the bundle",
        details=f"{name} is not installed",
        resolution=f"install {name}, or build the bundle with gzip",
        retryable=False,
    )
