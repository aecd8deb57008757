"""The Management API's software modules with their files, and distribution sets."""

from __future__ import annotations

import mmap
import re
import shutil
from pathlib import Path

from agent.demo import server_actions as actions
from agent.demo import server_rollouts as rollouts
from agent.demo.server_http import Answer, as_json
from agent.demo.server_mgmt_assign import assign_one, shown_result
from agent.demo.server_mgmt_values import (
    Call,
    Fields,
    Route,
    check_name,
    find_module,
    flag,
    show_module,
    show_set,
    show_target,
    text,
)
from agent.demo.server_values import Artifact, Module, Refused

_DIGESTS = {"md5sum": "md5", "sha1sum": "sha1", "sha256sum": "sha256"}


def _post_modules(call: Call) -> Answer:
    made = []
    for entry in call.entries():
        name, version = check_name(entry)
        made.append(show_module(call.state.add_module(name, version, text(entry, "type", "os"))))
    return as_json(made, 201)


def _get_modules(call: Call) -> Answer:
    return call.page(show_module(module) for module in call.state.modules.values() if not module.deleted)


def _get_module(call: Call) -> Answer:
    return as_json(show_module(_also_deleted(call)))


def _delete_module(call: Call) -> Answer:
    _also_deleted(call).deleted = True
    return Answer(204)


def _also_deleted(call: Call) -> Module:
    """A deleted module that is in a set is kept, and found by its id (JpaSoftwareModuleManagement, 1.0.4)."""
    module = call.state.modules.get(call.names[0])
    if module is not None and any(module in ds.modules for ds in call.state.sets.values()):
        return module
    return call.module()


def _post_module_metadata(call: Call) -> Answer:
    module = call.module()
    for entry in call.entries():
        kept = module.metadata if flag(entry, "targetVisible") else module.notes
        kept[text(entry, "key")] = text(entry, "value")
    return Answer(201)


def _get_module_metadata(call: Call) -> Answer:
    module = call.module()
    pairs = [(True, pair) for pair in module.metadata.items()] + [(False, pair) for pair in module.notes.items()]
    return call.page(({"key": k, "value": v, "targetVisible": shown} for shown, (k, v) in pairs), "key:ASC")


def _post_artifact(call: Call) -> Answer:
    module, request = call.module(), call.request
    if request.upload is None:
        raise Refused(400, "the file is missing")
    filename = request.query.get("filename", "")
    boundary = re.search(r'boundary="?([^";]+)', request.header("content-type"))
    if boundary is not None:
        named = _unwrap_multipart(request.upload, boundary[1])
        filename = filename or named
    if not filename or "/" in filename or filename in (".", ".."):
        raise Refused(400, "the file needs a name: ?filename=")
    artifact = call.state.add_artifact(module, request.upload, filename)
    for given, name in _DIGESTS.items():
        expected = request.query.get(given, "").lower()
        if expected and expected != getattr(artifact, name):
            module.artifacts.remove(artifact)
            code = f"hawkbit.server.error.artifact.uploadFailed.checksum.{name}.match"
            raise Refused(400, "the digest does not match", code)
    return as_json(_show_artifact(artifact), 201)


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


def _show_artifact(artifact: Artifact) -> Fields:
    return {
        "id": int(artifact.id),
        "providedFilename": artifact.filename,
        "hashes": {"sha1": artifact.sha1, "md5": artifact.md5, "sha256": artifact.sha256},
        "size": artifact.size,
    }


def _get_artifacts(call: Call) -> Answer:
    return as_json([_show_artifact(artifact) for artifact in call.module().artifacts])


def _find_artifact(call: Call) -> Artifact:
    for artifact in call.module().artifacts:
        if artifact.id == call.names[1]:
            return artifact
    raise Refused(404, "unknown artifact")


def _get_artifact(call: Call) -> Answer:
    return as_json(_show_artifact(_find_artifact(call)))


def _delete_artifact(call: Call) -> Answer:
    module, artifact = call.module(), _find_artifact(call)
    if module.locked:
        raise Refused(423, "the module is locked", "hawkbit.server.error.locked")
    module.artifacts.remove(artifact)
    return Answer(204)


