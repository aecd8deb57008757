"""What may go into a bundle: from a directory, or from options."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from support.bundles import make_content

from agent.bundle.manifest import Image, dump_manifest
from agent.bundler.content import Content, read_directory
from agent.bundler.manifest_options import add_manifest, are_given, content_of
from agent.errors import OtaError


def from_options(*argv: str) -> Content:
    parser = argparse.ArgumentParser()
    add_manifest(parser)
    options = parser.parse_args(argv)
    assert are_given(options)
    return content_of(options)


def refused(*argv: str) -> OtaError:
    with pytest.raises(OtaError) as caught:
        from_options(*argv)
    return caught.value


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("rootfs.ext4", "app.img", "strange.bin", "rootfs.caibx"):
        (tmp_path / name).write_bytes(bytes(4096))
    return tmp_path


def test_options_make_the_manifest_that_a_file_would(files: Path) -> None:
    found = from_options(
        "--compatible", "my-board", "--version", "2;3 = #4", "--description", "a\nb", "--build", "77",
        "--image", f"rootfs={files}/rootfs.ext4,adaptive=block-hash-index", "--image", f"app.big={files}/app.img,type=raw",
        "--meta", "ota.epoch=3", "--meta", "ota.url=https://example.com/?a=b",
    )  # fmt: skip
    assert found.draft.images == (
        Image("rootfs", None, "rootfs.ext4", adaptive=("block-hash-index",)),
        Image("app", "big", "app.img", type="raw"),
    )
    assert found.draft.meta == {"ota": {"epoch": "3", "url": "https://example.com/?a=b"}}
    assert list(found.files) == ["app.img", "rootfs.ext4"]
    (files / "manifest.raucm").write_bytes(dump_manifest(found.draft))
    (files / "strange.bin").unlink()
    assert read_directory(files).draft == found.draft


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--image", "rootfs"], "sign.option-invalid", "rootfs"),
        (["--image", "=x"], "sign.option-invalid", "=x"),
        (["--image", "rootfs=x.img,size=3"], "sign.option-invalid", "size=3"),
        (["--image", "rootfs=x.img,type"], "sign.option-invalid", "type"),
        (["--image", "rootfs=a.img", "--image", "rootfs=b.img"], "sign.option-invalid", "b.img"),
        (["--meta", "epoch=3"], "sign.option-invalid", "epoch=3"),
        (["--meta", "ota.a=1", "--meta", "ota.a=2"], "sign.option-invalid", "ota.a=2"),
        (["--meta", "ota.a b=1"], "bundle.manifest-invalid", "a b"),
        (["--image", "root fs=a.img"], "bundle.manifest-invalid", "root fs"),
        (["--image", "rootfs=missing.img"], "build.content-invalid", "missing.img"),
    ],
)
def test_options_that_make_no_sense_are_explained(options: list[str], code: str, why: str) -> None:
    error = refused("--compatible", "x", *options)
    assert error.code == code
    assert why in error.details


def test_options_without_compatible_are_refused(files: Path) -> None:
    assert "compatible is missing" in refused("--image", f"rootfs={files}/rootfs.ext4").details


def test_two_files_of_the_same_name_cannot_lie_side_by_side(files: Path) -> None:
    (files / "b").mkdir()
    (files / "b" / "app.img").write_bytes(b"x")
    error = refused("--compatible", "x", "--image", f"a={files}/app.img", "--image", f"b={files}/b/app.img")
    assert "two files are named app.img" in error.details


def test_one_file_may_serve_two_classes(files: Path) -> None:
    found = from_options("--compatible", "x", "--image", f"a={files}/app.img", "--image", f"b={files}/app.img")
    assert list(found.files) == ["app.img"]


@pytest.mark.parametrize(
    "name",
    ["a.img", "a.ext4", "a.vfat", "a.squashfs", "a.squashfs-xz", "a.ubifs", "a.tar", "a.tar.xz", "a.tgz"],
)
def test_the_endings_that_rauc_knows_need_no_type(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert from_options("--compatible", "x", "--image", f"a={tmp_path / name}").draft.images[0].type is None


def test_an_unknown_ending_is_explained_and_a_type_helps(files: Path) -> None:
    error = refused("--compatible", "x", "--image", f"a={files}/strange.bin")
    assert error.code == "build.content-invalid"
    assert "'strange.bin'" in error.details
    assert "*.ext4" in error.resolution
    assert from_options("--compatible", "x", "--image", f"a={files}/strange.bin,type=raw").draft.images[0].type == "raw"
    assert "'rwa'" in refused("--compatible", "x", "--image", f"a={files}/strange.bin,type=rwa").details
    assert "casync" in refused("--compatible", "x", "--image", f"a={files}/rootfs.caibx").details


def test_an_install_hook_may_bring_any_file(tmp_path: Path) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"x")
    (content / "firmware.bin").write_bytes(b"x")
    (content / "hook.sh").write_text("#!/bin/sh\n")
    (content / "hook.sh").chmod(0o755)
    with (content / "manifest.raucm").open("a") as file:
        file.write("[image.fw]\nfilename=firmware.bin\nhooks=install\n[hooks]\nfilename=hook.sh\n")
    assert set(read_directory(content).files) == {"firmware.bin", "hook.sh", "rootfs.img"}


@pytest.mark.parametrize("group", ["[hooks]\nfilename=hook.sh\nhooks=install-check", "[handler]\nfilename=hook.sh"])
def test_a_hook_that_is_not_there_is_missed(group: str, tmp_path: Path) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"x", extra=group + "\n")
    with pytest.raises(OtaError) as caught:
        read_directory(content)
    assert "hook.sh" in caught.value.details


def test_a_hook_of_an_image_needs_a_program(tmp_path: Path) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"x")
    with (content / "manifest.raucm").open("a") as file:
        file.write("[image.fw]\nfilename=rootfs.img\nhooks=post-install\n")
    with pytest.raises(OtaError) as caught:
        read_directory(content)
    assert caught.value.code == "bundle.manifest-invalid"
    assert "[hooks] filename is missing" in caught.value.details


@pytest.mark.parametrize("kind", ["symlink", "directory"])
def test_what_is_no_regular_file_is_named_with_the_reason(kind: str, tmp_path: Path) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=b"x")
    if kind == "symlink":
        (content / "odd").symlink_to("rootfs.img")
    else:
        (content / "odd").mkdir()
    with pytest.raises(OtaError) as caught:
        read_directory(content)
    assert f"odd is a {'symbolic link' if kind == 'symlink' else 'directory'}" in caught.value.details
    assert "not mean the same on the device" in caught.value.resolution


def test_an_unknown_adaptive_method_is_refused(files: Path) -> None:
    error = refused("--compatible", "x", "--image", f"a={files}/app.img,adaptive=magic")
    assert "adaptive=magic" in error.details
