"""The one entry for every process of ours, by path: ``python3 -I agent/__main__.py PROGRAM ARGUMENTS``.

Isolated mode ignores the environment, the user's site and the current directory, so none of them can put code in front
of ours. The directory that holds our packages is then the only thing added.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Runs the program named by the first argument; anything else goes to the command line."""
    home = Path(__file__).resolve().parent.parent
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    program, *arguments = sys.argv[1:] or ["--help"]
    if program == "fetcher":
        from agent.fetcher.main import main as run
    elif program == "installer":
        from agent.installer.main import main as run
    else:
        from agent.cli.main import main as run

        arguments = sys.argv[1:]
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
