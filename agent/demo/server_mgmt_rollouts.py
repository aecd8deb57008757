"""The Management API's rollouts."""

from __future__ import annotations

from collections.abc import Callable

from agent.demo import server_rollouts as rollouts
from agent.demo.server_config import CONFIRMATION
from agent.demo.server_filter import parse_filter
from agent.demo.server_http import Answer, as_json
from agent.demo.server_mgmt_values import Call, Fields, Route, find_set, flag, show_target, text, whole
from agent.demo.server_rollout_values import Conditions, Group, Rollout, as_float, count_statuses
from agent.demo.server_state import State
from agent.demo.server_values import FORCE_TYPES, Refused, now_ms

_MOST_GROUPS = 500
_ABSENT = ("startAt", "dynamicGroupTemplate")


def _invalid(why: str) -> Refused:
    return Refused(400, why, "hawkbit.server.error.repo.constraintViolation")


def _post(call: Call) -> Answer:
    body = call.body()
    if flag(body, "dynamic") or any(body.get(key) is not None for key in _ABSENT):
        raise Refused(400, "dynamic and scheduled rollouts are not part of this test double")
    query = body.get("targetFilterQuery")
    if not isinstance(query, str) or not query:
        code = "hawkbit.server.error.rest.param.rsqlParamSyntax"
        raise Refused(400, "Cannot create a Rollout with an empty target query filter!", code)
    parse_filter(query)
    force = text(body, "type", "forced")
    if force not in FORCE_TYPES:
        raise Refused(400, "unknown type of assignment")
    ds = find_set(call.state, text(body, "distributionSetId"))
    rollout = Rollout(
        call.state.new_id(), text(body, "name"), ds, query, force, _groups(call, body), now_ms(),
        force_time=whole(body, "forcetime", 0), description=str(body.get("description") or ""),
    )  # fmt: skip
    rollouts.create(call.state, rollout)
    return as_json(_show(rollout, details=True), 201)


def _groups(call: Call, body: Fields) -> list[Group]:
    usual = _conditions(body, Conditions())
    wanted = flag(body, "confirmationRequired")
    confirm = call.state.config.flag(CONFIRMATION) if wanted is None else wanted
    listed = body.get("groups")
    if listed is None:
        amount = whole(body, "amountGroups", 1)
        if not 1 <= amount <= _MOST_GROUPS:
            raise _invalid("the amount of groups is out of range")
        each = as_float(100.0 / amount)
        return [Group(call.state.new_id(), f"group-{n}", each, usual, confirm) for n in range(1, amount + 1)]
    if not isinstance(listed, list) or not 1 <= len(listed) <= _MOST_GROUPS or body.get("amountGroups") is not None:
        raise _invalid("either groups or amountGroups")
    return [_group(call, entry, usual, confirm) for entry in listed]


def _group(call: Call, entry: object, usual: Conditions, confirm: bool) -> Group:
    if not isinstance(entry, dict):
        raise Refused(400, "a group is no object")
    if entry.get("targetFilterQuery"):
        raise Refused(400, "a filter for one group is not part of this test double")
    percentage = entry.get("targetPercentage", 100)
    if isinstance(percentage, bool) or not isinstance(percentage, int | float):
        raise Refused(400, "targetPercentage is no number")
    if not 1 <= percentage <= 100:
        raise _invalid("Target percentage has to be between 1 and 100")
    wanted = flag(entry, "confirmationRequired")
    return Group(
        call.state.new_id(), text(entry, "name"), as_float(percentage), _conditions(entry, usual),
        confirm if wanted is None else wanted, description=str(entry.get("description") or ""),
    )  # fmt: skip


def _conditions(entry: Fields, usual: Conditions) -> Conditions:
    success, error = entry.get("successCondition"), entry.get("errorCondition")
    then, otherwise = entry.get("successAction"), entry.get("errorAction")
    return Conditions(
        _threshold(success, usual.success),
        _word(then, ("NEXTGROUP", "PAUSE"), usual.success_action),
        _threshold(error, usual.error),
        _word(otherwise, ("PAUSE",), usual.error_action),
    )


def _threshold(value: object, usual: str) -> str:
    if value is None:
        return usual
    if not isinstance(value, dict) or value.get("condition", "THRESHOLD") != "THRESHOLD":
        raise Refused(400, "the only condition is THRESHOLD")
    percent = str(value.get("expression", ""))
    if not percent.isascii() or not percent.isdigit():
        raise Refused(400, "a threshold is a whole number")  # hawkBit takes it, and then never counts it as reached
    return percent


