"""What is given up to save memory is not missed."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
from agent.daemon.frugal import forget_locales
forget_locales()
import locale, subprocess
locale.setlocale(locale.LC_ALL, "")
said = subprocess.run(["echo", "\u00fc"], text=True, capture_output=True).stdout
print(len(locale.locale_alias), locale.getlocale()[1], said)
"""


def test_programs_are_still_run_in_the_language_of_the_system() -> None:
    environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "UTF-8", "\u00fc"]
