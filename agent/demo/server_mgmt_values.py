"""What all parts of the Management API share: a call, its body, pages, and how things look to an operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.demo.server_body import json_value
from agent.demo.server_http import Answer, Request, as_json
from agent.demo.server_state import State
from agent.demo.server_values import Action, DistributionSet, Entry, Module, Refused, Target, now_ms

Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """A request of an operator who has logged in; ``names`` are the variable parts of its path."""

    state: State
    request: Request
    names: Sequence[str]
    user: str

    def entries(self) -> list[Fields]:
        """The objects in the body; a single one counts as a list."""
        value = json_value(self.request.body)
        listed = value if isinstance(value, list) else [value]
        entries = [entry for entry in listed if isinstance(entry, dict)]
        if len(entries) < len(listed):
            raise Refused(400, "the body is no list of objects")
        return entries

    def body(self) -> Fields:
        """The object in the body, which is refused when it is a list."""
        value = json_value(self.request.body)
        if not isinstance(value, dict):
            raise Refused(400, "the body is no object")
        return value

    def target(self) -> Target:
        """The target that the path names first."""
        return self.state.find_target(self.names[0])

    def action(self) -> Action:
        """The action of that target that the path names next."""
        return self.state.find_action(self.names[1], self.target().controller_id)

    def module(self) -> Module:
        """The software module that the path names first."""
        return find_module(self.state, self.names[0])

    def set(self) -> DistributionSet:
        """The distribution set that the path names first."""
        return find_set(self.state, self.names[0])

    def page(self, content: Iterable[Fields], default_sort: str = "id:ASC", *, filtered: bool = False) -> Answer:
        """A page of a list: ``offset``, ``limit`` (at most 500) and ``sort=field:DESC``; ``q`` if it has been heeded."""
        listed = list(content)
        query = self.request.query
        try:
            offset, limit = int(query.get("offset", "0")), int(query.get("limit", "50"))
        except ValueError as error:
            raise Refused(400, "offset and limit must be numbers") from error
        if "q" in query and not filtered:
            raise Refused(400, "a query of this list is not part of this test double")
        field, _, direction = query.get("sort", default_sort).partition(":")
        if direction.upper() not in ("", "ASC", "DESC"):
            raise Refused(400, "unknown direction", "hawkbit.server.error.rest.param.invalidDirection")
        key = {name.lower(): name for entry in listed for name in entry}.get(field.lower())
        if key is not None:
            listed.sort(key=lambda entry: _sortable(entry.get(key)), reverse=direction.upper() == "DESC")
        elif listed:
            raise Refused(400, f"unknown field {field}", "hawkbit.server.error.rest.param.invalidField")
        offset, limit = max(offset, 0), min(limit if limit > 0 else 50, 500)
        some = listed[offset : offset + limit]
        return as_json({"content": some, "total": len(listed), "size": len(some)})


Handler = Callable[[Call], Answer]
Route = tuple[str, str, Handler]


def _sortable(value: object) -> tuple[bool, bool, int | float, str]:
    number = value if isinstance(value, int | float) else 0
    return value is None, isinstance(value, str), number, str(value)


def text(entry: Fields, key: str, default: str | None = None) -> str:
    """A text that must not be empty; numbers count as texts."""
    value = entry.get(key, default)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise Refused(400, f"{key} is missing")
    return str(value)


def whole(entry: Fields, key: str, default: int) -> int:
    """A whole number."""
    value = entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(400, f"{key} is no number")
    return value


def flag(entry: Fields, key: str) -> bool | None:
    """A switch, or None."""
    value = entry.get(key)
    if not isinstance(value, bool | None):
        raise Refused(400, f"{key} is neither true nor false")
    return value


def find_module(state: State, module_id: str) -> Module:
    """A software module or 404."""
    module = state.modules.get(module_id)
    if module is None or module.deleted:
        raise Refused(404, "unknown software module")
    return module


def find_set(state: State, set_id: str) -> DistributionSet:
    """A distribution set or 404."""
    found = state.sets.get(set_id)
    if found is None or found.deleted:
        raise Refused(404, "unknown distribution set")
    return found


def check_name(entry: Fields) -> tuple[str, str]:
    """Name and version within hawkBit's limits."""
    name, version = text(entry, "name"), text(entry, "version")
    if len(name) > 128 or len(version) > 64:
        raise Refused(400, "name or version is too long", "hawkbit.server.error.repo.constraintViolation")
    return name, version


def show_target(state: State, target: Target) -> Fields:
    """A device as an operator sees it."""
    shown: Fields = {
        "controllerId": target.controller_id,
        "name": target.name or target.controller_id,
        "description": target.description or None,
        "group": target.group or None,
        "securityToken": target.token,
        "updateStatus": target.update_status.lower(),
        "requestAttributes": target.request_attributes,
        "createdAt": target.created,
        "installedAt": target.installed_at,
        "lastControllerRequestAt": target.polled_at,
        "address": target.address or None,
    }
    if target.address:
        shown["ipAddress"] = re.sub(r"^\w+://", "", target.address)
    if state.config.flag("user.confirmation.flow.enabled"):
        shown["autoConfirmActive"] = target.auto_confirm is not None
    if target.polled_at is not None:
        interval = state.config.polling()[0]
        shown["pollStatus"] = {
            "lastRequestAt": target.polled_at,
            "nextExpectedRequestAt": target.polled_at + interval * 1000,
            "overdue": now_ms() > target.polled_at + state.config.overdue_after() * 1000,
        }
    return {key: value for key, value in shown.items() if value is not None}


def show_module(module: Module) -> Fields:
    """A software module as an operator sees it."""
    return {
        "id": int(module.id), "name": module.name, "version": module.version, "type": module.part,
        "locked": module.locked, "deleted": module.deleted,
    }  # fmt: skip


def show_set(ds: DistributionSet) -> Fields:
    """A distribution set as an operator sees it."""
    return {
        "id": int(ds.id), "name": ds.name, "version": ds.version, "type": ds.type,
        "modules": [show_module(module) for module in ds.modules],
        "requiredMigrationStep": ds.migration_step, "complete": bool(ds.modules), "valid": ds.valid,
        "locked": ds.locked, "deleted": ds.deleted,
    }  # fmt: skip


def show_action(state: State, action: Action) -> Fields:
    """An action as an operator sees it."""
    shown: Fields = {
        "id": int(action.id),
        "type": "cancel" if action.cancelling_or_cancelled else "update",
        "status": action.status.lower(),
        "active": action.active,
        "forceType": action.force,
        "weight": 1000,
        "createdAt": action.created,
    }
    if action.force == "timeforced":
        shown["forceTime"] = action.force_time
    if action.last_code is not None:
        shown["lastStatusCode"] = action.last_code
    if action.rollout:
        shown["rollout"] = int(action.rollout)
        shown["rolloutName"] = state.rollouts[action.rollout].name if action.rollout in state.rollouts else ""
    if action.schedule is not None:
        schedule = action.schedule
        window = {"schedule": schedule.cron, "duration": schedule.duration, "timezone": schedule.timezone}
        start = schedule.next_start(now_ms())
        shown["maintenanceWindow"] = window if start is None else {**window, "nextStartAt": start}
    return shown


def show_entry(number: int, entry: Entry) -> Fields:
    """A line of an action's history as an operator sees it."""
    shown: Fields = {
        "id": number,
        "type": entry.type.lower(),
        "messages": list(entry.messages),
        "timestamp": entry.time,
        "reportedAt": entry.reported,
    }
    return shown if entry.code is None else {**shown, "code": entry.code}
