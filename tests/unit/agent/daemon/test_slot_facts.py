"""What everybody is told of the slots: where they are, and what the bootloader would do."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.disks import mounted, run
from support.pretend import Environment, device

from agent.daemon.device import Device
from agent.daemon.slot_facts import boot_state, primary, slot_facts
from agent.daemon.slot_status import Holdings, SlotStatus
from bootloader_env.errors import BootEnvError
from slots.model import Slot, groups_of

ROOTS = [
    Slot(f"rootfs.{index}", "rootfs", index, f"/dev/{name}", "raw", bootname=name) for index, name in enumerate("AB")
]


def family(environment: Environment, *more: Slot) -> Device:
    groups = groups_of([*ROOTS, *more])
    return Device("demo", "boot-1", groups, groups[0], environment, {}, "1.0.0")


def test_a_slot_says_what_it_is_what_it_holds_and_whether_it_would_boot() -> None:
    environment = Environment("AB")
    environment.variables["BOOT_B_LEFT"] = "0"
    held = Holdings(slots={"rootfs.1": SlotStatus(status="ok", bundle_version="2")})
    facts = slot_facts(device(environment), held, environment.read())
    assert facts["rootfs.0"] == {
        "class": "rootfs", "device": "/dev/A", "type": "raw", "bootname": "A", "state": "booted", "boot-status": "good",
    }  # fmt: skip
    assert facts["rootfs.1"] == {
        "class": "rootfs", "device": "/dev/B", "type": "raw", "bootname": "B", "state": "inactive", "boot-status": "bad",
        "status": "ok", "bundle.version": "2",
    }  # fmt: skip


def test_a_slot_below_another_names_it_and_has_no_boot_status() -> None:
    environment = Environment("AB")
    child = Slot("appfs.0", "appfs", 0, "/dev/app", "raw", parent="rootfs.0")
    facts = slot_facts(family(environment, child), Holdings(), environment.read())["appfs.0"]
    assert (facts["parent"], facts["bootname"], facts["state"]) == ("rootfs.0", "A", "booted")
    assert "boot-status" not in facts


def test_a_slot_of_all_groups_belongs_to_no_boot_name() -> None:
    environment = Environment("AB")
    shared = Slot("boot.0", "boot", 0, "/dev/mmcblk0", "boot-emmc")
    facts = slot_facts(family(environment, shared), Holdings(), environment.read())["boot.0"]
    assert not {"bootname", "parent", "boot-status"} & set(facts)


def test_the_slot_that_boots_next_is_named() -> None:
    environment = Environment("AB")
    environment.activate("B", fallback="A", trial="")
    assert primary(device(environment), environment.read()) == "rootfs.1"


def test_without_a_boot_environment_the_rest_is_still_told() -> None:
    class Unreadable(Environment):
        def read(self) -> None:
            raise BootEnvError("bootenv.invalid", "no copy is valid")

    environment = Unreadable("AB")
    seen = boot_state(environment)
    assert seen is None
    facts = slot_facts(device(environment), Holdings(), seen)
    assert set(facts) == {"rootfs.0", "rootfs.1"}
    assert "boot-status" not in facts["rootfs.0"]
    assert primary(device(environment), seen) == ""


@pytest.mark.root
def test_a_slot_in_a_file_says_where_it_is_mounted(tmp_path: Path) -> None:
    image, where = tmp_path / "a.img", tmp_path / "where it is"
    with image.open("wb") as file:
        file.truncate(1 << 20)
    run("mke2fs", "-q", "-t", "ext2", image)
    slots = [
        Slot(each.name, "rootfs", each.index, str(image) if each.index else each.device, "raw", each.bootname)
        for each in ROOTS
    ]
    groups = groups_of(slots)
    here = Device("demo", "boot-1", groups, groups[0], Environment("AB"), {}, "1.0.0")
    with mounted(str(image), where, "-o", "loop,ro"):
        facts = slot_facts(here, Holdings(), None)
    assert (facts["rootfs.1"]["mountpoint"], "mountpoint" in facts["rootfs.0"]) == (str(where), False)
    assert "mountpoint" not in slot_facts(here, Holdings(), None)["rootfs.1"]
