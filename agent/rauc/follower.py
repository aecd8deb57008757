"""The agent's properties as they change, followed on the main loop. Nothing here starts the agent but ``fetch``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gi.repository import Gio, GLib

from agent.daemon.dbus_names import BUS_NAME, MANAGER, OBJECT_PATH

_log = logging.getLogger("agent.dbus")
_PROPERTIES = "org.freedesktop.DBus.Properties"
_PATIENCE = 25_000  # milliseconds; the agent may have to be started for it

Heard = Callable[[Mapping[str, object], Sequence[str]], None]
"""Told all properties, and the names of those that are new."""


class Follower:
    """Keeps a copy of the properties.

    Args:
        connection: to the bus.
        heard: told what is new.
        answered: called when the agent has answered, or has failed to, once for each time that it was asked for everything.
        finished: called after the agent's signal of this name.
        gone: called when the agent has left the bus.
    """

    def __init__(
        self,
        connection: Any,  # noqa: ANN401 - Gio has no types
        heard: Heard,
        answered: Callable[[], None],
        finished: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._heard = heard
        self._answered = answered
        self._finished = finished
        self._gone = gone
        self.values: dict[str, object] = {}

    def start(self) -> None:
        """Listens from here on, and asks for everything."""
        bus = "org.freedesktop.DBus"
        self._subscribe(BUS_NAME, _PROPERTIES, "PropertiesChanged", OBJECT_PATH, MANAGER, self._on_properties)
        self._subscribe(BUS_NAME, MANAGER, "Finished", OBJECT_PATH, None, self._on_finished)
        self._subscribe(bus, bus, "NameOwnerChanged", "/org/freedesktop/DBus", BUS_NAME, self._on_owner)
        self.fetch(Gio.DBusCallFlags.NONE)

    def fetch(self, flags: Any) -> None:  # noqa: ANN401 - Gio.DBusCallFlags
        """Asks for everything; the answer is heard like any news."""
        self._connection.call(
            BUS_NAME, OBJECT_PATH, _PROPERTIES, "GetAll", GLib.Variant("(s)", (MANAGER,)), None, flags, _PATIENCE, None,
            self._on_all,
        )  # fmt: skip

    def _subscribe(
        self, sender: str, interface: str, signal: str, path: str, first: str | None, heard: Callable[..., None]
    ) -> None:
        self._connection.signal_subscribe(sender, interface, signal, path, first, Gio.DBusSignalFlags.NONE, heard)

    def _on_all(self, connection: Any, result: Any) -> None:  # noqa: ANN401 - Gio has no types
        try:
            (found,) = connection.call_finish(result).unpack()
        except GLib.Error as error:
            _log.warning("the agent does not answer: %s", error.message)
        else:
            self._take(found, always=True)
        self._answered()

    def _on_properties(self, *signal: Any) -> None:  # noqa: ANN401 - the arguments of Gio's callback
        _interface, changed, _invalidated = signal[5].unpack()
        self._take(changed)

    def _on_finished(self, *_signal: object) -> None:
        self._finished()

    def _on_owner(self, *signal: Any) -> None:  # noqa: ANN401 - as above
        _name, _old, new = signal[5].unpack()
        if new:
            self.fetch(Gio.DBusCallFlags.NO_AUTO_START)
        else:
            self._gone()

    def _take(self, values: Mapping[str, object], *, always: bool = False) -> None:
        new = [name for name, value in values.items() if self.values.get(name) != value]
        self.values.update(values)
        if new or always:
            self._heard(self.values, new)
