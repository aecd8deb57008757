"""Targets of archives for slots: headers of tar, and what is in front of them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import random
import tarfile
import zlib

from fuzz.mutate import change_bytes, either
from fuzz.target import Target
from slots.archive.policy import MAX_NAME, MAX_PATH, Policy
from slots.archive.stream import Stream
from slots.archive.unpack import headers
from slots.errors import SlotError

ROOM, LIMIT = 1024 * 1024, 2 * 1024 * 1024  # bytes
BLOCK, CHECKSUM = 512, slice(148, 156)  # POSIX.1-1988 (ustar)
# Offset and length of the fields of a header.
_FIELDS = ((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (329, 8),
           (337, 8), (345, 155), (386, 12), (482, 1), (483, 12))  # fmt: skip
_VALUES = (
    b"", b"..", b"../../etc/passwd", b"/etc/passwd", b"a/../b", b"0", b"7777777777", b"-1", b"\x80\xff\xff\xff\xff\xff\xff\xff",
    b"\xff" * 8, b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"L", b"K", b"S", b"x", b"g", b"X", b"\0", b"\xc3\x28",
)  # fmt: skip
_RECORDS = (
    b"30 mtime=1350244992.023960108\n", b"20 size=99999999999\n", b"12 path=..\n", b"19 linkpath=/../x\n", b"6 a=b\n",
    b"22 SCHILY.xattr.a=\0\n=\n", b"99999999999999999999 a=b\n", b"0 a=b\n", b"22 GNU.sparse.major=1\n",
    b"22 GNU.sparse.minor=0\n", b"27 GNU.sparse.map=0,1,5,9\n", b"20 hdrcharset=BINARY\n", b"13 mtime=1e9\n",
)  # fmt: skip


def _seeds() -> list[bytes]:
    plain = [_made(tarfile.PAX_FORMAT), _made(tarfile.GNU_FORMAT), _made(tarfile.USTAR_FORMAT)]
    return [*plain, gzip.compress(plain[0], mtime=0)]


def _made(form: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, kind in zip("abcdefg", (b"5", b"0", b"2", b"1", b"6", b"3", b"0"), strict=True):
            info = tarfile.TarInfo(name if form == tarfile.USTAR_FORMAT else name * (120 if kind == b"0" else 1))
            info.type, info.mtime, info.linkname = kind, 1_700_000_000, "b" if kind in b"12" else ""
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"SCHILY.xattr.user.a": "\udcff=\n", "mtime": "1.5"}
            data = b"x" * 700 if kind == b"0" else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def _run(data: bytes) -> None:
    stream, policy, size = Stream([data], LIMIT, lambda _: None), Policy(ROOM, allow_devices=True), 0
    for archive, info in headers(stream):
        member = policy.judge(info)
        for path in (member.path, member.source):
            assert not {b"", b".", b".."} & set(path)
            assert len(b"/".join(path)) <= MAX_PATH
            assert all(b"/" not in part and b"\0" not in part and len(part) <= MAX_NAME for part in path)
        assert member.path or member.kind == "directory"
        size += member.size
        assert size <= ROOM
        if member.sparse:
            source = archive.extractfile(info)
            assert source is not None
            while source.read(64 * 1024):
                pass
        elif sum(map(len, stream.take(member.size))) != member.size:
            return  # as unpack refuses it
    assert stream.finish() == hashlib.sha256(data).hexdigest()


def _change_headers(data: bytes, rng: random.Random) -> bytes:
    """Changes fields of headers and makes their checksums right again, or puts in a header of an extension."""
    changed = bytearray(data)
    with contextlib.suppress(OSError, EOFError, zlib.error):
        changed = bytearray(gzip.decompress(data)) if data[:2] == b"\x1f\x8b" else changed
    for _ in range(rng.randint(1, 3)):
        places = [
            place for place in range(0, len(changed) - BLOCK + 1, BLOCK) if _checks(changed[place : place + BLOCK])
        ]
        if not places:
            return change_bytes(bytes(changed), rng)
        place = rng.choice(places)
        if rng.random() < 0.25:
            record = rng.choice(_RECORDS)
            info = tarfile.TarInfo("pax")
            info.type, info.size = rng.choice([b"x", b"g", b"L", b"K"]), len(record)
            changed[place:place] = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(BLOCK, b"\0")
            continue
        begin, length = rng.choice(_FIELDS)
        value = rng.choice(_VALUES) if rng.random() < 0.8 else rng.randbytes(rng.randint(1, length))
        changed[place + begin : place + begin + length] = value[:length].ljust(length, b"\0")
        changed[place : place + BLOCK] = _summed(changed[place : place + BLOCK])
    return bytes(changed)


def _checks(block: bytearray) -> bool:
    return any(block) and _summed(block)[CHECKSUM] == block[CHECKSUM]


def _summed(block: bytearray) -> bytearray:
    blank = bytearray(block)
    blank[CHECKSUM] = b" " * 8
    blank[CHECKSUM] = b"%06o\0 " % sum(blank)
    return blank


TARGETS = (
    Target("archive", _seeds, _run, (SlotError,), either(_change_headers, change_bytes), longest=32 * 1024),
)  # fmt: skip
