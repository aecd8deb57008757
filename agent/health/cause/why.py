"""From the evidence to the one reason: a table, pure.

The first row that fits counts. What says more goes before what says less: a panic with an armed watchdog leaves both traces,
and the panic is the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.health.cause.bootstatus import CARDRESET, FANFAULT, FLAGS, OVERHEAT, POWEROVER, POWERUNDER
from agent.health.cause.notes import AGENT, STOPPED, BootNote
from agent.health.result import Verdict

MAX_DETAILS = 2000  # characters; a line travels as one message of the server, which ends at 512
_OF_UNITS = ("units", "boot-complete")  # the checks that are red because of a unit
_NEXT = "deploy a new version"


@dataclass(frozen=True, slots=True)
class Cause:
    """The parts of an explained failure, see ``agent.errors``; each line of ``details`` is one message for the server."""

    code: str
    brief: str
    details: str
    resolution: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a trial that ended without a verdict.

    Attributes:
        target: boot name of the slot on trial.
        running: boot name of the system that came up instead.
        boots: what the new system has noted about each boot of its own, the last one at the end.
        noted: there are notes of this trial at all; without them nothing follows from what they do not hold.
        reverted: the marker of the trial was gone before this system touched it.
        confirmed: the trial was over: the new system was confirmed, and then did not boot any more.
        unjudged: the timer that guards a trial has ended it.
        panic: the kernel's words, of a panic since the trial began; empty when there is none.
        flags: of the watchdogs, after the resets since the trial began.
        reports: a watchdog would tell if it had caused the reset.
    """

    target: str
    running: str
    boots: tuple[BootNote, ...] = ()
    noted: bool = True
    reverted: bool = False
    confirmed: bool = False
    unjudged: bool = False
    panic: str = ""
    flags: int = 0
    reports: bool = False

    @property
    def started(self) -> bool:
        """Whether the agent of the new system ran."""
        return bool(self.boots)

    def left(self, how: str) -> BootNote | None:
        """The last boot that its agent left so."""
        return next((boot for boot in reversed(self.boots) if boot.left == how), None)


@dataclass(frozen=True, slots=True)
class _Row:
    fits: Callable[[Evidence], bool]
    code: str
    brief: str
    says: Callable[[Evidence], str]
    resolution: str


def _agent_text(evidence: Evidence) -> str:
    boot = evidence.left(AGENT)
    return boot.text if boot is not None else ""


def _power_text(evidence: Evidence) -> str:
    if evidence.flags & POWERUNDER:
        return "the hardware tells that the voltage was too low"
    if evidence.reports:
        return "no panic was recorded and no watchdog was the cause: the power failed, or somebody pressed reset"
    return "nothing was recorded: the power failed, or a reset that leaves no trace (see docs/health.md)"


def _no_trace_text(evidence: Evidence) -> str:
    if evidence.confirmed:
        return "it was confirmed, but does not boot any more"
    if not evidence.noted:
        return "no notes of its trial are left"
    return "it left no trace: it did not get as far as its update agent"


ROWS: tuple[_Row, ...] = (
    _Row(
        lambda e: e.reverted and e.started, "health.failed", "the new system went back by itself",
        lambda e: "the trial was ended by the new system, which could not store its reason",
        f"fix the cause and {_NEXT}",
    ),
    _Row(
        lambda e: bool(e.panic), "boot.panic", "the kernel of the new system panicked", lambda e: e.panic,
        f"read the whole record in the pstore; then {_NEXT}",
    ),
    _Row(
        lambda e: e.left(AGENT) is not None, "boot.agent", "the update agent of the new system could not work", _agent_text,
        f"correct what it complains about and {_NEXT}",
    ),
    _Row(
        lambda e: bool(e.flags & CARDRESET), "boot.watchdog", "a watchdog reset the new system",
        lambda e: "the system hung, or did not feed its watchdog",
        f"look for what hangs or keeps the processor; then {_NEXT}",
    ),
    _Row(
        lambda e: bool(e.flags & (OVERHEAT | FANFAULT | POWEROVER)), "boot.hardware",
        "the hardware switched the new system off",
        lambda e: ", ".join(text for flag, text in FLAGS.items() if e.flags & flag and flag != CARDRESET),
        "check the cooling and the supply of the device; then assign the update again",
    ),
    _Row(
        lambda e: e.unjudged, "boot.unjudged", "nobody judged the new system in time",
        lambda e: "its update agent hung" if e.started else "its update agent did not start",
        f"find out why the update agent of the new system does not run; then {_NEXT}",
    ),
    _Row(
        lambda e: e.left(STOPPED) is not None, "boot.restarted", "somebody restarted the new system before it was judged",
        lambda e: "the restart was orderly, and not the update agent's",
        "look for what restarts the device; then assign the update again",
    ),
    _Row(
        lambda e: e.started, "boot.power-cut", "the power failed while the new system was on trial", _power_text,
        "check the supply of the device; then assign the update again",
    ),
    _Row(
        lambda e: True, "boot.fallback", "the new system did not come up; the bootloader went back to the version before",
        _no_trace_text,
        f"look at the console of the failed boot; then {_NEXT}",
    ),
)  # fmt: skip


def why(evidence: Evidence) -> Cause:
    """The reason of a fallback that no agent has decided, or whose decision is lost."""
    row = next(row for row in ROWS if row.fits(evidence))
    return Cause(row.code, row.brief, _text([row.says(evidence), *_facts(evidence)]), row.resolution)


def _facts(evidence: Evidence) -> list[str]:
    end = "was on trial" if evidence.reverted else "used up its boot attempts"
    found = [f"slot {evidence.target} {end}, slot {evidence.running} runs"]
    if evidence.boots:
        last = evidence.boots[-1]
        times = f"{len(evidence.boots)} times" if len(evidence.boots) > 1 else "once"
        found.append(f"its update agent started {times}, and was last seen {last.uptime:.0f} s after the boot")
        found += [f"last seen red: {text}" for text in last.failed]
    return found


def judged(verdict: Verdict, units: Sequence[str] = ()) -> Cause:
    """The reason when the checks have decided: a failed unit, another failed check, or green but too late.

    Args:
        verdict: not ok.
        units: the names of the units that have failed, as far as systemd knows.
    """
    again = "the device goes back to the version before; fix the cause and deploy a new version"
    seen = [f"{result.name}: {result.text}" for result in verdict.failed]
    seen += [f"failed unit: {unit}" for unit in units]
    if verdict.late:
        return Cause("health.deadline", "the new system was not healthy soon enough", _text(seen), again)
    if any(result.name in _OF_UNITS for result in verdict.failed):
        return Cause("health.unit-failed", "a unit of the new system is not up", _text(seen), again)
    return Cause("health.failed", "the new system failed its health check", _text(seen), again)


def _text(lines: Sequence[str]) -> str:
    return "\n".join(line for line in lines if line)[:MAX_DETAILS]
