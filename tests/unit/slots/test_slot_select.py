"""Promises of the target choice: never the running group, always the same answer, always a reason."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slots.errors import SlotError
from slots.model import Group, Slot
from slots.select import target_group


def group(bootname: str, slot_class: str = "rootfs", *, readonly: bool = False) -> Group:
    root = Slot(f"{slot_class}.{bootname}", slot_class, 0, f"/dev/{bootname}", "raw", bootname=bootname)
    child = Slot(f"app.{bootname}", "app", 0, f"/dev/{bootname}x", "raw", parent=root.name, readonly=readonly)
    return Group(bootname, (root, child))


A, B, C, R = group("A"), group("B"), group("C"), group("R", "rescue")
RESCUE = Group("R", (replace(R.root, rescue=True),))


@pytest.mark.req("S30", "T05")
@pytest.mark.parametrize(("booted", "target"), [(A, B), (B, A)])
def test_of_two_groups_the_one_that_does_not_run_is_chosen(booted: Group, target: Group) -> None:
    choice = target_group([A, B], booted)
    assert choice.group == target
    assert choice.reason == f"{booted.bootname} is running and {target.bootname} is the only other one of class rootfs"


@pytest.mark.parametrize(("booted", "target"), [(A, B), (B, C), (C, A)])
def test_of_three_groups_the_next_in_order_is_chosen(booted: Group, target: Group) -> None:
    choice = target_group([A, B, C], booted)
    assert choice.group == target
    assert "is the next one of class rootfs" in choice.reason


def test_a_read_only_group_is_passed_over_and_said_so() -> None:
    choice = target_group([A, group("B", readonly=True), C], A)
    assert choice.group == C
    assert "after B, which must not be written to" in choice.reason


def test_the_rescue_system_is_left_alone() -> None:
    assert target_group([R, A, B], B).group == A


def test_the_rescue_system_updates_the_first_ordinary_group() -> None:
    choice = target_group([R, A, B], R)
    assert choice.group == A
    assert choice.reason == "R is running, the only one of class rescue, and A is the first of class rootfs"


@pytest.mark.req("S07")
@pytest.mark.parametrize("groups", [[RESCUE, A, B, C], [A, B, C, RESCUE]])
def test_the_rescue_system_is_never_a_target_and_writes_to_the_first_slot(groups: list[Group]) -> None:
    assert [target_group(groups, booted).group for booted in (A, B, C, RESCUE)] == [B, C, A, A]
    assert target_group(groups, RESCUE).reason == "R is running, the rescue system, and A is the first of class rootfs"


def test_a_writable_rescue_system_is_named_when_there_is_no_target() -> None:
    with pytest.raises(SlotError) as caught:
        target_group([A, group("B", readonly=True), RESCUE], A)
    assert "R is the rescue system" in caught.value.details


@pytest.mark.parametrize("groups", [[A, group("B", readonly=True)], [A, R], [A, group("B", readonly=True), R]])
def test_without_a_place_to_write_the_refusal_names_every_group(groups: list[Group]) -> None:
    with pytest.raises(SlotError) as caught:
        target_group(groups, A)
    assert caught.value.code == "slot.no-target"
    for other in groups[1:]:
        assert other.bootname in caught.value.details


@pytest.mark.req("T05", "S30")
@given(st.data())
def test_the_running_group_is_never_chosen(data: st.DataObject) -> None:
    makers = st.tuples(st.sampled_from(["rootfs", "rescue"]), st.booleans())
    kinds = data.draw(st.lists(makers, min_size=2, max_size=6))
    groups = [group(f"N{number}", kind, readonly=locked) for number, (kind, locked) in enumerate(kinds)]
    booted = data.draw(st.sampled_from(groups))
    with suppress(SlotError):
        choice = target_group(groups, booted)
        assert choice.group != booted
        assert not choice.group.readonly
