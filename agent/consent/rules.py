"""What holds an update back on the device: one table. Pure.

| | consumer | managed | industrial |
|---|---|---|---|
| opt-out, consent | always counts | not for a forced assignment | consent is always needed |
| postponement, windows, metered | until the deadline | not for a forced assignment | always |
| busy file, inhibitors | until the deadline | always | always |
| power | always | always | always |

Consent for one update outweighs the opt-out. "Now" is consent that also passes windows, postponement and the metered link; not
what protects people and devices at this moment: the busy file, inhibitors, power.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from agent.config import PolicySettings
from agent.consent import policy as rule
from agent.consent.facts import Facts


class Hold(StrEnum):
    """What must change before the work may go on."""

    NOTHING = ""
    CONSENT = "consent"  # somebody on the device must approve
    OPT_OUT = "opt-out"  # somebody on the device does not want updates to be installed by themselves
    WINDOW = "window"  # a maintenance window, the server's or the device's, must open
    SERVER = "server"  # the server allows nothing at all, which hawkBit never says for long
    POSTPONED = "postponed"
    METERED = "metered"
    POWER = "power"
    BUSY = "busy"
    INHIBITOR = "inhibitor"


class Stride(StrEnum):
    """What is about to happen, the mildest first."""

    DOWNLOAD = "download"  # all of the bundle; no slot is written
    INSTALL = "install"  # which downloads too, and writes the inactive slot
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Case:
    """One update at one moment.

    Attributes:
        policy: in force.
        facts: signed.
        forced: the server wants it independently of anybody on the device.
        consent: ``given``, ``now`` or empty.
        overdue: its deadline is over.
        postponed: somebody has postponed it, and that is not over.
        window: whether a local window is open, or there is none.
        shut: the gates that the surroundings hold shut now: POWER, METERED, BUSY, INHIBITOR.
    """

    policy: PolicySettings
    facts: Facts = field(default_factory=Facts)
    forced: bool = False
    consent: str = ""
    overdue: bool = False
    postponed: bool = False
    window: bool = True
    shut: frozenset[Hold] = frozenset()


def holds(case: Case, stride: Stride) -> tuple[Hold, ...]:
    """Everything that keeps the device from doing this to this update now; nothing when it may go on."""
    return tuple(_holds(case, stride))


def _holds(case: Case, stride: Stride) -> Iterator[Hold]:
    profile, downloads = case.policy.profile, stride is Stride.DOWNLOAD
    ruled = profile == "managed" and case.forced
    hurried = profile == "consumer" and case.overdue
    if not case.consent and not ruled:
        yield from _wish(case, stride)
    if not (ruled or hurried or case.consent == "now"):
        if case.postponed:
            yield Hold.POSTPONED
        if not case.window and not downloads:
            yield Hold.WINDOW
        if Hold.METERED in case.shut and stride is not Stride.RESTART:
            yield Hold.METERED
    if Hold.BUSY in case.shut and not hurried and not downloads:
        yield Hold.BUSY
    if Hold.INHIBITOR in case.shut and not hurried and stride is Stride.RESTART:
        yield Hold.INHIBITOR
    if Hold.POWER in case.shut and not downloads:
        yield Hold.POWER


def _wish(case: Case, stride: Stride) -> Iterator[Hold]:
    """What the people want, of which none has agreed to this update yet."""
    if rule.opted_out(case.policy, case.facts):
        yield Hold.CONSENT if case.facts.functional else Hold.OPT_OUT
        return
    asks = rule.approval(case.policy)
    if asks == "ask-download" or (asks == "ask-install" and stride is not Stride.DOWNLOAD):
        yield Hold.CONSENT
