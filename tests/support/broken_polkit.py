"""Somebody with polkit's name who does not do its work: ``python -m support.broken_polkit ADDRESS HOW``.

How: ``silent``, ``refusing``, or with ``nonsense``.
"""

from __future__ import annotations

import sys
from typing import Any

from gi.repository import Gio, GLib

from support.bus import connect
from support.dbus_server import say

XML = """<node><interface name="org.freedesktop.PolicyKit1.Authority"><method name="CheckAuthorization">
<arg type="(sa{sv})" direction="in"/><arg type="s" direction="in"/><arg type="a{ss}" direction="in"/>
<arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="v" direction="out"/>
</method></interface></node>"""
HOW = sys.argv[2] if len(sys.argv) > 2 else ""


def answer(_c: object, _s: object, _p: object, _i: object, _method: str, _values: Any, call: Any) -> None:
    if HOW == "refusing":
        call.return_dbus_error("org.freedesktop.PolicyKit1.Error.Failed", "cannot read the rules")
    elif HOW == "nonsense":
        call.return_value(GLib.Variant("(v)", (GLib.Variant("b", True),)))


def main() -> int:
    connection = connect(sys.argv[1])
    info = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]
    connection.register_object("/org/freedesktop/PolicyKit1/Authority", info, answer, None, None)
    Gio.bus_own_name_on_connection(
        connection, "org.freedesktop.PolicyKit1", Gio.BusNameOwnerFlags.NONE, lambda *_: say("ready"), None
    )
    GLib.MainLoop().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
