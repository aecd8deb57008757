from __future__ import annotations

import functools
import hashlib
import os
import threading
from pathlib import Path

import pytest
from support.squashfs_images import MemorySource, compressible, make_image, pack

from agent.bundle.source import FileSource
from agent.bundle.squashfs import SquashFS
from agent.errors import BundleError

SIZES = {"4K": 4096, "128K": 131072, "1M": 1048576}
COMPRESSORS = [("gzip", ""), ("xz", ""), ("lz4", ""), ("zstd", "zstandard"), ("zstd", "ctypes")]


@functools.cache
def content_around_block_borders(block: int) -> dict[str, bytes]:
    files = {f"of-{size}": compressible(size, size) for n in (0, 1) for size in border(n * block)}
    files["noise"] = os.urandom(block + block // 2)
    files["all-zero"] = bytes(2 * block)
    files["holes"] = bytes(block) + compressible(block, 1) + bytes(2 * block) + b"end" + bytes(block - 3) + bytes(7)
    files["one-byte"] = b"x"
    return files


def border(size: int) -> list[int]:
    return [n for n in (size - 1, size, size + 1, size + 77) if n >= 0]


@pytest.mark.parametrize("tails", ["-no-fragments", "-always-use-fragments"])
@pytest.mark.parametrize("block", SIZES)
@pytest.mark.parametrize(("compressor", "backend"), COMPRESSORS, ids=lambda value: value or "default")
def test_every_file_reads_back_as_it_was_packed(tmp_path, compressor, backend, block, tails):
    files = content_around_block_borders(SIZES[block])
    image = make_image(tmp_path, files, "-comp", compressor, "-b", block, tails)
    system = SquashFS(MemorySource(image), backend=backend)
    assert system.block_size == SIZES[block]
    assert set(system.listdir()) == set(files)
    for name, data in files.items():
        file = system.open(name)
        pieces = list(file.blocks())
        assert file.size == len(data)
        assert b"".join(pieces) == data, name
        assert all(len(piece) == system.block_size for piece in pieces[:-1])


@pytest.mark.parametrize("options", [("-noD",), ("-noI", "-noD", "-noF"), ("-noF",)], ids=str)
def test_blocks_that_are_stored_unpacked_are_read(tmp_path, options):
    files = content_around_block_borders(131072)
    system = SquashFS(MemorySource(make_image(tmp_path, files, *options)))
    assert {name: system.open(name).read(10**7) for name in system.listdir()} == files


def test_a_branch_filter_of_xz_is_understood(tmp_path):
    files = {"image": Path("/bin/true").read_bytes() * 4}
    system = SquashFS(MemorySource(make_image(tmp_path, files, "-comp", "xz", "-Xbcj", "x86", "-Xdict-size", "100%")))
    assert system.open("image").read(10**7) == files["image"]


@pytest.mark.parametrize("block", SIZES)
def test_reading_can_start_at_any_block_border(tmp_path, block):
    size = SIZES[block]
    data = bytes(size) + compressible(3 * size + 99, 5)
    file = SquashFS(MemorySource(make_image(tmp_path, {"image": data}, "-b", block))).open("image")
    for start in range(0, len(data), size):
        assert b"".join(file.blocks(start)) == data[start:]


@pytest.mark.parametrize("start", [-131072, 1, 4096, 1 << 40])
def test_a_start_that_is_no_block_border_within_the_file_is_refused(tmp_path, start):
    file = SquashFS(MemorySource(make_image(tmp_path, {"image": bytes(300000)}))).open("image")
    with pytest.raises(ValueError, match="no block border"):
        file.blocks(start)


def test_starting_at_the_end_of_a_file_yields_nothing(tmp_path):
    file = SquashFS(MemorySource(make_image(tmp_path, {"image": b"x" * 262144}))).open("image")
    assert list(file.blocks(262144)) == []


def test_a_directory_of_many_names_is_listed_completely(tmp_path):
    files = {f"a-file-with-quite-a-long-name-{n:05}": b"%d" % n for n in range(3000)}
    system = SquashFS(MemorySource(make_image(tmp_path, files)))
    assert set(system.listdir()) == set(files)
    for name in list(files)[::97]:
        assert system.open(name).read(10) == files[name]


def test_extended_inodes_are_read(tmp_path):
    content = tmp_path / "content"
    content.mkdir()
    (content / "first").write_bytes(compressible(200000, 3))
    os.link(content / "first", content / "second")
    image = pack(content, tmp_path / "image.squashfs", "-no-xattrs")
    system = SquashFS(MemorySource(image))
    assert system.open("second").read(10**6) == (content / "first").read_bytes()


def test_other_kinds_of_file_are_listed_but_not_opened(tmp_path):
    content = tmp_path / "content"
    (content / "folder").mkdir(parents=True)
    (content / "link").symlink_to("target")
    os.mkfifo(content / "pipe")
    (content / "target").write_bytes(b"content")
    system = SquashFS(MemorySource(pack(content, tmp_path / "image.squashfs")))
    assert set(system.listdir()) == {"folder", "link", "pipe", "target"}
    for name in ("folder", "link", "pipe"):
        with pytest.raises(BundleError) as caught:
            system.open(name)
        assert caught.value.code == "bundle.file-not-regular"


def test_an_empty_bundle_has_no_names_and_no_files(tmp_path):
    system = SquashFS(MemorySource(make_image(tmp_path, {})))
    assert system.listdir() == ()
    with pytest.raises(BundleError) as caught:
        system.open("rootfs.img")
    assert caught.value.code == "bundle.file-missing"


def test_a_name_with_a_slash_opens_nothing(tmp_path):
    system = SquashFS(MemorySource(make_image(tmp_path, {"image": b"x"})))
    for name in ("/image", "./image", "../image", "content/image", ""):
        with pytest.raises(BundleError) as caught:
            system.open(name)
        assert caught.value.code == "bundle.file-missing"


def test_a_file_above_the_limit_is_not_read(tmp_path):
    file = SquashFS(MemorySource(make_image(tmp_path, {"image": bytes(5000)}))).open("image")
    with pytest.raises(BundleError) as caught:
        file.read(4999)
    assert caught.value.code == "bundle.file-too-large"
    assert len(file.read(5000)) == 5000


def test_the_data_of_an_image_is_fetched_with_one_sequential_request(tmp_path):
    files = {"image": compressible(3_000_000, 9), "manifest": b"small"}
    source = MemorySource(make_image(tmp_path, files))
    system = SquashFS(source)
    assert len(source.requests) <= 2, "the superblock, and the tables at the end"
    source.requests.clear()
    assert b"".join(system.open("image").blocks()) == files["image"]
    lengths = [length for _, length in source.requests]
    assert sum(length > 1_000_000 for length in lengths) == 1
    assert len(lengths) <= 2, "the data, and the fragment that holds the tail"


def test_a_reader_that_gives_up_leaves_no_thread_behind(tmp_path):
    data = compressible(3_000_000, 9)
    pieces = SquashFS(MemorySource(make_image(tmp_path, {"image": data}))).open("image").blocks()
    assert next(pieces) == data[:131072]
    pieces.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("unpack")] == []


def test_two_files_can_be_read_by_turns(tmp_path):
    files = {"a": compressible(700_000, 1), "b": compressible(700_000, 2)}
    system = SquashFS(MemorySource(make_image(tmp_path, files)))
    pairs = list(zip(system.open("a").blocks(), system.open("b").blocks(), strict=True))
    assert b"".join(a for a, _ in pairs) == files["a"]
    assert b"".join(b for _, b in pairs) == files["b"]


def test_the_padding_after_the_file_system_is_ignored(tmp_path):
    files = {"image": compressible(300_000, 1)}
    image = make_image(tmp_path, files)
    assert SquashFS(MemorySource(image + os.urandom(8192))).open("image").read(10**6) == files["image"]


def test_a_file_on_disk_reads_like_one_in_memory(tmp_path):
    data = compressible(2_500_000, 4)
    make_image(tmp_path, {"image": data}, "-comp", "zstd")
    fd = os.open(tmp_path / "image.squashfs", os.O_RDONLY)
    try:
        digest = hashlib.sha256()
        for piece in SquashFS(FileSource(fd)).open("image").blocks():
            digest.update(piece)
    finally:
        os.close(fd)
    assert digest.digest() == hashlib.sha256(data).digest()
