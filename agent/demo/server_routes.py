"""Which DDI request means what (``/{tenant}/controller/v1/{controllerId}/...``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from agent.demo import server_actions as actions
from agent.demo import server_confirmation as confirmation
from agent.demo import server_ddi as ddi
from agent.demo import server_feedback as feedback
from agent.demo.server_body import json_object
from agent.demo.server_http import HAL, JSON, Answer, FileAnswer, Request, as_json
from agent.demo.server_identity import check_device
from agent.demo.server_state import State
from agent.demo.server_values import SERVER, Action, Refused, Target, now_ms

_BASE = re.compile(r"/([^/]+)/controller/v1/([^/]+)(/.*)?")
_FIREWALL = re.compile(r"//|[;\\]|%(?:2f|5c|3b|25|00)", re.IGNORECASE)  # what Spring's StrictHttpFirewall rejects
_AUTO = {"activateAutoConfirm": True, "deactivateAutoConfirm": False}
_FALLBACK_REMARK = "Initiated using the Device Direct Integration API without providing a remark."


@dataclass(frozen=True, slots=True)
class Rules:
    """How the server is set up for devices."""

    tenant: str = "DEFAULT"


@dataclass(frozen=True, slots=True)
class _Call:
    """A request of a device that has been let in; ``root`` is its own address."""

    state: State
    request: Request
    controller_id: str
    root: str

    @property
    def target(self) -> Target:
        return self.state.find_target(self.controller_id)

    def action(self, action_id: str) -> Action:
        return self.state.find_action(action_id, self.target.controller_id)

    def only(self, *methods: str) -> None:
        if self.request.method not in methods:
            raise Refused(405, "method not allowed")

    def needs_json(self) -> None:
        if self.request.header("content-type").split(";")[0].strip().lower() != JSON:
            raise Refused(415, "the body must be application/json")


def is_ddi(path: str) -> bool:
    """Whether a path belongs to the device interface."""
    return _BASE.fullmatch(path) is not None


def answer(state: State, rules: Rules, request: Request) -> Answer | FileAnswer:
    """Does what a device asks.

    Raises:
        Refused: with the status that hawkBit answers.
    """
    if _FIREWALL.search(request.path):
        raise Refused(400, "the address is rejected")
    found = _BASE.fullmatch(request.path)
    if found is None or found[1].upper() != rules.tenant.upper():
        raise Refused(404, "no such tenant")
    controller_id = unquote(found[2])
    check_device(state, request, controller_id)
    root = f"{request.root}/{found[1]}/controller/v1/{found[2]}"
    call = _Call(state, request, controller_id, root)
    rest = found[3] or ""
    if rest == "":
        call.only("GET", "HEAD")
        return _as_document(request, ddi.base_document(state, _polled(call), root))
    if rest == "/configData":
        call.only("PUT")
        call.needs_json()
        ddi.put_attributes(call.target, request.body)
        return Answer()
    if part := re.fullmatch(r"/softwaremodules/([^/]+)/artifacts(?:/([^/]+))?", rest):
        call.only("GET", "HEAD")
        return _artifacts(call, part[1], unquote(part[2]) if part[2] else None)
    if rest == "/installedBase":
        return _put_installed(call)
    if rest == "/confirmationBase":
        call.only("GET", "HEAD")
        return _as_document(request, ddi.confirmation_document(state, _polled(call), root))
    if part := re.fullmatch(r"/confirmationBase/((?:de)?activateAutoConfirm)", rest):
        return _auto_confirm(call, _AUTO[part[1]])
    if part := re.fullmatch(r"/(deploymentBase|cancelAction|confirmationBase)/([^/]+)/feedback", rest):
        return _feedback(call, part[1], part[2])
    if part := re.fullmatch(r"/(deploymentBase|cancelAction|installedBase|confirmationBase)/([^/]+)", rest):
        return _action(call, part[1], part[2])
    raise Refused(404, "no such resource")


def _as_document(request: Request, document: object) -> Answer:
    wanted = [part.split(";")[0].strip().lower() for part in request.header("accept").split(",")]
    for kind in wanted:
        if kind in ("", "*/*", "application/*", HAL):
            return as_json(document, hal=True, cacheable=True)
        if kind == JSON:
            return as_json(document, cacheable=True)
    raise Refused(406, "only JSON can be had")


def _polled(call: _Call) -> Target:
    """A device that is not known becomes known by its poll, if its credentials do not need a known one ("plug and play")."""
    target = call.state.targets.get(call.controller_id)
    if target is None:
        target = call.state.add_target(call.controller_id)
        target.description = f"Plug and Play target: {call.controller_id}"
    target.polls += 1
    target.polled_at = now_ms()
    target.address = call.request.client or target.address
    if target.update_status == "UNKNOWN":
        target.update_status = "REGISTERED"
    return target


def _feedback(call: _Call, resource: str, action_id: str) -> Answer:
    call.only("POST")
    call.needs_json()
    if resource == "confirmationBase":
        answered = confirmation.parse_answer(call.request.body)
        confirmation.take_answer(call.state, call.action(action_id), answered)
        return Answer()
    status = feedback.parse_status(call.request.body)
    take = feedback.deployment_feedback if resource == "deploymentBase" else feedback.cancel_feedback
    take(call.state, call.action(action_id), status)
    return Answer()


def _auto_confirm(call: _Call, on: bool) -> Answer:
    call.only("POST")
    if not on:
        confirmation.deactivate(call.target)
        return Answer()
    initiator, remark = None, _FALLBACK_REMARK
    if call.request.body:
        call.needs_json()
        document = json_object(call.request.body)
        initiator = confirmation.optional_text(document, "initiator")
        remark = confirmation.optional_text(document, "remark") or ""
    confirmation.activate(call.state, call.target, initiator, remark or None, call.controller_id)
    return Answer()


def _put_installed(call: _Call) -> Answer:
    call.only("PUT")
    call.needs_json()
    document = json_object(call.request.body)
    name, version = document.get("name"), document.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise Refused(400, "name or version is missing")
    target = call.target
    for ds in call.state.sets.values():
        if (ds.name, ds.version, ds.deleted) == (name, version, False):
            made = actions.report_installed(call.state, target.controller_id, ds, target.controller_id)
            return Answer(200 if made is None else 201)
    raise Refused(404, "unknown distribution set", "hawkbit.server.error.repo.entityNotFound")


def _action(call: _Call, resource: str, action_id: str) -> Answer:
    call.only("GET", "HEAD")
    state, action = call.state, call.action(action_id)
    if resource == "cancelAction":
        return _as_document(call.request, ddi.read_cancel(state, action))
    try:
        history = int(call.request.query.get("actionHistory", "0"))
    except ValueError as error:
        raise Refused(400, "actionHistory is no number") from error
    if resource == "installedBase":
        return _as_document(call.request, ddi.action_document(ddi.read_installed(action), call.root, history))
    if resource == "confirmationBase":
        shown = ddi.read_confirmation(state, action)
        return _as_document(call.request, ddi.action_document(shown, call.root, history, "confirmation"))
    shown = ddi.read_deployment(state, action)
    document = ddi.action_document(shown, call.root, history)
    actions.retrieved(state, action, "Target retrieved update action and should start now the download.")
    return _as_document(call.request, document)


def _artifacts(call: _Call, module_id: str, filename: str | None) -> Answer | FileAnswer:
    state, request = call.state, call.request
    controller_id = call.target.controller_id
    if filename is None:
        module = ddi.module_of(state, controller_id, module_id)
        return _as_document(request, ddi.artifact_list(module, call.root))
    checksum = filename.endswith(".MD5SUM")
    artifact = ddi.find_artifact(state, module_id, filename.removesuffix(".MD5SUM"))
    match = request.header("if-match")
    if match and not checksum and not {"*", artifact.sha1} & {part.strip() for part in match.split(",")}:
        raise Refused(412)  # hawkBit compares the digest without the quotes that an entity tag has
    action = ddi.download_action(state, controller_id, module_id)
    if checksum or not request.header("range"):
        message = f"{SERVER}Target downloads {request.path}"
        state.check_quota(action, "DOWNLOAD", (message,))
        state.record(action, "DOWNLOAD", (message,))
    if checksum:
        disposition = {"Content-Disposition": f"attachment;filename={filename}"}
        return Answer(200, f"{artifact.md5}  {artifact.filename}".encode(), "text/plain", disposition)
    return FileAnswer(artifact.path, artifact.size, artifact.sha1, artifact.filename, artifact.created // 1000)
