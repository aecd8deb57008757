"""The daemon's object on the bus: ``org.otaagent.Agent1`` as its introspection data says, with our error names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from agent.bus import introspection
from agent.bus.access import Access
from agent.bus.serve import Answer, Call, Served, Server
from agent.daemon.dbus_names import BUS_NAME, MAX_TEXT, OBJECT_PATH, error_message, error_name
from agent.daemon.requests import Commands, Consents, Records, Requests
from agent.errors import explain

log = logging.getLogger("agent.dbus")
_FIRST: Mapping[str, object] = {"State": "idle", "ServerState": "none", "LastScrub": (0, "none", [])}


class BusService:
    """The daemon's object on the bus.

    ``publish`` and ``finished`` may be called from any thread; the rest belongs to the thread of the main loop.

    Args:
        bus: ``system``, ``session``, or the address of a bus.
        commands: who carries out what is asked.
        consents: who hears what people say to updates.
        records: the audit log.
        initial: properties that differ from their initial value.
        live: properties that are looked up when they are read, beside those of the audit log.
        on_lost: called in the main loop when the bus is gone; there is no way back but a new process.
    """

    def __init__(
        self,
        bus: str,
        commands: Commands,
        consents: Consents,
        records: Records,
        initial: Mapping[str, object] | None = None,
        live: Mapping[str, Callable[[], object]] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        live = {"Audit.Head": lambda: records.head, "Audit.Count": lambda: records.count, **(live or {})}
        served = Served(BUS_NAME, OBJECT_PATH, introspection.AGENT.read_text(), {**_FIRST, **(initial or {})}, live)
        self._server = Server(bus, served, self, Access(audit=records), on_lost)
        self._requests = Requests(commands, consents, records, self._server.properties)

    def start(self) -> None:
        """Connects, registers the object, then takes the name.

        Raises:
            EnvironmentFault: ``dbus.unreachable``, ``dbus.name-taken`` (another daemon runs, or the policy forbids it).
        """
        self._server.start()

    def stop(self) -> None:
        """Leaves the bus; safe to call at any time, also when the bus is already gone."""
        self._server.stop()

    def publish(self, changes: Mapping[str, object]) -> None:
        """Sets properties and sends signals.

        What really changed is announced, ``Progress`` at most twice a second; signals come after it.

        Args:
            changes: a property to its value, a signal to the tuple that it carries. A plain name belongs to the Manager,
                ``Update.Version`` and ``Update.Reminder`` to another interface.

        Raises:
            ValueError: no such member, or a value of another shape.
        """
        signals = {name: value for name, value in changes.items() if self._server.is_signal(name)}
        self._server.publish({name: value for name, value in changes.items() if name not in signals})
        for name, values in signals.items():
            if not isinstance(values, tuple):
                raise ValueError(f"{name} is a signal: it carries a tuple")
            self._server.emit(name, *(value[:MAX_TEXT] if isinstance(value, str) else value for value in values))

    def leave(self) -> None:
        """Gives the name back, see ``agent.bus.serve.Server``."""
        self._server.leave()

    @property
    def last_call(self) -> float:
        """When somebody called or read something, in seconds since the boot; 0: nobody has."""
        return self._server.last_call

    def properties(self) -> Mapping[str, object]:
        """Those of the Manager; from any thread."""
        return self._server.properties()["Manager"]

    def call(self, call: Call) -> Answer:
        """See ``agent.bus.serve.Handler``."""
        return self._requests.call(call)

    def error(self, error: Exception) -> tuple[str, str]:
        """See ``agent.bus.serve.Handler``."""
        parts = explain(error)
        if parts["code"] == "internal.unexpected":
            log.error("a D-Bus call failed", exc_info=error)
            parts["details"] = ""  # it would tell others about our inner life
        return error_name(str(parts["code"])), error_message(parts)
