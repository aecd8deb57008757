"""The real daemon as ``ota-agent daemon`` runs it, altered: ``device.py [--alter=NAME]... --config FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]


def main() -> int:
    from agent.daemon.main import run
    from crash.alterations import patches

    names = [word.partition("=")[2] for word in sys.argv[1:] if word.startswith("--alter=")]
    for place, attribute, value in patches(names):
        setattr(place, attribute, value)
    return run([Path(sys.argv[-1])])


if __name__ == "__main__":
    sys.exit(main())
