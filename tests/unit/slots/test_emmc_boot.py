"""Promises of boot-emmc, over a card in memory: files for its parts, a register that answers as JESD84-B51 says."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.media import Watcher, content

from slots.errors import SlotError
from slots.ext_csd import BOOT_WP_STATUS, PARTITION_CONFIG, BootConfig
from slots.handlers.disk import Medium, open_disk
from slots.handlers.emmc import EmmcBoot, handler
from slots.handlers.halves import Span
from slots.handlers.port import Switching, Written
from slots.model import Slot

ROOM = 256 * 1024
OLD = b"old" + random.Random(1).randbytes(90_000)
NEW = b"new" + random.Random(2).randbytes(123_001)


@dataclass
class Machine:
    """A card whose first boot partition boots, and the kernel around it."""

    root: Path
    register: bytearray = field(default_factory=lambda: bytearray(512))
    deaf: bool = False  # the register does not keep what is written
    fails: str = ""  # "read" or "write"

    def __post_init__(self) -> None:
        self.register[PARTITION_CONFIG] = 0x48
        self.card.write_bytes(b"user area")
        for number in (0, 1):
            self.part(number).write_bytes((OLD if number == 0 else b"older").ljust(ROOM, b"\xa5"))
            self.force_ro(number).parent.mkdir(parents=True)
            self.force_ro(number).write_text("1\n")

    @property
    def card(self) -> Path:
        return self.root / "mmcblk9"

    def part(self, number: int) -> Path:
        return self.root / f"mmcblk9boot{number}"

    def force_ro(self, number: int) -> Path:
        return self.root / f"sys/block/mmcblk9boot{number}/force_ro"

    def read(self, path: str) -> bytes:
        assert path == str(self.card)
        if self.fails == "read":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return bytes(self.register)

    def write(self, path: str, index: int, value: int) -> None:
        assert path == str(self.card)
        if self.fails == "write":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if not self.deaf:
            self.register[index] = value

    @contextmanager
    def opened(self, slot: Slot, span: Span, *, booted: Sequence[str], writable: bool) -> Iterator[Medium]:
        assert self.force_ro(int(slot.device[-1])).read_text().strip() == "0", "the kernel would refuse this"
        with open_disk(slot, span, booted=booted, writable=writable) as disk:
            yield disk

    def boots(self) -> bytes:
        """What the ROM code of the board loads."""
        enabled = self.register[PARTITION_CONFIG] >> 3 & 7
        return self.part(enabled - 1).read_bytes() if enabled in (1, 2) else b""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def slot(
    machine: Machine, device: str | Path = "", *, limit: int = 0, readonly: bool = False, again: bool = True
) -> Slot:
    return Slot(
        "bootloader.0", "bootloader", 0, str(device or machine.card), "boot-emmc", size_limit=limit, readonly=readonly,
        install_same=again,
    )  # fmt: skip


def emmc(machine: Machine) -> EmmcBoot:
    return EmmcBoot(machine, machine.opened, sysfs=str(machine.root / "sys"))


def install(machine: Machine, image: bytes = NEW, *booted: str) -> tuple[EmmcBoot, Written]:
    handled = emmc(machine)
    handled.preflight(slot(machine), "raw", len(image))
    return handled, handled.install(slot(machine), content(image), booted=booted, start=0, watch=Watcher())


def refusal(machine: Machine, target: Slot | None = None, size: int = 1) -> SlotError:
    before = [machine.part(number).read_bytes() for number in (0, 1)]
    with pytest.raises(SlotError) as caught:
        emmc(machine).preflight(target or slot(machine), "raw", size)
    assert [machine.part(number).read_bytes() for number in (0, 1)] == before
    assert [machine.force_ro(number).read_text() for number in (0, 1)] == ["1\n", "1\n"]
    return caught.value


@pytest.mark.req("S08", "C11")
@pytest.mark.parametrize(("register", "after"), [(0x48, 0x50), (0x08, 0x10), (0x50, 0x48), (0x10, 0x08)])
def test_the_other_boot_partition_is_filled_and_boots_only_after_the_switch(
    machine: Machine, register: int, after: int
) -> None:
    machine.register[PARTITION_CONFIG] = register
    before = machine.boots()
    handled, outcome = install(machine)
    assert machine.boots() == before
    assert outcome.written == len(NEW)
    handled.switch(slot(machine))
    assert machine.boots().startswith(NEW)
    assert machine.register[PARTITION_CONFIG] == after  # BOOT_ACK is kept


def test_what_is_behind_the_image_stays(machine: Machine) -> None:
    install(machine)
    end = -(-len(NEW) // 512) * 512
    assert set(machine.part(1).read_bytes()[end:]) == {0xA5}


def test_the_kernels_protection_is_back_afterwards_whatever_happens(machine: Machine) -> None:
    install(machine)
    assert machine.force_ro(1).read_text() == "1\n"
    with pytest.raises(SlotError):
        emmc(machine).install(slot(machine), content(NEW, told=5), booted=(), start=0, watch=Watcher())
    assert machine.force_ro(1).read_text() == "1\n"
    assert machine.boots().startswith(OLD)


def test_a_partition_that_holds_the_image_is_not_written_again(machine: Machine) -> None:
    install(machine)
    _, outcome = install(machine)
    assert (outcome.written, outcome.skipped) == (0, len(NEW))


@pytest.mark.parametrize("image", [OLD, NEW], ids=["same", "other"])
def test_a_bootloader_that_boots_already_is_kept_if_that_is_said(machine: Machine, image: bytes) -> None:
    handled, target = emmc(machine), slot(machine, again=False)
    outcome = handled.install(target, content(image), booted=(), start=0, watch=Watcher())
    handled.switch(target)
    assert machine.boots().startswith(image)
    assert (machine.register[PARTITION_CONFIG] == 0x48) == (image == OLD)
    assert outcome.skipped == (len(image) if image == OLD else 0)


def test_the_size_is_that_of_the_boot_partition_or_the_limit(machine: Machine) -> None:
    emmc(machine).preflight(slot(machine), "raw", ROOM)
    emmc(machine).preflight(slot(machine, limit=5000), "raw", 5000)
    assert refusal(machine, size=ROOM + 1).code == "slot.too-small"
    assert refusal(machine, slot(machine, limit=5000), 5001).code == "slot.too-small"


@pytest.mark.parametrize("enabled", [0, 7, 3, 4, 5, 6])
def test_a_card_that_boots_from_elsewhere_is_refused_with_what_to_do(machine: Machine, enabled: int) -> None:
    machine.register[PARTITION_CONFIG] = 0x40 | enabled << 3
    error = refusal(machine)
    assert error.code == "slot.emmc-not-enabled"
    assert f"mmc bootpart enable 1 1 {machine.card}" in error.resolution


@pytest.mark.parametrize(("status", "protected"), [(0b0100, True), (0b1000, True), (0b0001, False), (0b0010, False)])
def test_a_partition_that_the_card_protects_is_refused(machine: Machine, status: int, protected: bool) -> None:
    machine.register[BOOT_WP_STATUS] = status
    if protected:
        assert refusal(machine).code == "slot.readonly"
    else:
        emmc(machine).preflight(slot(machine), "raw", 1)


def test_what_is_no_card_with_boot_partitions_is_refused(machine: Machine, tmp_path: Path) -> None:
    assert refusal(machine, slot(machine, machine.part(0))).code == "slot.emmc-none"
    assert refusal(machine, slot(machine, tmp_path / "none")).code == "slot.missing"
    assert refusal(machine, slot(machine, readonly=True)).code == "slot.readonly"


def test_a_register_that_cannot_be_read_is_refused(machine: Machine) -> None:
    machine.fails = "read"
    error = refusal(machine)
    assert error.code == "slot.emmc-register"
    assert "CAP_SYS_RAWIO" in error.resolution


@pytest.mark.req("T05", "S30")
def test_the_running_partition_is_refused(machine: Machine) -> None:
    with pytest.raises(SlotError) as caught:
        install(machine, NEW, str(machine.part(1)))
    assert caught.value.code == "slot.booted"


def test_a_mounted_boot_partition_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slots.handlers.emmc.in_use", lambda identity: "mounted on /mnt")
    assert refusal(machine).code == "slot.mounted"


def test_a_kernel_that_keeps_its_protection_is_refused(machine: Machine) -> None:
    machine.force_ro(1).unlink()
    machine.force_ro(1).mkdir()
    with pytest.raises(SlotError) as caught:
        install(machine)
    assert caught.value.code == "slot.readonly"
    assert machine.part(1).read_bytes().startswith(b"older")


@pytest.mark.parametrize("fault", ["write", "deaf", "others"])
def test_a_switch_that_does_not_happen_is_said(machine: Machine, fault: str) -> None:
    handled, _ = install(machine)
    machine.deaf = fault == "deaf"
    machine.fails = "write" if fault == "write" else ""
    if fault == "others":
        machine.register[PARTITION_CONFIG] = 0x08
    with pytest.raises(SlotError) as caught:
        handled.switch(slot(machine))
    assert caught.value.code == ("slot.emmc-register" if fault == "write" else "slot.switch-failed")
    assert machine.boots().startswith(OLD)


@pytest.mark.req("C11")
def test_a_partition_that_keeps_something_else_is_not_switched_to(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, bytes(len(data)), at))
    handled = emmc(machine)
    with pytest.raises(SlotError) as caught:
        handled.install(slot(machine), content(NEW), booted=(), start=0, watch=Watcher())
    assert caught.value.code == "slot.read-back"
    with pytest.raises(RuntimeError):
        handled.switch(slot(machine))


def test_hooks_are_told_which_partition_is_filled(machine: Machine) -> None:
    told = emmc(machine).variables(slot(machine, limit=4096))
    assert told == {"RAUC_BOOT_PARTITION_ACTIVATING": "1", "RAUC_BOOT_SIZE_LIMIT": "4096"}


def test_nothing_else_of_the_byte_changes() -> None:
    for value in range(256):
        for number in (0, 1):
            config = BootConfig(BootConfig(value, 0).booting(number), 0)
            assert config.active == number
            assert config.value & 0b11000111 == value & 0b11000111


def test_the_installer_can_tell_that_there_is_a_second_step() -> None:
    assert isinstance(handler("boot-emmc"), Switching)
    assert not handler("boot-emmc").resumable
    with pytest.raises(ValueError):
        handler("raw")
    with pytest.raises(ValueError):
        handler("boot-emmc").install(
            Slot("b.0", "b", 0, "/dev/x", "boot-emmc"), content(b""), booted=(), start=1, watch=Watcher()
        )
