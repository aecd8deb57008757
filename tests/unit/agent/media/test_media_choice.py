"""Which bundle of all media is installed, and what is not begun again."""

from __future__ import annotations

import pytest
from support.pretend import FULL, Disk

from agent.errors import EnvironmentFault
from agent.media.choice import Candidate, Running, Verdict, chosen, judge
from agent.media.notes import Notes

RUNS = Running("1.0.0", "f0" * 32)


def candidate(version: str, manifest_hash: str = "", refusal: str = "", device: str = "/dev/sda1") -> Candidate:
    return Candidate(device, f"{version}.raucb", 10, 20, version, manifest_hash or f"hash of {version}", refusal)


def verdicts(*candidates: Candidate, running: Running = RUNS) -> list[Verdict]:
    return [verdict for _, verdict in judge(candidates, running, {})]


def test_the_newest_acceptable_one_wins_wherever_it_is() -> None:
    found = judge(
        [
            candidate("1.1.0"),
            candidate("1.10.0", device="/dev/sdb"),
            candidate("3", refusal="[x] no"),
            candidate("1.9.0"),
        ],
        RUNS,
        {},
    )
    best = chosen(found)
    assert best is not None
    assert (best.device, best.version) == ("/dev/sdb", "1.10.0")
    assert [verdict.value for _, verdict in found] == ["outdone", "chosen", "refused", "outdone"]


@pytest.mark.parametrize("version", ["1.0.0", "0.9.9", "1.0.0-rc1", "1.0.0+other"])
def test_what_is_not_newer_than_what_runs_is_not_installed(version: str) -> None:
    assert verdicts(candidate(version)) == [Verdict.PRESENT]


def test_the_bundle_that_runs_is_not_installed_again_whatever_it_calls_itself() -> None:
    assert verdicts(candidate("2.0.0", RUNS.manifest_hash)) == [Verdict.PRESENT]


def test_a_system_without_a_version_takes_any() -> None:
    assert verdicts(candidate("0.1"), running=Running("", "")) == [Verdict.CHOSEN]


@pytest.mark.req("S32")
def test_the_rescue_system_takes_any_acceptable_one_and_of_these_the_newest() -> None:
    rescue = Running("9.0.0", "", rescue=True)
    assert verdicts(candidate("1.0.0"), candidate("1.1.0"), running=rescue) == [Verdict.OUTDONE, Verdict.CHOSEN]


@pytest.mark.parametrize("answer", [Verdict.TRIED, Verdict.DENIED])
def test_when_the_newest_was_begun_or_denied_no_older_one_takes_its_place(answer: Verdict) -> None:
    found = judge([candidate("1.2.0", "ab"), candidate("1.1.0")], RUNS, {"ab": answer})
    assert [verdict for _, verdict in found] == [answer, Verdict.OUTDONE]
    assert chosen(found) is None


def test_two_of_the_same_version_are_one_installation() -> None:
    assert verdicts(candidate("1.1.0"), candidate("1.1.0", device="/dev/sdb")) == [Verdict.CHOSEN, Verdict.OUTDONE]


def test_notes_outlast_the_daemon_until_they_are_forgotten() -> None:
    disk = Disk()
    notes = Notes(disk)  # type: ignore[arg-type]  # the same interface
    notes.add("ab", Verdict.TRIED)
    notes.add("cd", Verdict.DENIED)
    notes.add("ab", Verdict.TRIED)
    again = Notes(disk)  # type: ignore[arg-type]  # as above
    assert again.answered == {"ab": Verdict.TRIED, "cd": Verdict.DENIED}
    again.forget({"ab", "unknown"})
    assert Notes(disk).answered == {"cd": Verdict.DENIED}  # type: ignore[arg-type]  # as above


def test_many_notes_do_not_grow_for_ever_and_the_newest_stay() -> None:
    notes = Notes(Disk())  # type: ignore[arg-type]  # as above
    for number in range(100):
        notes.add(str(number), Verdict.TRIED)
    assert list(notes.answered) == [str(number) for number in range(68, 100)]


def test_what_cannot_be_written_counts_while_the_daemon_lives() -> None:
    disk = Disk()
    notes = Notes(disk)  # type: ignore[arg-type]  # as above
    disk.full = True
    with pytest.raises(EnvironmentFault) as caught:
        notes.add("ab", Verdict.TRIED)
    assert caught.value.code == FULL.code
    assert notes.answered == {"ab": Verdict.TRIED}
    notes.forget({"ab"})
    assert notes.answered == {}


@pytest.mark.parametrize(
    "stored", [{}, {"notes": 7}, {"notes": [["ab"], "cd", ["ef", "chosen"], ["gh", 1], [[], "x", 3]]}]
)
def test_notes_that_make_no_sense_are_none(stored: dict[str, object]) -> None:
    disk = Disk()
    disk.documents["media"] = stored
    assert Notes(disk).answered == {}  # type: ignore[arg-type]  # as above
