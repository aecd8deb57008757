"""What GRUB does before the kernel runs: its environment block, and the script that chooses a menu entry.

As in ``bootscript``, no code is shared with ``bootloader_env``: the block is read and written as GRUB does it (manual,
"The GRUB environment block"), and the choice is the one of our own ``grub.cfg``, or of RAUC's ``contrib/grub.conf``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent.demo import bootlogic
from agent.demo.bootscript import Choice, Loaded, Script, followed

BLOCK_SIZE = 1024
_HEAD = b"# GRUB Environment Block\n"


class GrubBlock:
    """The environment block in its file.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def format(self, variables: Mapping[str, str]) -> None:
        """Writes a new block, as in the factory."""
        self.path.write_bytes(_encode(variables))

    def load(self) -> Loaded:
        """Reads the block; what is no block counts as empty, as for ``load_env``."""
        data = self.path.read_bytes()
        return Loaded(_decode(data) if data.startswith(_HEAD) else {}, None, 0)

    def save(self, variables: Mapping[str, str]) -> None:
        """Overwrites the block in its place, which is all that ``save_env`` can do."""
        with self.path.open("r+b") as file:
            file.write(_encode(variables))
            file.flush()
            os.fsync(file.fileno())


def choose(
    variables: Mapping[str, str],
    bootnames: Sequence[str],
    script: Script = "ota",
    *,
    rescue: str = "",
    failing: Collection[str] = (),
) -> Choice | None:
    """Runs the script, again and again as long as it ends with a reset; see ``bootscript.choose``."""
    if script == "rauc":
        return _rauc(variables, bootnames)
    choice = followed(bootlogic.grub, variables, bootnames, rescue, failing)
    if choice is None or choice.bootname == rescue:
        return choice
    return replace(choice, left=int(choice.variables.get(f"{choice.bootname}_LEFT") or 0))


def _rauc(variables: Mapping[str, str], bootnames: Sequence[str]) -> Choice | None:
    # Once more when it led to the rescue entry, because this board has nothing there and resets.
    now = {"ORDER": " ".join(bootnames)}
    for name in bootnames:
        now |= {f"{name}_OK": "0", f"{name}_TRY": "0"}
    now |= variables
    for rescued in (False, True):
        for name in (name for name in now["ORDER"].split() if name in bootnames):
            usable = now[f"{name}_OK"] == "1" and now[f"{name}_TRY"] == "0"
            now[f"{name}_TRY"] = "1"  # also that of a slot which is passed over
            if usable:
                return Choice(name, 0, now, rescued)
        now |= {f"{name}_TRY": "0" for name in bootnames if now[f"{name}_OK"] == "1"}
    return None


def _encode(variables: Mapping[str, str]) -> bytes:
    if any("\n" in value or "\\" in value for value in variables.values()):
        raise ValueError("nothing in this board's environment needs an escape")
    data = _HEAD + "".join(f"{key}={value}\n" for key, value in variables.items()).encode()
    if len(data) > BLOCK_SIZE:
        raise ValueError("the environment block is full")
    return data.ljust(BLOCK_SIZE, b"#")


def _decode(data: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in data.decode("utf-8", "replace").splitlines() if not line.startswith("#"))
    return {key: value for key, separator, value in pairs if separator}
