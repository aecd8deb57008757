"""The documents that the development server gives to devices, and what it makes of theirs (DDI v1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from agent.demo.server_state import Action, Artifact, Module, Refused, State, Target

EXECUTIONS = ("closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "downloaded", "download")
RESULTS = ("success", "failure", "none")
_ATTRIBUTE = re.compile(r"[a-zA-Z0-9_\-!@#$%^&*()+=\[\]{}|;:'\",.<>/\\?\s]{0,128}")
_TYPES = {"proceeding": "RUNNING", "scheduled": "RUNNING", "resumed": "RUNNING", "download": "DOWNLOAD"}


class Status(NamedTuple):
    """A feedback body, checked."""

    execution: str
    finished: str
    code: int | None
    details: tuple[str, ...]
    timestamp: int | None


def base_document(state: State, target: Target, root: str, sleep: str) -> dict[str, object]:
    """The answer to a poll; ``root`` is the controller's own address."""
    links: dict[str, object] = {}
    action = state.current(target.controller_id)
    if action is not None and action.cancelling:
        links["cancelAction"] = {"href": f"{root}/cancelAction/{action.id}"}
    elif action is not None:
        links["deploymentBase"] = {"href": f"{root}/deploymentBase/{action.id}?c={_change_mark(action)}"}
    if target.installed_action:
        links["installedBase"] = {"href": f"{root}/installedBase/{target.installed_action}"}
    if target.request_attributes:
        links["configData"] = {"href": f"{root}/configData"}
    return {"config": {"polling": {"sleep": sleep}}, "_links": links}


def _change_mark(action: Action) -> int:
    return crc32(f"{action.id} {action.force} {action.window} {action.revision}".encode()) - (1 << 31)


def deployment_document(action: Action, root: str, history: int) -> dict[str, object]:
    """The deployment of an action.

    Args:
        action: which one.
        root: the controller's own address.
        history: how many of the device's own messages to include; below 0 or over 100 means 100.
    """
    wanted = {"forced": "forced", "soft": "attempt", "downloadonly": "forced"}[action.force]
    update = "skip" if action.force == "downloadonly" or action.window == "unavailable" else wanted
    body: dict[str, object] = {"download": wanted, "update": update}
    if action.window:
        body["maintenanceWindow"] = action.window
    body["chunks"] = [_chunk(module, root) for module in action.ds.modules]
    document: dict[str, object] = {"id": action.id, "deployment": body}
    if history:
        count = 100 if history < 0 or history > 100 else history
        # of two in one millisecond the later one is newer
        newest = sorted(enumerate(action.entries), key=lambda pair: (pair[1].time, pair[0]), reverse=True)
        lines = [line for _, entry in newest for line in entry.messages if not line.startswith("Update Server: ")]
        document["actionHistory"] = {"status": action.status, "messages": lines[:count]}
    return document


def _chunk(module: Module, root: str) -> dict[str, object]:
    chunk: dict[str, object] = {
        "part": module.part,
        "version": module.version,
        "name": module.name,
        "artifacts": [artifact_document(module, artifact, root) for artifact in module.artifacts],
    }
    if module.metadata:
        chunk["metadata"] = [{"key": key, "value": value} for key, value in module.metadata.items()]
    return chunk


def artifact_document(module: Module, artifact: Artifact, root: str) -> dict[str, object]:
    """A file as a device sees it. Like hawkBit's default, only the ``-http`` relations exist, whatever the scheme is."""
    href = f"{root}/softwaremodules/{module.id}/artifacts/{artifact.filename}"
    return {
        "filename": artifact.filename,
        "hashes": {"sha1": artifact.sha1, "md5": artifact.md5, "sha256": artifact.sha256},
        "size": artifact.size,
        "_links": {"download-http": {"href": href}, "md5sum-http": {"href": f"{href}.MD5SUM"}},
    }


def read_deployment(state: State, controller_id: str, action_id: str) -> Action:
    """The action whose deployment a device asks for; a cancelled one is not shown."""
    action = state.find_action(action_id, controller_id)
    if action.status in ("CANCELING", "CANCELED"):
        raise Refused(404, "the action is cancelled")
    state.retrieved(action)
    return action


def read_installed(state: State, controller_id: str, action_id: str) -> Action:
    """A finished action."""
    action = state.find_action(action_id, controller_id)
    if action.active or action.status == "CANCELED":
        raise Refused(404, "the action is not finished")
    return action


def read_cancel(state: State, controller_id: str, action_id: str) -> dict[str, object]:
    """The wish to cancel."""
    action = state.find_action(action_id, controller_id)
    if not action.cancelling:
        raise Refused(404, "the action is not being cancelled")
    if action.entries[-1].type != "CANCELING":
        state.record(action, "CANCELING", ("Update Server: Target retrieved cancel action",), quota=False)
    return {"id": action.id, "cancelAction": {"stopId": action.id}}


