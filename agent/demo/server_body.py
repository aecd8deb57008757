"""Reads bodies of requests as strictly as hawkBit does, and as leniently: unknown fields are ignored, one value is a list."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.demo.server_values import Refused


def json_object(data: bytes) -> Mapping[str, object]:
    """The object in a body; 400 for anything else."""
    document = json_value(data)
    if not isinstance(document, dict):
        raise Refused(400, "the body is no object", "hawkbit.server.error.rest.body.notReadable")
    return document


def json_value(data: bytes) -> object:
    """The JSON value in a body; 400 without one."""
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is no JSON", "hawkbit.server.error.rest.body.notReadable") from error
    return value


def code_of(parent: Mapping[str, object], key: str) -> int | None:
    """A whole number, or None."""
    value = parent.get(key)
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise Refused(400, f"{key} is no number", "hawkbit.server.error.rest.body.notReadable")
    return value


def details_of(parent: Mapping[str, object]) -> tuple[str, ...]:
    """The ``details`` of a message."""
    details = parent.get("details") or []
    return tuple(str(line) for line in (details if isinstance(details, list) else [details]) if line is not None)
