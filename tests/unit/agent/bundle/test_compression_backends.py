"""All implementations of a compressor give the same bytes and the same verdicts, on good input and on bad."""

from __future__ import annotations

import random
import sys
import types
from functools import cache

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support.zstd import STDLIB_ZSTD, ZSTD_BACKENDS

from agent.bundle import compression
from agent.bundle.compression import LZ4, ZSTD, decompressor
from agent.errors import BundleError

BACKENDS = {ZSTD: ZSTD_BACKENDS, LZ4: ("lz4.block", "ctypes")}
LIMIT = 131072
CHANCE = random.Random(1)
CONTENT = b"".join(CHANCE.randbytes(7) * 5 for _ in range(3000))[:100_000]


@cache
def unpackers(kind):
    return [decompressor(kind, backend) for backend in BACKENDS[kind]]


def verdicts(kind, data, limit=LIMIT):
    """What each backend makes of the data: its bytes, or the code of the refusal."""
    found = []
    for unpack in unpackers(kind):
        try:
            found.append(unpack(data, limit))
        except BundleError as error:
            found.append(error.code)
    return found


def same_verdict(kind, data, limit=LIMIT):
    first, *others = verdicts(kind, data, limit)
    assert all(other == first for other in others), [str(each)[:60] for each in (first, *others)]
    return first


def frame(data=CONTENT, **options):
    return zstandard.ZstdCompressor(**options).compress(data)


def streamed(data=CONTENT, window=17):
    options = zstandard.ZstdCompressionParameters(window_log=window)
    stream = zstandard.ZstdCompressor(compression_params=options).compressobj()
    return stream.compress(data) + stream.flush()


DICTIONARY = zstandard.train_dictionary(4096, [CONTENT[at : at + 500] for at in range(0, 90_000, 500)])
SKIPPABLE = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
GOOD_ZSTD = {
    "plain": frame(),
    "with checksum": frame(write_checksum=True),
    "without size": frame(write_content_size=False),
    "streamed": streamed(),
    "with a window of 1 MiB": streamed(window=20),
    "hard": frame(level=19),
    "stored": frame(random.Random(2).randbytes(100_000)),
}
BAD_ZSTD = {
    "nothing": b"",
    "only the magic number": frame()[:4],
    "cut": frame()[:-1],
    "checksum wrong": frame(write_checksum=True)[:-1] + b"x",
    "bytes after it": frame() + b"x",
    "bytes after a frame without size": frame(write_content_size=False) + b"x",
    "two frames without size": frame(CONTENT[:9], write_content_size=False) + frame(CONTENT[9:], write_content_size=False),
    "two frames": frame(CONTENT[:50_000]) + frame(CONTENT[50_000:]),
    "a skippable frame after it": frame() + SKIPPABLE,
    "a skippable frame before it": SKIPPABLE + frame(),
    "only a skippable frame": SKIPPABLE,
    "the old magic number": b"\x27" + frame()[1:],
    "a window of 2 MiB": streamed(window=21),
    "a block larger than the window": streamed()[:5] + b"\0" + streamed()[6:],
    "a window of 128 MiB": streamed(window=27),
    "one byte more than allowed": frame(bytes(LIMIT + 1)),
    "one byte more, without size": frame(bytes(LIMIT + 1), write_content_size=False),
    "a dictionary with an id": frame(dict_data=DICTIONARY),
}  # fmt: skip
PACKED_LZ4 = lz4.block.compress(CONTENT, store_size=False)
BAD_LZ4 = {
    "nothing": b"",
    "cut": PACKED_LZ4[:-1],
    "bytes after it": PACKED_LZ4 + b"x",
    "with a size": lz4.block.compress(CONTENT),
}


@pytest.mark.parametrize("name", GOOD_ZSTD)
def test_a_good_zstd_frame_unpacks_to_the_same_bytes_everywhere(name):
    assert len(same_verdict(ZSTD, GOOD_ZSTD[name])) == 100_000


def test_a_good_lz4_block_unpacks_to_the_same_bytes_everywhere():
    assert same_verdict(LZ4, PACKED_LZ4) == CONTENT
    assert same_verdict(LZ4, PACKED_LZ4, len(CONTENT)) == CONTENT
    assert same_verdict(LZ4, lz4.block.compress(CONTENT, mode="high_compression", store_size=False)) == CONTENT


@pytest.mark.req("T16")
@pytest.mark.parametrize("name", BAD_ZSTD)
def test_a_bad_zstd_frame_is_refused_everywhere(name):
    assert same_verdict(ZSTD, BAD_ZSTD[name]) == "bundle.squashfs-invalid"


@pytest.mark.req("T16")
@pytest.mark.parametrize("name", BAD_LZ4)
def test_a_bad_lz4_block_is_refused_everywhere(name):
    assert same_verdict(LZ4, BAD_LZ4[name]) == "bundle.squashfs-invalid"


@pytest.mark.req("T16")
@pytest.mark.parametrize("kind", [ZSTD, LZ4])
def test_a_block_is_never_larger_than_allowed_anywhere(kind):
    packed = GOOD_ZSTD["plain"] if kind == ZSTD else PACKED_LZ4
    assert same_verdict(kind, packed, len(CONTENT) - 1) == "bundle.squashfs-invalid"


@settings(max_examples=300, deadline=None)
@given(
    at=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(0, 60), name=st.sampled_from(sorted(GOOD_ZSTD))
)
def test_a_damaged_zstd_frame_gets_the_same_verdict_everywhere(at, value, cut, name):
    data = bytearray(GOOD_ZSTD[name])
    data[at] = value
    same_verdict(ZSTD, bytes(data[: len(data) - cut]))


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(0, 60))
def test_a_damaged_lz4_block_gets_the_same_verdict_everywhere(at, value, cut):
    data = bytearray(PACKED_LZ4)
    data[at] = value
    same_verdict(LZ4, bytes(data[: len(data) - cut]))


@pytest.mark.parametrize("kind", [ZSTD, LZ4])
def test_the_first_implementation_that_is_installed_is_taken(kind, monkeypatch):
    backends = compression._ZSTD_BACKENDS if kind == ZSTD else compression._LZ4_BACKENDS
    names = list(backends)
    monkeypatch.setattr(compression.importlib.util, "find_spec", lambda name: name == names[-2] or None)
    assert compression._installed(backends) == names[-2]
    monkeypatch.setattr(compression.importlib.util, "find_spec", lambda name: None)
    assert compression._installed(backends) == "ctypes"


def test_without_zstandard_the_module_of_python_3_14_is_taken(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert compression._installed(compression._ZSTD_BACKENDS) == STDLIB_ZSTD
    assert decompressor(ZSTD)(GOOD_ZSTD["plain"], LIMIT) == CONTENT


def test_the_module_of_python_3_14_is_used_under_its_own_name(monkeypatch):
    if sys.version_info < (3, 14):
        from backports import zstd

        package = types.ModuleType("compression")
        package.__path__ = []
        monkeypatch.setitem(sys.modules, "compression", package)
        monkeypatch.setitem(sys.modules, "compression.zstd", zstd)
    assert decompressor(ZSTD, "compression.zstd")(GOOD_ZSTD["plain"], LIMIT) == CONTENT
