"""Encrypted bundles go both ways between us and Debian's rauc 1.8."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import IMAGE_NAME, make_bundle, make_content, opened, some_image, trust_in
from support.rauc import encryption_conf, rauc, rauc_bundle, system_conf

from agent.bundle.enveloped import RecipientKey
from agent.bundle.verify import verify_bundle
from agent.bundler.cli import main

PKI = shared_pki()
IMAGE = some_image(700_001)
RECIPIENTS = ("rsa2048", "rsa4096", "good-2", "p384", "p521")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made and encrypted by rauc."""
    folder = tmp_path_factory.mktemp("theirs")
    content = make_content(
        folder / "content", version="3", compatible="demo-board", image=IMAGE, extra="[bundle]\nformat=crypt\n"
    )
    made = rauc_bundle(content, folder / "open.raucb", PKI.signer("good-intermediate"))
    to = [f"--to={PKI.signer(name).write(folder)[0]}" for name in RECIPIENTS]
    done = rauc("encrypt", *to, made, folder / "closed.raucb", conf=system_conf(folder, PKI.keyring(folder)))
    assert done.returncode == 0, done.stderr
    return folder / "closed.raucb"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made and encrypted by ota-bundle."""
    folder = tmp_path_factory.mktemp("ours")
    made = make_bundle(folder, image=IMAGE, format="crypt", signer="good-intermediate")
    to = [option for name in RECIPIENTS for option in ("--to", str(PKI.signer(name).write(folder)[0]))]
    assert main(["encrypt", str(made), str(folder / "closed.raucb"), "--keyring", str(PKI.keyring(folder)), *to]) == 0
    return folder / "closed.raucb"


@pytest.mark.req("C11")
@pytest.mark.parametrize("named", [True, False], ids=["by certificate", "by trying"])
@pytest.mark.parametrize("name", RECIPIENTS)
def test_what_rauc_encrypted_comes_out_byte_for_byte(name: str, named: bool, theirs: Path) -> None:
    identity = PKI.signer(name)
    key = RecipientKey(identity.key, identity.certificate if named else None)  # type: ignore[arg-type]
    with opened(theirs) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now, keys=[key])
        assert bundle.format == "crypt"
        assert b"".join(bundle.image_file(bundle.manifest.images[0]).blocks()) == IMAGE


@pytest.mark.parametrize("name", RECIPIENTS)
def test_rauc_opens_what_we_encrypted(name: str, ours: Path, tmp_path: Path) -> None:
    conf = encryption_conf(tmp_path, PKI.keyring(tmp_path), PKI.signer(name))
    done = rauc("extract", ours, tmp_path / "out", conf=conf)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / IMAGE_NAME).read_bytes() == IMAGE


def test_rauc_refuses_what_was_encrypted_for_others(ours: Path, tmp_path: Path) -> None:
    conf = encryption_conf(tmp_path, PKI.keyring(tmp_path), PKI.signer("good"))
    assert rauc("info", ours, conf=conf).returncode != 0


def test_rauc_encrypts_the_open_bundle_that_we_made(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, image=IMAGE, format="crypt")
    certificate, _ = PKI.signer("p384").write(tmp_path)
    closed = tmp_path / "closed.raucb"
    done = rauc("encrypt", f"--to={certificate}", made, closed, conf=system_conf(tmp_path, PKI.keyring(tmp_path)))
    assert done.returncode == 0, done.stderr
    with opened(closed) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now, keys=[RecipientKey(PKI.signer("p384").key)])  # type: ignore[arg-type]
        assert b"".join(bundle.image_file(bundle.manifest.images[0]).blocks()) == IMAGE
