"""``docs/dbus.md`` and the manual page ``org.otaagent.Agent1(5)``, from the introspection data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import agent
from agent.bus.access import GROUP
from agent.bus.interface import Argument, Interface, Method, read
from agent.bus.introspection import FREE
from agent.codes import CODES
from agent.daemon.dbus_names import BUS_NAME, ERROR_PREFIX, MANAGER, OBJECT_PATH, POLICY, UPDATE, error_name
from tools.manpage import roff

ACTION = "org.otaagent.agent1"
_READING = f"""\
busctl introspect {BUS_NAME} {OBJECT_PATH}
busctl get-property {BUS_NAME} {OBJECT_PATH} {MANAGER} State
busctl get-property {BUS_NAME} {OBJECT_PATH} {UPDATE} Available
busctl monitor --match "type='signal',sender='{BUS_NAME}'"
"""
_CALLING = f"""\
busctl call {BUS_NAME} {OBJECT_PATH} {MANAGER} Install s /data/update.raucb
busctl call {BUS_NAME} {OBJECT_PATH} {UPDATE} Postpone u 3600
busctl call {BUS_NAME} {OBJECT_PATH} {POLICY} Set sv AutoFunctionalityUpdates b true
"""
_SHELL = f"""\
gdbus call --system -d {BUS_NAME} -o {OBJECT_PATH} -m {UPDATE}.Approve ''
gdbus monitor --system -d {BUS_NAME} -o {OBJECT_PATH}
"""
_PYTHON = f"""\
from gi.repository import Gio, GLib

name, path, interface = "{BUS_NAME}", "{OBJECT_PATH}", "{UPDATE}"
bus = Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
update = Gio.DBusProxy.new_sync(bus, Gio.DBusProxyFlags.NONE, None, name, path, interface, None)
if update.get_cached_property("Available").unpack():
    update.call_sync("Postpone", GLib.Variant("(u)", (3600,)), Gio.DBusCallFlags.NONE, 5000, None)
