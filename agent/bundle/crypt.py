"""The payload of a ``crypt`` bundle: AES-256-CBC in sectors of 4096 bytes, under the hash tree.

It is dm-crypt's ``aes-cbc-plain64`` with ``sector_size:4096``, as the kernel documents it in
``admin-guide/device-mapper/dm-crypt``: the IV of a sector is its number, counted in 512 byte units, as 64 bit little
endian, and then zeros. The tree is over the encrypted bytes: every block is authentic before it is decrypted.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from agent.bundle.source import Source

SECTOR = 4096
KEY = 32  # bytes
_UNITS = SECTOR // 512
_SLACK = 16  # bytes that update_into wants beyond what it writes


class DecryptedPayload:
    """A Source over the plain bytes of another.

    Args:
        source: the encrypted payload; whole sectors.
        key: 32 bytes, the ``crypt-key`` of the manifest.
    """

    def __init__(self, source: Source, key: bytes) -> None:
        self._source = source
        self._algorithm = AES256(key)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        return b"".join(self.stream(offset, length))

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """See Source."""
        end = offset + length
        position = offset - offset % SECTOR
        stop = min(self.size, -(-end // SECTOR) * SECTOR)
        rest = b""
        for piece in self._source.stream(position, stop - position):
            data = rest + piece if rest else piece
            whole = len(data) - len(data) % SECTOR
            rest = data[whole:]
            if whole:
                plain = self._decrypted(position // SECTOR, memoryview(data)[:whole])
                first, last = max(0, offset - position), min(whole, end - position)
                position += whole
                yield plain if last - first == whole else plain[first:last]

    def _decrypted(self, first: int, data: memoryview) -> bytes:
        room = memoryview(bytearray(len(data) + _SLACK))
        for number, start in enumerate(range(0, len(data), SECTOR), first):
            decryptor = Cipher(self._algorithm, CBC(_iv(number))).decryptor()
            decryptor.update_into(data[start : start + SECTOR], room[start:])
        return bytes(room[: len(data)])


def encrypt_sectors(key: bytes, first: int, data: bytes | memoryview) -> bytes:
    """Encrypts whole sectors.

    Args:
        key: 32 bytes.
        first: number of the first sector.
        data: a multiple of 4096 bytes.
    """
    algorithm, view, parts = AES256(key), memoryview(data), []
    for number, start in enumerate(range(0, len(view), SECTOR), first):
        parts.append(Cipher(algorithm, CBC(_iv(number))).encryptor().update(view[start : start + SECTOR]))
    return b"".join(parts)


def _iv(sector: int) -> bytes:
    return (sector * _UNITS).to_bytes(16, "little")
