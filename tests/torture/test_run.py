"""One run after the other: what the command does without a virtual machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torture.__main__ import Run
from torture.results import Cut, Cycle, Kills, save_kills
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


def test_cycles_of_earlier_runs_are_in_the_report_and_a_broken_promise_is_counted(folder):
    cut = Cut(1.0, "uniform", "staging", "RUNNING")
    cycles = [
        Cycle(1, 4, (cut, cut), (), (), "FINISHED", "B", 9.0),
        Cycle(2, 4, (cut,), (), (), "FINISHED", "A", 9.0, ("the server was lied to",)),
    ]
    save_kills(Kills("uboot-fat", [(0.0, "idle")], 9.0, cycles), folder / "uboot-fat-kills.json")
    assert run(folder).report() == 1
    assert (report(folder)["cuts"], report(folder)["cycles"]) == (3, 2)
    assert report(folder)["boards"][0]["broken"] == [
        {"cycle": 2, "seed": 4, "problems": ["the server was lied to"]}
    ]  # fmt: skip
