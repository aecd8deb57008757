"""One run after the other: what the command does without a virtual machine."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from torture.__main__ import Run
from torture.results import Course, Cut, Cuts, save_cuts
from torture.synthetic import Recorded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results with a recording of one board."""
    recorded = Recorded(tmp_path / "recording")
    recorded.update()
    (tmp_path / "results/recordings").mkdir(parents=True)
    recorded.done().rename(tmp_path / "results/recordings/uboot-fat")
    return tmp_path / "results"


def run(folder: Path, states: int = 100, **options: object) -> Run:
    return Run(folder, ["uboot-fat"], seed=4, minutes=5, states=states, **options)


def report(folder: Path) -> dict[str, object]:
    return json.loads((folder / "report.json").read_text())


def test_a_second_run_adds_to_the_states_of_the_first(folder, capsys):
    for expected in (100, 200):
        again = run(folder)
        again.recordings()
        again.replays()
        assert again.report() == 0
        assert report(folder)["states"] == expected
    assert "uboot-fat: 200 states, 0 violations" in capsys.readouterr().out
    assert "200" in (folder / "report.html").read_text()


def test_cuts_of_earlier_runs_are_in_the_report_and_a_broken_promise_is_counted(folder):
    cuts = tuple(Cut(number, 1.0, "staging", "RUNNING", "alike") for number in (1, 2))
    runs = [
        Course(1, 4, 0, 0, cuts, (), (), (), "FINISHED", "B", 9.0),
        Course(2, 4, 1, 1, (), (), (), (), "FINISHED", "A", 9.0, ("the server was lied to",)),
    ]
    save_cuts(Cuts("uboot-fat", runs), folder / "uboot-fat-cuts.json")
    assert run(folder).report() == 1
    counted = report(folder)
    assert (counted["cuts"], counted["rested"], counted["courses"], counted["runs"]) == (2, 1, 1, 2)
    assert counted["boards"][0]["broken"] == [{"run": 2, "seed": 4, "problems": ["the server was lied to"]}]


def test_a_second_command_for_a_board_is_refused_and_removes_nothing_that_the_first_one_needs(folder):
    needed = folder / "work/uboot-fat/device"
    needed.mkdir(parents=True)
    with (folder / "uboot-fat.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="another command works with uboot-fat"):
            run(folder).cuts(1.0)
    assert needed.is_dir()
