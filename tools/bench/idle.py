"""Resident and proportional set size of the daemon that has polled once and now waits."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

GOALS = {"Rss": 28.0, "Pss": 18.0}  # MiB, on Debian's Python
_SETTLE = 5.0  # seconds after the start


def measure(build: Path) -> dict[str, object]:
    """Starts a real device on a stage with a private bus and a server, lets it poll, and looks at its memory."""
    sys.path.insert(0, "tests")
    from support.stage import stage

    with tempfile.TemporaryDirectory(dir=build) as folder, stage(Path(folder), bus=True) as world:
        time.sleep(_SETTLE)
        pid = world.board.daemon_pid
        found = re.findall(r"^(Rss|Pss|Private_Dirty):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        sizes = {name: int(kib) / 1024 for name, kib in found}
        switches = _switches(pid)
        time.sleep(_SETTLE)
        wakeups = (_switches(pid) - switches) / _SETTLE
    print(f"\nidle daemon with D-Bus, Python {sys.version.split()[0]}")
    for name, value in sizes.items():
        goal = f"   goal {GOALS[name]:.0f}" if name in GOALS else ""
        print(f"{name + ', MiB':22}{value:10.1f}{goal}")
    print(f"{'wake-ups a second':22}{wakeups:10.1f}   (polling every second on this stage)")
    return {"python": sys.version.split()[0], **sizes, "wakeups_per_second": wakeups}


def _switches(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))
    return total
