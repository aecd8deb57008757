"""One idempotent activity for each state; which follows which stands in ``agent.daemon.machine`` alone."""

from __future__ import annotations

from agent.daemon.activities.idle import Idle
from agent.daemon.activities.offer import offered, waiting
from agent.daemon.activities.report import reporting
from agent.daemon.activities.stage import inspecting, staged, staging
from agent.daemon.activities.switch import activating, confirming, rebooting, reverting, trial
from agent.daemon.context import Context
from agent.daemon.machine import State
from agent.daemon.runner import Activity


def activities(context: Context) -> dict[State, Activity]:
    """Binds every activity to its collaborators."""
    return {
        State.IDLE: Idle(context),
        State.OFFERED: lambda record: offered(context, record),
        State.INSPECTING: lambda record: inspecting(context, record),
        State.WAITING: lambda record: waiting(context, record),
        State.STAGING: lambda record: staging(context, record),
        State.STAGED: lambda record: staged(context, record),
        State.ACTIVATING: lambda record: activating(context, record),
        State.REBOOTING: lambda record: rebooting(context, record),
        State.TRIAL: lambda record: trial(context, record),
        State.CONFIRMING: lambda record: confirming(context, record),
        State.REVERTING: lambda record: reverting(context, record),
        State.REPORTING: lambda record: reporting(context, record),
    }
