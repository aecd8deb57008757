"""Promises of the slot layout: what does not fit together is refused, all at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slots.errors import SlotError
from slots.model import TYPES, Slot, groups_of

A = Slot("rootfs.0", "rootfs", 0, "/dev/vda2", "raw", bootname="A")
B = Slot("rootfs.1", "rootfs", 1, "/dev/vda3", "ext4", bootname="B")
APP_A = Slot("app.0", "app", 0, "/dev/vda4", "raw", parent="rootfs.0")
APP_B = Slot("app.1", "app", 1, "/dev/vda5", "raw", parent="rootfs.1")
R = Slot("rescue.0", "rescue", 0, "/dev/vda1", "raw", bootname="R", readonly=True, rescue=True)


def problems(*slots: Slot) -> str:
    with pytest.raises(SlotError) as caught:
        groups_of(slots)
    assert caught.value.code == "slot.layout-invalid"
    return caught.value.details


def test_children_are_grouped_behind_their_root_slot() -> None:
    first, second = groups_of([APP_A, A, APP_B, B])
    assert (first.bootname, first.slots, first.root) == ("A", (A, APP_A), A)
    assert (second.bootname, second.slots) == ("B", (B, APP_B))


def test_a_rescue_system_is_a_group_of_its_own() -> None:
    assert [(group.bootname, group.rescue) for group in groups_of([R, A, B])] == [
        ("R", True),
        ("A", False),
        ("B", False),
    ]


def test_a_group_with_a_read_only_child_is_read_only() -> None:
    groups = groups_of([A, B, replace(APP_B, readonly=True)])
    assert [group.readonly for group in groups] == [False, True]


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ((A, replace(B, bootname="A")), "several slots have the bootname A"),
        ((A, replace(B, device="/dev/vda2")), "several slots have the device /dev/vda2"),
        ((A, replace(B, name="rootfs.0")), "several slots have the name rootfs.0"),
        ((A,), "at least two slots with a bootname are needed, there are 1"),
        ((A, B, replace(APP_A, parent="rootfs.7")), "the parent rootfs.7 of app.0 is no slot with a bootname"),
        ((A, B, APP_A, replace(APP_B, parent="app.0")), "the parent app.0 of app.1 is no slot with a bootname"),
        ((A, B, replace(APP_A, parent=None)), "app.0 has neither a bootname nor a parent"),
        ((A, replace(B, parent="rootfs.0")), "rootfs.1 has both a bootname and a parent"),
        ((A, B, APP_A, replace(APP_B, parent="rootfs.0")), "group A has several slots of class app"),
        ((A, replace(B, rescue=True)), "at least two slots with a bootname are needed, there are 1"),
        ((A, B, replace(R, slot_class="rootfs")), "the rescue system rescue.0 is not the only slot of class rootfs"),
        ((A, B, replace(R, bootname=None, parent="rootfs.0")), "rescue.0 is the rescue system and has no bootname"),
        (
            (A, B, R, replace(R, name="factory.0", slot_class="factory", device="/dev/vda9", bootname="F")),
            "there are several rescue systems: rescue.0, factory.0",
        ),
        ((A, replace(B, type="tar")), "rootfs.1 has the unknown type tar"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(slots: tuple[Slot, ...], said: str) -> None:
    assert said in problems(*slots)


def test_all_problems_are_told_at_once() -> None:
    said = problems(A, replace(B, device=A.device, bootname="A"))
    assert "bootname A" in said
    assert "device /dev/vda2" in said


def test_an_error_reads_as_a_sentence_with_its_code() -> None:
    assert str(SlotError("slot.x", "it broke", details="badly")) == "it broke: badly [slot.x]"
    assert str(SlotError("slot.x", "it broke")) == "it broke [slot.x]"


def test_a_slot_with_two_places_of_its_own_belongs_to_every_group_and_comes_last() -> None:
    boot = Slot("boot.0", "boot", 0, "/dev/mmcblk0", "boot-emmc")
    first, second = groups_of([boot, A, APP_A, B])
    assert (first.slots, second.slots) == ((A, APP_A, boot), (B, boot))
    assert (first.own, second.own) == ((A, APP_A), (B,))
    assert not groups_of([replace(boot, readonly=True), A, B])[0].readonly


@pytest.mark.parametrize("kind", TYPES)
def test_only_a_slot_with_two_places_of_its_own_may_belong_to_no_group(kind: str) -> None:
    lone = Slot("boot.0", "boot", 0, "/dev/mmcblk0", kind)
    if kind.startswith("boot-"):
        assert groups_of([A, B, lone])[0].slots == (A, lone)
    else:
        assert "boot.0 has neither a bootname nor a parent" in problems(A, B, lone)


def test_places_on_the_same_disk_are_no_contradiction() -> None:
    disk = [Slot(f"{name}.0", name, 0, "/dev/mmcblk0", f"boot-{name}") for name in ("emmc", "gpt-switch")]
    assert [slot.name for slot in groups_of([A, B, *disk])[0].slots] == ["rootfs.0", "emmc.0", "gpt-switch.0"]
