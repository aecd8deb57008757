"""What BitBake makes of the layer's recipes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from layer.paths import LAYER


@dataclass(frozen=True)
class Recipe:
    """A recipe after parsing.

    Args:
        name: of its file, without a version.
        skipped: why BitBake leaves it out for this machine; empty if it does not.
        tasks: that are its own.
        variables: with their values, as far as those could be expanded.
        flags: of variables and tasks.
    """

    name: str
    skipped: str
    tasks: list[str]
    variables: dict[str, str]
    flags: dict[str, dict[str, str]]

    def words(self, variable: str) -> list[str]:
        """A variable that is a list; of a package as ``RDEPENDS:ota-agent``."""
        return self.variables.get(variable, "").split()

    @property
    def packages(self) -> list[str]:
        """The packages that it names itself."""
        names = [self.variables["PN"], *self.words("PACKAGES")]
        return [name for name in names if f"FILES:{name}" in self.variables or f"RDEPENDS:{name}" in self.variables]


@lru_cache
def recipes(machine: str, series: str = "scarthgap", layer: Path = LAYER) -> dict[str, Recipe]:
    """All recipes of the layer, parsed for a machine.

    Raises:
        AssertionError: BitBake could not parse one; tells what it said.
    """
    program = Path(__file__).with_name("parse.py")
    done = subprocess.run(
        [sys.executable, program, layer, machine, series], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    names = {stem: stem.partition("_")[0] for stem in json.loads(done.stdout)}
    return {names[stem]: Recipe(names[stem], **values) for stem, values in json.loads(done.stdout).items()}