def _post_sets(call: Call) -> Answer:
    made = []
    for entry in call.entries():
        name, version = check_name(entry)
        listed = entry.get("modules")
        modules = [find_module(call.state, text(m, "id")) for m in listed] if isinstance(listed, list) else []
        if any((s.name, s.version, s.deleted) == (name, version, False) for s in call.state.sets.values()):
            raise Refused(409, "the distribution set exists already")
        step = flag(entry, "requiredMigrationStep") or False
        ds = call.state.add_set(name, version, modules, migration_step=step, type=text(entry, "type", "os"))
        made.append(show_set(ds))
    return as_json(made, 201)


def _get_sets(call: Call) -> Answer:
    return call.page(show_set(ds) for ds in call.state.sets.values() if not ds.deleted)


def _get_set(call: Call) -> Answer:
    return as_json(show_set(call.set()))


def _delete_set(call: Call) -> Answer:
    call.set().deleted = True
    return Answer(204)


def _post_assigned(call: Call) -> Answer:
    ds, results = call.set(), []
    entries = call.entries()
    wanted = [text(entry, "id") for entry in entries]
    if len(set(wanted)) != len(wanted):
        raise Refused(400, "a target is named twice", "hawkbit.server.error.multiAssignmentNotEnabled")
    for controller_id, entry in zip(wanted, entries, strict=True):
        if controller_id in call.state.targets:  # hawkBit passes over the others without a word
            results.append((controller_id, assign_one(call, controller_id, ds, entry)))
    return as_json(shown_result(results))


def _get_targets_of(which: str, call: Call) -> Answer:
    ds = call.set()
    found = [target for target in call.state.targets.values() if getattr(target, which) is ds]
    return call.page((show_target(call.state, target) for target in found), "controllerId:ASC")


def _post_set_metadata(call: Call) -> Answer:
    call.set().metadata |= {text(entry, "key"): text(entry, "value") for entry in call.entries()}
    return Answer(201)


def _get_set_metadata(call: Call) -> Answer:
    return call.page(({"key": k, "value": v} for k, v in call.set().metadata.items()), "key:ASC")


def _invalidate(call: Call) -> Answer:
    how = text(call.body(), "actionCancelationType")
    if how not in ("none", "soft", "force"):
        raise Refused(400, "unknown type of cancellation")
    ds = call.set()
    actions.invalidate(call.state, ds, how)
    rollouts.recall(call.state, ds.id, how)
    return Answer(204)


_M, _D = r"/softwaremodules/([^/]+)", r"/distributionsets/([^/]+)"
ROUTES: tuple[Route, ...] = (
    ("POST", "/softwaremodules", _post_modules),
    ("GET", "/softwaremodules", _get_modules),
    ("GET", _M, _get_module),
    ("DELETE", _M, _delete_module),
    ("POST", f"{_M}/metadata", _post_module_metadata),
    ("GET", f"{_M}/metadata", _get_module_metadata),
    ("POST", f"{_M}/artifacts", _post_artifact),
    ("GET", f"{_M}/artifacts", _get_artifacts),
    ("GET", rf"{_M}/artifacts/([^/]+)", _get_artifact),
    ("DELETE", rf"{_M}/artifacts/([^/]+)", _delete_artifact),
    ("POST", "/distributionsets", _post_sets),
    ("GET", "/distributionsets", _get_sets),
    ("GET", _D, _get_set),
    ("DELETE", _D, _delete_set),
    ("POST", f"{_D}/assignedTargets", _post_assigned),
    ("GET", f"{_D}/assignedTargets", lambda call: _get_targets_of("assigned", call)),
    ("GET", f"{_D}/installedTargets", lambda call: _get_targets_of("installed", call)),
    ("POST", f"{_D}/metadata", _post_set_metadata),
    ("GET", f"{_D}/metadata", _get_set_metadata),
    ("POST", f"{_D}/invalidate", _invalidate),
)
