"""The process of the facade: ``ota-agent rauc-service [--bus=BUS] [--config=FILE]...``.

It stays in memory, and so is spared argparse.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gi.repository import GLib

from agent.bus.access import Access
from agent.bus.calls import Bus, BusCallError, connect
from agent.bus.serve import Served, Server
from agent.errors import EnvironmentFault
from agent.rauc.follower import Follower
from agent.rauc.names import BUS_NAME, INTROSPECTION, OBJECT_PATH
from agent.rauc.service import Facade

_log = logging.getLogger("agent.dbus")


def main(arguments: Sequence[str]) -> int:
    """Reads the arguments and serves; returns the exit status, 2 for arguments that make no sense."""
    bus, config = os.environ.get("OTA_AGENT_BUS", "system"), []
    for word in arguments:
        option, _, value = word.partition("=")
        if option == "--bus" and value:
            bus = value
        elif option == "--config" and value:
            config.append(Path(value))
        else:
            sys.stderr.write("usage: ota-agent rauc-service [--bus=BUS] [--config=FILE]...\n")
            return 2
    return run(bus, config)


def run(bus: str = "system", config: Sequence[Path] = ()) -> int:
    """Serves until it is told to stop, or the bus goes; returns the exit status.

    Args:
        bus: ``system``, ``session``, or the address of a bus.
        config: configuration files for ``InspectBundle``; none for the standard places.
    """
    from agent import journal

    journal.setup()
    loop = GLib.MainLoop()
    status = 0

    def fail() -> None:
        nonlocal status
        status = 1
        loop.quit()

    def stop() -> bool:
        loop.quit()
        return bool(GLib.SOURCE_CONTINUE)

    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, stop)
    calls = Bus(bus)
    facade = Facade(calls, config)
    server = Server(bus, Served(BUS_NAME, OBJECT_PATH, INTROSPECTION, facade.properties()), facade, Access(), fail)
    facade.begin(server.at_once)
    named = False

    def take_name() -> None:
        """Only when it is known what the agent says: clients read the properties once, in the moment in which they come."""
        nonlocal named
        if named:
            return
        named = True
        try:
            server.start()
        except EnvironmentFault as error:
            _log.critical("RAUC's interface cannot be served: %s", error, extra={"OTA_ERROR_CODE": error.code})
            fail()

    try:
        connection = connect(bus)
    except (BusCallError, GLib.Error) as error:
        _log.critical("RAUC's interface cannot be served: %s", error)
        return 1
    connection.set_exit_on_close(False)
    Follower(connection, facade.heard, take_name, facade.finished, facade.gone).start()
    loop.run()
    server.stop()
    calls.close()
    return status
