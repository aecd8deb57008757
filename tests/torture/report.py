"""The report of all runs so far: ``report.json``, and ``report.html``, one page that needs nothing else. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from torture.replay import Findings
from torture.results import Cut, Cycle, Kills
from torture.story import Story
from torture.svg import COLOURS, Drawing

_SHOWN = 200  # cycles with a timeline of their own
_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1080px; color: #1d2329; background: #fff; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; border-bottom: 1px solid #d0d7de; }
table { border-collapse: collapse; margin: .8em 0; }
td, th { padding: .2em .9em .2em 0; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg text { font: 10px system-ui, sans-serif; fill: #30363d; } svg .label { font-size: 11px; font-weight: 600; }
svg .axis { stroke: #8b949e; } .bad { color: #c4122f; font-weight: 600; } .ok { color: #2e8b57; font-weight: 600; }
.key span { display: inline-block; margin-right: 1em; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .3em; }
code { font-size: .92em; } details { margin: .6em 0; } .situation { font: 12px ui-monospace, monospace; }
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recording and what its replay has found; ``booted``: what each situation did that was booted for real."""

    story: Story
    found: Findings
    began: float
    end: float
    booted: Mapping[str, str] = field(default_factory=dict)


def summary(replays: Sequence[Replayed], kills: Sequence[Kills], seed: int) -> dict[str, object]:
    """What the report says, as plain values."""
    states = sum(len(each.found.keys) for each in replays)
    cuts = [pair for each in kills for pair in each.cuts]
    return {
        "seed": seed,
        "states": states,
        "violations": sum(len(each.found.violations) for each in replays),
        "situations": sum(len(each.found.situations) for each in replays),
        "booted": sum(len(each.booted) for each in replays),
        "booted_broken": sum(bool(result) for each in replays for result in each.booted.values()),
        "cycles": sum(len(each.cycles) for each in kills),
        "cuts": len(cuts),
        "broken": sum(bool(cycle.broken) for each in kills for cycle in each.cycles),
        "recordings": [_replay_values(each) for each in replays],
        "boards": [_kill_values(each) for each in kills],
    }


def _replay_values(each: Replayed) -> dict[str, object]:
    return {
        "board": each.story.board,
        "scenario": each.story.scenario,
        "outcome": each.story.outcome,
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


def _kill_values(each: Kills) -> dict[str, object]:
    return {
        "board": each.board,
        "cycles": len(each.cycles),
        "cuts": len(each.cuts),
        "phases": dict(Counter(cut.phase for _, cut in each.cuts)),
        "aims": dict(Counter(cut.aim for _, cut in each.cuts)),
        "outcomes": dict(Counter(cycle.status for cycle in each.cycles)),
        "seeds": sorted({cycle.seed for cycle in each.cycles}),
        "broken": [
            {"cycle": cycle.number, "seed": cycle.seed, "problems": cycle.broken}
            for cycle in each.cycles
            if cycle.broken
        ],
    }


def page(replays: Sequence[Replayed], kills: Sequence[Kills], values: Mapping[str, object]) -> str:
    """The page; ``values`` are those of ``summary``."""
    parts = [_head(values), *map(_replay, replays), *map(_kills, kills)]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Power cuts of a whole device</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _head(values: Mapping[str, object]) -> str:
    rows = (
        ("states of the drives that were replayed, distinct", "states"), ("of them with a broken promise", "violations"),
        ("situations of the bootloader among them", "situations"), ("of them booted in the machine", "booted"),
        ("of these with a broken promise", "booted_broken"), ("power cuts of the machine", "cuts"),
        ("updates in which they happened", "cycles"), ("of them with a broken promise", "broken"), ("seed", "seed"),
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


def _kills(each: Kills) -> str:
    drawing = Drawing(max([each.length, *(cut.at for _, cut in each.cuts)], default=1.0))
    drawing.band("without a cut", each.track, each.length)
    cuts = each.cuts
    for number in sorted({_number_of(cycle, cut) for cycle, cut in cuts}):
        points = [
            (cut.at, _colour(cycle), _title(cycle, cut)) for cycle, cut in cuts if _number_of(cycle, cut) == number
        ]
        drawing.dots(f"cut {number + 1}", points)
    drawing.axis()
    outcomes = Counter((cut.phase, "broken" if cycle.broken else cycle.status) for cycle, cut in cuts)
    table = _table(("cut while", "ended as", "cuts"), [(*pair, count) for pair, count in sorted(outcomes.items())])
    rows = "".join(_cycle(cycle) for cycle in each.cycles[-_SHOWN:])
    bad = "".join(
        f'<li class="bad">cycle {cycle.number}, seed {cycle.seed}: {escape("; ".join(cycle.broken))}</li>'
        for cycle in each.cycles
        if cycle.broken
    )
    return (
        f"<h2>{escape(each.board)}: {len(cuts):,} power cuts in {len(each.cycles):,} updates</h2>{_key()}{drawing.render()}"
        f"{table}<ul>{bad}</ul><details><summary>Every boot of the last {min(len(each.cycles), _SHOWN)} updates</summary>{rows}"
        "</details>"
    )


def _number_of(cycle: Cycle, cut: Cut) -> int:
    return cycle.cuts.index(cut)


def _cycle(cycle: Cycle) -> str:
    drawing = Drawing(max(cycle.end, 1.0))
    drawing.band(f"update {cycle.number}", [(0.0, "A"), *cycle.boots], cycle.end)
    marks = [(cut.at, "broken", f"power cut while {cut.phase}, drawn for {cut.aim}") for cut in cycle.cuts]
    drawing.marks("cuts, server", [*marks, *((at, "good", status) for at, status in cycle.said)])
    drawing.axis()
    return f"<div>{drawing.render()}<div>{escape(cycle.status)}, slot {escape(cycle.running)} runs</div></div>"


def _colour(cycle: Cycle) -> str:
    return "broken" if cycle.broken else "good" if cycle.status == "FINISHED" else "failed"


def _title(cycle: Cycle, cut: Cut) -> str:
    return f"update {cycle.number}, cut at {cut.at:.1f} s while {cut.phase} ({cut.aim}): {cycle.status}"


def _key() -> str:
    names = (("good", "the update succeeded"), ("failed", "it failed cleanly"), ("broken", "a promise was broken"))
    parts = (f'<span><i style="background:{COLOURS[name]}"></i>{text}</span>' for name, text in names)
    return f'<div class="key">{"".join(parts)}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def cell(value: object, tag: str) -> str:
        return (
            f'<{tag} class="n">{value:,}</{tag}>' if isinstance(value, int) else f"<{tag}>{escape(str(value))}</{tag}>"
        )

    top = "".join(cell(text, "th") for text in head)
    body = "".join(f"<tr>{''.join(cell(value, 'td') for value in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
