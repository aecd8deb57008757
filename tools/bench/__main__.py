"""Runs the measurements, prints one table each, and writes build/bench.json."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tools.bench import backends, idle, install, material, slots


def main() -> int:
    """Returns 0 when everything was measured; goals that were missed are shown, not enforced."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--size", type=int, default=300, metavar="MIB", help="size of the ext4 image (default 300)")
    parser.add_argument("--rounds", type=int, default=3, help="installations by each program, alternating (default 3)")
    parser.add_argument("--only", choices=("idle", "install", "slots", "unpack"), help="just one of them")
    options = parser.parse_args()
    build = Path("build/bench").absolute()
    build.mkdir(parents=True, exist_ok=True)
    results: dict[str, object] = {}
    if options.only in (None, "idle"):
        results["idle"] = idle.measure(build)
    if options.only in (None, "unpack"):
        results["unpack"] = backends.measure(build, material.image(build, options.size))
    if options.only in (None, "slots"):
        results["slots"] = slots.measure(build, options.size, options.rounds)
    if options.only in (None, "install"):
        results["install"] = install.measure(build, options.size, options.rounds)
    (build.parent / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
