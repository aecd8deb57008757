"""The kas files of the layer: the first thing that an integrator uses."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from layer.paths import LAYER, MACHINES, RELEASES

KAS = sorted((LAYER / "kas").glob("*.yml"))


@pytest.mark.parametrize("path", KAS, ids=lambda path: path.name)
def test_a_kas_file_is_one(path: Path) -> None:
    jsonschema.validate(read(path), json.loads((files("kas") / "schema-kas.json").read_text()))


@pytest.mark.parametrize("path", KAS, ids=lambda path: path.name)
def test_a_kas_file_names_what_is_there(path: Path) -> None:
    content = read(path)
    for included in content["header"].get("includes", []):
        # From the root of the repository: what is named from beside the file, kas takes with a warning.
        assert (LAYER.parent / included).is_file(), included
    machine = content.get("machine")
    assert machine is None or machine in MACHINES


def test_there_are_kas_files_for_each_release_and_machine() -> None:
    names = " ".join(path.name for path in KAS)
    assert all(word in names for word in (*RELEASES, *MACHINES))


def read(path: Path) -> Any:
    """The content of a file."""
    return yaml.safe_load(path.read_text())
