"""Packages for devices leave the demo out: the rest works, and the command says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_the_command_says_that_there_is_no_demo(tmp_path: Path) -> None:
    for name in ("agent", "slots", "bootloader_env"):
        (tmp_path / name).mkdir()
        for entry in (ROOT / name).iterdir():
            if entry.name != "demo":
                (tmp_path / name / entry.name).symlink_to(entry)
    program = "import agent, sys; from agent.cli.main import main; print(agent.__file__); sys.exit(main(['demo']))"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.stdout.startswith(str(tmp_path))
    assert (ended.returncode, ended.stderr) == (2, "ota-agent: this installation has no demo\n")
