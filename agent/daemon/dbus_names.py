"""The names on the bus that are no members: ours, and those of errors. Pure; shared with the command line.

The members are in ``agent/bus/org.otaagent.Agent1.xml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

BUS_NAME = "org.otaagent.Agent1"
OBJECT_PATH = "/org/otaagent/Agent1"
MANAGER, UPDATE, POLICY, AUDIT = (f"{BUS_NAME}.{each}" for each in ("Manager", "Update", "Policy", "Audit"))
ERROR_PREFIX = "org.otaagent.Agent1.Error"
MAX_TEXT = 4096  # characters of a text argument or property; PATH_MAX

_CODE = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*")
# The two codes that have had a plain D-Bus name from the beginning.
_PLAIN = {"access.denied": "AccessDenied", "internal.unexpected": "Internal"}


def error_name(code: str) -> str:
    """The D-Bus name of an error code: ``policy.version-too-low`` is ``...Error.PolicyVersionTooLow``."""
    if not _CODE.fullmatch(code) or len(code) > 80:
        code = "internal.unexpected"
    plain = _PLAIN.get(code) or "".join(part.capitalize() for part in re.split(r"[.-]", code))
    return f"{ERROR_PREFIX}.{plain}"


def error_message(parts: Mapping[str, object]) -> str:
    """The text of a D-Bus error, readable as it is, from what ``errors.explain`` returns."""
    lines = [f"{parts.get('brief')} [{parts.get('code')}]", str(parts.get("details") or "")]
    if parts.get("resolution"):
        lines.append(f"next: {parts['resolution']}")
    return "\n".join(line for line in lines if line)


def parse_error_message(text: str) -> dict[str, object] | None:
    """Takes ``error_message`` apart again; None when it is not one of ours."""
    first, _, rest = text.partition("\n")
    match = re.fullmatch(r"(.*) \[([a-z0-9.-]{1,80})\]", first)
    if match is None:
        return None
    lines = rest.splitlines()
    resolution = lines.pop().removeprefix("next: ") if lines and lines[-1].startswith("next: ") else ""
    return {"code": match[2], "brief": match[1], "details": "\n".join(lines), "resolution": resolution}
