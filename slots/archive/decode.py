"""Unpacks the stream of a compressed archive, a bounded piece at a time: gzip, bzip2, xz and zstd, known by their first bytes.

Source of the magic numbers: RFC 1952, section 2.3.1; bzip2's ``compress.c``; the .xz file format, section 2.1.1.1;
RFC 8878, section 3.1.1. Several streams after each other are one, as for the programs of these formats.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from typing import Protocol

from slots.errors import SlotError

PIECE = 256 * 1024  # bytes that one step unpacks to, at most; more only for zstandard, see below
_XZ_MEMORY = 128 * 1024 * 1024  # bytes; xz -9 wants 65 MiB to unpack
# What zstandard unpacks has no limit but its input: a block of 4 bytes may stand for 128 KiB.
_ZSTD_STEP = 1024
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_ZSTD_MODULES = ("compression.zstd", "backports.zstd", "zstandard")
_ZSTD_SUFFIXES = (".zst", ".tzst")


class _Decoder(Protocol):
    eof: bool
    unused_data: bytes

    def steps(self, data: bytes) -> Iterator[bytes]: ...


def require(name: str) -> None:
    """Makes sure, by the name of an archive, that it could be unpacked here.

    Raises:
        SlotError: ``slot.archive-decoder``.
    """
    if name.endswith(_ZSTD_SUFFIXES):
        _zstd_module()


def decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of an archive; what is not compressed passes as it is.

    Raises:
        SlotError: ``slot.archive-invalid``, ``slot.archive-decoder``.
    """
    source = iter(pieces)
    head = b""
    for piece in source:
        head += piece
        if len(head) >= max(map(len, _MAGIC)):
            break
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
    if not kind:
        yield head
        yield from source
        return
    yield from _decompressed(kind, head, source)


def _decompressed(kind: str, head: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    decoder, begun, data = _decoder(kind), False, head
    while data:
        begun = True
        try:
            yield from decoder.steps(data)
        except SlotError:
            raise
        except Exception as error:  # each library has errors of its own, which are loaded with it
            raise invalid(f"{kind}: {error}") from error
        data = b""
        if decoder.eof:
            data = decoder.unused_data.lstrip(b"\0")  # padding between and after streams
            decoder, begun = _decoder(kind), False
        data = data or _next_with_something(source, padding=not begun)
    if begun:
        raise invalid(f"the {kind} stream ends too early")


def _next_with_something(source: Iterator[bytes], *, padding: bool) -> bytes:
    for piece in source:
        rest = piece.lstrip(b"\0") if padding else piece
        if rest:
            return rest
    return b""


def _decoder(kind: str) -> _Decoder:
    if kind == "gzip":
        return _Gzip()
    if kind == "bzip2":
        import bz2

        return _Bounded(bz2.BZ2Decompressor())
    if kind == "xz":
        import lzma

        return _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))
    name = _zstd_module()
    module = importlib.import_module(name)
    return _Zstandard(module) if name == "zstandard" else _Bounded(module.ZstdDecompressor())


class _Gzip:
    def __init__(self) -> None:
        import zlib

        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.eof, self.unused_data = False, b""

    def steps(self, data: bytes) -> Iterator[bytes]:
        while data and not self._stream.eof:
            piece = self._stream.decompress(data, PIECE)
            data = self._stream.unconsumed_tail
            if piece:
                yield piece
        while not self._stream.eof and (piece := self._stream.decompress(b"", PIECE)):
            yield piece
        self.eof, self.unused_data = self._stream.eof, self._stream.unused_data


class _Stdlib(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Bounded:
    """The interface that bz2, lzma and compression.zstd share."""

    def __init__(self, stream: _Stdlib) -> None:
        self._stream = stream
        self.eof, self.unused_data = False, b""

    def steps(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._stream.decompress(data, PIECE)
            data = b""
            if piece:
                yield piece
            if self._stream.eof or (self._stream.needs_input and not piece):
                break
        self.eof = self._stream.eof
        self.unused_data = self._stream.unused_data if self.eof else b""


class _Zstandard:
    def __init__(self, module: object) -> None:
        self._stream = module.ZstdDecompressor().decompressobj()  # type: ignore[attr-defined]  # has no type hints
        self.eof, self.unused_data = False, b""

    def steps(self, data: bytes) -> Iterator[bytes]:
        for begin in range(0, len(data), _ZSTD_STEP):
            piece = self._stream.decompress(data[begin : begin + _ZSTD_STEP])
            if piece:
                yield piece
            if self._stream.eof:
                self.eof, self.unused_data = True, self._stream.unused_data + data[begin + _ZSTD_STEP :]
                return


def _zstd_module() -> str:
    for name in _ZSTD_MODULES:
        try:
            if importlib.util.find_spec(name):
                return name
        except ModuleNotFoundError:  # of the package around it
            continue
    raise SlotError(
        "slot.archive-decoder", "this system cannot unpack the archive", details="there is no library for zstd",
        resolution="install the Python package zstandard on the device, or compress the archive with gzip or xz",
    )  # fmt: skip


def invalid(details: str) -> SlotError:
    """The refusal of an archive that cannot be read."""
    return SlotError(
        "slot.archive-invalid", "the archive cannot be read", details=details[:300],
        resolution="build the bundle again; GNU tar and bsdtar write archives that are understood",
    )  # fmt: skip
