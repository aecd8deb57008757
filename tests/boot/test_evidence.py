"""What the scenarios have shown can be read afterwards: every test, every boot, every power cut, every word to the server."""

from __future__ import annotations

import json
import os
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from boot.lab import evidence
from boot.lab.evidence import Life, Verdict

KEPT = Verdict("tests/boot/x.py::test_it_comes_back", "passed", ["S07"], 100.0, 160.0, 1)
BROKEN = Verdict("tests/boot/x.py::test_it_stays", "failed", [], 160.0, 190.0, 1)
ELSEWHERE = Verdict("tests/boot/y.py::test_another", "passed", [], 100.0, 190.0, 2)
LIFE = Life(
    "uboot-fat", 1, 190.0, 61.0, [(101.0, "A"), (150.0, "B")], [(100.5, "on"), (149.0, "cut"), (149.5, "on")],
    [(170.0, "FINISHED", "version <2> runs")],
)  # fmt: skip


class Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_shows_each_test_and_the_timeline_of_each_device() -> None:
    shown = Read(evidence.page([KEPT, BROKEN, ELSEWHERE], [LIFE])).texts
    for text in (
        "passed",
        "failed",
        "S07",
        "uboot-fat: 2 boots, 61 CPU seconds",
        "3 tests: 1 failed, 2 passed. 1 devices, 2 boots.",
    ):
        assert text in shown
    for title in ("A: 0.5 to 49.5 s", "B: 49.5 to 89.5 s", "cut", "FINISHED: version <2> runs"):
        assert title in shown


def test_a_device_is_shown_with_the_tests_of_its_process_alone() -> None:
    shown = Read(evidence.page([KEPT, ELSEWHERE], [LIFE])).texts
    assert "it comes back: 0.0 to 89.5 s" in shown
    assert not [text for text in shown if text.startswith("another: ")]


def test_what_the_processes_of_a_run_leave_becomes_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(evidence.PLACE, "")  # put back afterwards
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "left"))
    (tmp_path / "left").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/report.json").write_text("of the run before")
    evidence.begin(tmp_path / "run")
    evidence.keep(KEPT)
    evidence.keep(LIFE)
    report = evidence.finish(tmp_path / "run")
    values = json.loads(report.with_suffix(".json").read_text())
    assert (values["outcomes"], values["boots"], values["cuts"]) == ({"passed": 1}, 2, 1)
    assert sorted(path.name for path in report.parent.iterdir()) == ["report.html", "report.json"]
    assert not list((tmp_path / "left").iterdir())


def test_two_runs_at_once_take_nothing_from_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(evidence.PLACE, "")  # put back afterwards
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    evidence.begin(tmp_path / "run")
    evidence.keep(KEPT)
    place = os.environ[evidence.PLACE]
    evidence.begin(tmp_path / "run")
    evidence.keep(BROKEN)
    other = evidence.finish(tmp_path / "run").with_suffix(".json").read_text()
    monkeypatch.setenv(evidence.PLACE, place)
    own = evidence.finish(tmp_path / "run").with_suffix(".json").read_text()
    assert [json.loads(text)["outcomes"] for text in (other, own)] == [{"failed": 1}, {"passed": 1}]


def test_without_a_run_that_reports_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(evidence.PLACE, raising=False)
    monkeypatch.chdir(tmp_path)
    evidence.keep(LIFE)
    assert list(tmp_path.iterdir()) == []
