"""``ota-bundle encrypt`` and everything that opens what it made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pki.build import pem, shared_pki
from support.bundles import IMAGE_NAME, make_bundle, make_content, some_image
from support.tampering import parts_of

from agent.bundler.cli import main

PKI = shared_pki()


@pytest.fixture
def keyring(tmp_path: Path) -> str:
    return str(PKI.keyring(tmp_path))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path, format="crypt")


def encrypt(bundle: Path, keyring: str, *names: str) -> Path:
    out = bundle.parent / "closed.raucb"
    to = [option for name in names for option in ("--to", str(PKI.signer(name).write(bundle.parent)[0]))]
    assert main(["encrypt", str(bundle), str(out), "--keyring", keyring, *to]) == 0
    return out


def failed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["good", "rsa2048"])
def test_from_content_to_extracted_files_with_the_key_of_a_recipient(
    name: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=some_image())
    certificate, key = PKI.signer("good").write(tmp_path)
    made = tmp_path / "open.raucb"
    assert (
        main(["create", str(content), str(made), "--format", "crypt", "--cert", str(certificate), "--key", str(key)])
        == 0
    )
    assert "close it with 'ota-bundle encrypt'" in capsys.readouterr().err
    closed = encrypt(made, keyring, "good", "rsa2048")
    own = str(PKI.signer(name).write(tmp_path)[1])
    assert main(["verify", str(closed), "--keyring", keyring, "--key", own]) == 0
    assert main(["extract", str(closed), str(tmp_path / "out"), "--keyring", keyring, "--key", own]) == 0
    assert (tmp_path / "out" / IMAGE_NAME).read_bytes() == some_image()


def test_many_certificates_in_one_file_are_all_recipients(bundle: Path, keyring: str, tmp_path: Path) -> None:
    names = ("good", "p384", "rsa4096")
    (tmp_path / "fleet.pem").write_bytes(b"".join(pem(PKI.signer(name).certificate) for name in names))
    out = tmp_path / "fleet.raucb"
    assert main(["encrypt", str(bundle), str(out), "--keyring", keyring, "--to", str(tmp_path / "fleet.pem")]) == 0
    for name in names:
        key = str(PKI.signer(name).write(tmp_path)[1])
        assert main(["verify", str(out), "--keyring", keyring, "--key", key]) == 0


def test_the_payload_stays_as_it_was(bundle: Path, keyring: str) -> None:
    assert parts_of(encrypt(bundle, keyring, "good")).payload == parts_of(bundle).payload


def test_without_the_key_the_error_says_what_is_needed(
    bundle: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = encrypt(bundle, keyring, "good")
    error = failed(capsys, "verify", str(closed), "--keyring", keyring)
    assert "[bundle.encrypted]" in error
    assert "--key" in error


def test_with_a_strangers_key_the_recipients_are_named(
    bundle: Path, keyring: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = encrypt(bundle, keyring, "good")
    key = PKI.signer("p384").write(tmp_path)[1]
    error = failed(capsys, "info", str(closed), "--keyring", keyring, "--key", str(key))
    assert "[bundle.recipient]" in error
    assert f"{PKI.signer('good').certificate.serial_number:x}" in error


@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_other_formats_are_not_encrypted(
    kind: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bundle(tmp_path, format=kind)
    certificate = PKI.signer("good").write(tmp_path)[0]
    error = failed(capsys, "encrypt", str(path), str(tmp_path / "o"), "--keyring", keyring, "--to", str(certificate))
    assert "[encrypt.format]" in error
    assert not (tmp_path / "o").exists()


def test_what_is_encrypted_is_not_encrypted_again(
    bundle: Path, keyring: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = encrypt(bundle, keyring, "good")
    certificate = PKI.signer("good").write(tmp_path)[0]
    error = failed(capsys, "encrypt", str(closed), str(tmp_path / "o"), "--keyring", keyring, "--to", str(certificate))
    assert "[encrypt.format]" in error


def test_a_weak_recipient_is_refused(
    bundle: Path, keyring: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = PKI.signer("rsa1024").write(tmp_path)[0]
    error = failed(capsys, "encrypt", str(bundle), str(tmp_path / "o"), "--keyring", keyring, "--to", str(certificate))
    assert "[bundle.signature-weak]" in error


def test_a_recipient_that_may_not_decrypt_is_warned_about(
    bundle: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    encrypt(bundle, keyring, "good")  # a certificate for signing
    assert "lacks keyAgreement" in capsys.readouterr().err


def test_more_recipients_than_a_signature_may_hold_are_refused(
    bundle: Path, keyring: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "many.pem").write_bytes(pem(PKI.signer("rsa4096").certificate) * 120)
    error = failed(
        capsys, "encrypt", str(bundle), str(tmp_path / "o"), "--keyring", keyring, "--to", str(tmp_path / "many.pem")
    )
    assert "[build.too-large]" in error


def test_the_result_is_json_on_request(bundle: Path, keyring: str, capsys: pytest.CaptureFixture[str]) -> None:
    certificate = PKI.signer("good").write(bundle.parent)[0]
    out = str(bundle.parent / "o.raucb")
    assert main(["encrypt", str(bundle), out, "--keyring", keyring, "--to", str(certificate), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipients"] == ["CN=good,O=Test"]


def test_an_encrypted_bundle_is_signed_anew_with_its_key_and_comes_out_open(
    bundle: Path, keyring: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed, again = encrypt(bundle, keyring, "good"), tmp_path / "again.raucb"
    own = str(PKI.signer("good").write(tmp_path)[1])
    certificate, key = PKI.signer("p384").write(tmp_path)
    options = ["--keyring", keyring, "--decrypt-key", own, "--cert", str(certificate), "--key", str(key)]
    assert main(["resign", str(closed), str(again), *options]) == 0
    assert "close it with 'ota-bundle encrypt'" in capsys.readouterr().err
    assert main(["info", str(again), "--keyring", keyring, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["signer"]["subject"] == "CN=p384,O=Test"
    assert main(["verify", str(encrypt_again(again, keyring)), "--keyring", keyring, "--key", own]) == 0


def encrypt_again(bundle: Path, keyring: str) -> Path:
    out = bundle.parent / "closed-again.raucb"
    certificate = str(PKI.signer("good").write(bundle.parent)[0])
    assert main(["encrypt", str(bundle), str(out), "--keyring", keyring, "--to", certificate]) == 0
    return out


def test_the_signature_comes_out_of_its_envelope_with_the_key_only(
    bundle: Path, keyring: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = encrypt(bundle, keyring, "good")
    assert "[bundle.encrypted]" in failed(capsys, "extract-signature", str(closed), str(tmp_path / "no"))
    own = str(PKI.signer("good").write(tmp_path)[1])
    assert main(["extract-signature", str(closed), str(tmp_path / "sig"), "--key", own]) == 0
    assert (tmp_path / "sig").read_bytes() == parts_of(bundle).cms
