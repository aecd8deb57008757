"""A service for tests of outgoing calls, in a process of its own: ``python -m support.bus_peer ADDRESS``.

It owns ``org.example.Peer``; a method says what it does. ``ready`` on its output when it has the name.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from gi.repository import Gio, GLib

from support.bus import connect
from support.dbus_server import say

XML = """<node><interface name="org.example.Peer">
<method name="Echo"><arg type="s" direction="in"/><arg type="a{sv}" direction="in"/>
 <arg type="s" direction="out"/><arg type="a{sv}" direction="out"/></method>
<method name="Refuse"/>
<method name="Silence"/>
<method name="Read"><arg type="h" direction="in"/><arg type="s" direction="out"/></method>
<method name="Open"><arg type="s" direction="out"/><arg type="h" direction="out"/></method>
<property name="Colour" type="s" access="read"/>
</interface></node>"""


def answer(_c: object, _s: object, _p: object, _i: object, method: str, values: Any, call: Any) -> None:
    if method == "Echo":
        call.return_value(values)
    elif method == "Refuse":
        call.return_dbus_error("org.example.Error.No", "not today")
    elif method == "Read":
        fd = call.get_message().get_unix_fd_list().get(values.unpack()[0])
        call.return_value(GLib.Variant("(s)", (os.pread(fd, 100, 0).decode(),)))
        os.close(fd)
    elif method == "Open":
        fds = Gio.UnixFDList.new()
        with open("/proc/self/comm", "rb") as file:
            fds.append(file.fileno())
        call.return_value_with_unix_fd_list(GLib.Variant("(sh)", ("comm", 0)), fds)


def main() -> int:
    connection = connect(sys.argv[1])
    info = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]
    connection.register_object("/peer", info, answer, lambda *_: GLib.Variant("s", "green"), None)
    Gio.bus_own_name_on_connection(
        connection, "org.example.Peer", Gio.BusNameOwnerFlags.NONE, lambda *_: say("ready"), None
    )
    GLib.MainLoop().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
