"""The real daemon and its real children with every log record there is, on standard error: what would betray a secret.

talkative.py --config FILE
talkative.py fetcher|installer
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent import journal
from agent.daemon import children
from agent.daemon.main import Daemon


def main() -> int:
    journal.setup(logging.DEBUG)
    if sys.argv[1] != "--config":
        return int(import_module(f"agent.{sys.argv[1]}.main").main(sys.argv[2:]))
    from agent.config import load

    children._ENTRY = Path(__file__)
    return Daemon(load([Path(sys.argv[2])])).run()


if __name__ == "__main__":
    sys.exit(main())
