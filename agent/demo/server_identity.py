"""Who a device is: by the headers of a proxy, by its certificate, by its own token, or by the gateway's."""

from __future__ import annotations

import hmac

from agent.demo import server_config as config
from agent.demo.server_http import Request
from agent.demo.server_state import State
from agent.demo.server_values import Refused


def check_device(state: State, request: Request, controller_id: str) -> None:
    """Refuses with an empty 401 what has no way in. hawkBit tries the headers first, then the two kinds of token."""
    if state.config.flag(config.BY_HEADER) and _by_authority(state, request, controller_id):
        return
    scheme, _, token = request.header("authorization").partition(" ")
    token = token.strip()
    target = state.targets.get(controller_id)
    expected = ""
    if scheme == "TargetToken" and state.config.flag(config.BY_TARGET) and target is not None:
        expected = target.token
    elif scheme == "GatewayToken" and state.config.flag(config.BY_GATEWAY):
        expected = state.config.text(config.GATEWAY_KEY)
    if not expected or not hmac.compare_digest(token.encode(), expected.encode()):
        raise Refused(401)


def _by_authority(state: State, request: Request, controller_id: str) -> bool:
    if request.peer is not None:
        name, given = request.peer.name, [request.peer.issuer]
    else:
        name = request.header("x-controller-id")
        given = request.header("x-authority").split(",")
        numbered = sorted(header for header in request.headers if header.startswith("x-authority-"))
        given += [request.headers[header] for header in numbered]
    known = {text.strip().lower() for text in state.config.text(config.AUTHORITY).split(",")} - {"", "false"}
    return name == controller_id and any(text.strip().lower() in known for text in given)
