"""The Management API's targets, with their actions."""

from __future__ import annotations

from agent.demo import server_actions as actions
from agent.demo import server_confirmation as confirmation
from agent.demo.server_filter import parse_filter
from agent.demo.server_http import Answer, as_json
from agent.demo.server_mgmt_assign import assign_one, shown_result
from agent.demo.server_mgmt_values import (
    Call,
    Handler,
    Route,
    find_set,
    flag,
    show_action,
    show_entry,
    show_set,
    show_target,
    text,
)
from agent.demo.server_values import Action, Refused


def _post_targets(call: Call) -> Answer:
    state, entries = call.state, call.entries()
    wanted = [text(entry, "controllerId") for entry in entries]
    for controller_id in wanted:
        if len(controller_id) > 256 or any(letter.isspace() for letter in controller_id):
            raise Refused(400, "the controller id is invalid", "hawkbit.server.error.repo.constraintViolation")
        if controller_id in state.targets or wanted.count(controller_id) > 1:
            raise Refused(409, "the target exists already")
    made = []
    for controller_id, entry in zip(wanted, entries, strict=True):
        target = state.add_target(controller_id, str(entry.get("securityToken") or ""))
        target.name = str(entry.get("name") or controller_id)
        target.description = str(entry.get("description") or "")
        target.group = str(entry.get("group") or "")
        made.append(show_target(state, target))
    return as_json(made, 201)


def _get_targets(call: Call) -> Answer:
    query = call.request.query.get("q")
    fits = parse_filter(query) if query is not None else lambda _: True
    shown = [show_target(call.state, target) for target in call.state.targets.values() if fits(target)]
    return call.page(shown, "controllerId:ASC", filtered=True)


def _get_target(call: Call) -> Answer:
    return as_json(show_target(call.state, call.target()))


def _put_target(call: Call) -> Answer:
    target, body = call.target(), call.body()
    target.name = text(body, "name", target.name or target.controller_id)
    target.token = text(body, "securityToken", target.token)
    target.description = str(body.get("description") or target.description)
    target.group = str(body.get("group") or target.group)
    wanted = flag(body, "requestAttributes")
    if wanted is not None:
        target.request_attributes = wanted
    return as_json(show_target(call.state, target))


def _delete_target(call: Call) -> Answer:
    call.state.remove_target(call.names[0])
    return Answer(204)


def _get_attributes(call: Call) -> Answer:
    attributes = call.target().attributes
    return as_json(attributes) if attributes else Answer(204)


def _get_set_of(which: str) -> Handler:
    def handler(call: Call) -> Answer:
        target = call.target()
        found = target.installed if which == "installed" else target.assigned
        return as_json(show_set(found)) if found else Answer(204)

    return handler


def _post_set(call: Call) -> Answer:
    target, results = call.target(), []
    for entry in call.entries():
        ds = find_set(call.state, text(entry, "id"))
        results.append((target.controller_id, assign_one(call, target.controller_id, ds, entry)))
    return as_json(shown_result(results))


def _get_metadata(call: Call) -> Answer:
    return call.page(({"key": k, "value": v} for k, v in call.target().metadata.items()), "key:ASC")


def _post_metadata(call: Call) -> Answer:
    call.target().metadata |= {text(entry, "key"): text(entry, "value") for entry in call.entries()}
    return Answer(201)


def _get_auto(call: Call) -> Answer:
    auto = call.target().auto_confirm
    if auto is None:
        return as_json({"active": False})
    shown = {"active": True, "initiator": auto.initiator, "remark": auto.remark, "activatedAt": auto.activated}
    return as_json({key: value for key, value in shown.items() if value is not None})


def _activate_auto(call: Call) -> Answer:
    body = call.body() if call.request.body else {}
    initiator, remark = (confirmation.optional_text(body, key) for key in ("initiator", "remark"))
    confirmation.activate(call.state, call.target(), initiator, remark, call.user)
    return Answer(204)


def _deactivate_auto(call: Call) -> Answer:
    confirmation.deactivate(call.target())
    return Answer(204)


def _get_actions(call: Call) -> Answer:
    controller_id = call.target().controller_id
    return call.page((show_action(call.state, action) for action in call.state.actions_of(controller_id)), "id:DESC")


def _get_all_actions(call: Call) -> Answer:
    return call.page((show_action(call.state, action) for action in call.state.actions.values()), "id:ASC")


def _get_action(call: Call) -> Answer:
    return as_json(show_action(call.state, call.action()))


def _get_any_action(call: Call) -> Answer:
    return as_json(show_action(call.state, call.state.find_action(call.names[0])))


def _get_status(call: Call) -> Answer:
    entries = (show_entry(number, entry) for number, entry in enumerate(call.action().entries, 1))
    return call.page(entries, "id:DESC")


def _put_action(call: Call) -> Answer:
    action = call.action()
    if text(call.body(), "forceType") != "forced":
        raise Refused(400, "only a switch to forced is possible")
    actions.force(call.state, action)
    return as_json(show_action(call.state, action))


def _put_confirmation(call: Call) -> Answer:
    action: Action = call.action()
    confirmation.take_answer(call.state, action, confirmation.parse_answer(call.request.body))
    return Answer(204)


def _delete_action(call: Call) -> Answer:
    action = call.action()
    if call.request.query.get("force") == "true":
        actions.force_quit(call.state, action)
    else:
        actions.cancel(call.state, action)
    return Answer(204)


_T, _A = r"/targets/([^/]+)", r"/targets/([^/]+)/actions/([^/]+)"
ROUTES: tuple[Route, ...] = (
    ("POST", "/targets", _post_targets),
    ("GET", "/targets", _get_targets),
    ("GET", _T, _get_target),
    ("PUT", _T, _put_target),
    ("DELETE", _T, _delete_target),
    ("GET", f"{_T}/attributes", _get_attributes),
    ("GET", f"{_T}/installedDS", _get_set_of("installed")),
    ("GET", f"{_T}/assignedDS", _get_set_of("assigned")),
    ("POST", f"{_T}/assignedDS", _post_set),
    ("GET", f"{_T}/metadata", _get_metadata),
    ("POST", f"{_T}/metadata", _post_metadata),
    ("GET", f"{_T}/autoConfirm", _get_auto),
    ("POST", f"{_T}/autoConfirm/activate", _activate_auto),
    ("POST", f"{_T}/autoConfirm/deactivate", _deactivate_auto),
    ("GET", f"{_T}/actions", _get_actions),
    ("GET", _A, _get_action),
    ("PUT", _A, _put_action),
    ("DELETE", _A, _delete_action),
    ("GET", f"{_A}/status", _get_status),
    ("PUT", f"{_A}/confirmation", _put_confirmation),
    ("GET", "/actions", _get_all_actions),
    ("GET", r"/actions/([^/]+)", _get_any_action),
)
