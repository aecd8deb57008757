"""The boot environment as the bootloader finds it: our own codecs over what lies on a drive. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.demo import bootlogic
from bootloader_env import grub_format, uboot_format
from bootloader_env.errors import BootEnvError
from torture.fat import Fat, NotFat
from torture.story import Copy

Read = Callable[[int, int], bytes]
_BOOTS = 12  # failed ones in a row


@dataclass(frozen=True, slots=True)
class Environment:
    """What the bootloader finds.

    Attributes:
        variables: None when no copy is valid.
        valid: for each copy, whether it is.
        picks: see ``picks``.
    """

    variables: Mapping[str, str] | None
    valid: tuple[bool, ...]
    picks: tuple[str, ...] = ()


def environment(
    form: str, copies: Sequence[Copy], read: Callable[[str], Read], bootnames: Sequence[str]
) -> Environment:
    """Reads all copies, and takes the one that the bootloader takes.

    Args:
        form: see ``Story.format``.
        copies: where they are.
        read: gives the reader of a region.
        bootnames: all slots.
    """
    variables, valid = _taken(form, copies, read)
    return Environment(variables, valid, () if variables is None else tuple(picks(form, variables, bootnames)))


def _taken(
    form: str, copies: Sequence[Copy], read: Callable[[str], Read]
) -> tuple[Mapping[str, str] | None, tuple[bool, ...]]:
    raw = [_raw(copy, read(copy.region)) for copy in copies]
    if form == "grub":
        lines = [_grub(each) for each in raw]
        found = next((each for each in lines if each is not None), None)
        variables = None if found is None else grub_format.variables(found)
        return variables, tuple(each is not None for each in lines)
    redundant = form == "uboot-redundant"
    images = [_uboot(each, redundant=redundant) for each in raw]
    number = (
        uboot_format.current(images)
        if redundant
        else next((at for at, image in enumerate(images) if image is not None), None)
    )
    image = None if number is None else images[number]
    variables = None if image is None else uboot_format.variables(image.entries)
    return variables, tuple(each is not None for each in images)


def picks(form: str, variables: Mapping[str, str], bootnames: Sequence[str]) -> list[str]:
    """What the boot script starts, boot after boot, when nothing that it starts ever comes up."""
    script = bootlogic.grub if form == "grub" else bootlogic.uboot
    started: list[str] = []
    for _ in range(_BOOTS):
        run = script(variables, bootnames, "")
        if run.started is not None:
            started.append(run.started)
        variables = run.stored
    return started


def confirmed(form: str, variables: Mapping[str, str], name: str) -> bool:
    """Whether the environment says that a slot has proved itself and is the choice."""
    first = variables.get("ORDER" if form == "grub" else "BOOT_ORDER", "").split()[:1] == [name]
    # GRUB's one attempt may be in use at this moment: the script has noted it, and the system is coming up.
    good = variables.get(f"{name}_OK") == "1" if form == "grub" else variables.get(f"BOOT_{name}_LEFT", "0") != "0"
    return first and good and not variables.get("OTA_TRIAL")


def _raw(copy: Copy, read: Read) -> bytes:
    if not copy.path:
        return read(copy.offset, copy.size)
    try:
        whole = Fat(read).file(copy.path)
    except NotFat:
        return b""
    return b"" if whole is None else whole[copy.offset : copy.offset + copy.size]


def _grub(raw: bytes) -> grub_format.Lines | None:
    try:
        return grub_format.decode(raw)
    except BootEnvError:
        return None


def _uboot(raw: bytes, *, redundant: bool) -> uboot_format.Image | None:
    try:
        return uboot_format.decode(raw, redundant=redundant)
    except BootEnvError:
        return None
