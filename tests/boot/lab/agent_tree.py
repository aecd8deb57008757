"""The agent in a guest's root as a package for a device installs it: a directory of its own, and the files of ``systemd/``.

Only our code is in that directory; its dependencies are packages of the distribution. Python is isolated (``-I``), so that
neither the environment nor a user can put other code in front (``agent/__main__.py``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from boot.lab.cache import ROOT
from boot.lab.root import compile_python, enable, make_users, write
from tools.install_tree import install_tree

HOME = "usr/lib/ota-agent"
PACKAGES = ("agent", "bootloader_env", "slots")
# The wheel leaves it out, too: pyproject.toml.
_NOT_FOR_DEVICES = shutil.ignore_patterns("demo", "__pycache__")
# docs/systemd.md. What else has [Install] is for some devices only.
UNITS = ("ota-agent.service", "ota-agent-fetch.socket", "ota-agent-install.socket", "ota-agent-trial.timer")
_PROGRAM = f"""#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "/{HOME}")
from agent.__main__ import main
sys.exit(main())
"""


def lay_agent(tree: Path) -> None:
    """Installs it.

    Args:
        tree: a root of ``root.root`` that may be changed.
    """
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / HOME / name, ignore=_NOT_FOR_DEVICES)
    write(tree / "usr/bin/ota-agent", _PROGRAM, 0o755)
    install_tree(tree)
    make_users(tree)
    enable(tree, UNITS)
    compile_python(tree, HOME)


def sources() -> list[Path]:
    """All files that ``lay_agent`` reads, sorted."""
    found = (path for name in (*PACKAGES, "systemd", "tools/install_tree.py") for path in _files(ROOT / name))
    return sorted(path for path in found if not {"__pycache__", "demo"} & set(path.relative_to(ROOT).parts))


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [below for below in path.rglob("*") if below.is_file()]
