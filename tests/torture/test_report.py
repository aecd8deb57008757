"""Results are kept from run to run, and the report says what they say."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from boot.lab.svg import COLOURS

from torture.replay import Findings, Place, Replay, Violation, explore
from torture.report import Replayed, page, summary
from torture.results import Course, Cut, Cuts, load_cuts, load_findings, save_cuts, save_findings
from torture.synthetic import Recorded

GOOD = Course(
    1, 7, 0, 0, (Cut(1, 3.5, "staging", "RUNNING", "one"), Cut(2, 3.6, "staging", "RUNNING", "one")), ((9.0, "B"),),
    ((20.0, "FINISHED"),), ((0.0, "bootloader"), (2.0, "staging")), "FINISHED", "B", 25.0,
)  # fmt: skip
BAD = Course(
    2, 7, 1, 2,
    (Cut(3, 2.0, "bootloader", "RUNNING", "other", True, ("slot B would be booted, but is half-written",)),),
    (), (), (), "ERROR", "A", 30.0, ("the server <knows> too much",),
)  # fmt: skip
CUTS = Cuts("uboot-fat", [GOOD, BAD])


@pytest.fixture
def replayed(tmp_path):
    recorded = Recorded(tmp_path / "recording")
    recorded.write_slot()
    recorded.activate()
    recorded.tell("FINISHED")
    recorded.confirm()
    replay, found = Replay(recorded.done(), seed=7), Findings()
    explore(replay, found, states=120, seconds=60)
    return Replayed(
        replay.story, found, replay.moments[0].time, replay.moments[-1].time, {next(iter(found.situations)): ""}
    )


class Page(HTMLParser):
    """Every element that was opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen[tag] += 1
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_findings_are_the_same_after_they_were_kept(tmp_path, replayed):
    save_findings(replayed.found, tmp_path / "found.json")
    assert load_findings(tmp_path / "found.json") == replayed.found
    assert load_findings(tmp_path / "nothing.json") == Findings()


def test_runs_are_the_same_after_they_were_kept(tmp_path):
    save_cuts(CUTS, tmp_path / "cuts.json")
    assert load_cuts(tmp_path / "cuts.json", "uboot-fat") == CUTS
    assert load_cuts(tmp_path / "nothing.json", "other") == Cuts("other")


def test_the_page_is_well_formed_and_needs_nothing_else(replayed):
    values = summary([replayed], [CUTS], 7)
    found = Page(page([replayed], [CUTS], values))
    assert found.open == ["html", "body"][: len(found.open)] and not found.links
    assert found.seen["svg"] == 2 + len(CUTS.runs)
    assert found.seen["circle"] == len(CUTS.all)


def test_each_cut_has_the_colour_of_what_became_of_it(replayed):
    text = page([replayed], [CUTS], summary([replayed], [CUTS], 7))
    names = {COLOURS[name]: name for name in ("judged", "good", "failed", "broken")}
    shown = [names[colour] for colour in re.findall(r'<circle[^>]* fill="([^"]*)"', text)]
    assert shown == ["failed", "judged", "broken"]


def test_what_is_broken_is_on_the_page_and_what_it_says_is_only_text(replayed):
    text = page([replayed], [CUTS], summary([replayed], [CUTS], 7))
    assert "slot B would be booted, but is half-written" in text
    assert "the server &lt;knows&gt; too much" in text and "<knows>" not in text
    assert re.search(r"run 2, seed 7: ", text)


def test_the_summary_tells_cuts_that_were_judged_from_those_that_were_booted(replayed):
    values = json.loads(json.dumps(summary([replayed], [CUTS], 7)))
    assert (values["cuts"], values["rested"], values["killed"]) == (3, 2, 1)
    assert (values["courses"], values["courses_rested"]) == (2, 2)
    assert (values["runs"], values["broken"]) == (2, 1)


def test_the_summary_counts_states_and_what_is_broken(replayed):
    values = json.loads(json.dumps(summary([replayed], [CUTS], 7)))
    assert values["states"] == 120
    assert values["violations"] == len(replayed.found.violations) > 0
    assert values["boards"][0]["outcomes"] == {"FINISHED": 1, "ERROR": 1}
    assert (values["booted"], values["booted_broken"]) == (1, 0)


def test_a_violation_names_its_place_in_the_summary(replayed):
    replayed.found.violations.append(Violation("a problem", Place(1, 2, 3, "torn"), 0.0, "there"))
    (recording,) = summary([replayed], [], 7)["recordings"]
    assert recording["violations"][-1] == {
        "problem": "a problem", "place": "pass 1, moment 2, draw 3 (torn)", "situation": "there",
    }  # fmt: skip
