"""The replay finds nothing wrong with an update that is as it should be, and each defect of one that is not."""

from __future__ import annotations

import dataclasses

import pytest

from torture.replay import Findings, Place, Replay, explore
from torture.story import Story
from torture.synthetic import DOCUMENTS, IMAGE, MIB, Recorded


def explored(recorded: Recorded, floor: str = "", states: int = 300) -> Findings:
    found = Findings()
    explore(Replay(recorded.done(floor), seed=1), found, states=states, seconds=60)
    return found


def broken(found: Findings) -> set[str]:
    return {each.problem for each in found.violations}


@pytest.mark.req("S08")
def test_an_update_in_the_right_order_survives_a_power_cut_at_every_moment(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.update()
    found = explored(recorded, states=300)
    assert broken(found) == set()
    assert len(found.keys) == 300 and found.kinds.keys() == {"everything", "nothing", "torn", "some"}
    held = {situation.rpartition("| ")[2] for situation in found.situations}
    assert held == {"A:old B:before", "A:old B:half-written", "A:old B:new"}


def test_a_switch_before_the_slot_was_flushed_is_found(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.write_slot()
    recorded.activate()
    recorded.flush()
    assert broken(explored(recorded)) == {"slot B would be booted, but is half-written"}


def test_a_slot_that_is_written_while_it_may_boot_is_found(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.activate()
    recorded.write_slot()
    assert broken(explored(recorded)) == {"slot B would be booted, but is half-written"}


def test_an_environment_that_is_written_over_itself_is_found(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.save({"BOOT_ORDER": "B A", "BOOT_A_LEFT": "2"}, in_place=True, parts=2)
    assert "no copy of the environment is valid" in broken(explored(recorded))


def test_both_copies_written_without_a_flush_between_them_are_found(tmp_path):
    recorded = Recorded(tmp_path / "recording", cached=True)
    recorded.activate()
    assert "no copy of the environment is valid" in broken(explored(recorded))


def test_a_switch_in_two_steps_is_found(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.save({"BOOT_ORDER": "A", "BOOT_A_LEFT": "3", "OTA_TRIAL": "B,1,abc"})
    recorded.activate()
    assert "something is on trial that is not the choice" in broken(explored(recorded))


def test_a_success_that_is_told_before_it_is_on_the_medium_is_found(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.write_slot()
    recorded.flush()
    recorded.activate()
    recorded.tell("FINISHED")
    recorded.confirm()
    assert broken(explored(recorded)) == {"the server was told of a success that is not on the medium"}


def test_a_floor_that_is_raised_too_early_is_found(tmp_path):
    recorded = Recorded(tmp_path / "recording", {**DOCUMENTS, "facts": {"floor": "1.5.0"}})
    recorded.write_slot()
    assert broken(explored(recorded, floor="1.5.0")) == {"the floor was raised before the new system had proved itself"}


def test_a_damaged_document_is_found(tmp_path):
    recorded = Recorded(tmp_path / "recording", {**DOCUMENTS, "outbox": '{"entries": ['})
    recorded.write_slot()
    assert broken(explored(recorded)) == {"outbox.json is damaged"}


def test_a_violation_is_found_again_at_its_place_and_can_be_put_on_drives(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.write_slot()
    recorded.activate()
    directory = recorded.done()
    found = Findings()
    explore(Replay(directory, seed=5), found, states=300, seconds=60)
    first = found.violations[0]
    replay = Replay(directory, seed=5)
    (state,) = replay.find({first.place})
    assert replay.look(state).situation == first.situation
    disk, card = replay.put(state, tmp_path)
    assert disk.read_bytes()[2 * MIB : 2 * MIB + IMAGE] != recorded.new
    assert disk.read_bytes()[: 2 * MIB] == (directory / "disk.base").read_bytes()[: 2 * MIB]
    assert card.stat().st_size == (directory / "card.base").stat().st_size


def test_a_later_run_goes_on_with_other_draws(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.update()
    replay, found = Replay(recorded.done(), seed=1), Findings()
    explore(replay, found, states=60, seconds=60)
    assert len(found.keys) == 60
    explore(replay, found, states=200, seconds=60)
    assert len(found.keys) == 200 and found.kinds.total() == 200


def test_it_ends_when_nothing_new_is_left(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.tell("CANCELED")
    recorded.confirm()
    found = explored(recorded)
    assert 1 < len(found.keys) < 200 and found.sweeps >= 2


def test_a_story_is_read_as_it_was_written(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.update()
    story = Story.load(recorded.done("1.0"))
    changed = dataclasses.replace(story, scenario="other")
    changed.save(tmp_path)
    assert Story.load(tmp_path) == changed and story.knew(0.0).status == "RUNNING"
    assert story.knew(1e9).status == "FINISHED"


def test_places_tell_where_to_look():
    assert str(Place(0, 17, 3, "some")) == "pass 0, moment 17, draw 3 (some)"
