"""The hash tree: built like the reference, checked from the root, and no block leaves unchecked."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bundles import opened, some_image
from support.sources import MemorySource
from support.tampering import flipped

from agent.bundle import verity
from agent.bundle.payload import BLOCK, record
from agent.bundle.verity import VerityPayload, build_tree, check_levels, open_verity, tree_levels, tree_size
from agent.errors import BundleError

SALT = bytes(range(32))
DATA = some_image(300 * BLOCK)
ROOT, TREE = build_tree([DATA], SALT)


def reference(data: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """The definition, as short as it can be said."""
    levels, level = [], data
    while not levels or len(level) > BLOCK:
        blocks = [level[start : start + BLOCK] for start in range(0, len(level), BLOCK)]
        level = b"".join(hashlib.sha256(salt + block).digest() for block in blocks)
        level += bytes(-len(level) % BLOCK)
        levels.insert(0, level)
    return hashlib.sha256(salt + level).digest(), b"".join(levels)


def opened_payload(data: bytes, tree: bytes = TREE, *, lazily: bool = False) -> VerityPayload:
    source = MemorySource(data + tree)
    return open_verity(source, len(data), len(tree), SALT, ROOT, keep_below=0 if lazily else verity.KEEP_BELOW)


@pytest.mark.parametrize("blocks", [2, 127, 128, 129, 300, 128 * 128, 128 * 128 + 1])
def test_the_tree_is_that_of_the_definition(blocks: int) -> None:
    data = hashlib.sha256(str(blocks).encode()).digest() * (BLOCK // 32) * blocks
    pieces = [data[start : start + 100_000] for start in range(0, len(data), 100_000)]
    assert build_tree(pieces, SALT) == reference(data, SALT)
    assert tree_size(len(data)) == len(reference(data, SALT)[1])


@pytest.mark.req("C11")
@settings(deadline=None, max_examples=40)
@given(blocks=st.integers(2, 400), salt=st.binary(max_size=64), changed=st.integers(0, 31))
def test_a_tree_that_was_built_is_accepted_with_its_own_root_only(blocks: int, salt: bytes, changed: int) -> None:
    data = bytes(range(256)) * (BLOCK // 256 * blocks)
    root, tree = build_tree([data], salt)
    levels = tree_levels(len(data))
    lowest = check_levels(tree, levels, blocks, salt, root)
    assert lowest == hashlib.sha256(salt + data[:BLOCK]).digest() * blocks
    with pytest.raises(BundleError):
        check_levels(tree, levels, blocks, salt, flipped(root, changed))


def test_the_levels_are_counted_from_the_top() -> None:
    assert tree_levels(2 * BLOCK) == (1,)
    assert tree_levels(129 * BLOCK) == (1, 2)
    assert tree_levels((128 * 128 + 1) * BLOCK) == (1, 2, 129)


@pytest.mark.req("T16")
@pytest.mark.parametrize(
    ("size", "code"),
    [
        (-BLOCK, "bundle.payload-corrupt"),
        (0, "bundle.payload-corrupt"),
        (BLOCK, "bundle.payload-corrupt"),
        (2 * BLOCK + 1, "bundle.payload-corrupt"),
        (verity.MAX_DATA + BLOCK, "bundle.too-large"),
        (1 << 63, "bundle.too-large"),
    ],
)
def test_impossible_payloads_are_refused(size: int, code: str) -> None:
    with pytest.raises(BundleError) as caught:
        tree_levels(size)
    assert caught.value.code == code


@pytest.mark.parametrize("lazily", [False, True])
@given(offset=st.integers(0, len(DATA)), length=st.integers(0, len(DATA)), piece=st.integers(1, 70_000))
@settings(deadline=None, max_examples=40)
def test_every_range_reads_the_same_as_the_file(lazily: bool, offset: int, length: int, piece: int) -> None:
    payload = opened_payload(DATA, lazily=lazily)
    payload._source.piece = max(piece, 997)  # type: ignore[attr-defined]  odd pieces, as a network delivers them
    length = min(length, len(DATA) - offset)
    assert payload.read_at(offset, length) == DATA[offset : offset + length]
    assert b"".join(payload.stream(offset, length)) == DATA[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, len(DATA) + 1), (len(DATA), 1), (5, -1)])
def test_nothing_beyond_the_payload_is_read(offset: int, length: int) -> None:
    with pytest.raises(BundleError) as caught:
        opened_payload(DATA).read_at(offset, length)
    assert caught.value.code == "bundle.truncated"


@pytest.mark.req("C11", "T16")
@pytest.mark.parametrize("lazily", [False, True])
@settings(deadline=None)
@given(position=st.integers(0, len(TREE) - 1), mask=st.integers(1, 255))
def test_a_flipped_byte_in_the_tree_is_refused(lazily: bool, position: int, mask: int) -> None:
    with pytest.raises(BundleError) as caught:
        for _ in opened_payload(DATA, flipped(TREE, position, mask), lazily=lazily).stream(0, len(DATA)):
            pass
    assert caught.value.code == "bundle.payload-corrupt"


@pytest.mark.req("C11")
@settings(deadline=None)
@given(position=st.integers(0, len(DATA) - 1), mask=st.integers(1, 255))
def test_a_flipped_byte_in_the_data_is_never_returned(position: int, mask: int) -> None:
    payload = opened_payload(flipped(DATA, position, mask))
    pieces: list[bytes] = []
    with pytest.raises(BundleError) as caught:
        pieces.extend(payload.stream(0, len(DATA)))
    seen = b"".join(pieces)
    assert caught.value.code == "bundle.payload-corrupt"
    assert f"byte {position // BLOCK * BLOCK} " in caught.value.details
    assert seen == DATA[: len(seen)]
    assert len(seen) <= position


@pytest.mark.req("T19")
def test_a_file_that_changes_after_the_check_is_noticed() -> None:
    source = MemorySource(DATA + TREE)
    payload = open_verity(source, len(DATA), len(TREE), SALT, ROOT)
    assert payload.read_at(0, 10) == DATA[:10]
    source.data = flipped(source.data, 3)
    with pytest.raises(BundleError):
        payload.read_at(0, 10)


@pytest.mark.req("T16")
def test_padding_that_is_not_zero_is_refused_even_when_it_was_hashed() -> None:
    level = bytearray(hashlib.sha256(SALT + DATA[:BLOCK]).digest() * 2 + bytes(BLOCK - 64))
    level[-1] = 1
    root = hashlib.sha256(SALT + level).digest()
    with pytest.raises(BundleError) as caught:
        VerityPayload(MemorySource(DATA[:BLOCK] * 2 + level), 2 * BLOCK, bytes(level), SALT, root)
    assert "padding" in caught.value.details


@pytest.mark.parametrize("change", [-BLOCK, BLOCK])
def test_a_tree_of_the_wrong_size_is_refused(change: int) -> None:
    with pytest.raises(BundleError) as caught:
        open_verity(MemorySource(DATA + TREE + bytes(BLOCK)), len(DATA), len(TREE) + change, SALT, ROOT)
    assert caught.value.code == "bundle.payload-corrupt"
    with pytest.raises(BundleError):
        VerityPayload(MemorySource(DATA + TREE), len(DATA), TREE + bytes(BLOCK), SALT, ROOT)


def test_opening_costs_one_request_and_brings_the_end_of_the_payload() -> None:
    source = MemorySource(DATA + TREE)
    payload = open_verity(source, len(DATA), len(TREE), SALT, ROOT)
    assert payload.read_at(len(DATA) - 100_000, 100_000) == DATA[-100_000:]
    assert len(source.requests) == 1


def test_a_large_tree_is_fetched_in_groups_only_when_needed() -> None:
    blocks = 3 * verity._GROUP * verity.PER_BLOCK // 2
    data = bytes(blocks * BLOCK)
    root, tree = build_tree([data], SALT)
    source = MemorySource(data + tree)
    payload = open_verity(source, len(data), len(tree), SALT, root, keep_below=0)
    upper = (tree_levels(len(data))[0]) * BLOCK
    assert source.requests[-1][1] <= 128 * 1024 + upper
    source.requests.clear()
    assert sum(map(len, payload.stream(0, len(data)))) == len(data)
    groups = [each for each in source.requests if each[0] >= len(data)]
    assert [length for _, length in groups] == [verity._GROUP * BLOCK, verity._GROUP * BLOCK // 2]


def test_a_digest_that_fails_beside_the_reading_is_no_deadlock() -> None:
    class Failing:
        def update(self, _: memoryview) -> None:
            raise MemoryError("no room")

    with pytest.raises(MemoryError):
        record(MemorySource(DATA * 40), 40 * len(DATA), Failing())


@pytest.mark.req("T19")
def test_a_recorded_payload_returns_only_what_was_digested() -> None:
    data = DATA[:-100]
    source, total = MemorySource(data), hashlib.sha256()
    payload = record(source, len(data), total)
    assert total.digest() == hashlib.sha256(data).digest()
    assert payload.read_at(len(data) - 5000, 5000) == data[-5000:]
    source.data = flipped(data, -1)
    assert payload.read_at(0, 5000) == data[:5000]
    with pytest.raises(BundleError) as caught:
        payload.read_at(len(data) - 1, 1)
    assert caught.value.code == "bundle.payload-corrupt"


def test_checking_is_not_the_bottleneck_of_an_update(tmp_path: Path) -> None:
    """More than 1 GB/s on a current machine; the floor here only catches a loss of the fast path on a busy one."""
    data = some_image(64 * 1024 * 1024)
    root, tree = build_tree([data], SALT)
    path = tmp_path / "payload"
    path.write_bytes(data + tree)
    with opened(path) as source:
        payload = open_verity(source, len(data), len(tree), SALT, root)
        best = 0.0
        for _ in range(3):
            start = time.perf_counter()
            assert sum(map(len, payload.stream(0, len(data)))) == len(data)
            best = max(best, len(data) / (time.perf_counter() - start))
    assert best > 100e6
