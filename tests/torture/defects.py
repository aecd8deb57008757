"""Defects of real updaters, put into the agent of a guest: what the torture must find.

Most are those of ``crash.alterations``. The agent is started by another program than ``/usr/bin/ota-agent``, which changes it
in memory before it runs; nothing else of the system differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import crash.alterations

FOLDER = "usr/lib/ota-agent-altered"
_OWN = {
    # Written, and said to be done, when it is in the page cache: there is a success that a power cut takes back.
    "environment-not-flushed": """
from types import SimpleNamespace
from bootloader_env import grub, media
for module in (media, grub):
    changed = {"O_SYNC": 0, "fsync": lambda fd: None, "posix_fadvise": lambda *where: None}
    module.os = SimpleNamespace(**{**vars(module.os), **changed})
""",
}
FOUND_BY_REPLAY = (
    "half-written-in-order",
    "switch-in-two-steps",
    "success-too-early",
    "floor-too-early",
    "environment-not-flushed",
)

# Before its first update, a slot that the factory has left empty is not in the order.
WITH_BOTH_SLOTS_FILLED = frozenset({"half-written-in-order"})


def files(defects: Sequence[str]) -> Mapping[str, str]:
    """What a system with an altered agent has more than others, by path.

    Raises:
        KeyError: there is no such defect.
    """
    if not defects:
        return {}
    known = [name for name in defects if name not in _OWN]
    for name in known:
        crash.alterations.DEFECTS[name]
    own = "".join(_OWN[name] for name in defects if name in _OWN)
    program = f"""#!/usr/bin/python3 -I
import sys
sys.path[:0] = ["/usr/lib/ota-agent", "/{FOLDER}"]
if sys.argv[1:2] == ["daemon"]:
    from crash.alterations import patches
    for place, name, value in patches({known!r}):
        setattr(place, name, value)
{"".join(f"    {line}" + chr(10) for line in own.splitlines())}
from agent.__main__ import main
sys.exit(main())
"""
    alterations = Path(crash.alterations.__file__).read_text()
    return {
        "usr/bin/ota-agent": program,
        f"{FOLDER}/crash/__init__.py": "",
        f"{FOLDER}/crash/alterations.py": alterations,
    }
