"""What yocto-check-layer and BitBake want of a layer, as far as files alone can tell."""

from __future__ import annotations

import re

import pytest

from layer.paths import LAYER, RELEASES, ROOT

LAYER_CONF = (LAYER / "conf" / "layer.conf").read_text()


def test_it_says_for_which_releases_it_is() -> None:
    (found,) = re.findall(r'^LAYERSERIES_COMPAT_ota-agent = "([^"]*)"', LAYER_CONF, re.MULTILINE)
    assert set(RELEASES) <= set(found.split())


def test_its_readme_says_who_maintains_it_and_where_patches_go() -> None:
    (readme,) = LAYER.glob("README*")
    text = readme.read_text()
    for word in ("maintainer", "patch"):
        assert word in text.lower()
    # yocto-check-layer wants an address only of one that names no other README.
    assert re.search(r"[\w.+-]+@[\w-]+\.\w+", text) or "README" in text


def test_it_says_how_to_report_a_vulnerability() -> None:
    assert [*LAYER.glob("SECURITY*"), *ROOT.glob("SECURITY*")]


def test_no_folder_has_a_name_that_newer_releases_refuse() -> None:
    """From wrynose on a layer with kickstart files in ``wic/`` ends every build; they belong into ``files/wic``."""
    assert not (LAYER / "wic").exists()
    assert not (LAYER / "scripts" / "lib" / "wic" / "canned-wks").exists()
    assert list((LAYER / "files" / "wic").glob("*.wks.in"))


def test_kickstart_files_name_no_plugin_that_only_one_release_has() -> None:
    for path in (LAYER / "files" / "wic").iterdir():
        sources = set(re.findall(r"--source (\S+)", path.read_text()))
        assert sources <= {"rootfs", "rawcopy", "empty"}, path.name


def test_each_patch_has_a_status() -> None:
    for path in LAYER.rglob("*.patch"):
        assert re.search(r"^Upstream-Status: \w+", path.read_text(), re.MULTILINE), path.name


def test_what_is_appended_to_other_recipes_is_in_force_only_where_the_distribution_asks() -> None:
    """Else the layer changes the signatures of others as soon as it is added, which makes them be built again."""
    appends = list(LAYER.rglob("*.bbappend"))
    assert appends
    for path in appends:
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert len(lines) == 1, path.name
        assert re.fullmatch(
            r"(require|include) \$\{@bb\.utils\.contains\('DISTRO_FEATURES', 'ota-agent', '\S+\.inc', '', d\)\}",
            lines[0],
        ), path.name


def test_a_default_for_older_releases_never_wins_over_that_of_newer_ones() -> None:
    """``UNPACKDIR ??=`` in a recipe would be read after bitbake.conf, and win there."""
    assert 'UNPACKDIR ??= "${WORKDIR}"' in LAYER_CONF
    for path in LAYER.rglob("*"):
        if path.suffix in (".bb", ".inc", ".bbclass", ".bbappend"):
            assert not re.search(r"^UNPACKDIR\b", path.read_text(), re.MULTILINE), path.name
            assert not re.search(r'^S = "\$\{WORKDIR\}"', path.read_text(), re.MULTILINE), path.name


@pytest.mark.parametrize("word", ["INSANE_SKIP", "[network]", ";tag="])
def test_no_recipe_silences_a_check_or_works_in_one_release_only(word: str) -> None:
    for path in LAYER.rglob("*"):
        if path.suffix in (".bb", ".inc", ".bbclass", ".bbappend", ".conf"):
            assert word not in path.read_text(), path.name
