"""One idempotent activity for each state; which follows which stands in ``agent.daemon.machine`` alone."""

from __future__ import annotations

from agent.daemon.activities.idle import Idle
from agent.daemon.activities.settle import Settle
from agent.daemon.context import Context
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.daemon.runner import Activity, Step


def activities(context: Context) -> dict[State, Activity]:
    """Binds every activity to its collaborators.

    A device that has nothing to do carries only what it needs for that. All the rest is imported at once when an update
    begins or is resumed, so that nothing can be missing in the middle of it.
    """
    settle = Settle(context)
    begun: dict[State, Activity] = {}

    def of(state: State) -> Activity:
        def run(record: Record) -> Step:
            if not begun:
                from agent.daemon.activities.life import life

                begun.update(life(context, settle))
            return begun[state](record)

        return run

    return {State.IDLE: Idle(context, settle), **{state: of(state) for state in State if state is not State.IDLE}}
