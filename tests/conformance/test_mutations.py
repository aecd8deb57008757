"""Each row of ``support.mutations`` and ``support.manifest_mutations``, judged by us and by Debian's rauc 1.8."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki.build import shared_pki
from support import manifest_mutations, mutations
from support.mutation_stock import Mutation, Stock, make_stock
from support.rauc import system_conf
from support.verdicts import our_verdict, rauc_verdict

ROWS: dict[str, Mutation] = {
    **mutations.ROWS,
    **{f"manifest: {name}": row for name, row in manifest_mutations.ROWS.items()},
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return make_stock(tmp_path_factory.mktemp("stock"), shared_pki())


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rauc")
    return system_conf(folder, shared_pki().keyring(folder))


@pytest.mark.req("S04", "S05", "T09", "T16", "C11")
@pytest.mark.parametrize("name", ROWS)
def test_a_changed_bundle_gets_the_verdict_of_its_row(name: str, stock: Stock, conf: Path, tmp_path: Path) -> None:
    row = ROWS[name]
    bundle = tmp_path / "changed.raucb"
    bundle.write_bytes(row.make(stock))
    assert our_verdict(bundle, stock.pki) == row.ours
    assert rauc_verdict(bundle, conf, tmp_path) == row.rauc


@pytest.mark.parametrize("name", ROWS)
def test_every_difference_from_rauc_has_a_reason_and_nothing_else_has(name: str) -> None:
    assert ROWS[name].differs is bool(ROWS[name].why)
