"""``ota-bundle`` as a person and as a script use it."""

from __future__ import annotations

import ast
import io
import json
import stat
import subprocess
from pathlib import Path

import pytest
from pki.build import pem, shared_pki
from pki.crls import crl_pem
from support.bundles import make_bundle, make_content, some_image
from support.signing import signed
from support.tampering import Parts, flipped, parts_of

import agent.bundler
from agent.bundle.manifest import dump_manifest, parse_draft
from agent.bundler.cli import COMMANDS, main
from agent.bundler.progress import ProgressBar

PKI = shared_pki()


@pytest.fixture
def keyring(tmp_path: Path) -> str:
    return str(PKI.keyring(tmp_path))


def failed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_first_five_minutes_work_as_the_help_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki, bundle, out = tmp_path / "pki", tmp_path / "update.raucb", tmp_path / "out"
    image = some_image(70_000)
    content = make_content(tmp_path / "content", version="1", compatible="my-board", image=image)
    assert main(["keygen", str(pki)]) == 0
    assert "FOR DEVELOPMENT ONLY" in capsys.readouterr().err
    signing = ["--cert", f"{pki}/signer.pem", "--key", f"{pki}/signer.key", "--intermediate", f"{pki}/ca.pem"]
    assert main(["create", str(content), str(bundle), *signing, "--keyring", f"{pki}/root.pem"]) == 0
    assert main(["verify", str(bundle), "--keyring", f"{pki}/root.pem"]) == 0
    assert "every byte is good" in capsys.readouterr().out
    assert main(["extract", str(bundle), str(out), "--keyring", f"{pki}/root.pem"]) == 0
    assert (out / "rootfs.img").read_bytes() == image
    assert stat.S_IMODE((out / "rootfs.img").stat().st_mode) == 0o644


