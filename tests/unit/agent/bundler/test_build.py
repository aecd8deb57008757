"""The builder: what it fills in, what it refuses, and that it never leaves half a bundle."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from pki.build import Identity, shared_pki
from support.bundles import IMAGE_NAME, make_content, opened, some_image, trust_in
from support.signing import signer_of

from agent.bundle.verify import verify_bundle
from agent.bundler.build import Built, create
from agent.bundler.cli import main
from agent.bundler.content import read_directory
from agent.bundler.ending import append_signature
from agent.errors import OtaError

PKI = shared_pki()


def content_in(tmp_path: Path, image: bytes = b"image") -> Path:
    return make_content(tmp_path / "content", version="1", compatible="x", image=image)


def built(content: Path, out: Path, signer: Identity | None = None, **options: object) -> Built:
    identity = signer or PKI.signer()
    return create(read_directory(content), out, signer=signer_of(identity), **options)  # type: ignore[arg-type]


def refusal(content: Path, out: Path, signer: Identity | None = None, **options: object) -> OtaError:
    before = sorted(os.listdir(out.parent))
    with pytest.raises(OtaError) as caught:
        built(content, out, signer, **options)
    assert sorted(os.listdir(out.parent)) == before
    return caught.value


def test_the_content_stays_as_it_is_and_the_bundle_has_the_digests(tmp_path: Path) -> None:
    content = content_in(tmp_path)
    before = {each.name: each.read_bytes() for each in content.iterdir()}
    told: list[tuple[str, int, int]] = []
    result = built(content, tmp_path / "x.raucb", step=lambda *step: told.append(step))
    assert {each.name: each.read_bytes() for each in content.iterdir()} == before
    assert result.manifest.images[0].sha256 == hashlib.sha256(b"image").hexdigest()
    assert result.size == result.path.stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["content", "x.raucb"]
    assert {what for what, _, _ in told} == {f"packing {IMAGE_NAME}", "compressing", "hashing"}
    with opened(result.path) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now)
    assert bundle.manifest == result.manifest
    assert bundle.manifest_hash == result.manifest_hash


def test_further_files_are_packed_too(tmp_path: Path) -> None:
    content = content_in(tmp_path)
    (content / "-notes.txt").write_text("hello")
    with opened(built(content, tmp_path / "x.raucb").path) as source:
        files = verify_bundle(source, trust_in(), PKI.now).files
        assert sorted(files.listdir()) == ["-notes.txt", "manifest.raucm", IMAGE_NAME]
        assert files.open("-notes.txt").read(100) == b"hello"


def test_digests_in_the_draft_are_made_anew(tmp_path: Path) -> None:
    content = content_in(tmp_path)
    with (content / "manifest.raucm").open("a") as file:
        file.write(f"sha256={'00' * 32}\nsize=5\n[bundle]\nformat=verity\nverity-size=8192\n")
    assert built(content, tmp_path / "x.raucb").manifest.images[0].sha256 == hashlib.sha256(b"image").hexdigest()


def test_an_existing_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.raucb").write_text("precious")
    assert refusal(content_in(tmp_path), tmp_path / "x.raucb").code == "build.exists"
    assert (tmp_path / "x.raucb").read_text() == "precious"


def test_a_key_of_somebody_else_is_noticed(tmp_path: Path) -> None:
    mixed = Identity("mixed", PKI.signer().certificate, PKI.signer("good-2").key)
    assert refusal(content_in(tmp_path), tmp_path / "x.raucb", mixed).code == "build.key-mismatch"


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo", "no-image", "empty-image", "no-manifest", "nothing"])
def test_content_that_makes_no_bundle_is_refused(kind: str, tmp_path: Path) -> None:
    content = content_in(tmp_path)
    if kind == "symlink":
        (content / "link").symlink_to("/etc/passwd")
    elif kind == "directory":
        (content / "folder").mkdir()
    elif kind == "fifo":
        os.mkfifo(content / "fifo")
    elif kind == "no-image":
        (content / IMAGE_NAME).unlink()
    elif kind == "empty-image":
        (content / IMAGE_NAME).write_bytes(b"")
    elif kind == "no-manifest":
        (content / "manifest.raucm").unlink()
    else:
        content = tmp_path / "missing"
    assert refusal(content, tmp_path / "x.raucb").code == "build.content-invalid"


@pytest.mark.parametrize("group", ["[hooks]\nfilename=run\n", "[handler]\nfilename=run\n"])
def test_a_program_that_a_device_could_not_run_is_noticed(group: str, tmp_path: Path) -> None:
    content = content_in(tmp_path)
    with (content / "manifest.raucm").open("a") as file:
        file.write(f"\n{group}")
    assert "there is no file run" in refusal(content, tmp_path / "x.raucb").details
    (content / "run").write_text("#!/bin/sh\n")
    assert "not executable" in refusal(content, tmp_path / "x.raucb").details
    (content / "run").chmod(0o755)
    with opened(built(content, tmp_path / "x.raucb").path) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now)
    assert bundle.manifest.programs == ("run",)
    assert bundle.files.open("run").executable


def test_a_wrong_manifest_is_refused_as_on_the_device(tmp_path: Path) -> None:
    content = content_in(tmp_path)
    with (content / "manifest.raucm").open("a") as file:
        file.write("verison=2\n")
    error = refusal(content, tmp_path / "x.raucb")
    assert error.code == "bundle.manifest-invalid"
    assert "'verison'" in error.details


def test_a_failing_mksquashfs_leaves_nothing(tmp_path: Path) -> None:
    error = refusal(content_in(tmp_path), tmp_path / "x.raucb", compression="rar")
    assert error.code == "build.tool-failed"
    assert error.details


def test_a_missing_mksquashfs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refusal(content_in(tmp_path), tmp_path / "x.raucb")
    assert error.code == "build.tool-missing"
    assert "squashfs-tools" in error.resolution


def test_a_signature_that_devices_could_not_read_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(OtaError) as caught:
        append_signature(tmp_path / "x", bytes(65537))
    assert caught.value.code == "build.too-large"
    assert (tmp_path / "x").read_bytes() == b""


@pytest.mark.parametrize("size", [1, 4095, 4096, 131072, 131073])
def test_images_of_every_size_come_back(size: int, tmp_path: Path) -> None:
    image = some_image(size)
    with opened(built(content_in(tmp_path, image), tmp_path / "x.raucb").path) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now)
        assert b"".join(bundle.image_file(bundle.manifest.images[0]).blocks()) == image


@pytest.mark.parametrize(
    ("stated", "option", "made"),
    [("", "", "verity"), ("plain", "", "plain"), ("crypt", "", "crypt"), ("plain", "verity", "verity")],
)
def test_the_format_is_the_option_else_what_the_manifest_says_else_verity(
    stated: str, option: str, made: str, tmp_path: Path
) -> None:
    extra = f"[bundle]\nformat={stated}\n" if stated else ""
    content = make_content(tmp_path / "c", version="1", compatible="x", image=b"image", extra=extra)
    certificate, key = shared_pki().signer().write(tmp_path)
    argv = ["create", str(content), str(tmp_path / "b"), "--cert", str(certificate), "--key", str(key)]
    assert main([*argv, *(["--format", option] if option else [])]) == 0
    with opened(tmp_path / "b") as source:
        assert verify_bundle(source, trust_in(), shared_pki().now).format == made
