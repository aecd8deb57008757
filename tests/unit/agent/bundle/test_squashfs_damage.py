from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.squashfs_images import MemorySource, compressible, make_image
from support.squashfs_mutations import read_everything

from agent.bundle import squashfs_format as fmt
from agent.bundle.squashfs import SquashFS
from agent.errors import BundleError

TESTS = Path(__file__).parents[3]
ROOT = TESTS.parent

INODES, DIRECTORIES, FRAGMENTS, USED = 64, 72, 80, 40  # fields of the superblock
BARE = ("-noI", "-noF", "-noD", "-no-xattrs")  # nothing packed: damage reaches the parsers


def small_image(folder: Path, *options: str) -> bytes:
    files = {f"file-{n}": compressible(n * 3000, n) for n in range(20)} | {"hole": bytes(300_000)}
    return make_image(folder, files, "-b", "4K", *options)


@pytest.mark.req("T16", "T26")
@pytest.mark.parametrize(
    ("options", "backend"),
    [
        (("-comp", "gzip", *BARE), ""),
        (("-comp", "gzip"), ""),
        (("-comp", "xz"), ""),
        (("-comp", "lz4"), ""),
        (("-comp", "zstd"), "zstandard"),
        (("-comp", "zstd"), "ctypes"),
    ],
    ids=lambda value: value[1] + "-bare" * (len(value) > 2) if isinstance(value, tuple) else value or "default",
)
def test_a_damaged_image_is_refused_quickly_and_in_little_memory(tmp_path, options, backend):
    small_image(tmp_path, *options)
    argv = [sys.executable, "-m", "support.squashfs_mutations", str(tmp_path / "image.squashfs"), backend, "600", "1"]
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{ROOT}"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["refused"] > 150
    assert outcome["growth"] < 64
    assert outcome["longest"] < 5


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return small_image(tmp_path_factory.mktemp("bare"), *BARE)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_overwritten_table_fields_raise_nothing_but_bundle_errors(bare, data):
    start = data.draw(st.sampled_from([0, int.from_bytes(bare[INODES : INODES + 8], "little")]))
    image = bytearray(bare)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(start, start + 95 if start == 0 else len(bare) - 8))
        value = data.draw(st.sampled_from([0, 1, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1]))
        width = data.draw(st.sampled_from([2, 4, 8]))
        image[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    with contextlib.suppress(BundleError):
        read_everything(bytes(image), "")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_file_system(data):
    with pytest.raises(BundleError):
        SquashFS(MemorySource(data))


def patched(image: bytes, at: int, layout: str, value: int) -> bytes:
    return image[:at] + struct.pack(layout, value) + image[at + struct.calcsize(layout) :]


@pytest.mark.parametrize(
    ("at", "layout", "value", "code"),
    [
        (0, "<I", 0x6873_7174, "bundle.squashfs-invalid"),
        (12, "<I", 12345, "bundle.squashfs-invalid"),
        (20, "<H", 2, "bundle.squashfs-unsupported"),
        (20, "<H", 3, "bundle.squashfs-unsupported"),
        (20, "<H", 99, "bundle.squashfs-unsupported"),
        (22, "<H", 30, "bundle.squashfs-invalid"),
        (28, "<H", 3, "bundle.squashfs-invalid"),
        (32, "<Q", 1 << 47, "bundle.squashfs-invalid"),
        (USED, "<Q", 1 << 40, "bundle.squashfs-invalid"),
        (INODES, "<Q", 1 << 63, "bundle.squashfs-invalid"),
        (DIRECTORIES, "<Q", 96, "bundle.squashfs-invalid"),
        (FRAGMENTS, "<Q", (1 << 64) - 1, "bundle.squashfs-invalid"),
    ],
)
def test_a_superblock_with_one_wrong_field_is_refused(bare, at, layout, value, code):
    with pytest.raises(BundleError) as caught:
        SquashFS(MemorySource(patched(bare, at, layout, value)))
    assert caught.value.code == code


def test_a_file_that_claims_more_blocks_than_allowed_is_refused_before_memory_is_taken():
    inode = struct.pack("<16xIIII", 96, fmt.NO_FRAGMENT, 0, 0xFFFF_FFFF)
    assert fmt.parse_file_inode(b"\2\0" + inode[2:], 4096).blocks == fmt.MAX_BLOCKS
    long = struct.pack("<16xQQQIIII", 96, (1 << 32) + 1, 0, 1, fmt.NO_FRAGMENT, 0, 0)
    with pytest.raises(BundleError, match="squashfs"):
        fmt.parse_file_inode(b"\x09\0" + long[2:], 4096)


def test_a_directory_above_the_limit_is_refused():
    long = struct.pack("<16xIIIIHHI", 2, fmt.MAX_DIRECTORY + 4, 0, 1, 0, 0, 0)
    with pytest.raises(BundleError):
        fmt.parse_directory_inode(b"\x08\0" + long[2:])


def listing(*names: bytes) -> bytes:
    entries = b"".join(struct.pack("<HhHH", 0, 0, 2, len(name) - 1) + name for name in names)
    return struct.pack("<III", len(names) - 1, 0, 1) + entries


@pytest.mark.req("T05")
@pytest.mark.parametrize("name", [b"..", b".", b"../etc/passwd", b"a/b", b"a\0b", b"x" * 257])
def test_a_name_that_could_leave_its_folder_is_refused(name):
    with pytest.raises(BundleError):
        list(fmt.parse_listing(listing(b"good", name)))


def test_a_name_that_appears_twice_is_refused(tmp_path):
    image = make_image(tmp_path, {"name-1": b"one", "name-2": b"two"}, *BARE)
    twice = image.replace(b"name-2", b"name-1")
    assert twice != image
    with pytest.raises(BundleError, match="squashfs") as caught:
        SquashFS(MemorySource(twice))
    assert "twice" in caught.value.details
