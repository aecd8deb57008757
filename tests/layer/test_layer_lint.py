"""The layer under the linter of the field."""

from __future__ import annotations

import subprocess
import sys

import pytest

from layer.paths import LAYER, RELEASES

# Rules that we do not follow, and why.
_SUPPRESSED = {
    "oelint.file.includenotfound": "the file of a machine may be in any layer, or in none",
    "oelint.file.requireinclude": "see oelint.file.includenotfound",
    "oelint.file.underscores": "recipes without a version of their own have none in the name, as those of images do",
    "oelint.task.docstrings": "tasks here are helpers of others, nobody calls them by name",
    "oelint.task.heredocs": "a launcher of six lines holds paths that only the recipe knows",
    "oelint.task.noanonpython": "SkipRecipe and dependencies that follow from variables have no other place",
    "oelint.var.bbclassextend": "a daemon of a device has no use on the host",
    "oelint.var.filesoverride": "packages that are split off say what they hold",
    "oelint.var.mandatoryvar.DESCRIPTION": "the summary of an image or a group says it all",
    "oelint.var.mandatoryvar.HOMEPAGE": "the project has none beside its repository",
    "oelint.var.mandatoryvar.SRC_URI": "a bundle is made of what other recipes have deployed",
    "oelint.var.order": "what belongs to a package stands together",
    "oelint.var.override": "a recipe takes less of the tree than the default says",
    "oelint.var.suggestedvar": "neither is there a tracker, nor a CVE database that knows the project",
    "oelint.vars.dependsordered": "a package of the same recipe is named first",
    "oelint.vars.fileextrapaths": "the sources lie in the tree that the layer is a part of",
    "oelint.vars.inconspaces": "what is appended to a search path begins with a colon",
    "oelint.vars.layerconf": "UNPACKDIR ??= in layer.conf is what makes one tree work with all releases",
    "oelint.vars.overrideappend": "it does not know variables that are named after a type of image",
    "oelint.vars.specific": "see oelint.vars.overrideappend",
    "oelint.vars.multilineident": "continued lines are indented by four",
    "oelint.vars.mispell": "it does not know our variables",
    "oelint.vars.noncoreoverride": "what is appended is in force only where DISTRO_FEATURES has ota-agent",
    "oelint.vars.notneededspace": "lists begin on a line of their own",
    "oelint.vars.outofcontext": "see oelint.vars.fileextrapaths",
}


@pytest.mark.parametrize("release", RELEASES)
def test_the_linter_of_the_field_finds_nothing(release: str) -> None:
    suffixes = (".bb", ".inc", ".bbclass", ".bbappend")
    checked = [str(path) for path in sorted(LAYER.rglob("*")) if path.suffix in suffixes or path.name == "layer.conf"]
    done = subprocess.run(
        [
            sys.executable, "-m", "oelint_adv", "--release", release, "--jobs", "1", "--quiet",
            *(f"--suppress={rule}" for rule in _SUPPRESSED), *checked,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    findings = [line for line in (done.stdout + done.stderr).splitlines() if ":oelint." in line]
    left = [line for line in findings if not any(f":{rule}" in line for rule in _SUPPRESSED)]
    assert not left, "\n".join(left)
    assert done.returncode in (0, 1), done.stderr
