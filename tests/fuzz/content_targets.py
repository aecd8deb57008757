"""Targets of what comes after trust, and of the wire: manifest, hash tree, squashfs, its compressors, the fetcher."""

from __future__ import annotations

import functools
import hashlib
import lzma
import random
import tempfile
import zlib
from pathlib import Path

import zstandard
from support.bundles import some_image
from support.sources import MemorySource
from support.squashfs_images import compressible, make_image
from support.zstd import STDLIB_ZSTD

from agent.bundle.compression import GZIP, LZ4, XZ, ZSTD, decompressor
from agent.bundle.keyfile import read_keyfile, write_keyfile
from agent.bundle.manifest import dump_manifest, parse_draft, parse_manifest
from agent.bundle.payload import BLOCK
from agent.bundle.squashfs import SquashFS
from agent.bundle.verity import build_tree, open_verity
from agent.errors import BundleError
from fuzz.mutate import by_lines, change_bytes, either
from fuzz.squashfs_fields import change_fields
from fuzz.target import Target

SHA = "ab" * 32
FULL = rf"""[update]
compatible=demo-board
version=2026.11-1
description=two lines\nand a tab\t
build=20261122

[bundle]
format=verity
verity-hash={SHA}
verity-salt={SHA}
verity-size=4096

[hooks]
filename=hook.sh
hooks=install-check;

[handler]
filename=handler.sh
args=--fast

[image.rootfs]
filename=rootfs.img
sha256={SHA}
size=300000
type=ext4
hooks=pre-install;post-install
adaptive=block-hash-index;

[image.rootfs.board-2.1]
filename=other.img
sha256={SHA}
size=1

[rollout]
phase=early

[meta.ota]
security-epoch=3
poem=\s indented
""".encode()
_WORDS = [*FULL.split(b"\n"), b"[", b"]", b"=", b";", b"#", b"\\", rb"\s", rb"\n", b"\r", b"\t", b"\f", b" "]
_WORDS += [
    b"[image.a/b]",
    b"\x00",
    b"\x7f",
    "\u2028\u00e9".encode(),
    b"\xff",
    b"9" * 40,
    b"crypt",
    b"emptyfs",
    b"..",
    b"/",
]


def manifests() -> list[bytes]:
    return [FULL, b"[update]\ncompatible=x\n", FULL.replace(b"\n", b"\r\n"), FULL.split(b"[bundle]")[0]]


def run_manifest(data: bytes) -> None:
    """What is accepted is the same after it was written."""
    groups = read_keyfile(data)
    assert read_keyfile(write_keyfile(groups.items())) == groups
    draft = parse_draft(data)
    assert parse_draft(dump_manifest(draft)) == draft
    assert parse_manifest(data) == draft


