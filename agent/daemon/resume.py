"""What the slot that is running says about the recorded state: pure, the first thing asked after every start."""

from __future__ import annotations

from collections.abc import Sequence

from agent.daemon.knowledge import Ending
from agent.daemon.machine import Event, State
from agent.daemon.record import Record


def event_after_start(record: Record, *, boot_id: str, booted: str, trial: str) -> Event | None:
    """Decides whether the past boot answered the recorded state.

    Args:
        record: as last saved.
        boot_id: of this boot; differs from the record's when there was a reset since the state was entered.
        booted: boot name of the running slot.
        trial: our marker in the boot environment, empty when there is none.

    Returns:
        The event to apply first, or None to run the activity of the recorded state again.
    """
    if record.state is State.REPORTING and record.outcome == "success" and booted != record.target:
        return Event.BOOTED_FALLBACK  # it was confirmed, but it is gone before anybody was told: that is no success
    if record.state not in (State.ACTIVATING, State.REBOOTING, State.TRIAL, State.CONFIRMING):
        return None
    if booted == record.target:
        return Event.BOOTED_TARGET if record.state in (State.ACTIVATING, State.REBOOTING) else None
    if record.boot_id == boot_id:
        return None  # the reset has not happened yet
    if record.state is State.ACTIVATING and trial != record.trial_marker():
        return None  # the power was cut before the one write took place: do it now
    return Event.BOOTED_FALLBACK


def lost_success(ending: Ending, *, booted: str, others: Sequence[str], manifest_hash: str) -> Record | None:
    """What is to be done about a success that the server has not heard of yet, when another slot runs by now.

    Args:
        ending: of the last update, whose success still waits to be told.
        booted: boot name of the running slot.
        others: the boot names of the other slots.
        manifest_hash: of what the slot of the update holds.

    Returns:
        The update as one that fell back, or None while its slot runs.
    """
    if ending.outcome != "success" or ending.target not in others:
        return None
    return Record(
        state=State.REVERTING,
        origin="server",
        action_id=ending.action_id,
        version=ending.version,
        manifest_hash=manifest_hash,
        target=ending.target,
        fallback=booted,
    )
