"""The report of all runs so far: ``report.json``, and ``report.html``, one page that needs nothing else. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from boot.lab.svg import STYLE, Drawing, key

from torture.replay import Findings
from torture.results import Course, Cut, Cuts
from torture.story import Story

_SHOWN = 120  # runs with a timeline of their own
_KEY = {
    "judged": "judged on the medium", "good": "and booted until the device rested, in the new system",
    "failed": "or in the old one", "broken": "a promise was broken",
}  # fmt: skip

_LIVES = {
    "judged": "a cut, judged on the medium",
    "failed": "QEMU is killed",
    "broken": "a promise was broken",
    "good": "the server",
}


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recording and what its replay has found; ``booted``: what each situation did that was booted for real."""

    story: Story
    found: Findings
    began: float
    end: float
    booted: Mapping[str, str] = field(default_factory=dict)


def summary(replays: Sequence[Replayed], cuts: Sequence[Cuts], seed: int) -> dict[str, object]:
    """What the report says, as plain values."""
    return {
        "seed": seed,
        "states": sum(len(each.found.keys) for each in replays),
        "violations": sum(len(each.found.violations) for each in replays),
        "situations": sum(len(each.found.situations) for each in replays),
        "booted": sum(len(each.booted) for each in replays),
        "booted_broken": sum(bool(result) for each in replays for result in each.booted.values()),
        "cuts": sum(len(each.all) for each in cuts),
        "killed": sum(cut.killed for each in cuts for cut in each.all),
        "rested": sum(len(each.booted) for each in cuts),
        "courses": sum(len(_courses(each.all)) for each in cuts),
        "courses_rested": sum(len(_courses(each.booted)) for each in cuts),
        "runs": sum(len(each.runs) for each in cuts),
        "broken": sum(len(each.broken) for each in cuts),
        "recordings": [_replay_values(each) for each in replays],
        "boards": [_cut_values(each) for each in cuts],
    }


def _courses(cuts: Sequence[Cut]) -> set[str]:
    return {cut.course for cut in cuts}


def _replay_values(each: Replayed) -> dict[str, object]:
    return {
        "board": each.story.board,
        "scenario": each.story.scenario,
        "outcome": each.story.outcome,
        "agent": each.story.agent,
        "states": len(each.found.keys),
        "kinds": dict(each.found.kinds),
        "phases": dict(each.found.phases),
        "situations": len(each.found.situations),
        "booted": dict(each.booted),
        "violations": [
            {"problem": violation.problem, "place": str(violation.place), "situation": violation.situation}
            for violation in each.found.violations
        ],
    }


def _cut_values(each: Cuts) -> dict[str, object]:
    return {
        "board": each.board,
        "cuts": len(each.all),
        "killed": sum(cut.killed for cut in each.all),
        "rested": len(each.booted),
        "courses": len(_courses(each.all)),
        "courses_rested": len(_courses(each.booted)),
        "runs": len(each.runs),
        "phases": dict(Counter(cut.phase for cut in each.all)),
        "phases_rested": dict(Counter(cut.phase for cut in each.booted)),
        "outcomes": dict(Counter(run.status for run in each.runs)),
        "depths": dict(Counter(run.depth for run in each.runs)),
        "seeds": sorted({run.seed for run in each.runs}),
        "agents": sorted({run.agent for run in each.runs}),
        "broken": [{"run": run.number, "seed": run.seed, "problems": run.broken} for run in each.broken],
    }


def page(replays: Sequence[Replayed], cuts: Sequence[Cuts], values: Mapping[str, object]) -> str:
    """The page; ``values`` are those of ``summary``."""
    parts = [_head(values), *map(_cuts, cuts), *map(_replay, replays)]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Power cuts of a whole device</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _head(values: Mapping[str, object]) -> str:
    rows = (
        ("power cuts at random moments, each judged on the medium", "cuts"),
        ("of them booted, until the device rested", "rested"), ("of these by killing QEMU", "killed"),
        ("distinct courses among the cuts: environment, slots, what agent and server know", "courses"),
        ("of them booted, until the device rested", "courses_rested"),
        ("runs of a device, from the factory or from a cut", "runs"), ("of them with a broken promise", "broken"),
        ("states of the drives that were replayed, distinct", "states"), ("of them with a broken promise", "violations"),
        ("situations of the bootloader among them", "situations"), ("of them booted in the machine", "booted"),
        ("of these with a broken promise", "booted_broken"), ("seed of the last run", "seed"),
    )  # fmt: skip
    cells = "".join(f'<tr><td>{text}</td><td class="n">{_number(name, values[name])}</td></tr>' for text, name in rows)
    return f"<h1>Power cuts of a whole device</h1><table>{cells}</table>"


def _number(name: str, value: object) -> str:
    shown = f"{value:,}" if isinstance(value, int) and name != "seed" else escape(str(value))
    if name not in ("violations", "booted_broken", "broken"):
        return shown
    return f'<span class="{"bad" if value else "ok"}">{shown}</span>'


