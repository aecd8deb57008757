"""How an operator assigns distribution sets: the body of an assignment, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence

from agent.demo import server_actions as actions
from agent.demo.server_mgmt_values import Call, Fields, flag, text, whole
from agent.demo.server_values import Action, DistributionSet, Refused, Terms, now_ms
from agent.demo.server_windows import Schedule, parse_schedule


def assign_one(call: Call, controller_id: str, ds: DistributionSet, entry: Fields) -> Action | None:
    """Assigns a set as an entry of the body says; None when that changes nothing."""
    if call.request.query.get("offline") == "true":
        return actions.report_installed(call.state, controller_id, ds, call.user)
    return actions.assign(call.state, controller_id, ds, terms_of(entry), user=call.user)


def terms_of(entry: Fields) -> Terms:
    """How it is assigned."""
    return Terms(
        text(entry, "type", "forced"),
        whole(entry, "forcetime", 0),
        _schedule(entry.get("maintenanceWindow")),
        flag(entry, "confirmationRequired"),
    )


def _schedule(window: object) -> Schedule | None:
    if window is None:
        return None
    code = "hawkbit.server.error.maintenanceScheduleInvalid"
    if not isinstance(window, dict):
        raise Refused(400, "the maintenance window is no object", code)
    schedule, duration, zone = (str(window.get(key) or "") for key in ("schedule", "duration", "timezone"))
    if not (schedule or duration or zone):
        return None
    if not (schedule and duration and zone):
        raise Refused(400, "all of schedule, duration and timezone are needed", code)
    try:
        return parse_schedule(schedule, duration, zone, now_ms())
    except ValueError as error:
        raise Refused(400, str(error), code) from error


def shown_result(results: Sequence[tuple[str, Action | None]]) -> Fields:
    """What the operator is told: which actions were made, and how many targets had the set already."""
    made = [{"id": int(action.id), "controllerId": target} for target, action in results if action is not None]
    already = len(results) - len(made)
    return {"assigned": len(made), "alreadyAssigned": already, "total": len(results), "assignedActions": made}
