"""A small part of hawkBit's Management API, enough to operate the development server with curl (``/rest/v1``)."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import mmap
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from agent.demo.server_http import Answer, Request, as_json
from agent.demo.server_state import Action, DistributionSet, Entry, Module, Refused, State, Target

ROOT = "/rest/v1"
Handler = Callable[[State, Request, list[str]], Answer]


def check_login(request: Request, user: str, password: str) -> None:
    """Basic authentication (RFC 7617)."""
    scheme, _, value = request.header("authorization").partition(" ")
    try:
        given = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        given = b""
    if scheme.lower() != "basic" or not hmac.compare_digest(given, f"{user}:{password}".encode()):
        raise Refused(401)


def answer(state: State, request: Request) -> Answer:
    """Does what the operator asks.

    Raises:
        Refused: with the status to answer.
    """
    path = request.path.removeprefix(ROOT)
    known = False
    for method, pattern, handler in _ROUTES:
        if found := re.fullmatch(pattern, path):
            known = True
            if method == request.method:
                return handler(state, request, [unquote(part) for part in found.groups()])
    raise Refused(405 if known else 404, "not part of this test double")


def _list(request: Request) -> list[dict[str, object]]:
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is no JSON") from error
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, dict) for entry in entries):
        raise Refused(400, "the body is no list of objects")
    return entries


def _text(entry: dict[str, object], key: str, default: str | None = None) -> str:
    value = entry.get(key, default)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise Refused(400, f"{key} is missing")
    return str(value)


def _post_targets(state: State, request: Request, _: list[str]) -> Answer:
    made = []
    for entry in _list(request):
        controller_id = _text(entry, "controllerId")
        if controller_id in state.targets:
            raise Refused(409, "the target exists already")
        made.append(_target(state.add_target(controller_id, str(entry.get("securityToken") or ""))))
    return as_json(made, 201)


def _get_targets(state: State, request: Request, _: list[str]) -> Answer:
    return as_json(_page([_target(target) for target in state.targets.values()], request))


def _get_target(state: State, _: Request, names: list[str]) -> Answer:
    return as_json(_target(state.find_target(names[0])))


def _delete_target(state: State, _: Request, names: list[str]) -> Answer:
    state.find_target(names[0])
    del state.targets[names[0]]
    for action in [a for a in state.actions.values() if a.controller_id == names[0]]:
        del state.actions[action.id]
    return Answer(200)


def _get_attributes(state: State, _: Request, names: list[str]) -> Answer:
    return as_json(state.find_target(names[0]).attributes)


def _get_set_of(which: str) -> Handler:
    def handler(state: State, _: Request, names: list[str]) -> Answer:
        target = state.find_target(names[0])
        found = target.installed if which == "installed" else target.assigned
        return as_json(_set(found)) if found else Answer(204)

    return handler


def _post_modules(state: State, request: Request, _: list[str]) -> Answer:
    made = [
        state.add_module(_text(entry, "name"), _text(entry, "version"), _text(entry, "type", "os"))
        for entry in _list(request)
    ]
    return as_json([_module(module) for module in made], 201)


def _post_metadata(state: State, request: Request, names: list[str]) -> Answer:
    module = _find_module(state, names[0])
    for entry in _list(request):
        if entry.get("targetVisible"):
            module.metadata[_text(entry, "key")] = _text(entry, "value")
    return Answer(201)


def _post_artifact(state: State, request: Request, names: list[str]) -> Answer:
    module = _find_module(state, names[0])
    if request.upload is None:
        raise Refused(400, "the file is missing")
    filename = request.query.get("filename", "")
    boundary = re.search(r'boundary="?([^";]+)', request.header("content-type"))
    if boundary is not None:
        named = _unwrap_multipart(request.upload, boundary[1])
        filename = filename or named
    if not filename or "/" in filename or filename in (".", ".."):
        raise Refused(400, "the file needs a name: ?filename=")
    artifact = state.add_artifact(module, request.upload, filename)
    expected = request.query.get("sha256sum", artifact.sha256)
    if expected != artifact.sha256:
        module.artifacts.remove(artifact)
        raise Refused(400, "the digest does not match")
    hashes = {"sha1": artifact.sha1, "md5": artifact.md5, "sha256": artifact.sha256}
    return as_json({"id": int(artifact.id), "providedFilename": filename, "hashes": hashes, "size": artifact.size}, 201)


def _unwrap_multipart(path: Path, boundary: str) -> str:
    """Replaces a multipart body (RFC 7578) by its first file; returns the name that the client gave it."""
    inner = path.with_suffix(".part")
    mark = f"--{boundary}".encode()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        start = whole.find(b"\r\n\r\n", whole.find(mark))
        end = whole.find(b"\r\n" + mark, start)
        if start < 0 or end < 0:
            raise Refused(400, "the body is no multipart form")
        named = re.search(rb'filename="([^"\r\n]*)"', whole[:start])
        with inner.open("wb") as out:
            out.write(memoryview(whole)[start + 4 : end])
    shutil.move(inner, path)
    return named[1].decode("utf-8", "replace") if named else ""


def _post_sets(state: State, request: Request, _: list[str]) -> Answer:
    made = []
    for entry in _list(request):
        listed = entry.get("modules")
        modules = [_find_module(state, _text(m, "id")) for m in listed] if isinstance(listed, list) else []
        made.append(_set(state.add_set(_text(entry, "name"), _text(entry, "version"), modules)))
    return as_json(made, 201)


def _post_assigned(state: State, request: Request, names: list[str]) -> Answer:
    found = state.sets.get(names[0])
    if found is None:
        raise Refused(404, "unknown distribution set")
    entries = _list(request)
    actions = [state.assign(_text(e, "id"), found, _text(e, "type", "forced")) for e in entries]
    made = [{"id": int(action.id)} for action in actions if action is not None]
    return as_json(
        {
            "assigned": len(made),
            "alreadyAssigned": len(entries) - len(made),
            "total": len(entries),
            "assignedActions": made,
        }
    )


def _get_actions(state: State, request: Request, names: list[str]) -> Answer:
    state.find_target(names[0])
    found = [_action(a) for a in state.actions.values() if a.controller_id == names[0]]
    return as_json(_page(found[::-1], request))


def _get_action(state: State, _: Request, names: list[str]) -> Answer:
    return as_json(_action(state.find_action(names[1], names[0])))


def _get_status(state: State, request: Request, names: list[str]) -> Answer:
    action = state.find_action(names[1], names[0])
    entries = [_entry(number, entry) for number, entry in enumerate(action.entries, 1)]
    return as_json(_page(entries[::-1], request))


def _put_action(state: State, request: Request, names: list[str]) -> Answer:
    action = state.find_action(names[1], names[0])
    force = _text(_list(request)[0], "forceType")
    if force not in ("forced", "soft") or not action.active:
        raise Refused(400, "the type cannot be changed so")
    action.force = force
    action.revision += 1
    return as_json(_action(action))


def _delete_action(state: State, request: Request, names: list[str]) -> Answer:
    state.cancel(state.find_action(names[1], names[0]), force=request.query.get("force") == "true")
    return Answer(204)


def _find_module(state: State, module_id: str) -> Module:
    module = state.modules.get(module_id)
    if module is None:
        raise Refused(404, "unknown software module")
    return module


def _page(content: list[dict[str, object]], request: Request) -> dict[str, object]:
    try:
        offset, limit = int(request.query.get("offset", "0")), min(int(request.query.get("limit", "50")), 500)
    except ValueError as error:
        raise Refused(400, "offset and limit must be numbers") from error
    some = content[max(offset, 0) : max(offset, 0) + max(limit, 0)]
    return {"content": some, "total": len(content), "size": len(some)}


def _target(target: Target) -> dict[str, object]:
    return {
        "controllerId": target.controller_id,
        "name": target.controller_id,
        "securityToken": target.token,
        "updateStatus": target.update_status.lower(),
        "requestAttributes": target.request_attributes,
        "installedAt": target.installed_at,
    }


def _module(module: Module) -> dict[str, object]:
    return {"id": int(module.id), "name": module.name, "version": module.version, "type": module.part}


def _set(ds: DistributionSet) -> dict[str, object]:
    modules = [_module(module) for module in ds.modules]
    return {"id": int(ds.id), "name": ds.name, "version": ds.version, "modules": modules}


def _action(action: Action) -> dict[str, object]:
    return {
        "id": int(action.id),
        "type": "cancel" if action.status in ("CANCELING", "CANCELED") else "update",
        "status": "pending" if action.active else "finished",
        "detailStatus": action.status.lower(),
        "active": action.active,
        "forceType": action.force,
        "lastStatusCode": action.last_code,
    }


def _entry(number: int, entry: Entry) -> dict[str, object]:
    return {
        "id": number,
        "type": entry.type.lower(),
        "messages": list(entry.messages),
        "code": entry.code,
        "timestamp": entry.time,
        "reportedAt": entry.reported,
    }


_T, _A = r"/targets/([^/]+)", r"/targets/([^/]+)/actions/([^/]+)"
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/targets", _post_targets),
    ("GET", "/targets", _get_targets),
    ("GET", _T, _get_target),
    ("DELETE", _T, _delete_target),
    ("GET", f"{_T}/attributes", _get_attributes),
    ("GET", f"{_T}/installedDS", _get_set_of("installed")),
    ("GET", f"{_T}/assignedDS", _get_set_of("assigned")),
    ("GET", f"{_T}/actions", _get_actions),
    ("GET", _A, _get_action),
    ("PUT", _A, _put_action),
    ("DELETE", _A, _delete_action),
    ("GET", f"{_A}/status", _get_status),
    ("POST", "/softwaremodules", _post_modules),
    ("POST", r"/softwaremodules/([^/]+)/metadata", _post_metadata),
    ("POST", r"/softwaremodules/([^/]+)/artifacts", _post_artifact),
    ("POST", "/distributionsets", _post_sets),
    ("POST", r"/distributionsets/([^/]+)/assignedTargets", _post_assigned),
)
