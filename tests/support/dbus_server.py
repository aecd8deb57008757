"""A process with nothing but the D-Bus service in it: ``python -m support.dbus_server ADDRESS``.

It writes ``ready`` when it has the name, ``lost`` when the bus is gone, and ``asked WHAT`` for each command. A line
``publish NAME VALUE`` or ``finish OUTCOME`` on its input makes it announce something; the end of its input ends it.
It serves the audit log in the directory that OTA_TEST_AUDIT names.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from gi.repository import GLib

from agent.audit.log import AuditLog
from agent.audit.port import Unrecorded
from agent.clock import SystemClock
from agent.daemon.dbus_service import BusService
from agent.errors import PolicyError
from support.asked import Asked


def say(text: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Commands(Asked):
    """Says what was asked; refuses to cancel."""

    def cancel(self) -> None:
        raise PolicyError(
            "update.none", "there is nothing to cancel", resolution="ota-agent status shows what is going on"
        )


def main() -> int:
    loop = GLib.MainLoop()
    commands = Commands(lambda what: say(f"asked {what}"))
    initial = {"CurrentVersion": "1.0", "Slot": "A", **commands.properties()}
    kept = os.environ.get("OTA_TEST_AUDIT")
    records = AuditLog(Path(kept), clock=SystemClock(), boot_id="boot-1") if kept else Unrecorded()
    service = BusService(sys.argv[1], commands, commands, records, initial, on_lost=lambda: say("lost"))
    service.start()

    def obey() -> None:
        for line in sys.stdin:
            order, name, *value = line.split()
            if order == "publish":
                service.publish({name: " ".join(value)})
            else:
                service.publish({"Finished": (name, "2.0", "")})
        GLib.idle_add(loop.quit)

    threading.Thread(target=obey, daemon=True).start()
    say("ready")
    loop.run()
    service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