"""
_RULE = f"""\
// /etc/polkit-1/rules.d/50-ota-agent.rules: the operators may do everything, everybody may ask the server
polkit.addRule(function (action, subject) {{
    if (action.id.indexOf("{ACTION}.") === 0 && subject.isInGroup("operators")) return polkit.Result.YES;
    if (action.id === "{ACTION}.check") return polkit.Result.YES;
}});
"""
_ABOUT = (
    "Everybody may read the properties and hear the signals, at any time, also while an update is installed. "
    "Changes of properties are announced by `PropertiesChanged`, unless it says otherwise. Methods return as soon as the "
    "request is accepted, unless it says otherwise; how it goes is told by properties and signals. "
    "Once released, a member keeps its signature for ever."
)
_ACCESS = (
    f"Whoever calls a method needs the polkit action that is named with it: `{ACTION}.ACTION`. "
    "The actions and who has them by default are in `org.otaagent.Agent1.policy`; rules of polkit change that. "
    "A person is asked for a password only if the call allows it (`busctl --allow-interactive-authorization=yes`). "
    f"Where there is no polkit, members of the group `{GROUP}` may call everything. "
    "Root may always. When it cannot be found out who calls, or polkit does not answer, the call is refused."
)
_ERRORS = (
    f"The name of an error is `{ERROR_PREFIX}.` followed by its code in capitals and small letters: "
    f"`policy.version-too-low` is `{error_name('policy.version-too-low')}`, "
    f"`internal.unexpected` is `{error_name('internal.unexpected')}`. "
    "The first line of the message is the text with the code in brackets; details follow, and a last line `next: ...` says "
    "what can be done about it. Arguments of the wrong type, and calls that are too large, are refused with errors of "
    "`org.freedesktop.DBus.Error`. Every method that needs an action can also be refused with `access.denied`, and with "
    "`access.busy` while too many requests of the same user wait for polkit. A text of more than 4096 characters is "
    "refused with `dbus.argument`."
)


def markdown(note: str) -> str:
    """The page for docs/."""
    parts = [
        f"# D-Bus interface\n\n{note}\n\nBus name `{BUS_NAME}`, object `{OBJECT_PATH}`, interfaces",
        ", ".join(f"[{each.short}](#{each.short.lower()})" for each in read()) + ".\n",
        f"{_ABOUT} [A client](dbus-client.md) of some sixty lines shows how a screen of the device does it.\n",
        f"## Examples\n\nReading, and following what happens:\n\n```\n{_READING}```\n\nAsking for something:\n",
        f"```\n{_CALLING}```\n\nThe same with GLib's tool:\n\n```\n{_SHELL}```\n\nIn Python:\n\n```python\n{_PYTHON}```\n",
        f"## Access\n\n{_ACCESS}\n\n```js\n{_RULE}```\n",
        *(_interface(each) for each in read()),
        f"## Errors\n\n{_ERRORS} [All codes](errors.md).\n",
    ]
    return "\n".join(parts)


def _interface(each: Interface) -> str:
    lines = [f"## {each.short}\n\n`{each.name}`: {each.doc}\n", "| Property | Type | Meaning |\n|---|---|---|"]
    lines += [f"| `{row.name}` | `{row.signature}` | {row.doc} |" for row in each.properties]
    if each.methods:
        lines.append("\n| Method | Takes | Gives | Action | Meaning | Errors |\n|---|---|---|---|---|---|")
        lines += [_method(row) for row in each.methods]
    if each.signals:
        lines.append("\n| Signal | Carries | Meaning |\n|---|---|---|")
        lines += [f"| `{row.name}` | {_arguments(row.carries)} | {row.doc} |" for row in each.signals]
    return "\n".join([*lines, ""])


def _method(row: Method) -> str:
    errors = ", ".join(f"`{code}`" for code in row.errors) or "none"
    action = "none: all may call it" if row.access == FREE else f"`{row.access}`"
    return f"| `{row.name}` | {_arguments(row.takes)} | {_arguments(row.gives)} | {action} | {row.doc} | {errors} |"


def _arguments(rows: Sequence[Argument]) -> str:
    return "; ".join(f"{row.name} `{row.signature}`: {row.doc}" for row in rows) or "nothing"


def manual() -> str:
    """The manual page, in the man macros of roff."""
    lines = [
        '.\\" Made by tools/gen_docs.py; change agent/bus/org.otaagent.Agent1.xml, not this page.',
        f'.TH {BUS_NAME.upper()} 5 "" "ota\\-agent {agent.__version__}" "File Formats"\n.nh\n.ad l',
        f".SH NAME\n{roff(f'{BUS_NAME} - the D-Bus interface of the update agent')}",
        f".SH SYNOPSIS\n.nf\n{roff(f'bus name    {BUS_NAME}')}\n{roff(f'object      {OBJECT_PATH}')}",
        *(roff(f"interface   {each.name}") for each in read()),
        f".fi\n.SH DESCRIPTION\n{_plain(_ABOUT)}",
    ]
    for each in read():
        lines += [f".SH THE INTERFACE {each.short.upper()}\n{_plain(each.doc)}", *_members(each)]
    lines += [f".SH ACCESS\n{_plain(_ACCESS)}\n{_typed(_RULE)}", f".SH ERRORS\n{_plain(_ERRORS)}"]
    codes = sorted({code for each in read() for row in each.methods for code in row.errors})
    lines += [
        f".TP\n.B {roff(error_name(code).removeprefix(ERROR_PREFIX + '.'))}\n{_plain(CODES[code][1])}."
        for code in codes
    ]
    lines += [f".SH EXAMPLES\n{_typed(_READING)}\n{_typed(_CALLING)}\n{_typed(_SHELL)}"]
    lines += [".SH SEE ALSO\n.BR ota\\-agent (1),\n.BR busctl (1),\n.BR gdbus (1),\n.BR polkit (8)"]
    return "\n".join(lines) + "\n"


def _members(each: Interface) -> Iterator[str]:
    yield ".SS Properties"
    for row in each.properties:
        yield f'.TP\n.BR {roff(row.name)} " {roff(row.signature)}"\n{_plain(row.doc)}'
    if each.methods:
        yield ".SS Methods"
    for method in each.methods:
        given = f" \\(-> {_signature(method.gives)}" if method.gives else ""
        yield f'.TP\n.BR {roff(method.name)} "({_signature(method.takes)}){given}"\n{_plain(method.doc)}'
        yield from _explained((*method.takes, *method.gives))
        needs = "Everybody may call it." if method.access == FREE else f"Action: {ACTION}.{method.access}."
        yield f".br\n{_plain(needs)}"
        if method.errors:
            yield f".br\n{_plain('Errors: ' + ', '.join(method.errors) + '.')}"
    if each.signals:
        yield ".SS Signals"
    for signal in each.signals:
        yield f'.TP\n.BR {roff(signal.name)} "({_signature(signal.carries)})"\n{_plain(signal.doc)}'
        yield from _explained(signal.carries)


def _signature(rows: Sequence[Argument]) -> str:
    return ", ".join(f"{roff(row.signature)} {roff(row.name)}" for row in rows)


def _explained(rows: Sequence[Argument]) -> Iterator[str]:
    for row in rows:
        yield f".br\n.I {roff(row.name)}:\n{_plain(row.doc)}"


def _plain(text: str) -> str:
    return roff(text.replace("`", ""))


def _typed(text: str) -> str:
    return "\n".join([".PP\n.RS 4\n.EX", *map(roff, text.splitlines()), ".EE\n.RE"])
