"""Results are kept from run to run, and the report says what they say."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from torture.replay import Findings, Place, Replay, Violation, explore
from torture.report import Replayed, page, summary
from torture.results import Cut, Cycle, Kills, load_findings, load_kills, save_findings, save_kills
from torture.synthetic import Recorded

GOOD = Cycle(
    1, 7, (Cut(3.5, "uniform", "staging", "RUNNING"),), ((9.0, "B"),), ((20.0, "FINISHED"),), "FINISHED", "B", 25.0
)
BAD = Cycle(
    2, 7, (Cut(2.0, "script", "bootloader", "RUNNING", ("slot B would be booted, but is half-written",)),), (), (),
    "ERROR", "A", 30.0, ("the server <knows> too much",),
)  # fmt: skip
KILLS = Kills("uboot-fat", [(0.0, "staging"), (12.0, "trial")], 20.0, [GOOD, BAD])


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


def test_cycles_are_the_same_after_they_were_kept(tmp_path):
    save_kills(KILLS, tmp_path / "kills.json")
    assert load_kills(tmp_path / "kills.json", "uboot-fat") == KILLS
    assert load_kills(tmp_path / "nothing.json", "other") == Kills("other")


def test_the_page_is_well_formed_and_needs_nothing_else(replayed):
    values = summary([replayed], [KILLS], 7)
    found = Page(page([replayed], [KILLS], values))
    assert found.open == ["html", "body"][: len(found.open)] and not found.links
    assert found.seen["svg"] == 2 + len(KILLS.cycles)
    assert found.seen["circle"] == len(KILLS.cuts)


def test_what_is_broken_is_on_the_page_and_what_it_says_is_only_text(replayed):
    text = page([replayed], [KILLS], summary([replayed], [KILLS], 7))
    assert "slot B would be booted, but is half-written" in text
    assert "the server &lt;knows&gt; too much" in text and "<knows>" not in text
    assert re.search(r"cycle 2, seed 7: ", text)


def test_the_summary_counts_states_cuts_and_what_is_broken(replayed):
    values = json.loads(json.dumps(summary([replayed], [KILLS], 7)))
    assert (values["states"], values["cuts"], values["cycles"], values["broken"]) == (120, 2, 2, 1)
    assert values["violations"] == len(replayed.found.violations) > 0
    assert values["boards"][0]["outcomes"] == {"FINISHED": 1, "ERROR": 1}
    assert (values["booted"], values["booted_broken"]) == (1, 0)


def test_a_violation_names_its_place_in_the_summary(replayed):
    replayed.found.violations.append(Violation("a problem", Place(1, 2, 3, "torn"), 0.0, "there"))
    (recording,) = summary([replayed], [], 7)["recordings"]
    assert recording["violations"][-1] == {
        "problem": "a problem", "place": "pass 1, moment 2, draw 3 (torn)", "situation": "there",
    }  # fmt: skip
