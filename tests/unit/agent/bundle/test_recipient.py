"""The key of a device for encrypted bundles: only a good one, and only one that nobody else can read."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from pki.build import shared_pki

from agent.bundle.recipient import load_recipient_key
from agent.errors import ConfigError

PKI = shared_pki()


def written(tmp_path: Path, name: str) -> tuple[Path, Path]:
    certificate, key = PKI.signer(name).write(tmp_path)
    key.chmod(0o600)
    return certificate, key


def refused(*arguments: Path, passphrase: bytes | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_recipient_key(*arguments, passphrase=passphrase)
    return caught.value.code


@pytest.mark.parametrize("name", ["good", "rsa2048", "p521"])
def test_a_key_and_its_certificate_are_read(name: str, tmp_path: Path) -> None:
    certificate, key = written(tmp_path, name)
    loaded = load_recipient_key(key, certificate)
    assert loaded.certificate == PKI.signer(name).certificate
    assert load_recipient_key(key).certificate is None


@pytest.mark.req("T09")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    _, key = written(tmp_path, "good")
    key.chmod(mode)
    assert refused(key) == "encryption.key-readable"


def test_a_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    assert refused(written(tmp_path, "good")[1], written(tmp_path, "good-2")[0]) == "encryption.key-invalid"


@pytest.mark.parametrize("content", [b"", b"no pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    assert refused(path) == "encryption.key-invalid"


def test_a_kind_of_key_that_cannot_open_anything_is_refused(tmp_path: Path) -> None:
    assert refused(written(tmp_path, "ed25519")[1]) == "encryption.key-invalid"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == "encryption.key-invalid"


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(
        PKI.signer("good").key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert load_recipient_key(path, passphrase=b"secret").key
    assert refused(path) == "encryption.key-invalid"
    assert refused(path, passphrase=b"wrong") == "encryption.key-invalid"
