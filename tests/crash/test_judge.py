"""What the judge of a power cut lets pass: one end, and once more only where the device could not know that it was heard."""

from __future__ import annotations

from typing import cast

import pytest

from agent.demo.bootscript import ATTEMPTS
from agent.demo.server_values import Action, DistributionSet, Entry
from crash.judge import Past, at_rest, one_end
from crash.rig import Ended, Rig


def action(*types: str, status: str = "") -> Action:
    """An action with such entries in its history, and as the last of them says."""
    heard = Action("7", "dev", DistributionSet("1", "os", "2.0.0", ()), status=status or types[-1])
    heard.entries += [Entry(kind, (), None, 0, 0) for kind in types]
    return heard


@pytest.mark.req("S08")
@pytest.mark.parametrize("end", ["FINISHED", "ERROR", "CANCELED"])
def test_one_end_is_right_however_often_it_was_in_doubt(end: str) -> None:
    assert one_end(action("RUNNING", end), Past()) == one_end(action("RUNNING", end), Past(doubts=2)) == []
    assert one_end(action("RUNNING"), Past(doubts=2))
    assert one_end(action(end, status="RUNNING"), Past()), "it was opened again"


@pytest.mark.req("S08")
@pytest.mark.parametrize(("ends", "doubts", "right"), [(2, 0, False), (2, 1, True), (3, 1, False), (3, 2, True)])
def test_a_cancellation_may_be_answered_again_once_for_each_doubt(ends: int, doubts: int, right: bool) -> None:
    assert (one_end(action(*["CANCELED"] * ends), Past(doubts=doubts)) == []) is right


@pytest.mark.req("S08")
@pytest.mark.parametrize("ends", [("FINISHED", "FINISHED"), ("ERROR", "ERROR"), ("CANCELED", "ERROR")])
def test_no_doubt_excuses_another_end(ends: tuple[str, ...]) -> None:
    assert one_end(action(*ends), Past(doubts=5))


@pytest.mark.req("S08")
def test_only_as_many_power_cuts_as_there_are_attempts_bring_back_the_system_before() -> None:
    rig, ended = cast(Rig, object()), Ended(boots=["A"], older=True)
    assert at_rest(rig, ended, ATTEMPTS, Past(), told=False) == []
    assert at_rest(rig, ended, ATTEMPTS - 1, Past(), told=False)
