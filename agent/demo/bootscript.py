"""What the bootloader does before the kernel runs: its environment in flash, and the script that chooses a slot.

This is the other side of the contract, so it shares no code with ``bootloader_env``: it reads and writes the bytes as
U-Boot does (``env/common.c``, ``env/flags.h``) and chooses as our own ``boot.cmd`` does, or RAUC's ``contrib/uboot.sh``.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from agent.demo import bootlogic
from agent.demo.bootlogic import ATTEMPTS, Run

Script = Literal["ota", "rauc"]
COPY_SIZE = 0x4000
_HEAD = struct.Struct("<IB")  # CRC-32 of the data, generation


@dataclass(frozen=True, slots=True)
class Loaded:
    """The environment as found; ``copy`` is the one in use, or None when both were damaged."""

    variables: Mapping[str, str]
    copy: int | None
    generation: int


class Storage(Protocol):
    """Where a bootloader keeps its environment."""

    path: Path

    def load(self) -> Loaded:
        """Reads it as the bootloader does."""
        ...

    def save(self, variables: Mapping[str, str]) -> None:
        """Writes it as the bootloader does."""
        ...


class Flash:
    """A redundant environment: two copies of ``COPY_SIZE`` bytes, one after the other in one file.

    Args:
        path: the file that stands for the flash.
        defaults: the variables compiled into the bootloader, used when both copies are damaged.
    """

    def __init__(self, path: Path, defaults: Mapping[str, str]) -> None:
        self.path = path
        self.defaults = dict(defaults)

    def format(self, variables: Mapping[str, str]) -> None:
        """Writes both copies, as in the factory."""
        self.path.write_bytes(_encode(variables, 1) + _encode(variables, 0))

    def load(self) -> Loaded:
        """Reads the newer of the copies that are whole."""
        data = self.path.read_bytes()
        whole = []
        for index in (0, 1):
            copy = data[index * COPY_SIZE : (index + 1) * COPY_SIZE]
            if len(copy) == COPY_SIZE and _HEAD.unpack_from(copy)[0] == zlib.crc32(copy[_HEAD.size :]):
                whole.append((index, copy[4], copy))
        if not whole:
            return Loaded(self.defaults, None, 0)
        if len(whole) == 2 and _newer(whole[1][1], whole[0][1]):
            whole.reverse()
        index, generation, copy = whole[0]
        return Loaded(_decode(copy[_HEAD.size :]), index, generation)

    def save(self, variables: Mapping[str, str]) -> None:
        """Writes the copy that is not in use, one generation later."""
        now = self.load()
        target = 0 if now.copy is None else 1 - now.copy
        with self.path.open("r+b") as file:
            file.seek(target * COPY_SIZE)
            file.write(_encode(variables, (now.generation + 1) & 0xFF))
            file.flush()
            os.fsync(file.fileno())


def _newer(one: int, other: int) -> bool:
    # The generation is one byte; U-Boot knows only this overflow.
    if (one, other) in ((0, 255), (255, 0)):
        return one == 0
    return one > other


def _encode(variables: Mapping[str, str], generation: int) -> bytes:
    text = b"".join(f"{key}={value}".encode() + b"\0" for key, value in variables.items()) + b"\0"
    data = text.ljust(COPY_SIZE - _HEAD.size, b"\0")
    if len(data) > COPY_SIZE - _HEAD.size:
        raise ValueError("the environment is full")
    return _HEAD.pack(zlib.crc32(data), generation) + data


def _decode(data: bytes) -> dict[str, str]:
    entries = data.partition(b"\0\0")[0].split(b"\0")
    pairs = (entry.decode("utf-8", "replace").partition("=") for entry in entries)
    return {key: value for key, _, value in pairs if key}


@dataclass(frozen=True, slots=True)
class Choice:
    """The slot to boot and the environment to save before the kernel starts.

    ``left`` is what remains of its attempts after this one; ``refilled`` tells that all had used up theirs. ``saves`` is how
    often the environment was written on the way, resets included.
    """

    bootname: str
    left: int
    variables: Mapping[str, str]
    refilled: bool
    saves: int = 1


def choose(
    variables: Mapping[str, str],
    bootnames: Sequence[str],
    script: Script = "ota",
    *,
    rescue: str = "",
    failing: Collection[str] = (),
) -> Choice | None:
    """Runs the boot script, again and again as long as it ends with a reset.

    Args:
        variables: the environment.
        bootnames: the slots that the script knows, in its order of preference.
        script: ours or RAUC's.
        rescue: boot name of the rescue system; empty for none. RAUC's script has none.
        failing: what cannot be loaded; RAUC's script is not asked to.

    Returns:
        None when even full counters lead nowhere: the device is dead.
    """
    if script == "rauc":
        return _rauc(variables, bootnames)
    choice = followed(bootlogic.uboot, variables, bootnames, rescue, failing)
    if choice is None or choice.bootname == rescue:
        return choice
    return replace(choice, left=int(choice.variables[_left(choice.bootname)], 16))


def followed(
    script: Callable[[Mapping[str, str], Sequence[str], str, Collection[str]], Run],
    variables: Mapping[str, str],
    bootnames: Sequence[str],
    rescue: str,
    failing: Collection[str],
) -> Choice | None:
    """Runs one of our scripts until something starts; ``left`` is 0 in what is returned.

    Returns:
        None when nothing starts although all have got new attempts.
    """
    refilled, saves = False, 0
    while True:
        run = script(variables, bootnames, rescue, failing)
        variables, saves = run.stored, saves + run.saves
        if run.started is not None:
            return Choice(run.started, 0, variables, refilled, saves)
        if refilled:
            return None
        refilled = run.refilled


def _rauc(variables: Mapping[str, str], bootnames: Sequence[str]) -> Choice | None:
    # setenv with an empty value deletes a variable, so an empty order is a missing one.
    now = dict(variables)
    if not now.get("BOOT_ORDER"):
        now["BOOT_ORDER"] = " ".join(bootnames)
    for name in bootnames:
        if not now.get(_left(name)):
            now[_left(name)] = f"{ATTEMPTS:x}"
    for refilled in (False, True):
        for name in now["BOOT_ORDER"].split():
            left = _hex(now.get(_left(name), "")) if name in bootnames else 0
            if left > 0:
                now[_left(name)] = f"{left - 1:x}"
                return Choice(name, left - 1, now, refilled)
        now.update({_left(name): f"{ATTEMPTS:x}" for name in bootnames})
    return None


def _left(bootname: str) -> str:
    return f"BOOT_{bootname}_LEFT"


def _hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
