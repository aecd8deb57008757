"""Which DDI request means what (``/{tenant}/controller/v1/{controllerId}/...``)."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from agent.demo import server_ddi as ddi
from agent.demo.server_http import JSON, Answer, FileAnswer, Request, as_json
from agent.demo.server_state import Refused, State, Target

_BASE = re.compile(r"/([^/]+)/controller/v1/([^/]+)(/.*)?")


@dataclass(frozen=True, slots=True)
class Rules:
    """How the server is set up for devices."""

    tenant: str
    gateway_token: str
    sleep: str


def is_ddi(path: str) -> bool:
    """Whether a path belongs to the device interface."""
    return _BASE.fullmatch(path) is not None


def answer(state: State, rules: Rules, request: Request) -> Answer | FileAnswer:
    """Does what a device asks.

    Raises:
        Refused: with the status that hawkBit answers.
    """
    found = _BASE.fullmatch(request.path)
    if found is None or found[1].upper() != rules.tenant.upper():
        raise Refused(404, "no such tenant")
    controller_id = found[2]
    target = _authenticate(state, rules, controller_id, request.header("authorization"))
    rest = found[3] or ""
    root = f"{request.root}/{found[1]}/controller/v1/{controller_id}"
    if rest == "":
        _only(request, "GET", "HEAD")
        target.polls += 1
        if target.update_status == "UNKNOWN":
            target.update_status = "REGISTERED"
        return as_json(ddi.base_document(state, target, root, rules.sleep), hal=True, cacheable=True)
    if rest == "/configData":
        _only(request, "PUT")
        _needs_json(request)
        ddi.put_attributes(target, request.body)
        return Answer()
    if part := re.fullmatch(r"/softwaremodules/([^/]+)/artifacts(?:/([^/]+))?", rest):
        _only(request, "GET", "HEAD")
        return _artifacts(state, request, controller_id, root, part[1], part[2])
    if part := re.fullmatch(r"/(deploymentBase|cancelAction|installedBase)/([^/]+)(/feedback)?", rest):
        return _action(state, request, controller_id, root, part[1], part[2], bool(part[3]))
    raise Refused(404, "no such resource")


def _authenticate(state: State, rules: Rules, controller_id: str, header: str) -> Target:
    """Target tokens need a known target; the gateway token makes an unknown one known ("plug and play")."""
    scheme, _, token = header.partition(" ")
    target = state.targets.get(controller_id)
    if scheme == "TargetToken" and target is not None and hmac.compare_digest(token.encode(), target.token.encode()):
        return target
    gateway = rules.gateway_token.encode()
    if scheme == "GatewayToken" and gateway and hmac.compare_digest(token.encode(), gateway):
        return target or state.add_target(controller_id)
    raise Refused(401)


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Refused(405, "method not allowed")


def _needs_json(request: Request) -> None:
    if request.header("content-type").split(";")[0].strip().lower() != JSON:
        raise Refused(415, "the body must be application/json")


def _action(
    state: State, request: Request, controller_id: str, root: str, resource: str, action_id: str, feedback: bool
) -> Answer:
    if feedback:
        _only(request, "POST")
        if resource == "installedBase":
            raise Refused(404, "no such resource")
        _needs_json(request)
        status = ddi.parse_status(request.body)
        take = ddi.deployment_feedback if resource == "deploymentBase" else ddi.cancel_feedback
        take(state, controller_id, action_id, status)
        return Answer()
    _only(request, "GET", "HEAD")
    if resource == "cancelAction":
        return as_json(ddi.read_cancel(state, controller_id, action_id), hal=True, cacheable=True)
    try:
        history = int(request.query.get("actionHistory", "0"))
    except ValueError as error:
        raise Refused(400, "actionHistory is no number") from error
    read = ddi.read_deployment if resource == "deploymentBase" else ddi.read_installed
    action = read(state, controller_id, action_id)
    return as_json(ddi.deployment_document(action, root, history), hal=True, cacheable=True)


def _artifacts(
    state: State, request: Request, controller_id: str, root: str, module_id: str, filename: str | None
) -> Answer | FileAnswer:
    if filename is None:
        module = ddi.module_of(state, controller_id, module_id)
        return as_json(ddi.artifact_list(module, root), cacheable=True)
    checksum = filename.endswith(".MD5SUM")
    action, artifact = ddi.find_artifact(state, controller_id, module_id, filename.removesuffix(".MD5SUM"))
    if checksum:
        return Answer(200, f"{artifact.md5}  {artifact.filename}\n".encode(), "text/plain")
    if request.method == "GET" and not request.header("range"):
        state.record(action, "DOWNLOAD", (f"Update Server: Target downloads {artifact.filename}",))
    return FileAnswer(artifact.path, artifact.size, artifact.sha1, artifact.filename)
