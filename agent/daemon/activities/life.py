"""The activities of an update, from the offer to the report; which follows which stands in ``agent.daemon.machine`` alone."""

from __future__ import annotations

from collections.abc import Callable

from agent.daemon.activities.fetch import fetching
from agent.daemon.activities.offer import offered
from agent.daemon.activities.permit import held, waiting
from agent.daemon.activities.report import reporting
from agent.daemon.activities.settle import Settle
from agent.daemon.activities.stage import inspecting, staged, staging
from agent.daemon.activities.switch import activating, confirming, rebooting, reverting, trial
from agent.daemon.audited import recorded_policy
from agent.daemon.context import Context
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.daemon.runner import Activity, Step


def life(context: Context, settle: Settle) -> dict[State, Activity]:
    """Binds every activity but that of IDLE to its collaborators.

    Args:
        context: the collaborators.
        settle: marks this boot good.
    """

    def settled(activity: Callable[[Context, Record], Step]) -> Activity:
        def run(record: Record) -> Step:
            settle()
            try:
                return activity(context, record)
            except BaseException:
                context.dismiss()  # it was kept for what does not follow now
                raise

        return run

    def report(record: Record) -> Step:
        if record.attempts > 1:  # the report is not delayed, but what delays it must not use up the slot's attempts
            settle()
        return reporting(context, record)

    def inspect(here: Context, record: Record) -> Step:
        with recorded_policy(here.audit, record):
            return inspecting(here, record, healthy=settle.healthy)

    return {
        State.OFFERED: settled(offered),
        State.HELD: settled(held),
        State.INSPECTING: settled(inspect),
        State.WAITING: settled(waiting),
        State.FETCHING: settled(fetching),
        State.STAGING: settled(staging),
        State.STAGED: settled(staged),
        State.ACTIVATING: lambda record: activating(context, record),
        State.REBOOTING: lambda record: rebooting(context, record),
        State.TRIAL: lambda record: trial(context, record),
        State.CONFIRMING: lambda record: confirming(context, record),
        State.REVERTING: lambda record: reverting(context, record),
        State.REPORTING: report,
    }
