"""The D-Bus interface as a table: names, properties, methods, signals, error names. Pure; shared with the command line.

The introspection data, the service, the client and ``docs/dbus.md`` all come from here. Once released, a member keeps its
signature for ever; new facts get new members.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

BUS_NAME = "org.otaagent.Agent1"
OBJECT_PATH = "/org/otaagent/Agent1"
MANAGER = "org.otaagent.Agent1.Manager"
ERROR_PREFIX = "org.otaagent.Agent1.Error"
MAX_TEXT = 4096  # characters of a text argument or property; PATH_MAX

_CODE = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*")
# The two codes that have had a plain D-Bus name from the beginning.
_PLAIN = {"access.denied": "AccessDenied", "internal.unexpected": "Internal"}


@dataclass(frozen=True, slots=True)
class Property:
    """A readable property; ``initial`` also shows the shape of its value."""

    name: str
    signature: str
    initial: object
    help: str


@dataclass(frozen=True, slots=True)
class Member:
    """A method (its arguments go in) or a signal (they go out): names and signatures."""

    name: str
    arguments: tuple[tuple[str, str], ...]
    help: str


PROPERTIES: tuple[Property, ...] = (
    Property("State", "s", "idle", "What the agent is doing: a state of the update's life."),
    Property("Progress", "(dsx)", (0.0, "", 0), "Done part from 0 to 1, what is being done, bytes so far."),
    Property("CurrentVersion", "s", "", "Version of the running system."),
    Property("TargetVersion", "s", "", "Version of the update under way."),
    Property("Slot", "s", "", "Boot name of the running slot."),
    Property("Rescue", "b", False, "Whether the rescue system is running, because no slot boots."),
    Property("TargetSlot", "s", "", "Boot name of the slot that the update goes to."),
    Property(
        "LastError", "(sss)", ("", "", ""), "Code, text and advice of the last problem; empty when there is none."
    ),
    Property("ServerState", "s", "none", "How the last contact with the server went."),
    Property("LastCheck", "x", 0, "When the server was last asked, in seconds since 1970; 0: not yet."),
    Property("NextCheck", "x", 0, "When the server will be asked next, in seconds since 1970; 0: not planned."),
    Property("LastResult", "(ssss)", ("", "", "", ""), "Outcome, version, code and text of the last update."),
    Property(
        "Slots",
        "a{sa{ss}}",
        {},
        "What is known of each slot, by name; keys as in RAUC's status file, such as `status` and `bundle.version`.",
    ),
    Property(
        "LastScrub",
        "(xsa(sss))",
        (0, "none", []),
        "The last scrub: its number, whether it is `running` or `done`, and slot, result and text for each slot.",
    ),
    Property(
        "Offer",
        "a{ss}",
        {},
        "What the server offers, in its own words: `action`, `version`, `file`, `size`, `download`, `update`, `window`, and "
        "`metadata.KEY` for each; `consent` is `wanted` while somebody must approve it, and then `confirmed` or `denied`.",
    ),
    Property(
        "Media",
        "a(ssss)",
        [],
        "What is plugged in, where it is looked for: device, path of a bundle on it or nothing, state and text.",
    ),
    Property("BootId", "s", "", "Id of this boot; it changes with each boot."),
)

METHODS: tuple[Member, ...] = (
    Member("Check", (), "Asks the server now; `CheckTooSoon` tells when that is possible again."),
    Member("Install", (("path", "s"),), "Installs the bundle in a local file; returns when the work is accepted."),
    Member("Cancel", (), "Gives up the update under way, as long as that is still possible; or the scrub."),
    Member(
        "Approve",
        (("action", "s"),),
        "Lets the offered action begin, which waits for consent; an empty text means whichever it is.",
    ),
    Member(
        "Deny",
        (("action", "s"), ("reason", "s")),
        "Does not let it begin. The server is told the reason, and the device does not ask again; `Approve` still works. "
        "An update that still waits, for its window say, ends as a failure.",
    ),
    Member(
        "Scrub",
        (("slot", "s"),),
        "Reads slots that do not run back, and compares them with what was installed: one slot, one boot name, or all "
        "with an empty text. Only while no update is under way.",
    ),
)

SIGNALS: tuple[Member, ...] = (
    Member(
        "Finished", (("outcome", "s"), ("version", "s"), ("code", "s")), "An update ended; `code` says why it failed."
    ),
)

SIGNATURES: Mapping[str, str] = {row.name: row.signature for row in PROPERTIES}


def introspection() -> str:
    """The interface as D-Bus introspection XML."""
    lines = [f'<node><interface name="{MANAGER}">']
    for method in METHODS:
        arguments = "".join(f'<arg name="{name}" type="{kind}" direction="in"/>' for name, kind in method.arguments)
        lines.append(f'<method name="{method.name}">{arguments}</method>')
    for signal in SIGNALS:
        arguments = "".join(f'<arg name="{name}" type="{kind}"/>' for name, kind in signal.arguments)
        lines.append(f'<signal name="{signal.name}">{arguments}</signal>')
    for row in PROPERTIES:
        changes = "const" if row.name == "BootId" else "true"
        lines.append(
            f'<property name="{row.name}" type="{row.signature}" access="read">'
            f'<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="{changes}"/></property>'
        )
    lines.append("</interface></node>")
    return "\n".join(lines)


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
