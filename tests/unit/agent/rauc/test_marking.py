"""Which slot Mark means; the refusals are RAUC's, word for word."""

from __future__ import annotations

import pytest

from agent.errors import PolicyError
from agent.rauc.marking import done, slot_meant

SLOTS = {
    "rootfs.0": {"class": "rootfs", "bootname": "A", "state": "booted"},
    "rootfs.1": {"class": "rootfs", "bootname": "B", "state": "inactive"},
    "appfs.0": {"class": "appfs", "bootname": "A", "parent": "rootfs.0", "state": "booted"},
    "rescue.0": {"class": "rescue", "bootname": "R", "state": "inactive"},
}
RESCUE = {
    **SLOTS,
    "rootfs.0": {**SLOTS["rootfs.0"], "state": "inactive"},
    "rescue.0": {**SLOTS["rescue.0"], "state": "booted"},
}
NONE = {name: {**facts, "state": "inactive"} for name, facts in SLOTS.items()}


@pytest.mark.parametrize(
    ("identifier", "slot"),
    [("booted", "rootfs.0"), ("other", "rootfs.1"), ("rootfs.1", "rootfs.1"), ("rescue.0", "rescue.0")],
)
def test_a_slot_is_found(identifier: str, slot: str) -> None:
    assert slot_meant(SLOTS, identifier) == slot


@pytest.mark.parametrize(
    ("slots", "identifier", "text"),
    [
        (SLOTS, "foo", "Invalid slot name format: 'foo'"),
        (SLOTS, "a.b.c", "Invalid slot name format: 'a.b.c'"),
        (SLOTS, "rootfs.9", "No slot with class rootfs and name rootfs.9 found"),
        (SLOTS, "appfs.0", "No slot with class appfs and name appfs.0 found"),
        (RESCUE, "other", "No other bootable slot of the same class found"),
        (NONE, "booted", "Did not find booted slot"),
        (NONE, "other", "Did not find booted slot needed to find another bootable slot of the same class"),
    ],
)
def test_a_slot_that_is_not_there_is_refused_in_raucs_words(slots: dict, identifier: str, text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        slot_meant(slots, identifier)
    assert (caught.value.code, caught.value.brief) == ("rauc.slot-unknown", text)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("good", "marked slot rootfs.0 as good"),
        ("bad", "marked slot rootfs.0 as bad"),
        ("active", "activated slot rootfs.0"),
    ],
)
def test_what_was_done_is_said_in_raucs_words(state: str, text: str) -> None:
    assert done(state, "rootfs.0") == text


def test_another_state_is_refused_in_raucs_words() -> None:
    with pytest.raises(PolicyError, match="unknown subcommand ugly"):
        done("ugly", "rootfs.0")
