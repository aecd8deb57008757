"""The real daemon, which tells what it has loaded: ``open_daemon.py OUT daemon --config FILE``, then SIGUSR1."""

from __future__ import annotations

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from agent.__main__ import main  # nothing else may be imported here: it would count as loaded by the daemon


def tell(*_: object) -> None:
    """Writes the names of all modules that are really there."""
    loaded = [name for name, module in sys.modules.items() if type(module).__name__ != "_Later"]
    with open(f"{out}.new", "w", encoding="ascii") as file:
        file.write("\n".join(loaded))
    os.rename(f"{out}.new", out)


if __name__ == "__main__":
    out = sys.argv.pop(1)
    signal.signal(signal.SIGUSR1, tell)
    sys.exit(main())
