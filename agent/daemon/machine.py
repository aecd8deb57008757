"""The life of an update, as a table.

Everything that decides which state follows which stands here. One state is one idempotent activity: after a crash the
activity of the recorded state is simply run again. What the activities do is not known here.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an update stands; the names are shown on D-Bus and written to the record."""

    IDLE = "idle"  # nothing to do but to ask the server now and then
    OFFERED = "offered"  # there is something: find out what exactly
    HELD = "held"  # nothing may be fetched yet, not even to look at it; or not the whole, which a look would need
    INSPECTING = "inspecting"  # is it genuine, meant for us, new enough, and will it fit?
    WAITING = "waiting"  # until a maintenance window, somebody's consent, or the surroundings allow it
    FETCHING = "fetching"  # a download-only action: every byte is fetched and verified, nothing is written
    STAGING = "staging"  # verified blocks into the inactive slot, read back afterwards
    STAGED = "staged"  # the last moment at which a cancellation is accepted
    ACTIVATING = "activating"  # the one write that switches
    REBOOTING = "rebooting"  # waiting for the reset
    TRIAL = "trial"  # running the new system: is it healthy?
    CONFIRMING = "confirming"  # yes: mark it good, raise the floor
    REVERTING = "reverting"  # no: make the old slot the choice again, and go there
    REPORTING = "reporting"  # tell the server how it ended


class Event(StrEnum):
    """What an activity, or a look at the booted slot, says."""

    OFFERED = "offered"
    HELD = "held"
    DONE = "done"
    PRESENT = "present"  # what was inspected runs already, confirmed and healthy
    FETCH = "fetch"  # and nothing more
    FAILED = "failed"
    CANCELLED = "cancelled"
    BOOTED_TARGET = "booted-target"
    BOOTED_FALLBACK = "booted-fallback"


S, E = State, Event

# Before ACTIVATING a failure leaves no trace but a half-written inactive slot; from ACTIVATING on, it must be undone.
_UNTIL_ACTIVATION = {E.FAILED: S.REPORTING, E.CANCELLED: S.REPORTING}
_UNDO = {E.FAILED: S.REVERTING, E.BOOTED_FALLBACK: S.REVERTING}

TRANSITIONS: dict[State, dict[Event, State]] = {
    S.IDLE:       {E.OFFERED: S.OFFERED},
    S.OFFERED:    {E.DONE: S.INSPECTING, E.HELD: S.HELD, **_UNTIL_ACTIVATION},
    S.HELD:       {E.DONE: S.INSPECTING, **_UNTIL_ACTIVATION},
    S.INSPECTING: {E.DONE: S.WAITING, E.HELD: S.HELD, E.PRESENT: S.REPORTING, **_UNTIL_ACTIVATION},
    S.WAITING:    {E.DONE: S.STAGING, E.FETCH: S.FETCHING, **_UNTIL_ACTIVATION},
    S.FETCHING:   {E.DONE: S.REPORTING, E.HELD: S.WAITING, **_UNTIL_ACTIVATION},
    S.STAGING:    {E.DONE: S.STAGED, E.HELD: S.WAITING, **_UNTIL_ACTIVATION},
    S.STAGED:     {E.DONE: S.ACTIVATING, **_UNTIL_ACTIVATION},
    S.ACTIVATING: {E.DONE: S.REBOOTING, E.BOOTED_TARGET: S.TRIAL, **_UNDO},
    S.REBOOTING:  {E.BOOTED_TARGET: S.TRIAL, **_UNDO},
    S.TRIAL:      {E.DONE: S.CONFIRMING, **_UNDO},
    S.CONFIRMING: {E.DONE: S.REPORTING, **_UNDO},
    S.REVERTING:  {E.DONE: S.REPORTING},
    S.REPORTING:  {E.DONE: S.IDLE, E.BOOTED_FALLBACK: S.REVERTING},
}  # fmt: skip

# States whose activity may be started only so often for one update, over crashes and reboots too. A trial is limited by
# its deadline and the bootloader's counter; REVERTING and REPORTING are never given up: a device must come back, and the
# server must hear of it.
LIMITED = frozenset({S.OFFERED, S.INSPECTING, S.FETCHING, S.STAGING, S.STAGED, S.ACTIVATING, S.REBOOTING, S.CONFIRMING})

CANCELLABLE = frozenset(state for state, events in TRANSITIONS.items() if E.CANCELLED in events)


class IllegalTransition(RuntimeError):
    """An activity reported an event that its state does not know."""


def advance(state: State, event: Event) -> State:
    """Returns the state that follows.

    Raises:
        IllegalTransition: the table has no such entry; nothing has changed.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"{state.value} does not know the event {event.value}") from None