def parse_status(data: bytes) -> Status:
    """Checks a feedback body; hawkBit answers 400 for what it cannot read."""
    document = _object(data)
    status = document.get("status")
    if not isinstance(status, dict):
        raise Refused(400, "status is missing")
    result = status.get("result")
    if not isinstance(result, dict) or result.get("finished") not in RESULTS:
        raise Refused(400, "result.finished is missing or unknown")
    if status.get("execution") not in EXECUTIONS:
        raise Refused(400, "execution is missing or unknown")
    code, timestamp = _whole(status, "code"), _whole(document, "timestamp")
    details = status.get("details") or []
    details = details if isinstance(details, list) else [details]
    return Status(status["execution"], result["finished"], code, tuple(str(line) for line in details), timestamp)


def deployment_feedback(state: State, controller_id: str, action_id: str, status: Status) -> None:
    """What a device says about its deployment. ``closed`` with ``none`` counts as success, as in hawkBit."""
    action = state.find_action(action_id, controller_id)
    if not action.active:
        raise Refused(410, "the action is closed")
    if status.execution == "closed":
        failed = status.finished == "failure"
        _record(state, action, "ERROR" if failed else "FINISHED", status, quota=False)
        if failed:
            state.fail(action)
        else:
            state.finish(action, status.timestamp)
    elif status.execution == "downloaded":
        _record(state, action, "DOWNLOADED", status, quota=action.force != "downloadonly")
        state.downloaded(action)
    else:
        # rejected and canceled are noted, and the action stays open
        kind = {"rejected": "WARNING", "canceled": "CANCELED"}.get(status.execution) or _TYPES[status.execution]
        _record(state, action, kind, status)


def cancel_feedback(state: State, controller_id: str, action_id: str, status: Status) -> None:
    """What a device says about a cancellation."""
    action = state.find_action(action_id, controller_id)
    if action.status not in ("CANCELING", "CANCELED"):
        raise Refused(405, "the action is not being cancelled")
    if not action.active:
        raise Refused(410, "the action is closed")
    if status.execution == "closed" and status.finished != "failure":
        _record(state, action, "CANCELED", status, quota=False)
        state.cancelled(action)
    elif status.execution == "closed":
        _record(state, action, "ERROR", status, quota=False)
        state.cancel_refused(action)
    elif status.execution == "rejected":
        _record(state, action, "CANCEL_REJECTED", status)
        state.cancel_refused(action)
    else:
        # canceled does not end it: the device must say closed
        _record(state, action, "WARNING" if status.execution == "canceled" else "RUNNING", status)


def _record(state: State, action: Action, kind: str, status: Status, *, quota: bool = True) -> None:
    state.record(action, kind, status.details, code=status.code, timestamp=status.timestamp, quota=quota)


def put_attributes(target: Target, data: bytes) -> None:
    """Takes a device's attributes; one bad pair refuses them all."""
    document = _object(data)
    pairs = document.get("data")
    mode = document.get("mode") or "merge"
    if not isinstance(pairs, dict) or mode not in ("merge", "replace", "remove"):
        raise Refused(400, "data is missing or mode is unknown")
    for key, value in pairs.items():
        if not key or not _ATTRIBUTE.fullmatch(key) or not (value is None or _ATTRIBUTE.fullmatch(str(value))):
            raise Refused(400, "invalid target attributes")
    kept: Mapping[str, str] = {} if mode == "replace" else target.attributes
    removed = set(pairs) if mode == "remove" else {key for key, value in pairs.items() if value is None}
    added = {} if mode == "remove" else {key: str(value) for key, value in pairs.items() if value is not None}
    merged = {key: value for key, value in {**kept, **added}.items() if key not in removed}
    if len(merged) > 100:
        raise Refused(429, "quota exceeded")
    target.attributes = merged
    target.request_attributes = False


def find_artifact(state: State, controller_id: str, module_id: str, filename: str) -> tuple[Action, Artifact]:
    """The file a device may load: only while an action with it is open and not being cancelled."""
    for action in state.open_actions(controller_id):
        if action.cancelling:
            continue
        for module in action.ds.modules:
            for artifact in module.artifacts if module.id == module_id else ():
                if artifact.filename == filename:
                    return action, artifact
    raise Refused(404, "no such file in an open action")


def module_of(state: State, controller_id: str, module_id: str) -> Module:
    """A module of an open or of the installed action."""
    target = state.find_target(controller_id)
    sets = [action.ds for action in state.open_actions(controller_id)]
    for ds in [*sets, *([target.installed] if target.installed else [])]:
        for module in ds.modules:
            if module.id == module_id:
                return module
    raise Refused(404, "no such module")


def _whole(parent: Mapping[str, object], key: str) -> int | None:
    value = parent.get(key)
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise Refused(400, f"{key} is no number")
    return value


def _object(data: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is no JSON") from error
    if not isinstance(document, dict):
        raise Refused(400, "the body is no object")
    return document


def artifact_list(module: Module, root: str) -> Sequence[object]:
    """The files of a module."""
    return [artifact_document(module, artifact, root) for artifact in module.artifacts]
