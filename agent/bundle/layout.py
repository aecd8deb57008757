"""The outermost layer of a bundle: a payload, then a CMS signature, then the length of that signature.

All RAUC formats share it: ``payload | CMS (S bytes, DER) | S as unsigned 64 bit big endian``. Nothing here is trusted
yet; the numbers found are only held against the size of the file and the cap of RAUC (``max-bundle-signature-size``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.bundle.source import Source
from agent.errors import BundleError

MAX_SIGNATURE = 64 * 1024  # bytes; RAUC's default for max-bundle-signature-size
_LENGTH = 8
_TAIL = 16 * 1024  # one request to a server; holds the signature and, in small bundles, the hash tree too


@dataclass(frozen=True, slots=True)
class Trailer:
    """What the end of the file says.

    Args:
        payload_size: bytes before the signature.
        cms: the signature, DER.
        tail: the last bytes of the file as they were read, for ``CachedTail``.
    """

    payload_size: int
    cms: bytes
    tail: bytes = b""


class CachedTail:
    """A Source that answers from memory what lies in the tail that was read already."""

    def __init__(self, source: Source, tail: bytes) -> None:
        self._source = source
        self._tail = tail
        self._start = source.size - len(tail)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        if self._holds(offset, length):
            return self._tail[offset - self._start : offset - self._start + length]
        return self._source.read_at(offset, length)

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """See Source."""
        if self._holds(offset, length):
            return iter((self.read_at(offset, length),))
        return self._source.stream(offset, length)

    def _holds(self, offset: int, length: int) -> bool:
        return offset >= self._start and 0 < length <= self.size - offset


def read_trailer(source: Source) -> Trailer:
    """Finds the signature at the end of a bundle; costs one read, or two for a signature above 16 KiB.

    Raises:
        BundleError: ``bundle.truncated`` for a file that is too short to be a bundle, ``bundle.unsigned`` when the
            length of the signature is zero (as at the end of a bare squashfs), ``bundle.trailer-invalid`` when it is
            more than the file or the cap allows.
    """
    total = source.size
    if total <= _LENGTH:
        raise BundleError(
            "bundle.truncated",
            "the file is too short to be a bundle",
            details=f"it has {total} bytes",
            resolution="transfer or build the bundle again",
        )
    tail = source.read_at(total - min(total, _TAIL), min(total, _TAIL))
    length = int.from_bytes(tail[-_LENGTH:], "big")
    _check_length(length, total)
    needed = length + _LENGTH
    if needed > len(tail):
        tail = source.read_at(total - needed, needed - len(tail)) + tail
    return Trailer(total - needed, tail[-needed:-_LENGTH], tail)


def _check_length(length: int, total: int) -> None:
    if length == 0:
        raise BundleError(
            "bundle.unsigned",
            "the bundle carries no signature",
            details="the length of the signature, in the last 8 bytes, is zero",
            resolution="create it with 'ota-bundle create' or 'rauc bundle', which sign it",
        )
    if length > min(MAX_SIGNATURE, total - _LENGTH):
        raise BundleError(
            "bundle.trailer-invalid",
            "this is no bundle, or its end is missing",
            details=f"the last 8 bytes announce a signature of {length} bytes; the file has {total}, "
            f"and at most {MAX_SIGNATURE} are allowed",
            resolution="transfer the file again, and check that it is a RAUC bundle",
        )