@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_info_tells_people_and_programs_the_same(
    kind: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(make_bundle(tmp_path, version="7", format=kind, image_type="raw", extra="[meta.ota]\nepoch=3\n"))
    assert main(["info", bundle, "--keyring", keyring]) == 0
    text = capsys.readouterr().out
    assert main(["info", bundle, "--keyring", keyring, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"] is True
    assert facts["verified"] is True
    assert facts["update"]["version"] == "7"
    assert facts["bundle"]["format"] == kind
    assert facts["meta"] == {"ota": {"epoch": "3"}}
    for said in (
        facts["update"]["compatible"],
        facts["manifest-hash"],
        facts["images"][0]["checksum"],
        "CN=good",
        "ota.epoch=3",
    ):
        assert said in text
    assert main(["info", bundle, "--no-verify", "--json"]) == 0
    unverified = json.loads(capsys.readouterr().out)
    assert unverified["verified"] is False
    assert unverified["manifest-hash"] == facts["manifest-hash"]


def test_an_unverified_bundle_is_shown_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(make_bundle(tmp_path, signer="other")), "--no-verify"]) == 0
    captured = capsys.readouterr()
    assert "demo-board" in captured.out
    assert "NOT VERIFIED" in captured.err


@pytest.mark.req("S05")
def test_a_refusal_says_what_why_and_what_next(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(make_bundle(tmp_path, signer="server"))
    lines = failed(capsys, "verify", bundle, "--keyring", keyring).splitlines()
    assert lines[0].startswith("error: ")
    assert lines[0].endswith("[bundle.certificate-purpose]")
    assert "serverAuth" in lines[1]
    assert lines[2].startswith("next: ")
    assert main(["verify", bundle, "--keyring", keyring, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["error"]["code"] == "bundle.certificate-purpose"
    assert main(["verify", bundle, "--keyring", keyring, "--check-purpose", "any"]) == 0


def test_verify_answers_for_another_time(tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = str(make_bundle(tmp_path))
    error = failed(capsys, "verify", bundle, "--keyring", keyring, "--time", "2100-01-01")
    assert "[bundle.certificate-expired]" in error
    assert "it is 2100-01-01T00:00:00Z here" in error


@pytest.mark.req("C11")
@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_verify_finds_one_wrong_byte_anywhere_in_the_payload(
    kind: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = parts_of(make_bundle(tmp_path, format=kind))
    bundle = tmp_path / "wrong.raucb"
    for position in range(0, len(parts.payload), len(parts.payload) // 7):
        bundle.write_bytes(Parts(flipped(parts.payload, position), parts.cms).joined())
        assert "[bundle.payload-corrupt]" in failed(capsys, "verify", str(bundle), "--keyring", keyring)


@pytest.mark.parametrize("command", ["verify", "extract"])
def test_an_image_that_is_not_the_named_one_is_found(
    command: str, tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = parts_of(make_bundle(tmp_path))
    text = parts.cms[parts.cms.index(b"[update]") :]
    text = text[: text.index(b"\n", text.index(b"\nsize=") + 1) + 1]
    manifest = parse_draft(text)
    wrong = dump_manifest(manifest).replace(manifest.images[0].sha256.encode(), b"00" * 32)
    bundle, out = tmp_path / "wrong.raucb", tmp_path / "out"
    bundle.write_bytes(Parts(parts.payload, signed(wrong, PKI.signer())).joined())
    target = [str(out)] if command == "extract" else []
    assert "[bundle.image-digest]" in failed(capsys, command, str(bundle), *target, "--keyring", keyring)
    assert not out.exists()


def test_extract_leaves_nothing_behind_when_the_bundle_is_damaged(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = some_image(3_000_000)
    parts = parts_of(make_bundle(tmp_path, image=image))
    bundle, out = tmp_path / "wrong.raucb", tmp_path / "out"
    bundle.write_bytes(Parts(flipped(parts.payload, 20_000), parts.cms).joined())
    assert "[bundle.payload-corrupt]" in failed(capsys, "extract", str(bundle), str(out), "--keyring", keyring)
    assert not out.exists()


def test_extract_never_writes_into_a_directory_that_exists(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    error = failed(capsys, "extract", str(make_bundle(tmp_path)), str(out), "--keyring", keyring)
    assert "[extract.exists]" in error
    assert (out / "mine").read_text() == "precious"


def test_create_with_a_keyring_keeps_no_bundle_that_devices_would_refuse(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"image")
    cert, key = PKI.signer("server").write(tmp_path)
    argv = ["create", str(content), str(tmp_path / "x.raucb"), "--cert", str(cert), "--key", str(key)]
    assert "[bundle.certificate-purpose]" in failed(capsys, *argv, "--keyring", keyring)
    assert not (tmp_path / "x.raucb").exists()
    assert main(argv) == 0
    assert "devices that check for codesign will refuse this bundle" in capsys.readouterr().err


@pytest.mark.parametrize("signer", ["rsa1024", "ed25519"])
def test_create_refuses_keys_that_devices_refuse(
    signer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"image")
    cert, key = PKI.signer(signer).write(tmp_path)
    argv = ["create", str(content), str(tmp_path / "x.raucb"), "--cert", str(cert), "--key", str(key)]
    assert "[bundle.signature-" in failed(capsys, *argv)


def test_files_that_are_not_there_are_named(tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.raucb" in failed(capsys, "info", "nothing.raucb", "--keyring", keyring)
    assert "[trust.keyring-missing]" in failed(
        capsys, "verify", str(make_bundle(tmp_path)), "--keyring", str(tmp_path / "missing.pem")
    )
    assert "[build.key-unreadable]" in failed(
        capsys, "create", str(tmp_path), str(tmp_path / "x"), "--cert", keyring, "--key", keyring
    )


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["explode"],
        ["info", "x"],
        ["info", "x", "--no-verify", "--keyring", "k"],
        ["verify", "x"],
        ["create", "a", "b"],
        ["verify", "x", "--keyring", "k", "--time", "soon"],
        ["create", "a", "b", "--cert", "c", "--key", "k", "--compression", "rar"],
        ["create", "a", "b", "--cert", "c", "--key", "k", "--sign-command", "s"],
        ["resign", "a", "b", "--cert", "c", "--key", "k"],
        ["replace-signature", "a", "b"],
    ],
)
def test_wrong_usage_is_status_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: ota-bundle" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], *([each.NAME] for each in COMMANDS)])
def test_every_help_teaches_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "ota-bundle " + (command[0] if command else "verify") in capsys.readouterr().out.split("usage:")[1]


@pytest.mark.parametrize("given", ["both", "neither"])
def test_a_manifest_comes_from_a_directory_or_from_options(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"image")
    cert, key = PKI.signer().write(tmp_path)
    places = [str(content), "--compatible", "x"] if given == "both" else []
    argv = ["create", *places[:1], str(tmp_path / "x.raucb"), *places[1:], "--cert", str(cert), "--key", str(key)]
    assert "[sign.option-invalid]" in failed(capsys, *argv)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_bar_shows_itself_only_for_long_work_on_a_terminal() -> None:
    now = [0.0]
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        now[0] = 0.0
        bar = ProgressBar(stream, lambda: now[0])
        for done in range(0, 101, 10):
            bar("hashing", done * 1_000_000, 100_000_000)
            now[0] += 0.5
        bar("packing", 0, 0)
        now[0] += 0.5
        bar("compressing", 12_000_000, 0)
        bar.clear()
    assert pipe.getvalue() == ""
    assert "40%" in terminal.getvalue()
    assert "30%" not in terminal.getvalue()
    assert "packing ..." in terminal.getvalue()
    assert "compressing ... 12 MB" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_the_host_tool_needs_nothing_of_a_device() -> None:
    folder = Path(agent.bundle.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"gi", "pydbus", "systemd", "pyudev", "requests"}


def trusted(tmp_path: Path, *crls: str) -> str:
    path = tmp_path / "with-crls.pem"
    path.write_bytes(pem(PKI.root) + crl_pem(PKI, *crls))
    return str(path)


@pytest.mark.req("T09")
def test_verify_asks_the_crls_of_the_keyring_when_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, revoking = str(make_bundle(tmp_path)), trusted(tmp_path, "root-revokes-good")
    assert "[bundle.certificate-revoked]" in failed(capsys, "verify", bundle, "--keyring", revoking, "--check-crl")
    assert main(["verify", bundle, "--keyring", revoking]) == 0
    assert "check-crl" in capsys.readouterr().err
    assert main(["verify", bundle, "--keyring", trusted(tmp_path, "root"), "--check-crl"]) == 0
    assert capsys.readouterr().err == ""


def test_verify_takes_a_directory_as_keyring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, directory = str(make_bundle(tmp_path)), tmp_path / "trusted"
    directory.mkdir()
    (directory / "root.pem").write_bytes(pem(PKI.root))
    assert "openssl rehash" in failed(capsys, "verify", bundle, "--keyring", str(directory))
    subprocess.run(["openssl", "rehash", str(directory)], check=True, capture_output=True)
    assert main(["verify", bundle, "--keyring", str(directory)]) == 0


def test_verify_believes_a_pinned_signer_when_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, pinned = str(make_bundle(tmp_path)), str(PKI.keyring(tmp_path, "good"))
    assert "[trust.no-anchor]" in failed(capsys, "verify", bundle, "--keyring", pinned)
    assert main(["verify", bundle, "--keyring", pinned, "--partial-chain"]) == 0


def test_verify_accepts_one_of_the_allowed_signers(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["verify", str(make_bundle(tmp_path)), "--keyring", keyring, "--allowed-signer", "somebody"]
    assert "[bundle.signer-not-allowed]" in failed(capsys, *argv)
    assert main([*argv, "--allowed-signer", "good"]) == 0


def test_a_host_takes_bundles_with_programs_which_it_never_runs(
    tmp_path: Path, keyring: str, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = "[hooks]\nfilename=program\nhooks=install-check\n[handler]\nfilename=program\n"
    bundle, out = str(make_bundle(tmp_path, extra=groups, program=f"touch {tmp_path}/ran\n")), tmp_path / "out"
    assert main(["verify", bundle, "--keyring", keyring]) == 0
    assert main(["info", bundle, "--keyring", keyring]) == 0
    assert main(["extract", bundle, str(out), "--keyring", keyring]) == 0
    assert (out / "rootfs.img").read_bytes() == some_image()
    assert not (tmp_path / "ran").exists()
