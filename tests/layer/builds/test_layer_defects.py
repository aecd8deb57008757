"""The checks of a build bite: each defect that a recipe can have is put into a copy of the layer, and is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layer.oe.lab import Lab

RECIPE = "meta-ota-agent/recipes-ota/ota-agent/ota-agent_0.1.0.bb"
SOURCE = "meta-ota-agent/recipes-ota/ota-agent-source.inc"


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of a file that must have the text."""

    def change(tree: Path) -> None:
        path = tree / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def added(lines: str) -> Callable[[Path], None]:
    """Further lines of the agent's recipe."""

    def change(tree: Path) -> None:
        path = tree / RECIPE
        path.write_text(f"{path.read_text()}\n{lines}\n")

    return change


DEFECTS = {
    "sum of the licence": (replaced(SOURCE, "md5=3", "md5=4"), "LIC_FILES_CHKSUM"),
    "name of a unit": (replaced(RECIPE, '= "ota-agent.service', '= "ota-agentd.service'), "ota-agentd.service"),
    "unpackaged file": (
        added("do_install:append () {\n    install -D -m 0644 /dev/null ${D}${datadir}/stray/file\n}"), "installed-vs-shipped",
    ),
    "missing source": (added('SRC_URI += "file://nowhere"'), "nowhere"),
    "unknown dependency": (added('RDEPENDS:${PN} += "python3-nowhere"'), "Nothing RPROVIDES 'python3-nowhere'"),
    "leaked path of the build": (
        added("do_install:append () {\n    echo 'built in ${WORKDIR}' > ${D}${OTA_AGENT_DIR}/note\n}"), "[buildpaths]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found(name: str, lab: Lab) -> None:
    change, sign = DEFECTS[name]
    workspace = lab.workspace("qemux86-64", lab.tree("tree-defect", change), folder="defect")
    done = workspace.bitbake("ota-agent")
    assert done.status != 0
    assert sign in done.text, done.text[-3000:]


def test_without_a_defect_nothing_is_found(lab: Lab) -> None:
    workspace = lab.workspace("qemux86-64", lab.tree("tree-defect"), folder="defect")
    done = workspace.bitbake("ota-agent")
    assert done.status == 0, done.text[-3000:]


def test_an_example_that_was_left_as_it_is_is_told_of(lab: Lab) -> None:
    workspace = lab.workspace("qemux86-64", lab.tree("tree-defect"), "defect", {"OTA_KEYRING_FILE": ""})
    said = workspace.build("-C", "compile", "ota-agent-conf")
    assert "ota-agent.toml is still the example" in said
    assert "The keyring holds no certificate" in said
