"""CRC-32C (Castagnoli, reflected) without inversion at the end, as ext4's journal uses it: Linux' ``crc32c_le``."""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0x82F63B78


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(map(_entry, range(256)))


@lru_cache(maxsize=4096)  # blocks of a journal are asked for again in every state that holds them
def crc32c(seed: int, data: bytes) -> int:
    """The CRC of some data, going on from a seed."""
    value, table = seed, _TABLE
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value
