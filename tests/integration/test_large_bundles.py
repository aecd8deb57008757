"""The memory of the installer does not grow with the bundle: eight GiB of payload, an image of more than four GiB."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
from pathlib import Path

import pytest
from pki.build import pem, shared_pki
from support.frames import common
from support.installing import MIB, peak
from support.signing import signed

from agent.bundle.manifest import dump_manifest, parse_draft
from agent.bundle.payload import BLOCK, DIGEST, block_digests
from agent.bundle.verity import tree_levels
from agent.bundler.ending import append_signature
from agent.daemon.children import spawn

CAP = 48  # MiB; 37 were measured, as for a bundle of 90 MiB, and the requirement is 64
PAYLOAD = 8 << 30
IMAGE = (4 << 30) + 8 * MIB
MARKS = {0: b"first", (1 << 32) - 5: b"over the border", IMAGE - 4: b"last"}


def make_image(path: Path) -> str:
    """A sparse file with a few bytes in it; returns its digest."""
    with path.open("wb") as file:
        file.truncate(IMAGE)
        for offset, mark in MARKS.items():
            file.seek(offset)
            file.write(mark)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_tree(file, squashfs: bytes, salt: bytes) -> tuple[bytes, int]:
    """Appends the tree over a squashfs in front of a hole, all of whose blocks have the same digest."""
    base = hashlib.sha256(salt)
    blocks = PAYLOAD // BLOCK
    digests = block_digests(base, memoryview(squashfs))
    digests += block_digests(base, memoryview(bytes(BLOCK))) * (blocks - len(digests) // DIGEST)
    levels = [digests]
    while len(levels[-1]) > BLOCK:
        levels.append(block_digests(base, memoryview(levels[-1])))
        levels[-1] += bytes(-len(levels[-1]) % BLOCK)
    file.seek(PAYLOAD)
    for level in reversed(levels):
        file.write(level)
    size = sum(map(len, levels))
    assert size == sum(tree_levels(PAYLOAD)) * BLOCK
    return block_digests(base, memoryview(levels[-1])), size


def make_large_bundle(folder: Path) -> Path:
    content, bundle = folder / "content", folder / "large.raucb"
    content.mkdir()
    digest = make_image(content / "rootfs.img")
    options = ("-quiet", "-no-progress", "-no-fragments", "-comp", "zstd")
    subprocess.run(["mksquashfs", content, bundle, *options], check=True, stdout=subprocess.DEVNULL)
    salt, signer = secrets.token_bytes(32), shared_pki().signer()
    squashfs = bundle.read_bytes()
    squashfs += bytes(-len(squashfs) % BLOCK)
    with bundle.open("rb+") as file:
        root, tree = make_tree(file, squashfs, salt)
    text = (
        "[update]\ncompatible=demo-board\nversion=1\n\n"
        f"[bundle]\nformat=verity\nverity-hash={root.hex()}\nverity-salt={salt.hex()}\nverity-size={tree}\n\n"
        f"[image.rootfs]\nfilename=rootfs.img\nsize={IMAGE}\nsha256={digest}\n"
    )
    manifest = dump_manifest(parse_draft(text.encode()))
    append_signature(bundle, signed(manifest, signer))
    return bundle


@pytest.mark.slow
@pytest.mark.req("T16")
def test_a_bundle_of_eight_gib_installs_within_the_memory_of_a_small_one(tmp_path: Path) -> None:
    bundle, slot = make_large_bundle(tmp_path), tmp_path / "rootfs.img"
    (tmp_path / "root.pem").write_bytes(pem(shared_pki().root))
    for name, size in (("running", MIB), ("rootfs", IMAGE + 16 * MIB)):
        with (tmp_path / f"{name}.img").open("wb") as file:
            file.truncate(size)
    known = common(tmp_path / "root.pem")
    plan = {"name": "rootfs.1", "class": "rootfs", "index": 1, "device": str(slot), "type": "raw"}
    with spawn("installer") as child, bundle.open("rb") as file:
        child.channel.send({"op": "inspect", **known}, fds=(file.fileno(),))
        manifest_hash = child.receive(60).text("manifest_hash")
        booted = [str(tmp_path / "running.img")]
        request = {"op": "install", "manifest_hash": manifest_hash, "booted": booted, "starts": {}, "slots": [plan]}
        child.channel.send({**request, **known}, fds=(file.fileno(),))
        while (frame := child.receive(300)).op in ("progress", "checkpoint"):
            pass
        assert frame.op == "installed", frame.header
        assert peak(child.pid) <= CAP
    with slot.open("rb") as file:
        for offset, mark in MARKS.items():
            assert os.pread(file.fileno(), len(mark), offset) == mark
    slot.unlink()  # four GiB that nobody wants to keep
