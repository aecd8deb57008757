"""Slots as RAUC tells them: which keys, with which types, and what each slot's state is called."""

from __future__ import annotations

import pytest
from gi.repository import GLib
from hypothesis import given
from hypothesis import strategies as st

from agent.rauc.slot_status import booted, root_of, slot_status

ROOT = {"class": "rootfs", "device": "/dev/mmcblk0p2", "type": "ext4", "bootname": "A", "state": "booted"}
HELD = {
    "bundle.compatible": "board", "bundle.version": "1.0", "bundle.description": "d", "bundle.build": "b",
    "bundle.hash": "ab", "status": "ok", "sha256": "cd", "size": "419430400", "installed.transaction": "7 ab",
    "installed.timestamp": "1490608273", "installed.count": "3", "activated.timestamp": "1490608333",
    "activated.count": "2",
}  # fmt: skip
APP = {"class": "appfs", "device": "/dev/mmcblk0p4", "type": "raw", "bootname": "A", "parent": "rootfs.0"}


def only(facts: dict[str, str]) -> dict[str, tuple[str, object]]:
    ((_, found),) = slot_status({"rootfs.0": facts})
    return found


def test_what_is_held_has_raucs_keys_and_types() -> None:
    assert only({**ROOT, **HELD, "boot-status": "good", "mountpoint": "/", "filename": "x.img"}) == {
        "class": ("s", "rootfs"), "device": ("s", "/dev/mmcblk0p2"), "type": ("s", "ext4"), "bootname": ("s", "A"),
        "state": ("s", "booted"), "mountpoint": ("s", "/"), "boot-status": ("s", "good"),
        "bundle.compatible": ("s", "board"), "bundle.version": ("s", "1.0"), "bundle.description": ("s", "d"),
        "bundle.build": ("s", "b"), "bundle.hash": ("s", "ab"), "status": ("s", "ok"), "sha256": ("s", "cd"),
        "size": ("t", 419430400), "installed.transaction": ("s", "7 ab"),
        "installed.timestamp": ("s", "2017-03-27T09:51:13Z"), "installed.count": ("u", 3),
        "activated.timestamp": ("s", "2017-03-27T09:52:13Z"), "activated.count": ("u", 2),
    }  # fmt: skip


def test_a_transaction_has_the_name_that_its_caller_gave_it() -> None:
    assert only({**ROOT, "installed.transaction": "- ab t-7"})["installed.transaction"] == ("s", "t-7")


def test_what_is_not_known_is_left_out() -> None:
    assert set(only(ROOT)) == {"class", "device", "type", "bootname", "state"}


def test_a_count_without_its_time_is_left_out_as_rauc_does() -> None:
    assert "installed.count" not in only({**ROOT, "installed.count": "3"})


def test_a_size_belongs_to_a_digest() -> None:
    assert "size" not in only({**ROOT, "size": "5"})


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (ROOT, "booted"),
        ({**ROOT, "state": "inactive"}, "inactive"),
        ({**APP, "state": "booted"}, "active"),
        ({**APP, "state": "inactive"}, "inactive"),
        ({"class": "boot", "device": "/dev/mmcblk0", "type": "boot-emmc", "state": "booted"}, "inactive"),
    ],
)
def test_only_the_root_slot_is_booted_and_those_below_it_are_active(facts: dict[str, str], state: str) -> None:
    assert only(facts)["state"] == ("s", state)


def test_a_slot_below_another_has_its_parent_and_neither_a_boot_name_nor_a_boot_status() -> None:
    found = only({**APP, "state": "booted", "boot-status": "good"})
    assert found["parent"] == ("s", "rootfs.0")
    assert not {"bootname", "boot-status"} & set(found)


def test_a_device_that_is_named_by_its_label_becomes_a_path() -> None:
    assert only({**ROOT, "device": "partlabel:root-a"})["device"] == ("s", "/dev/disk/by-partlabel/root-a")


def test_the_slots_come_in_the_order_of_their_names() -> None:
    assert [name for name, _ in slot_status({"b.0": APP, "a.1": ROOT, "a.0": ROOT})] == ["a.0", "a.1", "b.0"]


def test_root_slots_are_found_by_boot_name_and_by_running() -> None:
    slots = {
        "appfs.0": {**APP, "state": "booted"},
        "rootfs.0": ROOT,
        "rootfs.1": {**ROOT, "bootname": "B", "state": ""},
    }
    assert (booted(slots), root_of(slots, "B"), root_of(slots, "C")) == ("rootfs.0", "rootfs.1", "")


@given(st.dictionaries(st.sampled_from([*ROOT, *HELD, "parent", "boot-status"]), st.text("0123456789-x", max_size=40)))
def test_whatever_the_agent_says_can_be_sent(facts: dict[str, str]) -> None:
    for signature, value in only(facts).values():
        assert GLib.Variant(signature, value).get_type_string() == signature
