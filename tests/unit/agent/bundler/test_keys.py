"""Keys in files and behind commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pki.build import pem, shared_pki
from support.bundles import make_content, opened, trust_in

from agent.bundle.verify import verify_bundle
from agent.bundler.cli import main
from agent.bundler.key_command import CommandSigner
from agent.bundler.key_pem import load_private_key
from agent.bundler.sign_cms import sign
from agent.errors import OtaError

PKI = shared_pki()
SECRET = "correct horse"


@pytest.fixture
def encrypted(tmp_path: Path) -> str:
    path = tmp_path / "encrypted.key"
    key = PKI.signer().key
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET.encode())))
    return str(path)


@pytest.fixture
def content(tmp_path: Path) -> str:
    return str(make_content(tmp_path / "content", version="1", compatible="x", image=b"image"))


@pytest.fixture
def cert(tmp_path: Path) -> str:
    return str(PKI.signer().write(tmp_path)[0])


def refusal(path: str, passphrase_file: str = "") -> OtaError:
    with pytest.raises(OtaError) as caught:
        load_private_key(path, passphrase_file)
    return caught.value


def test_a_passphrase_comes_from_the_environment_or_a_file(
    encrypted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = PKI.signer().key.public_key()
    monkeypatch.setenv("OTA_BUNDLE_PASSPHRASE", SECRET)
    assert load_private_key(encrypted).public_key() == expected
    monkeypatch.setenv("OTA_BUNDLE_PASSPHRASE", "wrong")
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert load_private_key(encrypted, str(tmp_path / "secret")).public_key() == expected


def test_a_person_at_a_terminal_is_asked_for_the_passphrase(encrypted: str) -> None:
    """In a real terminal, which pytest does not have."""
    program = f"from agent.bundler.key_pem import load_private_key as l; print(type(l({encrypted!r})).__name__)"
    master, slave = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={key: value for key, value in os.environ.items() if key != "OTA_BUNDLE_PASSPHRASE"},
    )  # fmt: skip
    os.close(slave)
    said = b""
    while b"passphrase of encrypted.key" not in said:
        said += os.read(master, 1000)
    os.write(master, SECRET.encode() + b"\n")
    assert child.wait(timeout=30) == 0
    while b"PrivateKey" not in said:
        said += os.read(master, 1000)
    os.close(master)
    assert SECRET.encode() not in said


def test_a_missing_or_wrong_passphrase_is_explained(
    encrypted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTA_BUNDLE_PASSPHRASE", raising=False)
    error = refusal(encrypted)
    assert error.code == "build.key-unreadable"
    assert "OTA_BUNDLE_PASSPHRASE" in error.resolution
    monkeypatch.setenv("OTA_BUNDLE_PASSPHRASE", "wrong")
    assert refusal(encrypted).code == "build.key-unreadable"
    assert str(tmp_path / "missing") in refusal(encrypted, str(tmp_path / "missing")).details


def test_a_passphrase_that_is_not_needed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTA_BUNDLE_PASSPHRASE", SECRET)
    load_private_key(str(PKI.signer().write(tmp_path)[1]))


@pytest.mark.req("T09")
@pytest.mark.parametrize("kind", ["good", "rsa2048", "p384"])
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_a_command_signs_as_the_help_says(kind: str, digest: str, content: str, tmp_path: Path) -> None:
    certificate, key = PKI.signer(kind).write(tmp_path)
    bundle = str(tmp_path / "x.raucb")
    command = f"openssl dgst -{digest} -sign '{key}'"
    argv = ["create", content, bundle, "--cert", str(certificate), "--sign-command", command, "--digest", digest]
    assert main(argv) == 0
    with opened(Path(bundle)) as source:
        verify_bundle(source, trust_in(PKI), PKI.now)


def test_a_command_is_told_the_algorithm_the_digest_and_the_certificate(tmp_path: Path) -> None:
    identity = PKI.signer("rsa2048")
    script = tmp_path / "script"
    script.write_text(
        f"#!/bin/sh\nenv | grep OTA_BUNDLE_SIGN_ | sort >'{tmp_path}/told'\ncat >'{tmp_path}/stdin'\necho x\n"
    )
    script.chmod(0o755)
    CommandSigner(identity.certificate, str(script)).sign(b"message", "sha384")
    assert (tmp_path / "stdin").read_bytes() == b"message"
    argv = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    said = subprocess.run(argv, input=pem(identity.certificate), capture_output=True, check=True).stdout.decode()
    fingerprint = said.strip().split("=")[1].replace(":", "").lower()
    assert (tmp_path / "told").read_text().splitlines() == [
        "OTA_BUNDLE_SIGN_ALGORITHM=rsa-pkcs1v15",
        f"OTA_BUNDLE_SIGN_CERTIFICATE={fingerprint}",
        "OTA_BUNDLE_SIGN_DIGEST=sha384",
    ]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("sh -c 'echo the token is locked >&2; exit 3'", "status 3; it said: the token is locked"),
        ("/nonexistent/signer", "/nonexistent/signer"),
        ("true", "0 bytes"),
        ("head -c 5000 /dev/zero", "5000 bytes"),
        ("sleep 60", "not ended after 0.3 seconds"),
        ("sh -c 'unfinished", "No closing quotation"),
        ("", "No such file"),
    ],
)
def test_a_failing_command_is_explained(command: str, why: str) -> None:
    with pytest.raises(OtaError) as caught:
        CommandSigner(PKI.signer().certificate, command, timeout=0.3).sign(b"message", "sha256")
    assert caught.value.code == "sign.command-failed"
    assert why in caught.value.details


@pytest.mark.req("T09")
def test_a_command_with_the_wrong_key_makes_no_bundle(tmp_path: Path) -> None:
    _, key = PKI.signer("good-2").write(tmp_path)
    with pytest.raises(OtaError) as caught:
        sign(b"x", CommandSigner(PKI.signer().certificate, f"openssl dgst -sha256 -sign {key}"), when=PKI.now)
    assert caught.value.code == "build.key-mismatch"
    assert "signing command" in caught.value.resolution


@pytest.mark.parametrize("place", ["with-the-signer", "together", "one-by-one"])
def test_intermediates_may_stand_in_any_number_of_files(place: str, content: str, tmp_path: Path) -> None:
    pki = PKI
    identity = pki.signer("good-intermediate")
    ca, further = pem(pki.signer("intermediate").certificate), pem(pki.signer("good-2").certificate)
    certificate, key = identity.write(tmp_path)
    options: list[str] = []
    if place == "with-the-signer":
        certificate.write_bytes(pem(identity.certificate) + ca + further)
    elif place == "together":
        (tmp_path / "chain.pem").write_bytes(further + ca)
        options = ["--intermediate", str(tmp_path / "chain.pem")]
    else:
        (tmp_path / "a.pem").write_bytes(further)
        (tmp_path / "b.pem").write_bytes(ca)
        options = ["--intermediate", str(tmp_path / "a.pem"), "--intermediate", str(tmp_path / "b.pem")]
    argv = ["create", content, str(tmp_path / "x.raucb"), "--cert", str(certificate), "--key", str(key), *options]
    assert main([*argv, "--keyring", str(pki.keyring(tmp_path))]) == 0


def test_a_chain_with_a_gap_is_explained_before_any_work(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = PKI.signer("good-intermediate").write(tmp_path)
    argv = ["create", content, str(tmp_path / "x.raucb"), "--cert", str(certificate), "--key", str(key)]
    assert main([*argv, "--keyring", str(PKI.keyring(tmp_path))]) == 1
    said = capsys.readouterr().err
    assert "[bundle.signature-untrusted]" in said
    assert "CN=intermediate" in said
    assert "with --intermediate" in said
    assert not (tmp_path / "x.raucb").exists()


def test_an_intermediate_that_did_not_issue_the_signer_is_doubted(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = PKI.signer("good-intermediate").write(tmp_path)
    (tmp_path / "wrong.pem").write_bytes(pem(PKI.signer("code-intermediate").certificate))
    argv = ["create", content, str(tmp_path / "x.raucb"), "--cert", str(certificate), "--key", str(key)]
    assert main([*argv, "--intermediate", str(tmp_path / "wrong.pem")]) == 0
    assert "none of the intermediates issued the certificate of the signer" in capsys.readouterr().err
