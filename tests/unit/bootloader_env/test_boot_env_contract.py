"""What every boot environment promises, whatever its format."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.boot_environments import boot_env, torn

from bootloader_env.errors import BootEnvError


@pytest.fixture(params=["uboot", "grub", "grub-in-place"])
def env(request, tmp_path):
    return boot_env(request.param, tmp_path)


@pytest.fixture
def settled(env):
    """A device that runs A, with B as its fallback."""
    env.activate("A", fallback="B", trial="")
    env.confirm("A")
    return env


def medium(folder: Path) -> Path:
    return next(path for path in (folder / "env.bin", folder / "grubenv") if path.exists())


def test_a_new_environment_is_read_as_one_without_an_order(env):
    state = env.read()
    assert (state.order, state.trial, state.primary) == ((), "", "")
    assert not any(slot.good or slot.in_order for slot in state.slots.values())


@pytest.mark.req("S02", "T26")
def test_activation_heals_a_missing_order(env):
    env.activate("B", fallback="A", trial="id-7")
    state = env.read()
    assert state.order == ("B", "A")
    assert state.primary == "B"
    assert state.trial == "id-7"
    assert state.slots["A"].good


@pytest.mark.req("S02", "S07")
def test_an_activated_slot_boots_next_and_the_running_one_after_it(settled):
    settled.activate("B", fallback="A", trial="action-42 try 1")
    state = settled.read()
    assert state.order == ("B", "A")
    assert state.slots["B"].good
    assert state.slots["A"].good
    assert state.trial == "action-42 try 1"


def test_a_confirmed_slot_is_good_and_no_longer_on_trial(settled):
    settled.activate("B", fallback="A", trial="id")
    settled.confirm("B")
    state = settled.read()
    assert state.slots["B"].good
    assert (state.primary, state.trial) == ("B", "")


@pytest.mark.req("S07")
def test_a_reverted_slot_does_not_boot_and_the_good_one_does(settled):
    settled.activate("B", fallback="A", trial="id")
    settled.revert("B", "A")
    state = settled.read()
    assert state.primary == "A"
    assert not state.slots["B"].good
    assert state.slots["B"].attempts == 0
    assert state.trial == ""


def test_a_reverted_slot_can_be_activated_again(settled):
    settled.revert("B", "A")
    settled.activate("B", fallback="A", trial="")
    assert settled.read().order == ("B", "A")
    assert settled.read().slots["B"].good


def test_marking_good_keeps_the_order_and_the_trial(settled):
    settled.activate("B", fallback="A", trial="id")
    before = settled.read()
    settled.mark_good("A")
    settled.mark_good("B")
    after = settled.read()
    assert (after.order, after.trial) == (before.order, "id")
    assert after.slots["A"].good
    assert after.slots["B"].good


@pytest.mark.parametrize("operation", ["activate", "confirm", "revert", "mark_good"])
def test_nothing_is_written_when_nothing_would_change(settled, tmp_path, operation):
    calls = {
        "activate": lambda: settled.activate("B", fallback="A", trial="id"),
        "confirm": lambda: settled.confirm("A"),
        "revert": lambda: settled.revert("B", "A"),
        "mark_good": lambda: settled.mark_good("B"),
    }
    calls[operation]()
    path = medium(tmp_path)
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
    calls[operation]()
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_a_name_that_is_no_slot_is_refused_and_nothing_is_written(settled, tmp_path):
    before = medium(tmp_path).read_bytes()
    for call in (
        lambda: settled.activate("C", fallback="A", trial=""),
        lambda: settled.activate("A", fallback="C", trial=""),
        lambda: settled.confirm("C"),
        lambda: settled.revert("C", "A"),
        lambda: settled.mark_good("A_LEFT=1"),
    ):
        with pytest.raises(BootEnvError) as caught:
            call()
        assert caught.value.code == "bootenv.unknown-bootname"
    assert medium(tmp_path).read_bytes() == before


@pytest.mark.parametrize("trial", ["x" * 101, "a\nb", "ä", "a\0b"])
def test_a_trial_that_could_not_be_stored_everywhere_is_refused(settled, trial):
    with pytest.raises(ValueError, match="printable"):
        settled.activate("B", fallback="A", trial=trial)


def test_one_slot_cannot_be_both_target_and_fallback(settled):
    with pytest.raises(ValueError, match="both parts"):
        settled.activate("A", fallback="A", trial="")
    with pytest.raises(ValueError, match="both parts"):
        settled.revert("A", "A")


@pytest.mark.req("S08", "S33")
@pytest.mark.parametrize("operation", ["activate", "confirm", "revert"])
def test_a_power_cut_leaves_the_environment_as_before_or_as_wanted(settled, tmp_path, operation):
    path = medium(tmp_path)
    settled.activate("B", fallback="A", trial="x" * 60)
    if operation == "activate":
        settled.revert("B", "A")
    old, before = path.read_bytes(), settled.read()
    calls = {
        "activate": lambda: settled.activate("B", fallback="A", trial="y" * 90),
        "confirm": lambda: settled.confirm("B"),
        "revert": lambda: settled.revert("B", "A"),
    }
    calls[operation]()
    new, after = path.read_bytes(), settled.read()
    assert before != after
    seen = set()
    for state in torn(old, new, random.Random(1), 150):
        path.write_bytes(state)
        found = settled.read()
        assert found in (before, after)
        assert found.primary
        seen.add(found == after)
    assert seen == {True, False}
