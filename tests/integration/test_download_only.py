"""Downloaded is said of a bundle whose every byte was fetched and verified, and nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bundles import make_bundle, some_image
from support.installing import MIB, Chain, chain, error_code
from support.server import Running, running_server

SIZE = 6 * MIB


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
def ends(tmp_path: Path, running: Running) -> Iterator[Chain]:
    with chain(tmp_path, running) as both:
        yield both


def fetched(ends: Chain, running: Running, bundle: Path) -> object:
    size = bundle.stat().st_size
    _, url = running.offer(bundle)
    answer = ends.ask("inspect", url, size)
    assert answer.op == "inspected", answer.header
    return ends.ask("fetch", url, size, manifest_hash=answer.text("manifest_hash"))


@pytest.mark.req("S01")
@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_the_whole_bundle_is_fetched_and_the_slot_is_not_touched(
    ends: Chain, running: Running, tmp_path: Path, kind: str
) -> None:
    bundle = make_bundle(tmp_path, image=some_image(SIZE), format=kind)
    assert fetched(ends, running, bundle).op == "fetched"  # type: ignore[attr-defined]  # a frame
    sent = sum(seen.sent for seen in running.server.requests("/artifacts/"))
    assert sent >= bundle.stat().st_size
    assert not ends.slot.read_bytes().strip(b"\0")


@pytest.mark.req("C11")
def test_a_bundle_with_a_damaged_block_is_not_downloaded(ends: Chain, running: Running, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, image=some_image(SIZE))
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert error_code(fetched(ends, running, bundle)) == "bundle.payload-corrupt"  # type: ignore[arg-type]  # a frame
