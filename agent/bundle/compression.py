"""Unpacking of one block at a time, with a cap on the output, for the compressors that squashfs knows.

The work is done in C and without the interpreter lock: zlib and lzma of the standard library, zstd and lz4 from whatever
is at hand (``zstandard``, ``compression.zstd``, ``lz4.block``, or the C library itself). No function here trusts the input:
it may be longer, shorter or larger when unpacked than it claims. All may be called from several threads at once.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import threading
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from agent.errors import BundleError, EnvironmentFault

Decompress = Callable[[bytes, int], bytes]
"""Unpacks ``data``; raises BundleError ``bundle.squashfs-invalid`` for broken data or more than ``limit`` bytes."""

GZIP, XZ, LZ4, ZSTD = 1, 4, 5, 6  # the superblock's numbers; 2 is lzma and 3 is lzo
_NAMES = {2: "lzma", 3: "lzo"}

# A decoder needs its dictionary, which mksquashfs keeps within one block (1 MiB at most), and some 100 KiB of state.
_XZ_MEMORY = 4 * 1024 * 1024

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_REPEATED = 1  # the kind of a block that is one byte, repeated
_ZSTD_LEAST = 9  # bytes: magic number, flags, window or size, and the head of one block
_ZSTD_BLOCK = 128 * 1024  # bytes of a block, at most
_ZSTD_WINDOW = 1024 * 1024  # the largest block of a squashfs; the kernel gives a decoder no more than the block size


def decompressor(kind: int, backend: str = "") -> Decompress:
    """Returns the function that unpacks blocks of one kind.

    Args:
        kind: the compressor's number in the squashfs superblock.
        backend: for zstd a name of ``_ZSTD_BACKENDS``, for lz4 of ``_LZ4_BACKENDS``; empty takes the first one that is
            installed.

    Raises:
        BundleError: ``bundle.squashfs-unsupported`` for a compressor that we do not read.
        EnvironmentFault: ``bundle.decompressor-missing`` when this system lacks the library.
    """
    if kind == GZIP:
        return _gunzip
    if kind == XZ:
        return _unxz
    if kind == LZ4:
        return _LZ4_BACKENDS[backend or _installed(_LZ4_BACKENDS)]()
    if kind == ZSTD:
        return _unzstd(backend)
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
    import lzma  # loaded when it is needed: the other compressors do without

    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    try:
        out = stream.decompress(data, limit + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise _broken("xz", str(error)) from error
    return _checked("xz", out, limit, complete=stream.eof and not stream.unused_data)


def _unzstd(backend: str) -> Decompress:
    """Puts the same checks in front of every implementation: some read several frames, or allocate what a frame says."""
    run = _ZSTD_BACKENDS[backend or _installed(_ZSTD_BACKENDS)]()

    def unpack(data: bytes, limit: int) -> bytes:
        most = min(limit, _check_zstd_frame(data, limit))
        return _checked("zstd", run(data, most), most, complete=True)

    return unpack


def _check_zstd_frame(data: bytes, limit: int) -> int:
    """Walks over the heads of a frame and of its blocks (RFC 8878, section 3.1.1): there is one frame, and it is whole.

    Returns:
        The most bytes that can be in it: no block exceeds the window (3.1.1.2.4), which libzstd 1.5.4 lets pass.
    """
    if data[:4] != _ZSTD_MAGIC or len(data) < _ZSTD_LEAST:
        raise _broken("zstd", "no frame")
    flags = data[4]
    alone, checked, dictionary = flags >> 5 & 1, flags >> 2 & 1, flags & 3
    if dictionary:
        raise _broken("zstd", "a frame that needs a dictionary")
    window = limit if alone else _zstd_window(data[5])
    if not alone and window > _ZSTD_WINDOW:
        raise _broken("zstd", f"a frame that needs more than {_ZSTD_WINDOW} bytes of memory")
    begin, width = 6 - alone, (alone, 2, 4, 8)[flags >> 6]
    size = int.from_bytes(data[begin : begin + width], "little") + (256 if width == 2 else 0)
    if size > limit:
        raise _broken("zstd", f"more than {limit} bytes")
    position, last, blocks = begin + width, 0, 0
    while not last:
        blocks += 1
        head = int.from_bytes(data[position : position + 3], "little")
        last, kind, length = head & 1, head >> 1 & 3, head >> 3
        position += 3 + (1 if kind == _ZSTD_REPEATED else length)
        if position > len(data):
            break
    if position + 4 * checked != len(data):
        raise _broken("zstd", "the data does not end where the block ends")
    return blocks * min(window, _ZSTD_BLOCK)


def _zstd_window(descriptor: int) -> int:
    base = 1 << 10 + (descriptor >> 3)
    return base + base // 8 * (descriptor & 7)


def _zstd_by_zstandard() -> Decompress:
    module = _module("zstandard")
    local = threading.local()

    def run(data: bytes, limit: int) -> bytes:
        context = getattr(local, "context", None)
        if context is None:  # a context must not be shared between threads
            context = local.context = module.ZstdDecompressor()
        try:
            out: bytes = context.decompress(data, max_output_size=limit, allow_extra_data=False)
        except module.ZstdError as error:
            raise _broken("zstd", str(error)) from error
        return out

    return run


def _zstd_by_stdlib(name: str) -> Decompress:
    module = _module(name)

    def run(data: bytes, limit: int) -> bytes:
        stream = module.ZstdDecompressor()
        try:
            # One byte more than allowed, so that a frame of exactly the limit reaches its end.
            out: bytes = stream.decompress(data, limit + 1)
        except (module.ZstdError, EOFError) as error:
            raise _broken("zstd", str(error)) from error
        return _checked("zstd", out, limit, complete=stream.eof and not stream.unused_data)

    return run


def _zstd_by_library() -> Decompress:
    library = _library("libzstd.so.1")
    decompress = library.ZSTD_decompress  # size_t f(void *dst, size_t capacity, const void *src, size_t length)
    decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    decompress.restype = ctypes.c_size_t

    def run(data: bytes, limit: int) -> bytes:
        out = bytearray(limit or 1)
        count = decompress(ctypes.byref(ctypes.c_char.from_buffer(out)), limit, data, len(data))
        if count > limit:  # errors are returned as numbers close to SIZE_MAX
            raise _broken("zstd", f"error {(1 << 8 * ctypes.sizeof(ctypes.c_size_t)) - count}")
        return bytes(memoryview(out)[:count])

    return run


def _lz4_by_package() -> Decompress:
    module = _module("lz4.block")

    def run(data: bytes, limit: int) -> bytes:
        try:
            out: bytes = module.decompress(data, uncompressed_size=limit)
        except module.LZ4BlockError as error:
            raise _broken("lz4", str(error)) from error
        return out

    return run


def _lz4_by_library() -> Decompress:
    library = _library("liblz4.so.1")
    decompress = library.LZ4_decompress_safe  # int f(const char *src, char *dst, int length, int capacity)
    decompress.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    decompress.restype = ctypes.c_int

    def run(data: bytes, limit: int) -> bytes:
        out = bytearray(limit or 1)
        count = decompress(data, ctypes.byref(ctypes.c_char.from_buffer(out)), len(data), limit)
        if not 0 <= count <= limit:
            raise _broken("lz4", f"error {count}")
        return bytes(memoryview(out)[:count])

    return run


_ZSTD_BACKENDS: dict[str, Callable[[], Decompress]] = {
    "zstandard": _zstd_by_zstandard,
    "compression.zstd": functools.partial(_zstd_by_stdlib, "compression.zstd"),
    "backports.zstd": functools.partial(_zstd_by_stdlib, "backports.zstd"),
    "ctypes": _zstd_by_library,
}
_LZ4_BACKENDS: dict[str, Callable[[], Decompress]] = {"lz4.block": _lz4_by_package, "ctypes": _lz4_by_library}


def _installed(backends: Iterable[str]) -> str:
    """Returns the first that is a module of this system, or ``ctypes``."""
    for name in backends:
        try:
            if importlib.util.find_spec(name):
                return name
        except ModuleNotFoundError:  # not even the package of the module
            continue
    return "ctypes"


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
