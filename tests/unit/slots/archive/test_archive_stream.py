"""Promises of reading archives: every compressor, and nothing that is broken, cut or followed by something passes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from support.handling import archive, entry

from slots.archive.decode import decoded, require
from slots.archive.policy import Policy
from slots.archive.stream import Stream
from slots.archive.unpack import unpack
from slots.errors import SlotError

TEXT = random.Random(5).randbytes(50_000) + bytes(3_000_000) + random.Random(6).randbytes(50_000)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress,
}  # fmt: skip


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def code(data: bytes, use: Callable[[bytes], object] = lambda data: list(decoded(pieces(data, 1000)))) -> str:
    with pytest.raises(SlotError) as caught:
        use(data)
    return caught.value.code


def read(data: bytes, top: Path) -> str:
    top.mkdir(exist_ok=True)
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return unpack(Stream(pieces(data, 5000), 2**24, lambda _: None), fd, Policy(2**24))[1]
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("size", [7, 4096, 10**7])
def test_what_was_compressed_comes_out_in_bounded_pieces(kind: str, size: int) -> None:
    data = COMPRESS[kind](TEXT)
    out = list(decoded(pieces(data, size)))
    assert b"".join(out) == TEXT
    assert max(map(len, out)) < len(TEXT)


@pytest.mark.parametrize("kind", COMPRESS)
def test_several_streams_after_each_other_are_one(kind: str) -> None:
    data = COMPRESS[kind](TEXT[:99]) + COMPRESS[kind](TEXT[99:])
    for size in (50, 10**7):
        assert b"".join(decoded(pieces(data, size))) == TEXT


@pytest.mark.parametrize("kind", COMPRESS)
def test_zeros_behind_a_stream_are_padding(kind: str) -> None:
    for size in (50, 10**7):
        assert b"".join(decoded(pieces(COMPRESS[kind](TEXT) + bytes(1024), size))) == TEXT


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_stream_that_is_cut_is_refused(kind: str) -> None:
    data = COMPRESS[kind](TEXT)
    assert code(data[:-1]) == "slot.archive-invalid"
    assert code(data[: len(data) // 2]) == "slot.archive-invalid"


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_stream_with_something_else_behind_it_is_refused(kind: str) -> None:
    assert code(COMPRESS[kind](TEXT) + b"something else") == "slot.archive-invalid"


@pytest.mark.parametrize("data", [b"", b"x", b"BZ", TEXT])
def test_what_is_not_compressed_passes_as_it_is(data: bytes) -> None:
    assert b"".join(decoded(pieces(data, 3000))) == data


def test_without_a_library_for_zstd_such_an_archive_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SlotError) as caught:
        require("rootfs.tar.zst")
    assert caught.value.code == "slot.archive-decoder"
    require("rootfs.tar.xz")


@pytest.mark.req("C11")
def test_the_digest_is_that_of_the_archive_as_it_was_given(tmp_path: Path) -> None:
    data = archive((entry("a"), b"x" * 100_000), mode="w:xz")
    assert read(data, tmp_path / "top") == hashlib.sha256(data).hexdigest()


WHOLE = archive((entry("a"), b"x" * 1000), (entry("b"), b"y" * 1000))


@pytest.mark.req("C11", "T03")
@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "no-archive": b"<html>log in to the hotel</html>" * 99,
        "cut-in-a-header": WHOLE[:700],
        "cut-in-a-file": WHOLE[:2000],
        "cut-between-members": WHOLE[:1536],
        "without-an-end-mark": WHOLE[:3072],
        "a-header-with-a-wrong-checksum": WHOLE[:1536] + b"?" + WHOLE[1537:],
        "something-behind-the-end": WHOLE + b"more",
        "a-second-archive-behind-the-end": WHOLE + WHOLE,
    }.items(),
    ids=lambda case: case[0],
)
def test_an_archive_that_is_not_whole_is_refused(data: tuple[str, bytes], tmp_path: Path) -> None:
    assert code(data[1], lambda data: read(data, tmp_path / "top")) == "slot.archive-invalid"