def _word(value: object, words: tuple[str, ...], usual: str) -> str:
    if value is None:
        return usual
    if not isinstance(value, dict) or value.get("action") not in words:
        raise Refused(400, f"the action must be one of {', '.join(words)}")
    return str(value["action"])


def _find(call: Call) -> Rollout:
    rollout = call.state.rollouts.get(call.names[0])
    if rollout is None:
        raise Refused(404, "unknown rollout")
    return rollout


def _find_group(call: Call) -> Group:
    for group in _find(call).groups:
        if group.id == call.names[1]:
            return group
    raise Refused(404, "unknown group")


def _get_all(call: Call) -> Answer:
    details = call.request.query.get("representation") == "full"
    return call.page(_show(each, details=details) for each in call.state.rollouts.values() if each.status != "DELETED")


def _get(call: Call) -> Answer:
    return as_json(_show(_find(call), details=True))


def _then(step: Callable[[State, Rollout], None]) -> Callable[[Call], Answer]:
    def handler(call: Call) -> Answer:
        step(call.state, _find(call))
        return Answer(204)

    return handler


def _decide(call: Call) -> Answer:
    _find(call)
    raise Refused(400, "the rollout does not wait for an approval", "hawkbit.server.error.rollout.illegalState")


def _get_groups(call: Call) -> Answer:
    rollout = _find(call)
    details = call.request.query.get("representation") == "full"
    return call.page(_show_group(call, rollout, group, details=details) for group in rollout.groups)


def _get_group(call: Call) -> Answer:
    return as_json(_show_group(call, _find(call), _find_group(call), details=True))


def _get_group_targets(call: Call) -> Answer:
    known = call.state.targets
    found = (show_target(call.state, known[each]) for each in _find_group(call).targets if each in known)
    return call.page(found, "controllerId:ASC")


def _show(rollout: Rollout, *, details: bool) -> Fields:
    shown: Fields = {
        "id": int(rollout.id), "name": rollout.name, "description": rollout.description or None,
        "createdAt": rollout.created, "dynamic": False, "targetFilterQuery": rollout.query,
        "distributionSetId": int(rollout.ds.id), "status": rollout.status.lower(), "totalTargets": rollout.total,
        "deleted": rollout.status == "DELETED", "type": rollout.force, "forcetime": rollout.force_time, "weight": 1000,
    }  # fmt: skip
    if details:
        counts = count_statuses(rollout, rollout.groups)
        if rollout.status == "CREATING":
            counts["notstarted"] = rollout.total
        shown |= {"totalTargetsPerStatus": counts, "totalGroups": len(rollout.groups)}
    return {key: value for key, value in shown.items() if value is not None}


def _show_group(call: Call, rollout: Rollout, group: Group, *, details: bool) -> Fields:
    told = group.conditions
    shown: Fields = {
        "id": int(group.id), "name": group.name, "description": group.description or None,
        "status": group.status.lower(), "targetPercentage": group.percentage, "totalTargets": len(group.targets),
        "dynamic": False,
        "successCondition": {"condition": "THRESHOLD", "expression": told.success},
        "successAction": {"action": told.success_action, "expression": ""},
        "errorCondition": {"condition": "THRESHOLD", "expression": told.error},
        "errorAction": {"action": told.error_action, "expression": ""},
    }  # fmt: skip
    if call.state.config.flag(CONFIRMATION):
        shown["confirmationRequired"] = group.confirm
    if details:
        shown["totalTargetsPerStatus"] = count_statuses(rollout, [group])
    return {key: value for key, value in shown.items() if value is not None}


_R = r"/rollouts/([^/]+)"
ROUTES: tuple[Route, ...] = (
    ("POST", "/rollouts", _post),
    ("GET", "/rollouts", _get_all),
    ("GET", _R, _get),
    ("DELETE", _R, _then(rollouts.delete)),
    ("POST", f"{_R}/start", _then(rollouts.start)),
    ("POST", f"{_R}/pause", _then(rollouts.pause)),
    ("POST", f"{_R}/resume", _then(rollouts.resume)),
    ("POST", f"{_R}/stop", _then(rollouts.stop)),
    ("POST", f"{_R}/triggerNextGroup", _then(rollouts.trigger_next)),
    ("POST", f"{_R}/approve", _decide),
    ("POST", f"{_R}/deny", _decide),
    ("GET", f"{_R}/deploygroups", _get_groups),
    ("GET", rf"{_R}/deploygroups/([^/]+)", _get_group),
    ("GET", rf"{_R}/deploygroups/([^/]+)/targets", _get_group_targets),
)
