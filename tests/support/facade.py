"""RAUC's interface in a process of its own, in front of whatever serves the agent's on a bus."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gi.repository import Gio, GLib

import agent
from agent.daemon.dbus_names import BUS_NAME as AGENT
from agent.daemon.dbus_names import MANAGER
from agent.rauc.names import BUS_NAME, INSTALLER, OBJECT_PATH
from support.bus import connect
from support.rauc_bus import wait_for_name

ENTRY = Path(agent.__file__).with_name("__main__.py")


@contextmanager
def facade_on(address: str, *config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs it, with these configuration files; it has the name."""
    command = [sys.executable, "-I", str(ENTRY), "rauc-service", *(f"--config={path}" for path in config)]
    with subprocess.Popen(command, env={**os.environ, "OTA_AGENT_BUS": address}, cwd="/") as process:
        try:
            wait_for_name(address)
            yield process
        finally:
            process.terminate()


class Client:
    """A client that hears everything in its order; a main loop must run (``support.bus.main_loop``)."""

    def __init__(self, address: str) -> None:
        self._connection = connect(address)
        self.heard: list[tuple[str, Any]] = []  # a dictionary of properties, or what a signal carries
        flags = Gio.DBusSignalFlags.NONE
        self._connection.signal_subscribe(BUS_NAME, None, None, OBJECT_PATH, None, flags, self._hear)

    def close(self) -> None:
        self._connection.close_sync(None)

    def call(self, method: str, signature: str = "", *values: object, interface: str = INSTALLER) -> tuple[Any, ...]:
        return tuple(self.variant(method, signature, *values, interface=interface).unpack())

    def variant(self, method: str, signature: str = "", *values: object, interface: str = INSTALLER) -> Any:
        arguments = GLib.Variant(f"({signature})", values)
        return self._connection.call_sync(
            BUS_NAME, OBJECT_PATH, interface, method, arguments, None, Gio.DBusCallFlags.NONE, 30_000, None
        )

    def agent(self, name: str) -> Any:
        """A property of the agent itself."""
        arguments = GLib.Variant("(ss)", (MANAGER, name))
        to = (AGENT, "/org/otaagent/Agent1", "org.freedesktop.DBus.Properties", "Get")
        return self._connection.call_sync(*to, arguments, None, Gio.DBusCallFlags.NONE, 5000, None).unpack()[0]

    def wait_until(self, wanted: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < end
            time.sleep(0.005)

    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GetAll", "s", INSTALLER, interface="org.freedesktop.DBus.Properties")[0]
        return found

    def wait_for(self, signal: str, value: object, seconds: float = 20) -> list[tuple[str, Any]]:
        """Returns everything that was heard, up to and with this."""
        self.wait_until(lambda: (signal, value) in self.heard, seconds)
        return self.heard[: self.heard.index((signal, value)) + 1]

    def _hear(self, *signal: Any) -> None:
        name, parameters = signal[4], signal[5].unpack()
        if name == "PropertiesChanged":
            _interface, changed, invalidated = parameters
            assert not invalidated, "clients take that for the end of the service"
            self.heard.append(("property", changed))
        else:
            self.heard.append((name, parameters[0]))
