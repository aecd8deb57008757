"""The development PKI."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.bundle.keyring import load_keyring
from agent.bundle.trust import check_chain
from agent.bundler.keygen import ALGORITHMS, Algorithm, make_pki
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


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_makes_a_pki_whose_recipient_can_read_what_is_encrypted_to_it(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    pki = make_pki(tmp_path / "pki", algorithm=algorithm, encryption=True, now=NOW)
    signer, ca = (x509.load_pem_x509_certificate(p.read_bytes()) for p in (pki.signer, pki.ca))
    check_chain(load_keyring(pki.root), signer, [ca], NOW)
    assert f"{signer.public_key().key_size}" in {"p256": "256", "p384": "384"}.get(algorithm, algorithm)
    assert pki.recipient is not None
    assert pki.recipient_key is not None
    assert stat.S_IMODE(pki.recipient_key.stat().st_mode) == 0o600
    usage = x509.load_pem_x509_certificate(pki.recipient.read_bytes()).extensions
    allowed = usage.get_extension_for_class(x509.KeyUsage).value
    assert (allowed.key_encipherment, allowed.key_agreement) == ((True, False) if "rsa" in algorithm else (False, True))
    assert not allowed.digital_signature
    argv = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes256", str(pki.recipient)]
    hidden = subprocess.run(argv, input=b"secret", capture_output=True, check=True).stdout
    argv = [
        "openssl",
        "cms",
        "-decrypt",
        "-inform",
        "DER",
        "-recip",
        str(pki.recipient),
        "-inkey",
        str(pki.recipient_key),
    ]
    assert subprocess.run(argv, input=hidden, capture_output=True, check=True).stdout == b"secret"


@pytest.mark.parametrize("name", ["recipient.pem", "recipient.key"])
def test_an_existing_recipient_is_not_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(OtaError) as caught:
        make_pki(tmp_path, encryption=True, now=NOW)
    assert caught.value.code == "keygen.exists"
    assert (tmp_path / name).read_text() == "precious"
    make_pki(tmp_path, now=NOW)
