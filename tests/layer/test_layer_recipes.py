"""The recipes of meta-ota-agent as BitBake parses them: what they promise about files, units and packages holds."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import tomllib

import pytest

from layer import imports
from layer.parsed import Recipe, recipes
from layer.paths import LAYER, MACHINES, RECIPES, RELEASES, ROOT
from tools.install_tree import EXAMPLES, place_of

BOOTLOADERS = {"qemux86-64": "grub", "qemuarm64": "uboot"}


@pytest.fixture(scope="module")
def agent() -> Recipe:
    return recipes("qemux86-64")["ota-agent"]


@pytest.mark.parametrize("machine", MACHINES)
def test_each_recipe_is_parsed_and_only_the_other_bootloaders_is_left_out(machine: str) -> None:
    found = recipes(machine)
    assert len(found) == len(RECIPES)
    skipped = {name for name, recipe in found.items() if recipe.skipped}
    assert skipped == {f"ota-boot-{name}" for name in BOOTLOADERS.values() if name != BOOTLOADERS[machine]}


@pytest.mark.parametrize("name", [path.stem.partition("_")[0] for path in RECIPES])
def test_a_recipe_says_what_it_is_and_under_which_licence(name: str) -> None:
    recipe = recipes("qemux86-64")[name]
    assert recipe.variables["SUMMARY"]
    assert len(recipe.variables["SUMMARY"]) <= 72
    assert recipe.variables["LICENSE"] in ("Apache-2.0", "MIT")


def test_the_sum_of_the_licence_is_that_of_the_file() -> None:
    digest = hashlib.md5((ROOT / "LICENSE").read_bytes(), usedforsecurity=False).hexdigest()
    sums = {
        word
        for recipe in recipes("qemux86-64").values()
        for word in recipe.words("LIC_FILES_CHKSUM")
        if "LICENSE;" in word
    }
    assert sums == {f"file://LICENSE;md5={digest}"}


def test_sources_that_recipes_take_from_the_tree_are_there() -> None:
    for recipe in recipes("qemux86-64").values():
        for name in recipe.words("OTA_AGENT_TREE"):
            assert (ROOT / name).exists(), f"{recipe.name} wants {name}"


def test_the_version_of_the_recipes_is_the_agents() -> None:
    from agent import __version__

    versions = {
        recipe.variables["PV"] for name, recipe in recipes("qemux86-64").items() if name in ("ota-agent", "ota-bundler")
    }
    assert versions == {__version__}


def test_the_project_names_no_python_that_the_oldest_release_has_not_heard_of() -> None:
    """hatchling builds no wheel with a classifier that is unknown to trove-classifiers: scarthgap has 2024.2.23."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    minors = [int(name.rpartition(".")[2]) for name in project["classifiers"] if ":: Python :: 3." in name]
    assert max(minors) == 13


def test_units_that_are_enabled_exist(agent: Recipe) -> None:
    packages = agent.words("SYSTEMD_PACKAGES")
    units = [unit for package in packages for unit in agent.words(f"SYSTEMD_SERVICE:{package}")]
    assert units
    assert all((ROOT / "systemd" / unit).is_file() for unit in units)


def test_each_file_of_systemd_is_in_one_package(agent: Recipe) -> None:
    owners: dict[str, list[str]] = {}
    for source in (path.name for path in (ROOT / "systemd").iterdir() if path.is_file()):
        place = f"/{place_of(source)}"
        if not place.startswith(
            f"/{EXAMPLES}"
        ):  # of these, what a device needs is in ota-agent-conf; all are documentation
            owners[place] = [name for name in agent.packages if _holds(agent, name, place)]
    # The first package of PACKAGES whose FILES match gets the file; ota-agent comes behind those that were split off.
    first = {place: [name for name in found if name != "ota-agent"] or found for place, found in owners.items()}
    assert {place: found for place, found in first.items() if len(found) != 1} == {}


def _holds(recipe: Recipe, package: str, place: str) -> bool:
    return any(
        fnmatch.fnmatchcase(place, pattern) or place.startswith(f"{pattern}/")
        for pattern in recipe.words(f"FILES:{package}")
    )


# Which modules lie in which package, and what it may count on from those that it depends on.
PARTS = {
    "ota-agent": (lambda: imports.files(*imports.OURS, without=ELSEWHERE), ()),
    "ota-agent-fetch": (lambda: imports.files("agent/fetcher"), ("ota-agent",)),
    "ota-agent-rauc": (lambda: imports.files("agent/rauc"), ("ota-agent",)),
}
ELSEWHERE = ("agent/demo", "agent/bundler", "agent/fetcher", "agent/rauc")


@pytest.mark.parametrize("series", RELEASES)
@pytest.mark.parametrize("package", PARTS)
def test_a_package_depends_on_every_package_that_holds_what_it_imports(package: str, series: str) -> None:
    """OpenEmbedded splits the standard library, and no check of a build sees that a part is missing."""
    recipe = recipes("qemux86-64", series)["ota-agent"]
    modules, others = PARTS[package]
    without = () if series == "scarthgap" else imports.ONLY_BEFORE_45
    wanted = imports.packages(imports.modules(modules()), without)
    named = {word for name in (package, *others) for word in recipe.words(f"RDEPENDS:{name}")}
    assert wanted - named == set()
    assert package in others or set(others) <= named | {package}


@pytest.mark.parametrize("series", RELEASES)
def test_a_package_depends_on_no_part_of_the_library_in_vain(series: str) -> None:
    recipe = recipes("qemux86-64", series)["ota-agent"]
    wanted = imports.packages(imports.modules(PARTS["ota-agent"][0]()))
    named = {word for word in recipe.words("RDEPENDS:ota-agent") if word.startswith("python3-")}
    assert named - wanted <= {"python3-core"}


@pytest.mark.parametrize("series", RELEASES)
def test_the_host_tool_depends_on_all_that_it_imports_and_on_nothing_of_a_device(series: str) -> None:
    recipe = recipes("qemux86-64", series)["ota-bundler"]
    without = () if series == "scarthgap" else imports.ONLY_BEFORE_45
    reached = imports.modules(imports.reachable("agent.bundler.cli"))
    wanted = imports.packages(reached, {"systemd", *without})
    named = {
        word
        for name, value in recipe.variables.items()
        if name.startswith("RDEPENDS:ota-bundler")
        for word in value.split()
    }
    named |= set(recipe.words("OTA_BUNDLER_STANDARD_LIBRARY"))
    assert wanted - named == set()
    assert not named & {"python3-pydbus", "python3-pygobject", "python3-pyudev", "python3-systemd", "python3-requests"}


def test_a_table_of_modules_names_only_such_of_the_standard_library() -> None:
    import sys

    assert {name.partition(".")[0] for name in imports.STANDARD} <= sys.stdlib_module_names


def test_no_recipe_is_built_with_world_that_needs_a_key_or_a_bootloader() -> None:
    for recipe in recipes("qemux86-64").values():
        if re.match(r"ota-(image|bundle)-", recipe.name):
            assert recipe.variables.get("EXCLUDE_FROM_WORLD") == "1", recipe.name


def test_there_is_a_recipe() -> None:
    assert LAYER.is_dir()
    assert len(RECIPES) > 5
