"""Each reason is told apart from the others, and contradicting traces have one answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.codes import CODES
from agent.health.cause.bootstatus import CARDRESET, FANFAULT, FLAGS, OVERHEAT, POWEROVER, POWERUNDER
from agent.health.cause.notes import AGENT, STOPPED, BootNote
from agent.health.cause.why import MAX_DETAILS, ROWS, Evidence, judged, why
from agent.health.result import Verdict, red

RAN = (BootNote("boot-1", 42.0, failed=("server: no answer",)),)
PANIC = "Kernel panic - not syncing: Fatal exception"


def evidence(**changes: Any) -> Evidence:
    return replace(Evidence(target="B", running="A", boots=RAN), **changes)


def left(how: str, text: str = "") -> tuple[BootNote, ...]:
    return (BootNote("boot-1", 42.0, how, text),)


@pytest.mark.req("S07")
@pytest.mark.parametrize(
    ("found", "code"),
    [
        (evidence(), "boot.power-cut"),
        (evidence(flags=POWERUNDER), "boot.power-cut"),
        (evidence(flags=CARDRESET), "boot.watchdog"),
        (evidence(boots=(), flags=CARDRESET), "boot.watchdog"),
        (evidence(panic=PANIC), "boot.panic"),
        (evidence(boots=(), panic=PANIC), "boot.panic"),
        (evidence(flags=OVERHEAT), "boot.hardware"),
        (evidence(flags=FANFAULT), "boot.hardware"),
        (evidence(flags=POWEROVER), "boot.hardware"),
        (evidence(boots=left(AGENT, "no configuration")), "boot.agent"),
        (evidence(boots=left(STOPPED)), "boot.restarted"),
        (evidence(unjudged=True), "boot.unjudged"),
        (evidence(boots=(), unjudged=True), "boot.unjudged"),
        (evidence(reverted=True), "health.failed"),
        (evidence(boots=()), "boot.fallback"),
        (evidence(boots=(), noted=False), "boot.fallback"),
        (evidence(boots=(), confirmed=True), "boot.fallback"),
    ],
)
def test_each_trace_has_its_reason(found: Evidence, code: str) -> None:
    assert why(found).code == code


@pytest.mark.req("S07")
@pytest.mark.parametrize(
    ("found", "code"),
    [
        # a panic with the watchdog armed leaves both; the watchdog only ended what the panic had begun
        (evidence(panic=PANIC, flags=CARDRESET), "boot.panic"),
        # the shutdown that the agent asked for hung, and the watchdog ended it
        (evidence(boots=left(AGENT, "x"), flags=CARDRESET), "boot.agent"),
        # an orderly restart that hung: who began it is not known, that it hung is
        (evidence(boots=left(STOPPED), flags=CARDRESET), "boot.watchdog"),
        # the guard restarts in an orderly way, so that the agent is stopped
        (evidence(boots=left(STOPPED), unjudged=True), "boot.unjudged"),
        # the system gave up by itself and panicked on the way down
        (evidence(reverted=True, panic=PANIC), "health.failed"),
        # nobody ran who could have given up
        (evidence(boots=(), reverted=True, panic=PANIC), "boot.panic"),
        # one boot of the new system was stopped, a later one lost its power: what is known counts
        (evidence(boots=(*left(STOPPED), BootNote("boot-2", 3.0))), "boot.restarted"),
        # a hot device whose supply breaks down
        (evidence(flags=OVERHEAT | POWERUNDER), "boot.hardware"),
    ],
)
def test_contradicting_traces_have_one_reason(found: Evidence, code: str) -> None:
    assert why(found).code == code


def test_the_details_tell_what_was_seen() -> None:
    found = why(evidence(panic=PANIC, boots=(BootNote("boot-0", 7.0), *RAN))).details.splitlines()
    assert found[0] == PANIC
    assert "slot B used up its boot attempts, slot A runs" in found
    assert "its update agent started 2 times, and was last seen 42 s after the boot" in found
    assert "last seen red: server: no answer" in found


def test_how_sure_a_power_cut_is_depends_on_the_watchdog() -> None:
    texts = {why(each).details for each in (evidence(), evidence(reports=True), evidence(flags=POWERUNDER))}
    assert len(texts) == 3


def test_an_agent_that_could_not_work_says_why() -> None:
    assert "no configuration" in why(evidence(boots=left(AGENT, "no configuration"))).details


NOTES = st.builds(
    BootNote,
    st.text(max_size=8),
    st.floats(0, 1e9),
    st.sampled_from(["", STOPPED, AGENT, "later"]),
    st.text(max_size=300),
    st.tuples() | st.tuples(st.text(max_size=300)),
)
EVIDENCE = st.builds(
    Evidence,
    target=st.sampled_from(["A", "B"]),
    running=st.sampled_from(["A", "B", "R"]),
    boots=st.lists(NOTES, max_size=8).map(tuple),
    noted=st.booleans(),
    reverted=st.booleans(),
    confirmed=st.booleans(),
    unjudged=st.booleans(),
    panic=st.sampled_from(["", PANIC]),
    flags=st.sets(st.sampled_from([*FLAGS])).map(sum),
    reports=st.booleans(),
)


@pytest.mark.req("S07")
@given(EVIDENCE)
def test_whatever_is_found_there_is_one_explained_reason(found: Evidence) -> None:
    cause = why(found)
    assert cause.code in CODES
    assert cause.brief
    assert cause.resolution
    assert 0 < len(cause.details) <= MAX_DETAILS
    if found.panic and not (found.reverted and found.started):
        assert cause.code == "boot.panic"
    if cause.code in ("boot.power-cut", "boot.restarted", "boot.agent", "health.failed"):
        assert found.started, "nothing is said about what a system did that was never seen"
    if cause.code == "boot.power-cut":
        assert not found.flags & CARDRESET
    if cause.code == "boot.fallback":
        assert not (found.started or found.panic or found.flags & CARDRESET)


@given(EVIDENCE)
def test_more_traces_never_lead_to_a_lesser_row(found: Evidence) -> None:
    """A panic found in addition moves the reason up in the table, or leaves it where it is."""

    def row(each: Evidence) -> int:
        return next(number for number, row in enumerate(ROWS) if row.fits(each))

    assert row(replace(found, panic=PANIC)) <= row(found)
    assert row(replace(found, flags=found.flags | CARDRESET)) <= row(found)


@pytest.mark.req("S07")
@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict(ok=False, failed=(red("command x", "no modem"),)), "health.failed"),
        (
            Verdict(ok=False, failed=(red("units", "a.service is failed"), red("server", "silent"))),
            "health.unit-failed",
        ),
        (Verdict(ok=False, failed=(red("boot-complete", "not reached"),)), "health.unit-failed"),
        (Verdict(ok=False, failed=(red("deadline", "not green"),), late=True), "health.deadline"),
        (Verdict(ok=False, failed=(red("units", "was failed"),), late=True), "health.deadline"),
    ],
)
def test_what_the_checks_decide_is_told_apart(verdict: Verdict, code: str) -> None:
    cause = judged(verdict, ["b.service"])
    assert cause.code == code
    assert cause.details.splitlines()[0] == f"{verdict.failed[0].name}: {verdict.failed[0].text}"
    assert "failed unit: b.service" in cause.details


def test_the_manual_has_each_reason_with_its_number() -> None:
    manual = (Path(__file__).parents[5] / "docs" / "health.md").read_text()
    rows = {tuple(line.split(" | ")[:2]) for line in manual.splitlines() if line.startswith("| `")}
    told = {(code.strip("| `"), number) for code, number in rows if number.isdigit()}
    ours = {row.code for row in ROWS} | {"health.unit-failed", "health.deadline"}
    assert told == {(code, str(CODES[code][0])) for code in ours}
