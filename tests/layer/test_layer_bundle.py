"""A bundle recipe that was written for meta-rauc, after ``inherit bundle`` has become ``inherit ota_bundle``."""

from __future__ import annotations

import configparser
import gzip
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from layer.parsed import Recipe, recipes
from layer.paths import LAYER

sys.path.append(str(LAYER / "lib"))
from ota_layer import bundle_files, bundle_plan  # as BitBake finds it

_EVERYTHING = r"""
inherit ota_bundle

RAUC_BUNDLE_COMPATIBLE = "Old Product"
RAUC_BUNDLE_VERSION = "2026.1"
RAUC_BUNDLE_DESCRIPTION = "As it was"
RAUC_BUNDLE_BUILD = "nightly"
RAUC_BUNDLE_FORMAT = "crypt"
RAUC_BUNDLE_HOOKS[file] = "hook.sh"
RAUC_BUNDLE_HOOKS[hooks] = "install-check"
RAUC_BUNDLE_SLOTS = "rootfs kernel bootloader dtb data home"
RAUC_SLOT_rootfs = "core-image-minimal"
RAUC_SLOT_rootfs[fstype] = "ext4.zst"
RAUC_SLOT_rootfs[unpack] = "zst"
RAUC_SLOT_rootfs[hooks] = "pre-install;post-install"
RAUC_SLOT_rootfs[adaptive] = "block-hash-index"
RAUC_SLOT_kernel = "linux-yocto"
RAUC_SLOT_kernel[type] = "kernel"
RAUC_SLOT_kernel[rename] = "kernel.img"
RAUC_SLOT_bootloader = "barebox"
RAUC_SLOT_bootloader[type] = "boot"
RAUC_SLOT_bootloader[offset] = "-512"
RAUC_SLOT_dtb = "linux-yocto"
RAUC_SLOT_dtb[name] = "dtb.variant-1"
RAUC_SLOT_dtb[type] = "file"
RAUC_SLOT_dtb[file] = "trees/${MACHINE}.dtb"
RAUC_SLOT_dtb[imagetype] = "raw"
RAUC_SLOT_data[imagetype] = "emptyfs"
RAUC_SLOT_home[type] = "none"
RAUC_SLOT_home[hooks] = "install"
RAUC_META_SECTIONS = "product"
RAUC_META_product[release-type] = "beta"
RAUC_MANIFEST_EXTRA_LINES = "[meta.more]\nkey=value\n"
"""
_OURS_TOO = """
inherit ota_bundle

RAUC_BUNDLE_COMPATIBLE = "Old Product"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "core-image-minimal"
RAUC_SLOT_rootfs[fstype] = "ubifs"
RAUC_SLOT_rootfs[hooks] = "post-install"
RAUC_BUNDLE_HOOKS[file] = "hook.sh"
OTA_BUNDLE_COMPATIBLE = "New Product"
OTA_SLOT_rootfs = "ota-image-minimal"
OTA_SLOT_rootfs[fstype] = "ext4"
"""
_REFUSED: Mapping[str, tuple[str, str]] = {
    "casync": ('RAUC_CASYNC_BUNDLE = "1"', "casync bundles are not supported"),
    "artifact": ('RAUC_BUNDLE_SLOTS += "containers/app"', "artifacts are not supported"),
    "converted": ('RAUC_SLOT_rootfs[convert] = "tar-extract"', "artifacts are not supported"),
    "format": ('RAUC_BUNDLE_FORMAT = "verify"', "OTA_BUNDLE_FORMAT: expected plain, verity or crypt"),
    "type": ('RAUC_SLOT_rootfs[type] = "images"', "OTA_SLOT_rootfs[type]: expected one of image"),
    "nothing": ('RAUC_BUNDLE_SLOTS += "boot"', "OTA_SLOT_boot: expected the name of a recipe"),
    "names": ('RAUC_BUNDLE_EXTRA_FILES = "a/notes b/notes"', "the bundle has another file notes"),
}
_ONE_SLOT = 'inherit ota_bundle\nRAUC_BUNDLE_SLOTS = "rootfs"\nRAUC_SLOT_rootfs = "core-image-minimal"\n'


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipe]:
    """The recipes above, as BitBake's parser reads them with the layer's class."""
    layer = tmp_path_factory.mktemp("migrated")
    for part in ("conf", "classes-recipe", "lib"):
        shutil.copytree(LAYER / part, layer / part, ignore=shutil.ignore_patterns("__pycache__"))
    texts = {"everything": _EVERYTHING, "ours-too": _OURS_TOO}
    for name, text in {**texts, **{name: f"{_ONE_SLOT}{line}\n" for name, (line, _) in _REFUSED.items()}}.items():
        (layer / f"{name}.bb").write_text(f'SUMMARY = "Update"\n{text}')
    return recipes("qemux86-64", layer=layer)


