"""The one entry for every process of ours: ``/usr/bin/ota-agent``, or ``python3 -I agent/__main__.py PROGRAM ARGUMENTS``.

The units of fetcher and installer name the first; a daemon that starts them itself takes the second. Isolated mode ignores
the environment, the user's site and the current directory, so none of them can put code in front of ours. The directory
that holds our packages is then the only thing added.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

_PROGRAMS = {
    "fetcher": "agent.fetcher.main",
    "finder": "agent.media.finder",
    "inspector": "agent.rauc.inspector",
    "installer": "agent.installer.main",
    "rauc-service": "agent.rauc.main",
    "scrubber": "agent.installer.scrub",
}


def main() -> int:
    """Runs the program named by the first argument; anything else goes to the command line."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if home not in sys.path:
        sys.path.insert(0, home)
    arguments = sys.argv[1:]
    program = _PROGRAMS.get(arguments[0]) if arguments else None
    if program or arguments[:1] == ["daemon"]:  # before anything else is imported
        import_module("agent.frugal").begin()
    if program:
        return int(import_module(program).main(arguments[1:]))
    return int(import_module("agent.cli.main").main(arguments))


if __name__ == "__main__":
    sys.exit(main())
