"""Files of a FAT file system, without mounting it. Pure, read only.

Source: Microsoft's "FAT: General Overview of On-Disk Format", 1.03. All of FAT12, 16 and 32; long names.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

Read = Callable[[int, int], bytes]  # offset, length
_LONG, _VOLUME, _DIRECTORY = 0x0F, 0x08, 0x10  # attributes


class NotFat(Exception):
    """It is no FAT file system, or a chain of clusters leads nowhere."""


class Fat:
    """A file system.

    Args:
        read: gives bytes of the partition.

    Raises (every method, too):
        NotFat: see there.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        boot = read(0, 512)
        size, per, reserved, copies, root, small = struct.unpack_from("<HBHBHH", boot, 11)
        if boot[510:] != b"\x55\xaa" or size not in (512, 1024, 2048, 4096) or not per or not copies:
            raise NotFat("the boot sector is not one")
        length = int.from_bytes(boot[22:24], "little") or int.from_bytes(boot[36:40], "little")
        sectors = small or int.from_bytes(boot[32:36], "little")
        self._table, self._root = reserved * size, (reserved + copies * length) * size
        self._root_size = root * 32
        self._data, self._cluster = self._root + self._root_size, per * size
        self._clusters = (sectors * size - self._data) // self._cluster
        self._bits = 12 if self._clusters < 4085 else 16 if self._clusters < 65525 else 32
        self._first = int.from_bytes(boot[44:48], "little") if self._bits == 32 else 0

    def file(self, path: str) -> bytes | None:
        """The content of a file; None when there is none. Upper and lower case are the same."""
        *folders, last = filter(None, path.lower().split("/"))
        entries = self._entries(self._whole(self._first) if self._first else self._read(self._root, self._root_size))
        for word in folders:
            found = dict(entries).get(word)
            if found is None or not found[0] & _DIRECTORY:
                return None
            entries = self._entries(self._whole(found[1]))
        found = dict(entries).get(last)
        if found is None or found[0] & _DIRECTORY:
            return None
        _, cluster, size = found
        return self._whole(cluster, size)[:size] if size else b""

    def _next(self, cluster: int) -> int:
        if self._bits == 12:
            pair = int.from_bytes(self._read(self._table + cluster * 3 // 2, 2), "little")
            return pair >> 4 if cluster & 1 else pair & 0xFFF
        width = self._bits // 8
        return int.from_bytes(self._read(self._table + cluster * width, width), "little") & 0x0FFFFFFF

    def _whole(self, cluster: int, size: int | None = None) -> bytes:
        """What a chain of clusters holds, up to a size."""
        last = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[self._bits]
        parts: list[bytes] = []
        while cluster < last and (size is None or len(parts) * self._cluster < size):
            if not 2 <= cluster < self._clusters + 2 or len(parts) > self._clusters:
                raise NotFat(f"a chain leads to cluster {cluster}")
            parts.append(self._read(self._data + (cluster - 2) * self._cluster, self._cluster))
            cluster = self._next(cluster)
        return b"".join(parts)

    @staticmethod
    def _entries(directory: bytes) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """Names in lower case, and of each the attributes, the first cluster and the size."""
        long = b""
        for at in range(0, len(directory), 32):
            entry = directory[at : at + 32]
            if entry[0] == 0:
                return
            attributes = entry[11]
            if entry[0] == 0xE5:
                long = b""
            elif attributes & 0x3F == _LONG:
                long = entry[1:11] + entry[14:26] + entry[28:32] + long
            else:
                if not attributes & _VOLUME:
                    high, low, size = struct.unpack_from("<H4xHI", entry, 20)
                    value = (attributes, low | high << 16, size)
                    base, extension = entry[:8].decode("latin-1").rstrip(), entry[8:11].decode("latin-1").rstrip()
                    yield (f"{base}.{extension}" if extension else base).lower(), value
                    if long:
                        yield long.decode("utf-16-le", "replace").split("\0")[0].lower(), value
                long = b""
