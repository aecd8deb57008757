"""Keys that never leave their token: SoftHSM2, filled by OpenSC's pkcs11-tool, signs bundles that everybody accepts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pki.build import pem, shared_pki
from support.bundles import IMAGE_NAME, make_content, some_image
from support.rauc import accepts, system_conf

from agent.bundler.cli import main

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "1234"
PKI = shared_pki()
KINDS = ("good", "p384", "p521", "rsa2048", "rsa3072")
IDS = {kind: f"{number:02x}" for number, kind in enumerate(KINDS, 1)}


@dataclass(frozen=True)
class Token:
    """A token with a key and a certificate for each of ``KINDS``, and its SoftHSM configuration."""

    conf: Path
    pin_file: Path

    def bundle(
        self, tmp_path: Path, *options: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``ota-bundle create`` in a process of its own: a PKCS#11 library keeps its state in the process."""
        content = tmp_path / "content"
        if not content.exists():
            make_content(content, version="1", compatible="demo-board", image=some_image(100_000))
        argv = [
            str(Path(sys.executable).with_name("ota-bundle")),
            "create",
            str(content),
            str(tmp_path / "x.raucb"),
            *options,
        ]
        environment = {"PATH": "/usr/bin:/bin", "SOFTHSM2_CONF": str(self.conf), **(env or {})}
        return subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
        )


def run(*argv: str | Path, env: dict[str, str]) -> None:
    subprocess.run(list(map(str, argv)), env=env, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    env = {"PATH": "/usr/bin:/bin", "SOFTHSM2_CONF": str(conf)}
    for label in ("signing", "other"):
        run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", PIN, env=env)
    tool = ("pkcs11-tool", "--module", MODULE, "--token-label", "signing", "--login", "--pin", PIN)
    for kind, number in IDS.items():
        identity = PKI.signer(kind)
        (folder / "key").write_bytes(identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        (folder / "cert").write_bytes(identity.certificate.public_bytes(Encoding.DER))
        what = ("--label", kind, "--id", number)
        run(*tool, "--write-object", folder / "key", "--type", "privkey", "--usage-sign", *what, env=env)
        run(*tool, "--write-object", folder / "cert", "--type", "cert", *what, env=env)
    pin_file = folder / "pin"
    pin_file.write_text(PIN + "\n")
    return Token(conf, pin_file)


def key_uri(token: Token, kind: str) -> str:
    return f"pkcs11:token=signing;object={kind};type=private?module-path={MODULE}&pin-source={token.pin_file}"


@pytest.mark.req("T09", "C11")
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@pytest.mark.parametrize("kind", KINDS)
def test_rauc_accepts_what_a_token_signed(kind: str, digest: str, token: Token, tmp_path: Path) -> None:
    certificate, _ = PKI.signer(kind).write(tmp_path)
    done = token.bundle(
        tmp_path, "--cert", str(certificate), "--key", key_uri(token, kind), "--digest", digest,
        "--keyring", str(PKI.keyring(tmp_path)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert accepts(tmp_path / "x.raucb", system_conf(tmp_path, PKI.keyring(tmp_path)), tmp_path / "out")
    assert (tmp_path / "out" / IMAGE_NAME).read_bytes() == some_image(100_000)


@pytest.mark.parametrize("names", ["OTA_BUNDLE", "RAUC"])
def test_certificate_and_key_are_found_by_id_with_module_and_pin_from_the_environment(
    names: str, token: Token, tmp_path: Path
) -> None:
    uri = f"pkcs11:token=signing;id=%{IDS['p384']}"
    done = token.bundle(
        tmp_path, "--cert", uri, "--key", uri, "--keyring", str(PKI.keyring(tmp_path)),
        env={f"{names}_PKCS11_MODULE": MODULE, f"{names}_PKCS11_PIN": PIN},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


REFUSALS = {
    "wrong-pin": ("pkcs11:token=signing;object=good?pin-value=9999", "refused the PIN"),
    "no-pin": ("pkcs11:token=signing;object=good", "there is no PIN"),
    "pin-file-missing": ("pkcs11:token=signing;object=good?pin-source=/nonexistent", "/nonexistent"),
    "no-such-token": ("pkcs11:token=prod;object=good?pin-value=1234", "0 tokens match; there are: 'signing', 'other'"),
    "two-tokens": ("pkcs11:object=good?pin-value=1234", "2 tokens match"),
    "no-such-key": ("pkcs11:token=signing;object=nobody?pin-value=1234", "0 objects of type private match"),
    "several-keys": ("pkcs11:token=signing?pin-value=1234", "5 objects of type private match"),
    "a-certificate": ("pkcs11:token=signing;object=good;type=cert?pin-value=1234", "object of type cert"),
    "no-library": ("pkcs11:object=good?module-path=/nonexistent.so&pin-value=1", "/nonexistent.so"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_token_that_cannot_be_used_is_explained(case: str, token: Token, tmp_path: Path) -> None:
    uri, why = REFUSALS[case]
    certificate, _ = PKI.signer().write(tmp_path)
    module = {} if "module-path" in uri else {"OTA_BUNDLE_PKCS11_MODULE": MODULE}
    done = token.bundle(tmp_path, "--cert", str(certificate), "--key", uri, env=module)
    assert done.returncode == 1
    assert "[sign.pkcs11-failed]" in done.stderr
    if case == "no-such-token":
        assert all(part in done.stderr for part in ("0 tokens match", "'signing'", "'other'"))
    else:
        assert why in done.stderr
    assert PIN not in done.stderr.replace("1234;", "")
    assert not (tmp_path / "x.raucb").exists()


def test_a_library_must_be_named(token: Token, tmp_path: Path) -> None:
    certificate, _ = PKI.signer().write(tmp_path)
    done = token.bundle(tmp_path, "--cert", str(certificate), "--key", "pkcs11:object=good")
    assert "[sign.pkcs11-failed]" in done.stderr
    assert "OTA_BUNDLE_PKCS11_MODULE" in done.stderr


@pytest.mark.req("T09")
def test_a_key_of_another_certificate_makes_no_bundle(token: Token, tmp_path: Path) -> None:
    certificate, _ = PKI.signer("good-2").write(tmp_path)
    done = token.bundle(tmp_path, "--cert", str(certificate), "--key", key_uri(token, "good"))
    assert "[build.key-mismatch]" in done.stderr
    assert not (tmp_path / "x.raucb").exists()


def test_the_command_works_without_the_optional_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)  # as if it was not installed
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"image")
    (tmp_path / "cert.pem").write_bytes(pem(PKI.signer().certificate))
    argv = [
        "create",
        str(content),
        str(tmp_path / "x"),
        "--cert",
        str(tmp_path / "cert.pem"),
        "--key",
        "pkcs11:object=k",
    ]
    assert main(argv) == 1
    assert "ota-agent[pkcs11]" in capsys.readouterr().err
