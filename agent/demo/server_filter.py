"""A part of RSQL, the language in which an operator names targets (``controllerId==dev*;attribute.hw==a``).

``==``, ``!=``, ``=in=`` and ``=out=``; ``;`` or ``and`` binds tighter than ``,`` or ``or``; parentheses. ``*`` stands for
anything, and capitals do not matter. Other operators and fields are refused with 400, not ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.demo.server_values import Refused, Target

Match = Callable[[Target], bool]
_TOKEN = re.compile(
    r"""\s*(?: (?P<open>\() | (?P<close>\)) | (?P<join>;|,|\b(?:and|or)\b)
    | (?P<field>[A-Za-z][\w.\-]*) \s* (?P<operator>==|!=|=[a-z]+=|[<>]=?) \s*
      (?P<value>\([^()]*\)|'[^']*'|"[^"]*"|[^\s'"(),;]+) )""",
    re.VERBOSE | re.IGNORECASE,
)
_FIELDS: dict[str, Callable[[Target], str]] = {
    "id": lambda target: target.controller_id,
    "controllerid": lambda target: target.controller_id,
    "name": lambda target: target.name or target.controller_id,
    "description": lambda target: target.description,
    "group": lambda target: target.group,
    "updatestatus": lambda target: target.update_status,
}
_MAPS: dict[str, Callable[[Target], dict[str, str]]] = {
    "attribute": lambda target: target.attributes,
    "controllerattributes": lambda target: target.attributes,  # as hawkBit's documentation has it
    "metadata": lambda target: target.metadata,
}


def parse_filter(query: str) -> Match:
    """A test of targets; 400 for what is not understood."""
    tokens: list[re.Match[str]] = []
    position = 0
    while position < len(query.rstrip()):
        found = _TOKEN.match(query, position)
        if found is None:
            raise _refused(query)
        tokens.append(found)
        position = found.end()
    match = _any(tokens, query)
    if tokens:
        raise _refused(query)
    return match


def _refused(query: str) -> Refused:
    code = "hawkbit.server.error.rest.param.rsqlParamSyntax"
    return Refused(400, f"the query cannot be understood, or is not part of this test double: {query}", code)


def _any(tokens: list[re.Match[str]], query: str) -> Match:
    parts = [_all(tokens, query)]
    while tokens and (tokens[0]["join"] or "").lower() in (",", "or"):
        tokens.pop(0)
        parts.append(_all(tokens, query))
    return lambda target: any(part(target) for part in parts)


def _all(tokens: list[re.Match[str]], query: str) -> Match:
    parts = [_one(tokens, query)]
    while tokens and (tokens[0]["join"] or "").lower() in (";", "and"):
        tokens.pop(0)
        parts.append(_one(tokens, query))
    return lambda target: all(part(target) for part in parts)


def _one(tokens: list[re.Match[str]], query: str) -> Match:
    if not tokens:
        raise _refused(query)
    token = tokens.pop(0)
    if token["open"]:
        inner = _any(tokens, query)
        if not tokens or not tokens.pop(0)["close"]:
            raise _refused(query)
        return inner
    if not token["field"]:
        raise _refused(query)
    return _comparison(token["field"], token["operator"].lower(), token["value"], query)


def _comparison(field: str, operator: str, value: str, query: str) -> Match:
    listed = value.startswith("(")
    if operator not in (("=in=", "=out=") if listed else ("==", "!=")):
        raise _refused(query)
    values = value[1:-1].split(",") if listed else [value]
    patterns = [_pattern(text.strip().strip("'\"")) for text in values]
    negative = operator in ("!=", "=out=")
    name, dot, key = field.partition(".")
    if dot and name.lower() in _MAPS:
        if negative:  # whether a target without the key counts is not the same in all versions of hawkBit
            raise _refused(query)
        pairs = _MAPS[name.lower()]
        return lambda target: key in pairs(target) and any(p.fullmatch(pairs(target)[key]) for p in patterns)
    read = _FIELDS.get(field.lower())
    if read is None:
        raise Refused(400, f"unknown field {field}", "hawkbit.server.error.rest.param.rsqlInvalidField")
    return lambda target: any(pattern.fullmatch(read(target)) for pattern in patterns) != negative


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.IGNORECASE | re.DOTALL)
