"""The wheel, which packages for devices are made from."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from agent.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.parametrize(("command", "status", "says"), [("demo", 2, "has no demo"), ("version", 0, "ota-agent 0")])
def test_what_is_installed_from_it_works_and_has_no_demo(installed: Path, command: str, status: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PROGRAM, str(installed), command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, says in done.stdout + done.stderr) == (status, True), done.stderr
