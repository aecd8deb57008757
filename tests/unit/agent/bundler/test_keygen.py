"""The development PKI."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.bundle.keyring import load_keyring
from agent.bundle.trust import check_chain
from agent.bundler.keygen import make_pki
from agent.errors import BundleError, OtaError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_the_signer_is_believed_by_who_trusts_the_root(tmp_path: Path) -> None:
    pki = make_pki(tmp_path / "pki", now=NOW)
    signer, ca, root = (x509.load_pem_x509_certificate(p.read_bytes()) for p in (pki.signer, pki.ca, pki.root))
    assert check_chain(load_keyring(pki.root), signer, [ca], NOW) == (signer, ca, root)
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CODE_SIGNING]
    assert signer.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert "DEVELOPMENT" in root.subject.rfc4514_string()


def test_private_keys_are_private(tmp_path: Path) -> None:
    pki = make_pki(tmp_path / "pki", now=NOW)
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    for path in (pki.ca_key, pki.signer_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["root.pem", "ca.pem", "ca.key", "signer.pem", "signer.key"])
def test_existing_keys_are_not_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(OtaError) as caught:
        make_pki(tmp_path, now=NOW)
    assert caught.value.code == "keygen.exists"
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_the_validity_is_as_asked(tmp_path: Path) -> None:
    pki = make_pki(tmp_path, days=10, now=NOW)
    trust = load_keyring(pki.root)
    signer, ca = (x509.load_pem_x509_certificate(p.read_bytes()) for p in (pki.signer, pki.ca))
    check_chain(trust, signer, [ca], NOW + timedelta(days=9))
    with pytest.raises(BundleError) as caught:
        check_chain(trust, signer, [ca], NOW + timedelta(days=11))
    assert caught.value.code == "bundle.certificate-expired"


@pytest.mark.parametrize("days", [0, -1, 36501])
def test_an_absurd_validity_is_refused(days: int, tmp_path: Path) -> None:
    with pytest.raises(OtaError) as caught:
        make_pki(tmp_path / "pki", days=days, now=NOW)
    assert caught.value.code == "keygen.days-invalid"
    assert not (tmp_path / "pki").exists()