def manifest(recipe: Recipe) -> dict[str, dict[str, str]]:
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(recipe.variables["OTA_BUNDLE_MANIFEST"])
    return {name: dict(section) for name, section in read.items() if name != "DEFAULT"}


def test_a_recipe_of_meta_rauc_makes_the_manifest_that_it_made_there(parsed: dict[str, Recipe]) -> None:
    assert manifest(parsed["everything"]) == {
        "update": {"compatible": "Old Product", "version": "2026.1", "description": "As it was", "build": "nightly"},
        "bundle": {"format": "crypt"},
        "hooks": {"filename": "hook.sh", "hooks": "install-check"},
        "image.rootfs": {
            "hooks": "pre-install;post-install",
            "adaptive": "block-hash-index",
            "filename": "core-image-minimal-qemux86-64.rootfs.ext4",
        },
        "image.kernel": {"filename": "kernel.img"},
        "image.bootloader": {"filename": "barebox.img"},
        "image.dtb.variant-1": {"type": "raw", "filename": "qemux86-64.dtb.img"},
        "image.data": {"type": "emptyfs"},
        "image.home": {"hooks": "install"},
        "meta.product": {"release-type": "beta"},
        "meta.more": {"key": "value"},
    }


def test_the_tasks_that_make_its_files_are_waited_for(parsed: dict[str, Recipe]) -> None:
    recipe = parsed["everything"]
    tasks = recipe.flags["do_configure"]["depends"].split()
    assert tasks == [
        "core-image-minimal:do_image_complete", "linux-yocto:do_deploy", "barebox:do_deploy", "linux-yocto:do_deploy",
    ]  # fmt: skip
    assert "zstd-native" in recipe.words("DEPENDS")


def test_a_bundle_may_be_signed_again_where_one_was_before(parsed: dict[str, Recipe]) -> None:
    """ota-bundle replaces no file, and another key alone runs do_bundle again."""
    assert parsed["everything"].flags["do_bundle"]["cleandirs"] == "${B}"


def test_what_has_our_name_counts_before_what_has_raucs(parsed: dict[str, Recipe]) -> None:
    made = manifest(parsed["ours-too"])
    assert made["update"]["compatible"] == "New Product"
    assert made["image.rootfs"] == {
        "hooks": "post-install",
        "filename": "ota-image-minimal-qemux86-64.rootfs.ext4",
    }


def test_the_format_is_verity_where_nothing_is_said(parsed: dict[str, Recipe]) -> None:
    assert manifest(parsed["ours-too"])["bundle"] == {"format": "verity"}


@pytest.mark.parametrize("name", _REFUSED)
def test_what_the_agent_refuses_is_refused_when_the_recipe_is_parsed(name: str, parsed: dict[str, Recipe]) -> None:
    assert _REFUSED[name][1] in parsed[name].skipped


def test_files_are_unpacked_moved_and_made_executable_on_their_way_into_the_bundle(tmp_path: Path) -> None:
    deployed, fetched, bundle = (tmp_path / name for name in ("deployed", "fetched", "bundle"))
    for folder in (deployed, fetched, bundle):
        folder.mkdir()
    (deployed / "rootfs.ext4.gz").write_bytes(gzip.compress(b"root"))
    (deployed / "loader").write_bytes(b"header:loader")
    (fetched / "loader").write_bytes(b"found too late")
    (fetched / "hook.sh").write_bytes(b"#!/bin/sh\n")
    wanted = [
        bundle_plan.Source("rootfs.ext4.gz", "rootfs.ext4", unpack="gz"),
        bundle_plan.Source("loader", "moved", offset=2),
        bundle_plan.Source("loader", "cut", offset=-7),
        bundle_plan.Source("hook.sh", "hook.sh", program=True),
    ]
    bundle_files.collect(wanted, [deployed, fetched], bundle, "/usr/bin:/bin")
    assert {path.name: (path.read_bytes(), bool(path.stat().st_mode & 0o111)) for path in bundle.iterdir()} == {
        "rootfs.ext4": (b"root", False),
        "moved": (b"\0\0header:loader", False),
        "cut": (b"loader", False),
        "hook.sh": (b"#!/bin/sh\n", True),
    }
