"""Serves one environment over standard input and output, in a process into which flash_preload.c can be loaded.

Arguments: the fw_env.config, a lock file, where sysfs is. A line is the changes as JSON; the answer are the variables.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bootloader_env.fwenv_config import parse
from bootloader_env.media import open_medium
from bootloader_env.uboot import UbootStore


def main() -> None:
    """Serves until the input ends."""
    config, lock, sysfs = sys.argv[1:]
    copies = parse(Path(config).read_text()).copies
    store = UbootStore(copies, lock=lock, open_medium=lambda copy: open_medium(copy, sysfs))
    for line in sys.stdin:
        changes = json.loads(line)
        if changes:
            store.update(lambda _, changes=changes: changes)
        sys.stdout.write(json.dumps(dict(store.load())) + "\n")
        sys.stdout.flush()


main()
