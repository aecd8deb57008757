"""Talks to the daemon over D-Bus: a few calls with timeouts, no proxy and no introspection."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gi.repository import Gio, GLib

from agent.daemon import dbus_names as names
from agent.errors import EnvironmentFault, OtaError, from_explained

READ_TIMEOUT = 5.0  # seconds
CHANGE_TIMEOUT = 120.0  # seconds; the daemon may have to be started for it, and a person be asked for a password
_PROPERTIES = "org.freedesktop.DBus.Properties"
_BUS = "org.freedesktop.DBus"
_NOBODY_THERE = ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected", "Timeout", "NoServer")


class Client:
    """A connection to the daemon's bus.

    Args:
        bus: ``system``, ``session``, or the address of a bus.

    Raises:
        EnvironmentFault: ``daemon.unreachable``: there is no such bus.
    """

    def __init__(self, bus: str = "system") -> None:
        kinds = {"system": Gio.BusType.SYSTEM, "session": Gio.BusType.SESSION}
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        try:
            address = Gio.dbus_address_get_for_bus_sync(kinds[bus], None) if bus in kinds else bus
            self._connection: Any = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
        except GLib.Error as error:
            raise _unreachable(f"the {bus} bus does not answer: {error.message}") from error

    def close(self) -> None:
        """Leaves the bus."""
        with contextlib.suppress(GLib.Error):
            self._connection.close_sync(None)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def properties(self, interface: str = names.MANAGER) -> dict[str, object]:
        """All properties of an interface; does not start a daemon that is not running.

        Raises:
            EnvironmentFault: ``daemon.unreachable``.
        """
        arguments = GLib.Variant("(s)", (interface,))
        answer = self._call(_PROPERTIES, "GetAll", arguments, READ_TIMEOUT, Gio.DBusCallFlags.NO_AUTO_START)
        values: dict[str, object] = answer.unpack()[0]
        return values

    def check(self) -> None:
        """Asks the daemon to ask the server now; raises what the daemon refuses with, or ``daemon.unreachable``."""
        self._change("Check")

    def install_file(self, fd: int, name: str) -> None:
        """Hands over a bundle as an open file, which stays ours; raises as the others."""
        files = Gio.UnixFDList.new()
        arguments = GLib.Variant("(ha{sv})", (files.append(fd), {"name": GLib.Variant("s", name)}))
        self._change("InstallFile", arguments, files=files)

    def cancel(self) -> None:
        """Cancels the update under way, or the scrub; raises what the daemon refuses with, or ``daemon.unreachable``."""
        self._change("Cancel")

    def scrub(self, slot: str) -> None:
        """Has slots read back, all that do not run with an empty text; raises as the others."""
        self._change("Scrub", GLib.Variant("(s)", (slot,)))

    def approve(self, action_id: str) -> None:
        """Lets an action begin that waits for consent, whichever it is with an empty text; raises as the others."""
        self._change("Approve", GLib.Variant("(s)", (action_id,)), names.UPDATE)

    def deny(self, action_id: str, reason: str) -> None:
        """Does not let it begin; raises as the others."""
        self._change("Deny", GLib.Variant("(ss)", (action_id, reason)), names.UPDATE)

    def postpone(self, seconds: int) -> None:
        """Leaves the update for later; raises as the others."""
        self._change("Postpone", GLib.Variant("(u)", (seconds,)), names.UPDATE)

    def install_now(self) -> None:
        """Does not wait for the window or the end of a postponement; raises as the others."""
        self._change("InstallNow", None, names.UPDATE)

    def set_policy(self, name: str, value: object) -> None:
        """Sets a setting of the policy: true or false, a number, a text or a list of texts; raises as the others."""
        kind = {bool: "b", int: "t", list: "as"}.get(type(value), "s")
        self._change("Set", GLib.Variant("(sv)", (name, GLib.Variant(kind, value))), names.POLICY)

    def reset_policy(self) -> None:
        """Takes back what was set of the policy; raises as the others."""
        self._change("Reset", None, names.POLICY)

    def mark(self, state: str, slot: str) -> None:
        """Has the bootloader told about a slot, and waits until that was done; raises as the others."""
        self._change("Mark", GLib.Variant("(ss)", (state, slot)))

    def export(self, fd: int, kind: str) -> None:
        """Has a document written into a regular file that is open for writing only; raises as the others."""
        files = Gio.UnixFDList.new()
        arguments = GLib.Variant("(hs)", (files.append(fd), kind))
        self._change("Export", arguments, files=files)

    def watch(self, seen: Callable[[Mapping[str, object], Collection[str]], bool]) -> None:
        """Follows the daemon until it leaves or ``seen`` has seen enough.

        Args:
            seen: told the properties of Manager, and the names of the changed ones, at first (none) and after each change;
                those of other interfaces as ``Update.Version``. Returns whether to go on. What it raises ends the watching.

        Raises:
            EnvironmentFault: ``daemon.unreachable``, also when the daemon leaves the bus.
        """
        loop = GLib.MainLoop()
        failure: list[Exception] = []

        def changed(*signal: Any) -> None:  # noqa: ANN401 - the arguments of Gio's callback
            interface, changes, _ = signal[5].unpack()
            if interface == names.MANAGER:
                values.update(changes)
            else:
                changes = [f"{interface.rpartition('.')[2]}.{name}" for name in changes]
            try:
                go_on = seen(values, changes)
            except Exception as error:  # noqa: BLE001 - raised again outside of the main loop, which would swallow it
                failure.append(error)
                go_on = False
            if not go_on:
                loop.quit()

        def owner_changed(*signal: Any) -> None:  # noqa: ANN401 - the arguments of Gio's callback
            if not signal[5].unpack()[2]:
                failure.append(_unreachable("it has left the bus"))
                loop.quit()

        def closed(*_: object) -> None:
            failure.append(_unreachable("the bus is gone"))
            loop.quit()

        none = Gio.DBusSignalFlags.NONE
        self._connection.signal_subscribe(
            names.BUS_NAME, _PROPERTIES, "PropertiesChanged", names.OBJECT_PATH, None, none, changed
        )
        self._connection.signal_subscribe(_BUS, _BUS, "NameOwnerChanged", None, names.BUS_NAME, none, owner_changed)
        self._connection.connect("closed", closed)
        values = self.properties()  # after subscribing, so that no change falls in between
        if seen(values, ()):
            loop.run()
        if failure:
            raise failure[0]

    def _change(self, method: str, arguments: Any = None, interface: str = names.MANAGER, *, files: Any = None) -> None:  # noqa: ANN401 - Gio
        flags = Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION
        self._call(interface, method, arguments, CHANGE_TIMEOUT, flags, files)

    def _call(self, interface: str, method: str, arguments: Any, timeout: float, flags: Any, files: Any = None) -> Any:  # noqa: ANN401 - Gio
        target = (names.BUS_NAME, names.OBJECT_PATH, interface, method)
        try:
            answer, _ = self._connection.call_with_unix_fd_list_sync(
                *target, arguments, None, flags, int(timeout * 1000), files, None
            )
            return answer
        except GLib.Error as error:
            raise _explained(error) from error


def _explained(error: Any) -> OtaError:  # noqa: ANN401 - a GLib.Error
    name = Gio.DBusError.get_remote_error(error) or ""
    text = str(error.message).removeprefix(f"GDBus.Error:{name}: ")
    parts = names.parse_error_message(text) if name.startswith(names.ERROR_PREFIX + ".") else None
    if parts is not None:
        return from_explained(parts)
    if name == "org.freedesktop.DBus.Error.AccessDenied":  # said by the bus, following its policy
        return OtaError(
            "access.denied", "the message bus does not allow this", details=text, resolution="repeat it as root"
        )
    if not name or name.rpartition(".")[2] in _NOBODY_THERE or ".Spawn." in name:
        return _unreachable(text)
    return OtaError("daemon.protocol", "the daemon did not understand the request", details=text)


def _unreachable(details: str) -> EnvironmentFault:
    return EnvironmentFault(
        "daemon.unreachable",
        "the daemon cannot be reached",
        details=details,
        resolution="systemctl status ota-agent tells whether it runs and why not",
    )