def _replay(each: Replayed) -> str:
    story, found, length = each.story, each.found, each.end - each.began
    drawing = Drawing(length)
    drawing.band("running slot", [(boot.time - each.began, boot.bootname) for boot in story.boots], length)
    drawing.band("on the medium", [(time - each.began, state) for time, state in found.track], length)
    told = [(one.time - each.began, "good", f"{one.status}, {one.messages} messages") for one in story.told if one.time]
    drawing.marks("server is told", told)
    drawing.bars("states a second", [(second, count) for second, count in sorted(found.seconds.items())], 1.0)
    broken = [(one.time - each.began, "broken", one.problem) for one in found.violations]
    if broken:
        drawing.marks("broken promises", broken)
    drawing.axis()
    kinds = _table(("what survived", "states"), sorted(found.kinds.items()))
    phases = _table(("state of the daemon", "states"), sorted(found.phases.items()))
    problems = "".join(
        f'<li class="bad">{escape(one.problem)} <code>{escape(str(one.place))}</code>'
        f'<br><span class="situation">{escape(one.situation)}</span></li>'
        for one in found.violations[:50]
    )
    situations = "".join(
        f'<tr><td class="situation">{escape(text)}</td><td>{_booted(each.booted.get(text))}</td></tr>'
        for text in sorted(found.situations)
    )
    return (
        f"<h2>{escape(story.board)}, {escape(story.scenario)}: {len(found.keys):,} states, the update ended as "
        f"{escape(story.outcome)}</h2>{drawing.render()}<table><tr><td>{kinds}</td><td>{phases}</td></tr></table>"
        f"<ul>{problems}</ul><details><summary>{len(found.situations)} situations of the bootloader: environment, which copies "
        f"are valid, what the slots hold</summary><table>{situations}</table></details>"
    )


def _booted(result: str | None) -> str:
    if result is None:
        return ""
    return f'<span class="bad">{escape(result)}</span>' if result else '<span class="ok">booted as predicted</span>'


def _cuts(each: Cuts) -> str:
    drawing = Drawing(max([run.end for run in each.runs if not run.since], default=1.0))
    whole = [run for run in each.runs if not run.since]
    first = min(whole, key=lambda run: sum(cut.killed for cut in run.cuts), default=None)
    if first is not None:
        drawing.band("from the factory", first.track, first.end)
    became = _became(each)
    for label, runs, killed in (
        ("stood still", whole, False),
        ("after a cut", [run for run in each.runs if run.since], False),
        ("killed", each.runs, True),
    ):
        cuts = [cut for run in runs for cut in run.cuts if cut.killed == killed]
        drawing.dots(label, [(cut.at, _colour(cut, became), _title(cut)) for cut in cuts])
    drawing.axis()
    counts = Counter(cut.phase for cut in each.all)
    ended = Counter((cut.phase, became[cut.number] == "FINISHED") for cut in each.booted)
    table = _table(
        ("cut while", "cuts, judged", "booted to rest in the new system", "in the old one"),
        [(phase, count, ended[phase, True], ended[phase, False]) for phase, count in sorted(counts.items())],
    )
    ends = Counter((run.depth, "broken" if run.broken else run.status) for run in each.runs)
    outcomes = _table(
        ("power cuts lived through", "ended as", "runs"),
        [(str(depth), end, n) for (depth, end), n in sorted(ends.items())],
    )
    bad = "".join(
        f'<li class="bad">run {run.number}, seed {run.seed}: {escape("; ".join(run.broken))}</li>'
        for run in each.broken
    )
    lives = "".join(_life(run) for run in each.runs[-_SHOWN:])
    return (
        f"<h2>{escape(each.board)}: {len(each.all):,} power cuts, {len(became):,} of them booted to rest, in "
        f"{len(each.runs):,} runs</h2>{key(_KEY)}{drawing.render()}<table><tr><td>{table}</td><td>{outcomes}</td></tr></table>"
        f"<ul>{bad}</ul><details><summary>Every boot of the last {min(len(each.runs), _SHOWN)} runs</summary>"
        f"{key(_LIVES)}{lives}</details>"
    )


def _life(run: Course) -> str:
    drawing = Drawing(max(run.end, 1.0))
    drawing.band(f"run {run.number}", [(0.0, "power"), *run.boots], run.end)
    drawing.band("console", run.track, run.end)
    cuts = [
        (cut.at, "broken" if cut.problems else "failed" if cut.killed else "judged", str(cut.number))
        for cut in run.cuts
    ]
    drawing.marks("cuts, server", [*cuts, *((at, "good", status) for at, status in run.said)])
    drawing.axis()
    begin = f"cut {run.since}" if run.since else "the factory"
    return (
        f"<div>{drawing.render()}<div>from {begin}: {escape(run.status)}, slot {escape(run.running)} runs</div></div>"
    )


def _became(cuts: Cuts) -> dict[int, str]:
    """The end of the update, by number of the cut, for those that were booted until the device rested."""
    found = {run.since: run.status for run in cuts.runs if run.since}
    return {**found, **{cut.number: run.status for run in cuts.runs for cut in run.cuts if cut.killed}}


def _colour(cut: Cut, became: Mapping[int, str]) -> str:
    if cut.problems:
        return "broken"
    return {"": "judged", "FINISHED": "good"}.get(became.get(cut.number, ""), "failed")


def _title(cut: Cut) -> str:
    how = ", killed" if cut.killed else ""
    return f"cut {cut.number} at {cut.at:.1f} s: {cut.phase}, {cut.status}{how}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def cell(value: object, tag: str) -> str:
        return (
            f'<{tag} class="n">{value:,}</{tag}>' if isinstance(value, int) else f"<{tag}>{escape(str(value))}</{tag}>"
        )

    top = "".join(cell(text, "th") for text in head)
    body = "".join(f"<tr>{''.join(cell(value, 'td') for value in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
