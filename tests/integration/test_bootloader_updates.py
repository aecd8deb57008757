"""A bootloader in a bundle, through the real installer process: what is chosen, when, and what hooks are told about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.partition_tables import HALF, MIB, REGION, gpt_boots, table
from support.programs import APP, Device, device, refusal

from slots.handlers.halves import Span

pytestmark = pytest.mark.root
HIDDEN = Span(MIB + HALF, HALF)
BOOT = APP[:200_000]
ROOT = "[image.rootfs]\nfilename=rootfs.ext4\n"
LOADER = "[image.bootloader]\nfilename=u-boot.img\n"
HOOKS = "[hooks]\nfilename=program\n"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Device]:
    table("gpt", tmp_path / "disk")
    with device(tmp_path) as made:
        yield made


def disk(board: Device) -> Path:
    return board.directory / "disk"


def plan(board: Device, kind: str = "boot-gpt-switch") -> dict[str, object]:
    """The installation as the daemon orders it: the bootloader belongs to every group."""
    loader = {
        "name": "bootloader.0", "class": "bootloader", "index": 0, "device": str(disk(board)), "type": kind,
        "region_start": REGION.start, "region_size": REGION.size,
    }  # fmt: skip
    return {"slots": [board.slot("rootfs.1"), loader], "programs": board.leave(targets=["rootfs.1", "bootloader.0"])}


def install(board: Device, program: str, groups: str, kind: str = "boot-gpt-switch"):
    bundle = board.bundle("b", program, groups, **{"u-boot.img": BOOT})
    return board.install(bundle, **plan(board, kind))


def test_the_bootloader_is_switched_when_its_hook_has_run(board: Device) -> None:
    program = f'echo "$1"; sfdisk --json {disk(board)} | grep -c "start.: {MIB // 512},"; env | grep RAUC_BOOT | sort'
    answer = install(board, program, f"{HOOKS}{ROOT}{LOADER}hooks=pre-install;post-install\n")
    assert answer.op == "installed", answer.header
    told = [
        "RAUC_BOOT_PARTITION_ACTIVATING=1", f"RAUC_BOOT_PARTITION_SIZE={HALF}",
        f"RAUC_BOOT_PARTITION_START={HIDDEN.start}",
    ]  # fmt: skip
    assert board.said == [
        f"{when}: {line}" for when in ("slot-pre-install", "slot-post-install") for line in (when, "1", *told)
    ]
    data = disk(board).read_bytes()
    assert gpt_boots(data) == HIDDEN
    assert data[HIDDEN.start : HIDDEN.start + len(BOOT)] == BOOT


@pytest.mark.req("S08")
def test_a_hook_that_fails_leaves_the_old_bootloader_the_choice(board: Device) -> None:
    before = gpt_boots(disk(board).read_bytes())
    code, _ = refusal(install(board, "exit 1", f"{HOOKS}{ROOT}{LOADER}hooks=post-install\n"))
    assert code == "hook.failed"
    assert gpt_boots(disk(board).read_bytes()) == before


@pytest.mark.req("S08")
def test_another_image_that_fails_leaves_the_old_bootloader_the_choice(board: Device) -> None:
    before = gpt_boots(disk(board).read_bytes())
    code, _ = refusal(install(board, "exit 1", f"{HOOKS}{LOADER}{ROOT}hooks=post-install\n"))
    assert code == "hook.failed"
    assert gpt_boots(disk(board).read_bytes()) == before


def test_hooks_of_a_fallback_are_told_the_region(board: Device) -> None:
    answer = install(
        board, "env | grep RAUC_BOOT | sort", f"{HOOKS}{ROOT}{LOADER}hooks=post-install\n", "boot-raw-fallback"
    )
    assert answer.op == "installed", answer.header
    assert board.said == [
        f"slot-post-install: RAUC_BOOT_REGION_SIZE={REGION.size}",
        f"slot-post-install: RAUC_BOOT_REGION_START={REGION.start}",
    ]
    data = disk(board).read_bytes()
    assert data[MIB : MIB + len(BOOT)] == data[HIDDEN.start : HIDDEN.start + len(BOOT)] == BOOT
