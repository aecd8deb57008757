"""Slots of type ``boot-emmc``: the two boot partitions of an eMMC, of which a register says which one boots.

The image goes into the one that does not boot, and is read back. Making it the one that boots is a single write to the
card, by itself (``switch``). A card that boots from its user area, or that is not told what to boot from, is refused: what
the ROM code does then is not known, so neither boot partition can be said to be free.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from slots import ext_csd, ioctls
from slots.device import capacity, require_room, resolve
from slots.errors import SlotError
from slots.ext_csd import BootConfig
from slots.handlers.disk import Opener, only_read, open_disk
from slots.handlers.halves import Span
from slots.handlers.port import Content, Handler, Watch, Written
from slots.handlers.streams import fill, look
from slots.model import Slot
from slots.refusals import readonly, require_unused
from slots.usage import Identity, in_use

# struct mmc_ioc_cmd, linux/mmc/ioctl.h: write_flag, is_acmd, opcode, arg, response, flags, blksz, blocks, two sleeps, two
# timeouts, padding, address of the data.
_COMMAND = struct.Struct("=iiII16xIII4I4xQ")
COMMAND = ioctls.request(179, 0, _COMMAND.size, write=True, read=True)  # MMC_IOC_CMD; 179 is MMC_BLOCK_MAJOR
_SWITCH, _SEND_EXT_CSD = 6, 8  # commands, JESD84-B51 6.10.4
_READ_FLAGS = 0x80 | 0x15 | 0x20  # MMC_RSP_SPI_R1, MMC_RSP_R1, MMC_CMD_ADTC: linux/mmc/core.h
_SWITCH_FLAGS = 0x480 | 0x1D  # MMC_RSP_SPI_R1B, MMC_RSP_R1B, MMC_CMD_AC
_WRITE_BYTE, _NORMAL_SET = 3, 1  # access mode and command set of SWITCH, 6.6.1


class Card(Protocol):
    """The register of a card, by the path of its device. All of it raises OSError."""

    def read(self, path: str) -> bytes:
        """EXT_CSD."""

    def write(self, path: str, index: int, value: int) -> None:
        """Changes one byte of it."""


class MmcCard:
    """The kernel's way to a card; needs CAP_SYS_RAWIO."""

    def read(self, path: str) -> bytes:
        """See Card."""
        import ctypes  # here: only devices with an eMMC need it

        data = ctypes.create_string_buffer(ext_csd.LENGTH)
        self._command(
            path, _COMMAND.pack(0, 0, _SEND_EXT_CSD, 0, _READ_FLAGS, len(data), 1, 0, 0, 0, 0, ctypes.addressof(data))
        )
        return data.raw

    def write(self, path: str, index: int, value: int) -> None:
        """See Card."""
        argument = _WRITE_BYTE << 24 | index << 16 | value << 8 | _NORMAL_SET
        self._command(path, _COMMAND.pack(1, 0, _SWITCH, argument, _SWITCH_FLAGS, 0, 0, 0, 0, 0, 0, 0))

    @staticmethod
    def _command(path: str, command: bytes) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, COMMAND, bytearray(command))
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The card, what its register says, and the number and path of the boot partition that does not boot."""

    card: str
    config: BootConfig
    number: int
    path: str
    room: int


class EmmcBoot:
    """Fills the boot partition that does not boot, and makes it the one that does on demand.

    Args:
        card: the way to the register.
        opener: how a boot partition is opened.
        sysfs: where sysfs is mounted.
    """

    def __init__(self, card: Card | None = None, opener: Opener = open_disk, *, sysfs: str = "/sys") -> None:
        self._card, self._open, self._sysfs = card or MmcCard(), opener, sysfs
        self._filled: _Plan | None = None
        self._kept = False  # the boot partition that boots holds the image already

    @property
    def resumable(self) -> bool:
        """See Handler."""
        return False

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        """See Handler.

        Raises:
            SlotError: ``slot.readonly``, ``slot.missing``, ``slot.device-ambiguous``, ``slot.emmc-none``,
                ``slot.emmc-register``, ``slot.emmc-not-enabled``, ``slot.mounted``, ``slot.usage-unknown``,
                ``slot.too-small``.
        """
        require_room(slot, size, self._plan(slot).room)

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        """See Handler. Nothing boots from what is written until ``switch``.

        Raises:
            SlotError: also what ``slots.handlers.disk.open_disk`` raises, ``slot.read-back``, ``slot.read-failed``,
                ``slot.write-failed``, ``slot.size-mismatch``.
        """
        if start:
            raise ValueError("a bootloader is written from its start")
        self._filled, self._kept = None, False
        plan = self._plan(slot)
        require_room(slot, content.size, plan.room)
        if not slot.install_same:
            with only_read(f"{plan.card}boot{1 - plan.number}") as disk:
                found, reading = look(disk, 0, content, watch)
            if found == content.sha256:
                self._kept = True
                return Written(found, 0, content.size, reading)
        part, span = replace(slot, device=plan.path), Span(0, plan.room)
        with self._writable(plan.path), self._open(part, span, booted=booted, writable=True) as disk:
            outcome = fill(slot.name, disk, 0, content, watch)
        self._filled = plan
        return outcome

    def switch(self, slot: Slot) -> None:
        """See Switching.

        Raises:
            SlotError: ``slot.emmc-register``, and ``slot.switch-failed`` when the register is not the one that was seen, or
                not what was written.
            RuntimeError: nothing was installed by this handler.
        """
        if self._kept:
            return
        plan, self._filled = self._filled, None
        if plan is None:
            raise RuntimeError("there is nothing to switch to")
        if self._config(plan.card) != plan.config:
            raise _not_switched(slot, plan, "somebody else has changed the register since it was looked at")
        value = plan.config.booting(plan.number)
        try:
            self._card.write(plan.card, ext_csd.PARTITION_CONFIG, value)
        except OSError as error:
            raise _register(plan.card, error) from error
        found = self._config(plan.card)
        if found.active != plan.number or found.value != value:
            raise _not_switched(slot, plan, f"the register holds {found.value:#04x}, {value:#04x} was written")

    def variables(self, slot: Slot) -> Mapping[str, str]:
        """See Telling; the names are those of RAUC's ``img_to_boot_emmc_handler``."""
        return {
            "RAUC_BOOT_PARTITION_ACTIVATING": str(self._plan(slot).number),
            "RAUC_BOOT_SIZE_LIMIT": str(slot.size_limit),
        }

    def _plan(self, slot: Slot) -> _Plan:
        card = resolve(slot.device)
        if slot.readonly:
            raise readonly(slot, "the configuration says so")
        if not all(os.path.exists(f"{card}boot{number}") for number in (0, 1)):
            raise SlotError(
                "slot.emmc-none", f"the device of slot {slot.name} is no eMMC with boot partitions",
                details=f"there is no {card}boot0 or no {card}boot1",
                resolution="name the eMMC itself, such as /dev/mmcblk0, neither a partition nor a boot partition of it",
            )  # fmt: skip
        config = self._config(card)
        if config.active is None:
            where = "its user area" if config.enabled == ext_csd.USER_AREA else f"nothing known ({config.enabled})"
            raise SlotError(
                "slot.emmc-not-enabled", "the eMMC does not boot from one of its boot partitions",
                details=f"{card}: PARTITION_CONFIG is {config.value:#04x}, so it boots from {where}",
                resolution=f"write the bootloader to {card}boot0, then once: mmc bootpart enable 1 1 {card}",
            )  # fmt: skip
        number = 1 - config.active
        path = f"{card}boot{number}"
        if config.protected(number):
            raise readonly(slot, f"the card protects {path} {config.protected(number)}")
        require_unused(slot, path, lambda: in_use(Identity.of(os.stat(path))))
        room = capacity(path)
        return _Plan(card, config, number, path, min(room, slot.size_limit or room))

    def _config(self, card: str) -> BootConfig:
        try:
            return BootConfig.of(self._card.read(card))
        except OSError as error:
            raise _register(card, error) from error

    @contextmanager
    def _writable(self, path: str) -> Iterator[None]:
        """Lifts the kernel's own protection of a boot partition (Documentation/driver-api/mmc/mmc-dev-parts.rst)."""
        attribute = Path(self._sysfs, "block", os.path.basename(path), "force_ro")
        try:
            before = attribute.read_text("ascii").strip()
            attribute.write_text("0\n", "ascii")
        except OSError as error:
            raise SlotError(
                "slot.readonly", "the kernel does not let the boot partition be written to", details=str(error),
                resolution="let the agent write to force_ro in sysfs",
            ) from error  # fmt: skip
        try:
            yield
        finally:
            attribute.write_text(f"{before}\n", "ascii")


def _register(card: str, error: OSError) -> SlotError:
    return SlotError(
        "slot.emmc-register", "a register of the eMMC could not be read or written", details=f"{card}: {error.strerror}",
        resolution="check that the device is an eMMC, and that the agent has CAP_SYS_RAWIO", retryable=True,
    )  # fmt: skip


def _not_switched(slot: Slot, plan: _Plan, details: str) -> SlotError:
    return SlotError(
        "slot.switch-failed", f"what slot {slot.name} holds could not be made the choice of the next boot",
        details=f"{plan.card}: {details}", retryable=True,
        resolution="it is tried again; some kernels have a bug in writing this register, see docs/flash-slots.md",
    )  # fmt: skip


def handler(slot_type: str) -> Handler:
    """The handler for ``boot-emmc``."""
    if slot_type != "boot-emmc":
        raise ValueError(slot_type)
    return EmmcBoot()
