"""What continuous integration is told to run exists, and at night it tells what went wrong, and goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# make notes what it was asked for; that of fleet goes wrong.
MAKE = """\
#!/bin/sh
echo "$*" >>asked
test "$1" != fleet
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout that has nothing but its .ci, and a make that only takes notes."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/make").write_text(MAKE)
    (tmp_path / "bin/make").chmod(0o755)
    return tmp_path


def run(place: Path, name: str, **more: str) -> tuple[int, str, list[str]]:
    environment = {**os.environ, "PATH": f"{place}/bin:{os.environ['PATH']}", **more}
    done = subprocess.run([place / ".ci" / name], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, (place / "asked").read_text().splitlines()


@pytest.mark.parametrize("name", ["run", "nightly"])
def test_it_asks_for_what_there_is(place: Path, name: str):
    _, _, asked = run(place, name)
    for line in asked:
        known = ["make", "--dry-run", "--no-print-directory", *line.removeprefix("-s ").split()]
        assert subprocess.run(known, cwd=ROOT, capture_output=True, check=False).returncode == 0, line


def test_a_night_goes_on_after_what_failed_and_tells_it_with_the_seed(place: Path):
    status, said, asked = run(place, "nightly", SEED="7", MINUTES="60")
    assert (status, said.splitlines()[-2:]) == (1, ["failed: make fleet", "seed 7"])
    assert "torture MINUTES=30 TORTURE_SEED=7 TORTURE=--kill" in asked and "test-boot" in asked


def test_a_night_in_which_all_is_well_ends_well(place: Path):
    (place / "bin/make").write_text(MAKE.replace("fleet", "nothing"))
    assert run(place, "nightly")[0] == 0
