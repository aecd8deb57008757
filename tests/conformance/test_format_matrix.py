"""Every format with every key, compression and chain goes both ways between us and Debian's rauc 1.8."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import IMAGE_NAME, opened, trust_in
from support.matrix import CASES, FILES, Case, files_in, write_content
from support.rauc import rauc, rauc_bundle, system_conf
from support.rauc_service import installed_by_rauc

from agent.bundle.verify import verify_bundle
from agent.bundler.build import create
from agent.bundler.opening import check_all

PKI = shared_pki()


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rauc")
    return system_conf(folder, PKI.keyring(folder))


def made_by_us(folder: Path, case: Case) -> Path:
    signer = PKI.signer(case.signer)
    create(
        write_content(folder / "content", case),
        folder / "ours.raucb",
        cert=signer.certificate,
        key=signer.key,
        intermediates=signer.intermediates,
        compression=case.compression,
        bundle_format=case.format,
    )
    return folder / "ours.raucb"


@pytest.mark.req("C11")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_bundle_by_rauc_comes_out_byte_for_byte(case: Case, tmp_path: Path) -> None:
    content = write_content(tmp_path / "content", case)
    path = rauc_bundle(content, tmp_path / "theirs.raucb", PKI.signer(case.signer), "-comp", case.compression)
    with opened(path) as source:
        bundle = verify_bundle(source, trust_in(PKI), PKI.now)
        check_all(bundle, lambda _what, _done, _total: None)
        assert bundle.format == case.format
        found = {name: bundle.files.open(name).read(1 << 20) for name in bundle.files.listdir()}
    found.pop("manifest.raucm")
    assert found == FILES


@pytest.mark.req("C11")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_our_bundle_comes_out_of_rauc_byte_for_byte(case: Case, tmp_path: Path, conf: Path) -> None:
    path = made_by_us(tmp_path, case)
    info = rauc("info", path, conf=conf)
    assert info.returncode == 0, info.stderr
    extract = rauc("extract", path, tmp_path / "out", conf=conf)
    assert extract.returncode == 0, extract.stderr
    assert files_in(tmp_path / "out") == FILES


@pytest.mark.req("C11")
@pytest.mark.root
@pytest.mark.parametrize("case", [case for case in CASES if case.format == "plain"], ids=str)
def test_our_plain_bundle_is_installed_by_rauc(case: Case, tmp_path: Path) -> None:
    slots = installed_by_rauc(made_by_us(tmp_path, case), PKI.keyring(tmp_path), tmp_path / "system")
    for slot_class, name in (("rootfs", IMAGE_NAME), ("appfs", "another image, with spaces.img")):
        assert slots[slot_class][: len(FILES[name])] == FILES[name]
