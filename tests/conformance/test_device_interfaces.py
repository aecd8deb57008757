"""What we tell the kernel about flash memory and eMMC is what its headers and the field's own tools say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.flash_lab import environment

from slots import ext_csd
from slots.handlers import emmc, flash, ubi

ROOT = Path(__file__).parents[2]
NUMBERS = """
#include <linux/mmc/ioctl.h>
#include <linux/types.h>
#include <mtd/mtd-abi.h>
#include <mtd/ubi-user.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#define AT(member) offsetof(struct mmc_ioc_cmd, member)
int main(void) {
    printf("[%ld, %ld, %ld, %zu, [%zu, %zu, %zu, %zu, %zu, %zu]]",
           (long) MEMGETBADBLOCK, (long) UBI_IOCVOLUP, (long) MMC_IOC_CMD, sizeof(struct mmc_ioc_cmd),
           AT(opcode), AT(arg), AT(flags), AT(blksz), AT(blocks), AT(data_ptr));
}
"""


def test_requests_and_their_arguments_are_those_of_the_kernels_headers(tmp_path: Path) -> None:
    (tmp_path / "numbers.c").write_text(NUMBERS)
    subprocess.run(["gcc", "-o", tmp_path / "numbers", tmp_path / "numbers.c"], check=True)
    bad, update, command, size, offsets = json.loads(subprocess.check_output([tmp_path / "numbers"]))
    assert (bad, update) == (flash._GET_BAD_BLOCK, ubi.START_UPDATE)
    assert (command, size) == (emmc.COMMAND, emmc._COMMAND.size)
    packed = emmc._COMMAND.pack(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    assert [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in offsets] == [3, 4, 5, 6, 7, 12]


def in_lab(folder: Path, *argv: str) -> str:
    done = subprocess.run(
        argv, env=environment(folder) | {"PATH": "/usr/bin:/bin"}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def ours(folder: Path, call: str) -> str:
    program = f"from slots.handlers.emmc import MmcCard as C; from slots import ext_csd; import sys; print({call})"
    return in_lab(folder, sys.executable, "-c", program).strip()


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card of eMMC 5.1 that boots from its first boot partition, with acknowledge."""
    register = bytearray(ext_csd.LENGTH)
    register[192], register[226], register[ext_csd.PARTITION_CONFIG] = 8, 32, 0x48
    (tmp_path / "ext_csd").write_bytes(register)
    (tmp_path / "mmcblk9").write_bytes(b"")
    return tmp_path / "mmcblk9"


def test_the_register_reads_as_mmc_utils_reads_it(card: Path) -> None:
    theirs = in_lab(card.parent, "mmc", "extcsd", "read", str(card))
    assert "[PARTITION_CONFIG: 0x48]" in theirs
    assert "Boot Partition 1 enabled" in theirs
    assert ours(card.parent, f"C().read({str(card)!r}).hex()") == (card.parent / "ext_csd").read_bytes().hex()


@pytest.mark.parametrize(("before", "acknowledge"), [(0x48, 1), (0x08, 0), (0x50, 1), (0x10, 0)])
@pytest.mark.parametrize("number", [0, 1])
def test_the_switch_leaves_what_mmc_utils_leaves(card: Path, before: int, acknowledge: int, number: int) -> None:
    found = []
    config = ext_csd.BootConfig(before, 0)
    for theirs in (True, False):
        register = bytearray((card.parent / "ext_csd").read_bytes())
        register[ext_csd.PARTITION_CONFIG] = before
        (card.parent / "ext_csd").write_bytes(register)
        if theirs:
            in_lab(card.parent, "mmc", "bootpart", "enable", str(number + 1), str(acknowledge), str(card))
        else:
            ours(card.parent, f"C().write({str(card)!r}, ext_csd.PARTITION_CONFIG, {config.booting(number)})")
        found.append((card.parent / "ext_csd").read_bytes())
    assert found[0] == found[1]
    assert found[0][ext_csd.PARTITION_CONFIG] == 0x40 * acknowledge | (number + 1) << 3
