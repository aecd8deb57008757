"""Every format with every key, compression and chain goes both ways between us and Debian's rauc 1.8."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import IMAGE_NAME, opened, trust_in
from support.matrix import CASES, FILES, Case, files_in, write_content
from support.rauc import encryption_conf, rauc, rauc_bundle, system_conf
from support.rauc_service import installed_by_rauc
from support.signing import signer_of

from agent.bundle.enveloped import RecipientKey
from agent.bundle.verify import verify_bundle
from agent.bundler.build import create
from agent.bundler.cli import main
from agent.bundler.content import read_directory
from agent.bundler.opening import check_all

PKI = shared_pki()


def conf_of(folder: Path, case: Case) -> Path:
    keyring = PKI.keyring(folder)
    return encryption_conf(folder, keyring, PKI.signer(case.signer)) if case.encrypted else system_conf(folder, keyring)


def made_by_us(folder: Path, case: Case) -> Path:
    signer, bundle = PKI.signer(case.signer), folder / "ours.raucb"
    create(
        read_directory(write_content(folder / "content", case)),
        bundle,
        signer=signer_of(signer),
        intermediates=signer.intermediates,
        compression=case.compression,
        bundle_format=case.format,
    )
    if not case.encrypted:
        return bundle
    certificate, _ = signer.write(folder)
    closed = folder / "ours-encrypted.raucb"
    argv = ["encrypt", str(bundle), str(closed), "--keyring", str(PKI.keyring(folder)), "--to", str(certificate)]
    assert main(argv) == 0
    return closed


def made_by_rauc(folder: Path, case: Case) -> Path:
    signer = PKI.signer(case.signer)
    content = write_content(folder / "content", case)
    bundle = rauc_bundle(content, folder / "theirs.raucb", signer, "-comp", case.compression)
    if not case.encrypted:
        return bundle
    certificate, _ = signer.write(folder)
    closed = folder / "theirs-encrypted.raucb"
    done = rauc("encrypt", f"--to={certificate}", bundle, closed, conf=system_conf(folder, PKI.keyring(folder)))
    assert done.returncode == 0, done.stderr
    return closed


@pytest.mark.req("C11")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_bundle_by_rauc_comes_out_byte_for_byte(case: Case, tmp_path: Path) -> None:
    key = RecipientKey(PKI.signer(case.signer).key)
    with opened(made_by_rauc(tmp_path, case)) as source:
        bundle = verify_bundle(source, trust_in(PKI), PKI.now, keys=[key] if case.encrypted else [])
        check_all(bundle, lambda _what, _done, _total: None)
        assert (bundle.format, bundle.encrypted) == (case.format, case.encrypted)
        found = {name: bundle.files.open(name).read(1 << 20) for name in bundle.files.listdir()}
    found.pop("manifest.raucm")
    assert found == FILES


@pytest.mark.req("C11")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_our_bundle_comes_out_of_rauc_byte_for_byte(case: Case, tmp_path: Path) -> None:
    path, conf = made_by_us(tmp_path, case), conf_of(tmp_path, case)
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