def verity_inputs() -> list[bytes]:
    """A byte that says how to open it, salt, root, size of the tree in blocks, and then the payload and its tree."""
    made = []
    for blocks in (2, 5, 130):
        data = some_image(blocks * BLOCK)
        salt = hashlib.sha256(data).digest()
        root, tree = build_tree([data], salt)
        shown = data if blocks < 100 else data[:0]
        for lazily in (0, 1):
            made.append(bytes([lazily]) + salt + root + (len(tree) // BLOCK).to_bytes(4, "big") + shown + tree)
    return made


def run_verity(data: bytes) -> None:
    """What is accepted has exactly this tree, and is read as it is."""
    lazily, salt, root, count, rest = data[:1], data[1:33], data[33:65], int.from_bytes(data[65:69], "big"), data[69:]
    size = count * BLOCK
    if size > len(rest):
        raise BundleError("bundle.payload-corrupt", "left out: the trailer holds the sizes against the file")
    content, tree = rest[: len(rest) - size], rest[len(rest) - size :]
    keep = 0 if lazily == b"\1" else 1 << 40
    payload = open_verity(MemorySource(rest, 3000), len(content), size, salt, root, keep_below=keep)
    assert b"".join(payload.stream(0, len(content))) == content
    assert build_tree([content], salt) == (root, tree)


def change_verity(data: bytes, chooser: random.Random) -> bytes:
    """Damages the header or the body, or makes a tree whose digests are right and whose shape is not."""
    kind = chooser.randrange(4)
    if kind == 0:
        return change_bytes(data[:69], chooser) + data[69:]
    if kind == 1:
        return data[:69] + change_bytes(data[69:], chooser)
    blocks = chooser.randrange(2, 6)
    content = chooser.randbytes(BLOCK) * blocks
    salt = data[1:33]
    root, tree = build_tree([content], salt)
    if kind == 2:
        tree = change_bytes(tree, chooser)
        root = hashlib.sha256(salt + tree[:BLOCK]).digest()
    return data[:1] + salt + root + (len(tree) // BLOCK).to_bytes(4, "big") + content + tree


_BARE = ("-noI", "-noF", "-no-xattrs")
_KINDS = ("gzip", "xz", "lz4", "zstd")


@functools.cache
def images() -> list[bytes]:
    """Small images of each compressor, with and without packed tables, with holes, fragments and many names."""
    files = {f"file-{n}": compressible(n * 1500, n) for n in range(6)} | {"hole": bytes(40_000), "s": b"x"}
    made = []
    for number, options in enumerate([*(("-comp", kind) for kind in _KINDS), ("-comp", "gzip", *_BARE, "-noD")]):
        made.append(_image(files, "-b", "4K", *options, *(_BARE if number % 2 else ())))
    made.append(_image(files, "-b", "4K", "-comp", "zstd", *_BARE))
    made.append(_image({"large": compressible(150_000, 1)[:70_000] + bytes(80_000)}, "-b", "64K", *_BARE))
    made.append(_image({f"a-name-{n:04}": b"%d" % n for n in range(500)}, "-b", "4K", *_BARE))
    return made


def _image(files: dict[str, bytes], *options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = make_image(Path(folder), files, *options)
    return made[: int.from_bytes(made[40:48], "little")]  # without the padding


READ_AT_MOST = 512 * 1024  # holes are free: a damaged size may promise terabytes of zeros


def run_squashfs(data: bytes) -> None:
    """Every file gives as many bytes as it says."""
    system = SquashFS(MemorySource(data, 10_000))
    seen = 0
    refused: BundleError | None = None
    for name in system.listdir()[:40]:
        try:
            file = system.open(name)
            sizes = []
            for piece in file.blocks():
                sizes.append(len(piece))
                seen += len(piece)
                if seen > READ_AT_MOST:
                    return
            assert sum(sizes) == file.size
            assert max(sizes, default=0) <= system.block_size
        except BundleError as error:
            refused = error
    if refused is not None:
        raise refused


_BACKENDS = ((GZIP, ""), (XZ, ""), (LZ4, ""), (ZSTD, "zstandard"), (ZSTD, "ctypes"), (ZSTD, STDLIB_ZSTD))


@functools.cache
def blocks() -> list[bytes]:
    """A byte for the compressor, four for the limit, then the packed block."""
    data = compressible(3000, 1)
    streamed = zstandard.ZstdCompressor(write_content_size=False)
    packed = [
        (0, zlib.compress(data)),
        (1, lzma.compress(data, check=lzma.CHECK_CRC32)),
        (2, b"\xf0" + bytes([255] * 11 + [180]) + data),
        (3, zstandard.compress(data)),
        (4, streamed.compress(data)),
        (3, streamed.compress(bytes(2900))),
        (5, streamed.compress(data)),
        (0, zlib.compress(bytes(1 << 20))),
        (1, lzma.compress(bytes(1 << 20))),
    ]
    return [bytes([kind]) + limit.to_bytes(4, "big") + each for kind, each in packed for limit in (3000, 8192)]


def run_compression(data: bytes) -> None:
    """No more than the limit comes out; the backends of zstd agree when both accept."""
    number, limit, packed = data[0] % len(_BACKENDS) if data else 0, int.from_bytes(data[1:5], "big"), data[5:]
    limit %= (1 << 20) + 1
    kind, backend = _BACKENDS[number]
    out = decompressor(kind, backend)(packed, limit)
    assert len(out) <= limit
    if backend in ("zstandard", STDLIB_ZSTD):
        assert decompressor(kind, "ctypes")(packed, limit) == out


TARGETS = (
    Target("manifest", manifests, run_manifest, (BundleError,), by_lines(_WORDS), share=3),
    Target("tree", verity_inputs, run_verity, (BundleError,), change_verity, share=1.5),
    Target(
        "squashfs",
        images,
        run_squashfs,
        (BundleError,),
        either(change_fields, change_fields, change_bytes),
        seconds=3,
        share=4,
        smoke=0.5,
    ),
    Target("compression", blocks, run_compression, (BundleError,), change_bytes, share=1.5),
)
