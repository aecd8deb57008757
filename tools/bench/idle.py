"""Memory and wake-ups of the daemon that has polled once and now waits for the next time."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOALS = {"Rss": 28.0, "Pss beside a local app": 18.0}  # MiB, on Debian's Python
_LOCAL_APP = (
    "import pydbus, sys; pydbus.connect; sys.stdin.read()"  # a program that shows the update state shares our libraries
)
_SETTLE = 5.0  # seconds after the start
_WATCH = 10.0  # seconds
_QUIET = {"server.poll-min": 600, "server.poll-max": 3600}  # as in the field: minutes between two polls


def measure(build: Path) -> dict[str, object]:
    """Starts a real device on a stage with a private bus and a server, lets it poll, and looks at its memory."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.stage import stage

    with tempfile.TemporaryDirectory(dir=build) as folder, stage(Path(folder), bus=True, overrides=_QUIET) as world:
        time.sleep(_SETTLE)
        pid = world.board.daemon_pid
        polls = len(world.server.requests("/controller/v1/"))
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {
            name: int(kib) / 1024 for name, kib in re.findall(r"^(Rss|Pss|Private_Dirty):\s+(\d+) kB", rollup, re.M)
        }
        app = subprocess.Popen([sys.executable, "-c", _LOCAL_APP], stdin=subprocess.PIPE)
        time.sleep(1.0)
        beside = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        app.communicate()
        sizes["Pss beside a local app"] = int(beside[1]) / 1024 if beside else 0.0
        before = _switches(pid)
        time.sleep(_WATCH)
        switches = _switches(pid) - before
        others = _others(build)
    version = sys.version.split()[0]
    print(f"\nidle daemon with D-Bus and a server (polled: {'yes' if polls else 'no'}), Python {version}")
    for name, value in sizes.items():
        goal = f"   goal {GOALS[name]:.0f}" if name in GOALS else ""
        print(f"{name + ', MiB':30}{value:10.1f}{goal}")
    print(f"{'wake-ups in 10 s':30}{switches:10d}")
    ours = {"Rss": sizes["Rss"], "Pss": sizes["Pss"]}
    print(f"\n{'waiting for the next poll':30}{'Rss, MiB':>10}{'Pss, MiB':>10}")
    for name, found in {"ota-agent": ours, **others}.items():
        print(f"{name:30}{found['Rss']:10.1f}{found['Pss']:10.1f}")
    return {"python": version, "polled": bool(polls), **sizes, "switches_in_10s": switches, "others": others}


def _others(build: Path) -> dict[str, dict[str, float]]:
    from support.management import Management

    from agent.demo.server import DevServer
    from tools.bench import peers

    with DevServer(("127.0.0.1", 0), password="admin") as server:
        Management(server.url).target("bench", token="token-of-bench")
        return peers.measure(build, server.url.removeprefix("http://"), "token-of-bench", peers.keyring(build))


def _switches(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))
    return total
