"""Promises of the detection of the booted slot: RAUC's order, nothing guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slots.detect import booted_slot
from slots.errors import SlotError
from slots.model import Slot

A = Slot("rootfs.0", "rootfs", 0, "partlabel:rootfs-a", "raw", bootname="A")
B = Slot("rootfs.1", "rootfs", 1, "/dev/vda3", "raw", bootname="B")
DEVICES = {
    "partlabel:rootfs-a": "/dev/vda2",
    "partuuid:0d9b-02": "/dev/vda2",
    "uuid:77aa": "/dev/vda3",
    "/dev/vda2": "/dev/vda2",
    "/dev/vda3": "/dev/vda3",
    "/dev/mapper/root": "/dev/dm-0",
    "/dev/disk/by-partlabel/rootfs-a": "/dev/vda2",
}


def resolve(device: str) -> str:
    if device not in DEVICES:
        raise SlotError("slot.missing", "no such device", details=device)
    return DEVICES[device]


def booted(cmdline: str) -> str | None:
    return booted_slot(cmdline, [A, B], resolve).bootname


def code(cmdline: str) -> str:
    with pytest.raises(SlotError) as caught:
        booted(cmdline)
    return caught.value.code


@pytest.mark.parametrize(
    ("cmdline", "bootname"),
    [
        ("quiet rauc.slot=B", "B"),
        ("rauc.slot=rootfs.0 root=/dev/vda3", "A"),
        ("ota.slot=B root=/dev/vda2\n", "B"),
        ("rauc.slot=A ota.slot=rootfs.0", "A"),
        ('rauc.slot="A"', "A"),
        ("root=/dev/vda3 ro", "B"),
        ("root=/dev/vda2 root=/dev/vda3", "B"),
        ("root=PARTLABEL=rootfs-a", "A"),
        ('root="PARTLABEL=rootfs-a"', "A"),
        ("root=PARTUUID=0d9b-02", "A"),
        ("root=UUID=77aa", "B"),
        ("root=/dev/disk/by-partlabel/rootfs-a", "A"),
        ("root=/dev/mapper/root systemd.verity_root_data=/dev/vda3", "B"),
        ("systemd.verity_root_data=PARTLABEL=rootfs-a", "A"),
        ("root=/dev/gone systemd.verity_root_data=/dev/vda3", "B"),
        ("root=/dev/vda3 -- rauc.external rauc.slot=A", "B"),
    ],
)
def test_the_booted_slot_is_found(cmdline: str, bootname: str) -> None:
    assert booted(cmdline) == bootname


@pytest.mark.parametrize("cmdline", ["rauc.external", "rauc.external=1 rauc.slot=A", "root=/dev/nfs rauc.slot=A"])
def test_a_system_from_elsewhere_is_no_slot(cmdline: str) -> None:
    assert code(cmdline) == "slot.external"


@pytest.mark.parametrize(
    "cmdline",
    [
        "", "quiet", "rauc.slot=C root=/dev/vda2", "rauc.slot=", "root=/dev/vda9", "root=/dev/mapper/root", "root=254:2",
        "root=PARTLABEL=other", "root=PARTUUID=0d9b-02/PARTNROFF=1", "root=", "-- root=/dev/vda2", "x" * 70_000,
    ],
)  # fmt: skip
def test_an_unknown_slot_is_not_guessed(cmdline: str) -> None:
    assert code(cmdline) == "slot.booted-unknown"


@pytest.mark.parametrize("cmdline", ["rauc.slot=A ota.slot=B", "rauc.slot=A rauc.slot=B"])
def test_names_that_contradict_each_other_are_refused(cmdline: str) -> None:
    assert code(cmdline) == "slot.booted-ambiguous"


def test_a_device_shared_by_two_slots_is_refused() -> None:
    twin = Slot("rootfs.2", "rootfs", 2, "/dev/vda2", "raw", bootname="C")
    with pytest.raises(SlotError) as caught:
        booted_slot("root=/dev/vda2", [A, B, twin], resolve)
    assert caught.value.code == "slot.booted-ambiguous"


def test_a_missing_device_of_another_slot_does_no_harm() -> None:
    gone = Slot("rootfs.2", "rootfs", 2, "/dev/gone", "raw", bootname="C")
    assert booted_slot("root=/dev/vda3", [gone, A, B], resolve) == B


def test_an_ambiguous_label_is_passed_on() -> None:
    def twice(device: str) -> str:
        raise SlotError("slot.device-ambiguous", "two of them", details=device)

    with pytest.raises(SlotError) as caught:
        booted_slot("root=/dev/vda3", [A, B], twice)
    assert caught.value.code == "slot.device-ambiguous"


@given(st.text(max_size=300) | st.text('abr=.-" \nstolrauc/', max_size=300))
def test_any_command_line_gives_a_slot_or_an_explained_refusal(cmdline: str) -> None:
    refusals: list[SlotError] = []
    try:
        assert booted(cmdline) in ("A", "B")
    except SlotError as error:
        refusals.append(error)
    assert all(error.code.startswith("slot.") and error.resolution for error in refusals)


@pytest.mark.parametrize(
    ("cmdline", "told", "bootname"),
    [
        ("root=/dev/vda2", "B", "B"),  # the bootloader goes before root=
        ("", "B", "B"),
        ("rauc.slot=A", "B", "A"),  # and behind a name on the command line
        ("ota.slot=A root=/dev/vda3", "B", "A"),
        ("root=/dev/vda3", "", "B"),
    ],
)
def test_the_bootloaders_own_word_goes_before_the_root_device(cmdline: str, told: str, bootname: str) -> None:
    assert booted_slot(cmdline, [A, B], resolve, lambda: told).bootname == bootname


def test_the_bootloader_is_not_asked_when_the_command_line_says_it_already() -> None:
    def told() -> str:
        raise AssertionError("it was asked")

    assert booted_slot("ota.slot=A", [A, B], resolve, told) is A
    with pytest.raises(SlotError):
        booted_slot("rauc.external", [A, B], resolve, told)


def test_a_word_of_the_bootloader_that_is_no_slot_is_not_passed_over() -> None:
    with pytest.raises(SlotError) as caught:
        booted_slot("root=/dev/vda2", [A, B], resolve, lambda: "C")
    assert caught.value.code == "slot.booted-unknown"
