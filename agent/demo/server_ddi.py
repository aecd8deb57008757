"""The documents that the development server gives to devices (DDI v1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote
from zlib import crc32

from agent.demo import server_actions as actions
from agent.demo.server_body import json_object
from agent.demo.server_config import WINDOW_POLLS, format_duration
from agent.demo.server_state import MAX_ATTRIBUTES, State
from agent.demo.server_values import SERVER, Action, Artifact, Module, Refused, Target, now_ms

_ATTRIBUTE = re.compile(r"[a-zA-Z0-9_\-!@#$%^&*()+=\[\]{}|;:'\",.<>/\\?\s]{0,128}", re.ASCII)
_HISTORY = 100  # the most lines of an action's history that a device gets
_PARTS = {"application": "bApp", "runtime": "jvm"}  # module types that devices know by older names


def base_document(state: State, target: Target, root: str) -> dict[str, object]:
    """The answer to a poll; ``root`` is the controller's own address."""
    links: dict[str, object] = {}
    action = state.current(target.controller_id)
    sleep = sleep_of(state, action)
    actions.cancel_if_over(state, action)
    if action is not None and action.waiting:
        links["confirmationBase"] = _link(f"{root}/confirmationBase/{action.id}?c={_change_mark(action)}")
    elif action is not None and action.cancelling:
        links["cancelAction"] = _link(f"{root}/cancelAction/{action.id}")
    elif action is not None:
        links["deploymentBase"] = _link(f"{root}/deploymentBase/{action.id}?c={_change_mark(action)}")
    installed = state.installed_action(target)
    if installed is not None:
        links["installedBase"] = _link(f"{root}/installedBase/{installed.id}")
    if target.request_attributes:
        links["configData"] = _link(f"{root}/configData")
    return {"config": {"polling": {"sleep": sleep}}, "_links": links}


def _link(href: str) -> dict[str, str]:
    return {"href": href}


def sleep_of(state: State, action: Action | None) -> str:
    """The polling interval; shorter when a maintenance window is near, so that a few polls happen before it opens."""
    usual, now = state.config.sleep(), now_ms()
    start = action.schedule.next_start(now) if action is not None and action.schedule is not None else None
    if start is None or start <= now:
        return usual
    shorter = (start - now) // 1000 // int(state.config.get(WINDOW_POLLS))
    if shorter > state.config.polling()[0]:
        return usual
    return format_duration(max(shorter, state.config.least_polling))


def _change_mark(action: Action) -> int:
    now = now_ms()
    bits = (action.force == "timeforced" and action.forced(now), action.maintenance(now) == "available")
    return crc32(f"{action.id} {action.force} {action.window} {action.version} {bits}".encode()) - (1 << 31)


def deployment_body(action: Action, root: str) -> dict[str, object]:
    """What is to be done with which files."""
    now = now_ms()
    window = action.maintenance(now)
    download = "forced" if action.force == "downloadonly" or action.forced(now) else "attempt"
    update = "skip" if action.force == "downloadonly" or window == "unavailable" else download
    body: dict[str, object] = {"download": download, "update": update}
    if window is not None:
        body["maintenanceWindow"] = window
    body["chunks"] = [_chunk(module, root) for module in action.ds.modules]
    return body


def action_document(action: Action, root: str, history: int, name: str = "deployment") -> dict[str, object]:
    """The deployment of an action.

    Args:
        action: which one.
        root: the controller's own address.
        history: how many messages to include that are not the server's own; below 0 or over 100 means 100.
        name: ``deployment``, or ``confirmation`` when the device is asked first.
    """
    document: dict[str, object] = {"id": action.id, name: deployment_body(action, root)}
    count = _HISTORY if history < 0 else min(history, _HISTORY)
    # of two in one millisecond the later one is newer
    newest = sorted(enumerate(action.entries), key=lambda pair: (pair[1].time, pair[0]), reverse=True)
    lines = [line for _, entry in newest for line in entry.messages if not line.startswith(SERVER)][:count]
    if lines:
        document["actionHistory"] = {"status": action.status, "messages": lines}
    return document


def _chunk(module: Module, root: str) -> dict[str, object]:
    chunk: dict[str, object] = {
        "part": _PARTS.get(module.part, module.part),
        "version": module.version,
        "name": module.name,
        "artifacts": artifact_list(module, root),
    }
    if module.metadata:
        chunk["metadata"] = [{"key": key, "value": value} for key, value in module.metadata.items()]
    return chunk


def artifact_list(module: Module, root: str) -> Sequence[object]:
    """The files of a module. Like hawkBit's default, only the ``-http`` relations exist, whatever the scheme is."""
    documents = []
    for artifact in module.artifacts:
        href = f"{root}/softwaremodules/{module.id}/artifacts/{quote(artifact.filename)}"
        hashes = {"sha1": artifact.sha1, "md5": artifact.md5, "sha256": artifact.sha256}
        links = {"download-http": _link(href), "md5sum-http": _link(f"{href}.MD5SUM")}
        documents.append({"filename": artifact.filename, "hashes": hashes, "size": artifact.size, "_links": links})
    return documents


