"""Packages that are unpacked and not installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from boot.lab.debs import unpack


@pytest.fixture
def debs(tmp_path: Path) -> Path:
    """A directory with one package in it, whose script would leave a mark."""
    package, where = tmp_path / "package", tmp_path / "debs"
    for name, text in {"lib/board/program": "x", "usr/share/doc/board/copyright": "x"}.items():
        (package / name).parent.mkdir(parents=True)
        (package / name).write_text(text)
    control = package / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        "Package: board\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b>\nDescription: x\n"
    )
    (control / "postinst").write_text(f"#!/bin/sh\ntouch {tmp_path}/mark\n")
    (control / "postinst").chmod(0o755)
    where.mkdir()
    subprocess.run(["dpkg-deb", "--build", package, where / "board.deb"], check=True, capture_output=True)
    return where


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root whose directories for programs are merged, as Debian's are."""
    path = tmp_path / "tree"
    (path / "usr/lib").mkdir(parents=True)
    (path / "lib").symlink_to("usr/lib")
    return path


def test_a_directory_that_is_merged_stays_so(debs: Path, tree: Path) -> None:
    unpack(debs, tree)
    assert (tree / "lib").is_symlink()
    assert (tree / "usr/lib/board/program").read_text() == "x"


def test_what_is_left_out_is_not_there(debs: Path, tree: Path) -> None:
    unpack(debs, tree, ["./usr/share/doc"])
    assert not (tree / "usr/share/doc").exists()


def test_no_program_of_a_package_runs(debs: Path, tree: Path) -> None:
    unpack(debs, tree)
    assert not (tree.parent / "mark").exists()


def test_a_package_that_is_cut_off_is_an_error(debs: Path, tree: Path) -> None:
    deb = debs / "board.deb"
    deb.write_bytes(deb.read_bytes()[:-100])
    with pytest.raises(RuntimeError):
        unpack(debs, tree)
