"""The trailer: found with one read, and never believed beyond the file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bundle.layout import MAX_SIGNATURE, CachedTail, read_trailer
from agent.errors import BundleError


class CountedSource:
    """Bytes in memory that count how often they are asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        assert 0 <= offset <= offset + length <= len(self.data)
        return self.data[offset : offset + length]

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        yield self.read_at(offset, length)


def bundle(payload: int, signature: int) -> bytes:
    return b"p" * payload + b"s" * signature + signature.to_bytes(8, "big")


@pytest.mark.parametrize(("signature", "reads"), [(1, 1), (16 * 1024 - 8, 1), (16 * 1024, 2), (MAX_SIGNATURE, 2)])
def test_the_signature_is_found_with_one_read_or_two(signature: int, reads: int) -> None:
    source = CountedSource(bundle(100_000, signature))
    trailer = read_trailer(source)
    assert trailer.payload_size == 100_000
    assert trailer.cms == b"s" * signature
    assert len(source.reads) == reads
    assert sum(length for _, length in source.reads) <= max(16 * 1024, signature + 8)


def test_a_small_file_is_read_once_as_a_whole() -> None:
    source = CountedSource(bundle(0, 5))
    assert read_trailer(source).cms == b"sssss"
    assert source.reads == [(0, 13)]


@pytest.mark.parametrize("length", [0, 1, 7, 8])
def test_a_file_too_short_for_a_signature_is_truncated(length: int) -> None:
    with pytest.raises(BundleError) as caught:
        read_trailer(CountedSource(bytes(length)))
    assert caught.value.code == "bundle.truncated"


@pytest.mark.req("T16")
@settings(deadline=None)
@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda head: head + bytes(7) + b"\x20"))
def test_any_bytes_give_a_trailer_within_the_file_or_a_refusal(data: bytes) -> None:
    length = int.from_bytes(data[-8:], "big")
    if len(data) > 8 and 0 < length <= len(data) - 8:
        trailer = read_trailer(CountedSource(data))
        assert trailer.payload_size + len(trailer.cms) + 8 == len(data)
        assert data[trailer.payload_size : -8] == trailer.cms
    else:
        with pytest.raises(BundleError):
            read_trailer(CountedSource(data))


def test_what_lies_in_the_tail_is_not_read_again() -> None:
    source = CountedSource(bundle(100_000, 50))
    cached = CachedTail(source, read_trailer(source).tail)
    source.reads.clear()
    assert cached.read_at(99_990, 20) == b"p" * 10 + b"s" * 10
    assert b"".join(cached.stream(99_990, 20)) == b"p" * 10 + b"s" * 10
    assert source.reads == []
    assert cached.read_at(10, 99_000) == b"p" * 99_000
    assert b"".join(cached.stream(0, 5)) == b"ppppp"
    assert cached.size == source.size
    assert source.reads == [(10, 99_000), (0, 5)]
