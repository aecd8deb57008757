from __future__ import annotations

import contextlib
import lzma
import os
import threading
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support.zstd import ZSTD_BACKENDS

from agent.bundle import compression
from agent.bundle.compression import GZIP, LZ4, XZ, ZSTD, decompressor
from agent.errors import BundleError, EnvironmentFault


def lz4_block(data: bytes) -> bytes:
    """Stores data in LZ4's block format with literals only."""
    extra, length = b"", len(data) - 15
    while length >= 0:
        extra += bytes([min(length, 255)])
        length -= 255
    return (b"\xf0" + extra if len(data) >= 15 else bytes([len(data) << 4])) + data


def streamed_zstd(data: bytes) -> bytes:
    """A frame that does not announce its size."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


LZ4_BACKENDS = ("lz4.block", "ctypes")
KINDS = {
    "gzip": (GZIP, "", zlib.compress),
    "xz": (XZ, "", lambda data: lzma.compress(data, check=lzma.CHECK_CRC32, preset=1)),
    **{f"lz4 by {name}": (LZ4, name, lz4_block) for name in LZ4_BACKENDS},
    **{f"zstd by {name}": (ZSTD, name, zstandard.compress) for name in ZSTD_BACKENDS},
    **{f"streamed zstd by {name}": (ZSTD, name, streamed_zstd) for name in ZSTD_BACKENDS},
}


@pytest.fixture(params=KINDS)
def codec(request):
    kind, backend, pack = KINDS[request.param]
    return decompressor(kind, backend), pack


@pytest.mark.parametrize("size", [1, 14, 15, 4096, 131072])
def test_a_block_unpacks_to_exactly_what_was_packed(codec, size):
    unpack, pack = codec
    for data in (os.urandom(size), bytes(size)):
        assert unpack(pack(data), size) == data
        assert unpack(pack(data), size + 1000) == data


@pytest.mark.req("T16")
@pytest.mark.parametrize(
    "data", [bytes(100_001), bytes(64 << 20), os.urandom(100_001)], ids=["one more", "bomb", "noise"]
)
def test_a_block_that_unpacks_to_more_than_the_limit_is_refused(codec, data):
    unpack, pack = codec
    with pytest.raises(BundleError) as caught:
        unpack(pack(data), 100_000)
    assert caught.value.code == "bundle.squashfs-invalid"


def test_a_block_that_is_cut_off_is_refused_or_short(codec):
    unpack, pack = codec
    packed = pack(os.urandom(5000))
    for length in (0, 1, 5, len(packed) // 2, len(packed) - 1):
        with contextlib.suppress(BundleError):
            assert len(unpack(packed[:length], 5000)) < 5000


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
@pytest.mark.parametrize("kind", KINDS)
def test_arbitrary_bytes_unpack_within_the_limit_or_are_refused(kind, data):
    number, backend, _ = KINDS[kind]
    with contextlib.suppress(BundleError):
        assert len(decompressor(number, backend)(data, 1000)) <= 1000


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "lz4" not in kind])
def test_bytes_after_the_end_of_a_block_are_refused(kind):
    number, backend, pack = KINDS[kind]
    with pytest.raises(BundleError):
        decompressor(number, backend)(pack(b"content") + b"more", 1000)


def test_a_frame_that_announces_a_huge_size_takes_no_memory():
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(1 << 20)))
    frame[5:9] = (0xF000_0000).to_bytes(4, "little")  # the frame's content size field
    assert zstandard.frame_content_size(bytes(frame)) == 0xF000_0000
    for backend in ZSTD_BACKENDS:
        with pytest.raises(BundleError):
            decompressor(ZSTD, backend)(bytes(frame), 131072)


def test_an_xz_block_that_needs_a_huge_dictionary_is_refused():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 64 << 20}]
    packed = lzma.compress(b"content", lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    with pytest.raises(BundleError) as caught:
        decompressor(XZ)(packed, 1000)
    assert "emory" in caught.value.details


def test_one_function_serves_several_threads(codec):
    unpack, pack = codec
    blocks = [os.urandom(60_000) for _ in range(8)]
    packed = [pack(block) for block in blocks]
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(n for _ in range(20) for n in range(8) if unpack(packed[n], 60_000) != blocks[n])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("kind", [0, 2, 3, 7, 65535])
def test_an_unknown_compressor_is_refused_with_advice(kind):
    with pytest.raises(BundleError) as caught:
        decompressor(kind)
    assert caught.value.code == "bundle.squashfs-unsupported"
    assert "zstd" in caught.value.resolution


def test_a_missing_library_is_named():
    with pytest.raises(EnvironmentFault) as caught:
        compression._library("libnothing.so.77")
    assert caught.value.code == "bundle.decompressor-missing"
    assert "libnothing.so.77" in caught.value.details
    assert not caught.value.retryable
    with pytest.raises(EnvironmentFault, match="cannot unpack"):
        compression._module("no_such_module")
