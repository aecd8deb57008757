"""Boots situations of a replay for real: whether the bootloader starts what was predicted, and the system comes up."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from boot.lab.boards import Board
from boot.lab.vm import VM, Unheard, blocks

from torture.replay import Findings, Place, Replay, State
from torture.stamps import LINES

_PATIENCE = 900  # seconds of real time, for what takes fifteen of a processor


def boot(replay: Replay, board: Board, state: State, directory: Path) -> str:
    """Boots one state; returns what is wrong, or nothing.

    Args:
        replay: where it is from.
        board: that was recorded.
        state: what a power cut left.
        directory: for the images, which are removed again.
    """
    picks = replay.look(state).environment.picks
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        board.make(directory, {})  # for what else belongs to it; its drives are replaced
        images = replay.put(state, directory)
        words = [word for path in images for word in blocks(path, path.stem)]
        with VM(directory / "vm", [*board.command(), *words]) as vm:
            vm.start()
            started = vm.until(lambda: first_started(vm.console.text), "the boot script starts a slot", _PATIENCE)
            if [started] != list(picks[:1]):
                return f"the boot script started {started}, and {picks[:1]} was predicted"
            vm.shell.wait(_PATIENCE)
            running = vm.shell.run("cat /proc/cmdline")
            if f"ota.slot={started}" not in running:
                return f"slot {started} was started, and what runs is {running}"
    except Unheard as error:
        return f"it does not come up: {str(error)[-500:]}"
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return ""


def first_started(console: str) -> str:
    """The boot name of the slot that the boot script has started first, also the rescue system; empty if there was none yet."""
    for match in LINES.finditer(console.encode()):
        if name := match["slot"] or match["rescue"]:
            return name.decode()
    return ""


def chosen(found: Findings, booted: Sequence[str], seed: int) -> list[tuple[str, Place]]:
    """The situations that were not booted yet, those first in which a copy or a slot is damaged.

    Args:
        found: what the replay has seen.
        booted: situations that are left out.
        seed: of the order among equals.
    """
    left = [(text, place) for text, place in found.situations.items() if text not in booted]

    def damage(pair: tuple[str, Place]) -> tuple[int, str]:
        text = pair[0]
        _, valid, held = text.split(" | ")
        return -("0" in valid) - ("half-written" in held), blake2b(f"{seed}/{text}".encode(), digest_size=8).hexdigest()

    return sorted(left, key=damage)
