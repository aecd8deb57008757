"""Each defect that is put into a guest changes the agent, and only the agent that runs as the daemon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torture.defects import FOLDER, FOUND_BY_REPLAY, files

ROOT = Path(__file__).resolve().parents[2]
ASK = """
from agent.daemon.activities import life
from bootloader_env import media
from bootloader_env.variables import VariableEnv
print(life.confirming.__module__, VariableEnv.activate.__module__, VariableEnv.revert.__module__, media.os.fsync.__name__)
"""


def asked(tmp_path: Path, defect: str, word: str) -> str:
    """What the program of a system with a defect finds, when it would start the agent."""
    laid = files([defect])
    for name in ("crash/__init__.py", "crash/alterations.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(laid[f"{FOLDER}/{name}"])
    program = laid["usr/bin/ota-agent"].replace("/usr/lib/ota-agent", str(ROOT), 1).replace(f"/{FOLDER}", str(tmp_path))
    program = program.replace("from agent.__main__ import main\nsys.exit(main())\n", ASK)
    (tmp_path / "program.py").write_text(program)
    return subprocess.run(
        [sys.executable, "-I", tmp_path / "program.py", word], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("defect", FOUND_BY_REPLAY)
def test_a_defect_changes_the_daemon_and_no_other_process(tmp_path, defect):
    whole = asked(tmp_path, defect, "installer")
    assert whole == "agent.daemon.activities.switch bootloader_env.variables bootloader_env.variables fsync"
    assert asked(tmp_path, defect, "daemon") != whole


def test_a_system_without_defects_has_nothing_of_this():
    assert files([]) == {}


def test_an_unknown_defect_is_refused():
    with pytest.raises(KeyError):
        files(["no-such-defect"])
