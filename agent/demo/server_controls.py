"""The knobs of the development server over HTTP (``/faults``), for tests in other processes; operators only.

=========================  ==========================================================================================
``GET /faults``            the faults in store
``POST /faults``           adds one; the fields of ``server_faults.Fault`` as JSON
``DELETE /faults``         the server behaves well again
``PUT /faults/limits``     ``maxEntries``, ``quotaStatus`` (403 up to hawkBit 0.9), ``leastPolling``, ``mostPolling`` (s)
``PUT /faults/window``     ``action``, ``window``: ``available`` or ``unavailable``, whatever the schedule says
``PUT /faults/tls``        ``variant``: which certificate is shown (``server_tls.make_variants``), or ``old``
``GET /faults/requests``   what devices have asked, without their credentials; ``?path=`` chooses
=========================  ==========================================================================================
"""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.demo import server_routes
from agent.demo.server_body import json_object
from agent.demo.server_faults import Fault
from agent.demo.server_http import Answer, Request, as_json
from agent.demo.server_values import Refused

if TYPE_CHECKING:
    from agent.demo.server import DevServer

ROOT = "/faults"
_SECRET = ("authorization", "cookie", "proxy-authorization")
_NUMBERS = {"drop_after": int, "stall_after": int, "bytes_per_second": int, "flip_at": int}


def answer(server: DevServer, request: Request) -> Answer:
    """Turns a knob.

    Raises:
        Refused: 400 for what there is not, 404 for an unknown path.
    """
    match request.method, request.path.removeprefix(ROOT).strip("/"):
        case "GET", "":
            return as_json([_shown(fault, times) for fault, times in server.faults.waiting()])
        case "POST", "":
            server.faults.add(_fault(request.body))
        case "DELETE", "":
            server.faults.clear()
        case "PUT", "limits":
            _limit(server, request.body)
        case "PUT", "window":
            _open_window(server, request.body)
        case "PUT", "tls":
            try:
                server.present(str(json_object(request.body).get("variant")))
            except ValueError as error:
                raise Refused(400, str(error)) from error
        case "GET", "requests":
            asked = server.requests(request.query.get("path", ""))
            found = [seen for seen in asked if server_routes.is_ddi(urlsplit(seen.path).path)]
            return as_json([_seen(seen.method, seen.path, seen.status, seen.sent, seen.headers) for seen in found])
        case _:
            raise Refused(404, "no such knob")
    return Answer(204)


def _shown(fault: Fault, times: int) -> dict[str, object]:
    body = fault.body.decode("utf-8", "replace")
    return {**asdict(fault), "headers": dict(fault.headers), "body": body, "times": times}


def _fault(data: bytes) -> Fault:
    given = dict(json_object(data))
    wrong = Refused(400, "no such fault")
    kept: dict[str, Any] = {}
    for field in fields(Fault):
        if field.name not in given:
            continue
        value = given.pop(field.name)
        usual = getattr(Fault(), field.name)
        kind = _NUMBERS.get(field.name, type(usual))
        if field.name == "body" and isinstance(value, str):
            value = value.encode()
        elif field.name == "headers" and isinstance(value, dict):
            value = {str(key): str(text) for key, text in value.items()}
        elif kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:
            raise wrong
        kept[field.name] = value
    if given:
        raise Refused(400, f"unknown fields: {', '.join(sorted(given))}")
    try:
        re.compile(kept.get("path", ""))
    except re.error as error:
        raise wrong from error
    return Fault(**kept)


def _limit(server: DevServer, data: bytes) -> None:
    given = json_object(data)
    known = {"maxEntries", "quotaStatus", "leastPolling", "mostPolling"}
    if not set(given) <= known or not all(type(value) is int for value in given.values()):
        raise Refused(400, f"the limits are {', '.join(sorted(known))}, all whole numbers")
    state, limits = server.state, {key: value for key, value in given.items() if isinstance(value, int)}
    state.max_entries = limits.get("maxEntries", state.max_entries)
    state.quota_status = limits.get("quotaStatus", state.quota_status)
    state.config.least_polling = limits.get("leastPolling", state.config.least_polling)
    state.config.most_polling = limits.get("mostPolling", state.config.most_polling)


def _open_window(server: DevServer, data: bytes) -> None:
    given = json_object(data)
    if given.get("window") not in ("available", "unavailable"):
        raise Refused(400, "a window is available or unavailable")
    server.set_window(str(given.get("action")), str(given["window"]))


def _seen(method: str, path: str, status: int, sent: int, headers: object) -> dict[str, object]:
    shown = dict(headers) if isinstance(headers, dict) else {}
    hidden = {name: "..." if name in _SECRET else value for name, value in shown.items()}
    return {"method": method, "path": path, "status": status, "sent": sent, "headers": hidden}
