"""The Management API's tenant configuration."""

from __future__ import annotations

from agent.demo.server_config import DEFAULTS, FIXED, GATEWAY_KEY
from agent.demo.server_http import Answer, as_json
from agent.demo.server_mgmt_values import Call, Fields, Route
from agent.demo.server_values import Refused


def _show(call: Call, key: str) -> Fields:
    return {"value": call.state.config.get(key), "global": not call.state.config.is_set(key)}


def _get_all(call: Call) -> Answer:
    return as_json({key: _show(call, key) for key in sorted([*DEFAULTS, *FIXED]) if key != GATEWAY_KEY})


def _get(call: Call) -> Answer:
    return as_json(_show(call, call.names[0]))


def _put(call: Call) -> Answer:
    body = call.body()
    if "value" not in body:
        raise Refused(400, "value is missing")
    call.state.config.set(call.names[0], body["value"])
    return Answer(204)


def _put_all(call: Call) -> Answer:
    config, body = call.state.config, call.body()
    before = {key: (config.is_set(key), config.get(key)) for key in body}
    try:
        for key, value in body.items():
            config.set(key, value)
    except Refused:
        for key, (was_set, value) in before.items():
            if was_set:
                config.set(key, value)
            else:
                config.reset(key)
        raise
    return Answer(204)


def _delete(call: Call) -> Answer:
    call.state.config.reset(call.names[0])
    return Answer(204)


ROUTES: tuple[Route, ...] = (
    ("GET", r"/system/configs/?", _get_all),
    ("PUT", r"/system/configs/?", _put_all),
    ("GET", r"/system/configs/([^/]+)", _get),
    ("PUT", r"/system/configs/([^/]+)", _put),
    ("DELETE", r"/system/configs/([^/]+)", _delete),
)
