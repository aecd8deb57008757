"""A part of hawkBit's Management API, enough to operate the development server and to test clients (``/rest/v1``)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from urllib.parse import unquote

from agent.demo import server_mgmt_rollouts, server_mgmt_software, server_mgmt_system, server_mgmt_targets
from agent.demo.server_http import Answer, Request
from agent.demo.server_mgmt_values import Call, Route
from agent.demo.server_state import State
from agent.demo.server_values import Refused

ROOT = "/rest/v1"
_ROUTES: tuple[Route, ...] = (
    *server_mgmt_system.ROUTES,
    *server_mgmt_targets.ROUTES,
    *server_mgmt_software.ROUTES,
    *server_mgmt_rollouts.ROUTES,
)


def check_login(request: Request, user: str, password: str) -> None:
    """Basic authentication (RFC 7617)."""
    scheme, _, value = request.header("authorization").partition(" ")
    try:
        given = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        given = b""
    if scheme.lower() != "basic" or not hmac.compare_digest(given, f"{user}:{password}".encode()):
        raise Refused(401)


def answer(state: State, request: Request, user: str = "admin") -> Answer:
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
                return handler(Call(state, request, [unquote(part) for part in found.groups()], user))
    raise Refused(405 if known else 404, "not part of this test double")
