"""Hash trees of one, two and three levels go both ways with rauc 1.8, and damage in any level is found by both."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import IMAGE_NAME, make_content
from support.mutation_stock import Stock, make_stock, manifest_of, value_of, verity_over
from support.rauc import rauc_bundle, system_conf
from support.tampering import Parts, flipped, parts_of
from support.verdicts import Verdict, our_verdict, rauc_verdict

from agent.bundle.verity import tree_levels

PKI = shared_pki()
SIZES = {1: 300_000, 2: 3_000_000, 3: 70_000_000}  # bytes of image; 128 digests to a block: 512 KiB, 64 MiB, 8 GiB


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return make_stock(tmp_path_factory.mktemp("stock"), PKI)


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rauc")
    return system_conf(folder, PKI.keyring(folder))


def by_rauc(folder: Path, levels: int) -> Path:
    """A bundle whose image is zeros that mksquashfs stores as they are."""
    content = make_content(
        folder / "content", version="1", compatible="demo-board", image=bytes(SIZES[levels]),
        extra="[bundle]\nformat=verity\n",
    )  # fmt: skip
    return rauc_bundle(content, folder / "theirs.raucb", PKI.signer(), "-noD", "-noF", "-no-sparse")


def levels_of(parts: Parts) -> tuple[int, ...]:
    """Blocks of each level of the tree, the top first."""
    return tree_levels(len(parts.payload) - int(value_of(manifest_of(parts), b"verity-size")))


@pytest.mark.req("C11")
@pytest.mark.parametrize("levels", SIZES)
def test_a_tree_by_rauc_is_ours_too(levels: int, tmp_path: Path) -> None:
    bundle = by_rauc(tmp_path, levels)
    assert len(levels_of(parts_of(bundle))) == levels
    assert our_verdict(bundle, PKI) == Verdict()


@pytest.mark.req("C11")
@pytest.mark.parametrize("levels", SIZES)
def test_a_tree_by_us_is_good_for_rauc(levels: int, stock: Stock, conf: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "ours.raucb"
    bundle.write_bytes(verity_over(stock, stock.squashfs, pad=SIZES[levels] // 4096 * 4096))
    assert len(levels_of(parts_of(bundle))) == levels
    assert rauc_verdict(bundle, conf, tmp_path) == (0, 0)
    assert (tmp_path / "extracted" / IMAGE_NAME).stat().st_size == 300_000


@pytest.mark.slow
@pytest.mark.req("T09")
def test_damage_in_each_of_three_levels_is_found(conf: Path, tmp_path: Path) -> None:
    parts = parts_of(by_rauc(tmp_path, 3))
    blocks = levels_of(parts)
    tree = len(parts.payload) - sum(blocks) * 4096
    wrong = tmp_path / "wrong.raucb"
    for name, at, stage in (
        ("top", tree, "opening"),
        ("middle", tree + blocks[0] * 4096, "opening"),
        ("lowest", tree + (blocks[0] + blocks[1]) * 4096, "opening"),
        ("end of the lowest", len(parts.payload) - 1, "opening"),
        ("first block that is not read at once", 1 << 20, "reading"),
    ):
        wrong.write_bytes(Parts(flipped(parts.payload, at), parts.cms).joined())
        assert our_verdict(wrong, PKI) == Verdict("bundle.payload-corrupt", stage), name
        assert rauc_verdict(wrong, conf, tmp_path) == (0, 1), name
