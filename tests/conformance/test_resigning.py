"""Signatures come off and go on: by our commands, by rauc's, and by openssl on a machine without a network."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from pki.build import Identity, pem, shared_pki
from support.bundles import IMAGE_NAME, make_bundle, some_image
from support.rauc import accepts, rauc, system_conf
from support.tampering import Parts, flipped, openssl_cms, parts_of

from agent.bundler.cli import main
from agent.bundler.commands import extract_signature

PKI = shared_pki()
IMAGE = some_image(400_000)
KINDS = ["verity", "plain"]


@pytest.fixture
def keyring(tmp_path: Path) -> str:
    return str(PKI.keyring(tmp_path))


def signing(identity: Identity, folder: Path) -> list[str]:
    certificate, key = identity.write(folder)
    options = ["--cert", str(certificate), "--key", str(key)]
    for number, each in enumerate(identity.intermediates):
        path = folder / f"{identity.name}-{number}.pem"
        path.write_bytes(pem(each))
        options += ["--intermediate", str(path)]
    return options


def failed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    capsys.readouterr()
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def hash_of(bundle: Path, keyring: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["info", str(bundle), "--keyring", keyring, "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["manifest-hash"])


@pytest.mark.req("C11")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signer", ["good-intermediate", "rsa2048"])
def test_a_resigned_bundle_keeps_its_bytes_and_its_hash_and_rauc_accepts_it(
    kind: str, signer: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = make_bundle(tmp_path, image=IMAGE, format=kind, signer="other"), tmp_path / "after.raucb"
    other = str(PKI.keyring(tmp_path, "other-root"))
    argv = ["resign", str(before), str(after), "--keyring", other, *signing(PKI.signer(signer), tmp_path)]
    assert main([*argv, "--signing-keyring", keyring, "--digest", "sha384"]) == 0
    assert parts_of(after).payload == parts_of(before).payload
    assert hash_of(after, keyring, capsys) == hash_of(before, other, capsys)
    assert accepts(after, system_conf(tmp_path, Path(keyring)), tmp_path / "out")
    assert (tmp_path / "out" / IMAGE_NAME).read_bytes() == IMAGE


@pytest.mark.req("T09", "S05")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["untrusted", "damaged", "new-signer-untrusted", "exists"])
def test_resign_never_vouches_for_what_it_cannot_verify(
    fault: str, kind: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = make_bundle(tmp_path, image=IMAGE, format=kind), tmp_path / "out.raucb"
    argv = ["resign", str(bundle), str(out), *signing(PKI.signer(), tmp_path), "--keyring"]
    if fault == "untrusted":
        error = failed(capsys, *argv, str(PKI.keyring(tmp_path, "other-root")))
        assert "[bundle.signature-untrusted]" in error
    elif fault == "damaged":
        parts = parts_of(bundle)
        bundle.write_bytes(Parts(flipped(parts.payload, 50_000), parts.cms).joined())
        assert "[bundle.payload-corrupt]" in failed(capsys, *argv, keyring)
    elif fault == "new-signer-untrusted":
        wrong = str(PKI.keyring(tmp_path, "other-root"))
        assert "[bundle.signature-untrusted]" in failed(capsys, *argv, keyring, "--signing-keyring", wrong)
    else:
        out.write_text("precious")
        assert "[build.exists]" in failed(capsys, *argv, keyring)
        assert out.read_text() == "precious"
        return
    assert not out.exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".out")]


def test_a_bundle_that_is_not_valid_today_is_resigned_by_naming_the_day_on_which_it_is(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = make_bundle(tmp_path, signer="not-yet-valid"), tmp_path / "out.raucb"
    argv = ["resign", str(bundle), str(out), *signing(PKI.signer(), tmp_path), "--keyring", keyring]
    assert "[bundle.certificate-not-yet-valid]" in failed(capsys, *argv)
    then = PKI.signer("not-yet-valid").certificate.not_valid_before_utc.isoformat()
    assert main([*argv, "--time", then, "--signing-keyring", keyring]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_is_the_one_that_rauc_extracts(kind: str, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, image=IMAGE, format=kind)
    ours, theirs, content = tmp_path / "ours.cms", tmp_path / "theirs.cms", tmp_path / "content"
    assert main(["extract-signature", str(bundle), str(ours), "--content", str(content)]) == 0
    done = rauc("extract-signature", bundle, theirs, conf=system_conf(tmp_path, PKI.keyring(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert ours.read_bytes() == theirs.read_bytes()
    if kind == "plain":
        assert content.read_bytes() == parts_of(bundle).payload
    else:
        argv = ["openssl", "cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", str(ours)]
        assert subprocess.run(argv, capture_output=True, check=True).stdout == content.read_bytes()


def test_extracting_replaces_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, taken = str(make_bundle(tmp_path)), tmp_path / "taken"
    taken.write_text("precious")
    assert "[build.exists]" in failed(capsys, "extract-signature", bundle, str(taken))
    assert "[build.exists]" in failed(
        capsys, "extract-signature", bundle, str(tmp_path / "new"), "--content", str(taken)
    )
    assert taken.read_text() == "precious"
    assert not (tmp_path / "new").exists()


def commands_of_the_help() -> list[list[str]]:
    """The commands of the way that ``ota-bundle extract-signature --help`` shows, in order."""
    lines = extract_signature.EXAMPLES.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("  o")]


@pytest.mark.req("T09", "C11")
@pytest.mark.parametrize("kind", KINDS)
def test_the_offline_way_of_the_help_works_word_for_word(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = PKI.signer("good-intermediate")
    certificate, key = identity.write(tmp_path)
    certificate.rename(tmp_path / "signer.pem")
    key.rename(tmp_path / "signer.key")
    (tmp_path / "ca.pem").write_bytes(pem(identity.intermediates[0]))
    (tmp_path / "root.pem").write_bytes(pem(PKI.root))
    make_bundle(tmp_path, image=IMAGE, format=kind, signer="other", name="unsigned.raucb")
    monkeypatch.chdir(tmp_path)
    extract, sign, replace = commands_of_the_help()
    assert main(extract[1:]) == 0
    assert sign[0] == "openssl"
    sign = [word for word in sign if kind == "verity" or word != "-nodetach"]
    subprocess.run(sign, check=True, capture_output=True)
    assert main(replace[1:]) == 0
    assert accepts(Path("release.raucb"), system_conf(tmp_path, tmp_path / "root.pem"), tmp_path / "out")
    assert (tmp_path / "out" / IMAGE_NAME).read_bytes() == IMAGE


@pytest.mark.parametrize("kind", KINDS)
def test_a_replaced_signature_gives_the_bundle_that_rauc_makes(kind: str, tmp_path: Path, keyring: str) -> None:
    bundle = make_bundle(tmp_path, image=IMAGE, format=kind, signer="other")
    parts = parts_of(bundle)
    resigned, signature = tmp_path / "resigned.raucb", tmp_path / "new.cms"
    argv = ["resign", str(bundle), str(resigned), *signing(PKI.signer(), tmp_path)]
    assert main([*argv, "--keyring", str(PKI.keyring(tmp_path, "other-root"))]) == 0
    signature.write_bytes(parts_of(resigned).cms)
    ours, theirs = tmp_path / "ours.raucb", tmp_path / "theirs.raucb"
    assert main(["replace-signature", str(bundle), str(signature), str(ours)]) == 0
    conf = system_conf(tmp_path, PKI.keyring(tmp_path, "other-root"))
    done = rauc("replace-signature", f"--signing-keyring={keyring}", bundle, signature, theirs, conf=conf)
    assert done.returncode == 0, done.stderr
    assert ours.read_bytes() == theirs.read_bytes() == Parts(parts.payload, signature.read_bytes()).joined()


def foreign_signatures(kind: str, tmp_path: Path) -> dict[str, bytes]:
    """Signatures that do not fit a bundle of that kind, each with the code of its refusal."""
    good = PKI.signer()
    bundle = make_bundle(tmp_path, image=IMAGE, format=kind)
    other = make_bundle(tmp_path, image=some_image(500_000), format=kind, version="2")
    payload, own = parts_of(bundle).payload, parts_of(bundle).cms
    return {
        "bundle.payload-corrupt": parts_of(other).cms,
        "bundle.format-mismatch": (
            openssl_cms(b"[update]\ncompatible=x\n", good)
            if kind == "plain"
            else openssl_cms(payload, good, detached=True)
        ),
        "bundle.signature-invalid": flipped(own, -3),
        "bundle.signature-malformed": b"-----BEGIN CMS-----",
        "bundle.trailing-data": own + b"\0",
        "bundle.signature-weak": openssl_cms(b"x", good, options=("-md", "sha1")),
        "bundle.encrypted": enveloped(tmp_path),
    }


def enveloped(tmp_path: Path) -> bytes:
    """A CMS EnvelopedData, as around the signature of an encrypted bundle."""
    (tmp_path / "to.pem").write_bytes(pem(PKI.signer("rsa2048").certificate))
    argv = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes256", str(tmp_path / "to.pem")]
    return subprocess.run(argv, input=b"secret", capture_output=True, check=True).stdout


@pytest.mark.req("T09")
@pytest.mark.parametrize("with_keyring", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_that_does_not_fit_makes_no_bundle(
    kind: str, with_keyring: bool, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = foreign_signatures(kind, tmp_path)
    bundle, out = make_bundle(tmp_path, image=IMAGE, format=kind, name="in.raucb"), tmp_path / "out.raucb"
    found: dict[str, bool] = {}
    for code, signature in cases.items():
        (tmp_path / "sig").write_bytes(signature)
        argv = ["replace-signature", str(bundle), str(tmp_path / "sig"), str(out)]
        found[code] = f"[{code}]" in failed(capsys, *argv, *(["--keyring", keyring] if with_keyring else []))
    assert found == dict.fromkeys(cases, True)
    assert not out.exists()


def test_a_fitting_signature_of_a_stranger_needs_a_keyring_to_be_refused(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(tmp_path, signer="other")
    (tmp_path / "sig").write_bytes(parts_of(bundle).cms)
    argv = ["replace-signature", str(bundle), str(tmp_path / "sig"), str(tmp_path / "out.raucb")]
    assert "[bundle.signature-untrusted]" in failed(capsys, *argv, "--keyring", keyring)
    assert main(argv) == 0
    assert "NOT VERIFIED" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["resign", "extract-signature"])
def test_the_signature_of_an_encrypted_bundle_cannot_be_reached_without_its_key(
    command: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = parts_of(make_bundle(tmp_path))
    bundle, out = tmp_path / "crypt.raucb", str(tmp_path / "out")
    bundle.write_bytes(Parts(parts.payload, enveloped(tmp_path)).joined())
    argv = {
        "resign": [str(bundle), out, "--keyring", keyring, *signing(PKI.signer(), tmp_path)],
        "extract-signature": [str(bundle), out],
    }[command]
    assert "[bundle.encrypted]" in failed(capsys, command, *argv)
    assert not Path(out).exists()