def read_deployment(state: State, action: Action) -> Action:
    """The action whose deployment a device asks for; one that is cancelled or waits is not shown."""
    actions.cancel_if_over(state, action)
    if action.cancelling_or_cancelled or action.waiting:
        raise Refused(404, "the action is cancelled or waits for a confirmation")
    return action


def read_confirmation(state: State, action: Action) -> Action:
    """The action that a device is asked about."""
    actions.cancel_if_over(state, action)
    if not action.waiting:
        raise Refused(404, "the action does not wait for a confirmation")
    return action


def confirmation_document(state: State, target: Target, root: str) -> dict[str, object]:
    """Whether a device confirms by itself, and what it is asked."""
    auto = target.auto_confirm
    told: dict[str, object] = {"active": auto is not None, "activatedAt": 0 if auto is None else auto.activated}
    if auto is not None:
        named = {"initiator": auto.initiator, "remark": auto.remark}
        told |= {key: value for key, value in named.items() if value is not None}
    name = "activateAutoConfirm" if auto is None else "deactivateAutoConfirm"
    links = {name: _link(f"{root}/confirmationBase/{name}")}
    action = state.current(target.controller_id)
    if action is not None and action.waiting:
        links["confirmationBase"] = _link(f"{root}/confirmationBase/{action.id}?c={_change_mark(action)}")
    return {"autoConfirm": told, "_links": links}


def read_installed(action: Action) -> Action:
    """An action that is over and was not cancelled; it need not have been a success."""
    if action.active or action.cancelling_or_cancelled:
        raise Refused(404, "the action is not finished")
    return action


def read_cancel(state: State, action: Action) -> dict[str, object]:
    """The wish to cancel."""
    if not action.cancelling_or_cancelled:
        raise Refused(404, "the action is not being cancelled")
    actions.retrieved(state, action, "Target retrieved cancel action and should start now the cancellation.")
    return {"id": action.id, "cancelAction": {"stopId": action.id}}


def put_attributes(target: Target, data: bytes) -> None:
    """Takes a device's attributes; one bad pair refuses them all."""
    document = json_object(data)
    pairs = document.get("data")
    mode = document.get("mode") or "merge"
    if not isinstance(pairs, dict) or not pairs or mode not in ("merge", "replace", "remove"):
        raise Refused(400, "data is missing or mode is unknown", "hawkbit.server.error.rest.body.notReadable")
    given = {key: _attribute(value) for key, value in pairs.items()}
    for text in (*given, *(value for value in given.values() if value is not None)):
        if not _ATTRIBUTE.fullmatch(text):
            raise Refused(400, "invalid target attributes", "hawkbit.server.error.repo.invalidTargetAttributes")
    kept: Mapping[str, str] = {} if mode == "replace" else target.attributes
    removed = set(given) if mode == "remove" else {key for key, value in given.items() if value is None}
    added = {} if mode == "remove" else {key: value for key, value in given.items() if value is not None}
    merged = {key: value for key, value in {**kept, **added}.items() if key not in removed}
    if len(merged) > MAX_ATTRIBUTES:
        raise Refused(429, "quota exceeded", "hawkbit.server.error.quota.tooManyEntries")
    target.attributes = merged
    if mode != "remove":
        target.request_attributes = False


def _attribute(value: object) -> str | None:
    if isinstance(value, dict | list):
        raise Refused(400, "an attribute is no text", "hawkbit.server.error.rest.body.notReadable")
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def find_artifact(state: State, module_id: str, filename: str) -> Artifact:
    """A file of any module."""
    module = state.modules.get(module_id)
    for artifact in module.artifacts if module is not None else ():
        if artifact.filename == filename:
            return artifact
    raise Refused(404, "no such file")


def download_action(state: State, controller_id: str, module_id: str) -> Action:
    """The action for which a device may load files: one with the module that is open and not being cancelled."""
    for action in state.open_actions(controller_id):
        if not action.cancelling and any(module.id == module_id for module in action.ds.modules):
            return action
    raise Refused(404, "the module is in no open action")


def module_of(state: State, controller_id: str, module_id: str) -> Module:
    """A module of an open or of the installed action."""
    target = state.find_target(controller_id)
    sets = [action.ds for action in state.open_actions(controller_id) if not action.cancelling]
    installed = state.installed_action(target)
    for ds in [*sets, *([installed.ds] if installed is not None else [])]:
        for module in ds.modules:
            if module.id == module_id:
                return module
    raise Refused(404, "no such module")
