"""A message bus of its own for a test: a real dbus-daemon, and a running GLib main loop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gi.repository import Gio, GLib

# What the system bus allows before any service adds its policy (dbus-daemon(1), system.conf).
SYSTEM_POLICY = """
<policy context="default">
  <allow user="*"/>
  <deny own="*"/>
  <deny send_type="method_call"/>
  <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/>
  <allow receive_type="method_return"/>
  <allow receive_type="error"/>
  <allow receive_type="signal"/>
  <allow send_destination="org.freedesktop.DBus"/>
</policy>
"""
# What the session bus allows: everything.
OPEN_POLICY = """
<policy context="default">
  <allow user="*"/>
  <allow send_destination="*" eavesdrop="true"/>
  <allow eavesdrop="true"/>
  <allow own="*"/>
</policy>
"""
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>{policy}</busconfig>
"""


@contextmanager
def bus_process(directory: Path, policy: str = OPEN_POLICY) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs a dbus-daemon with its socket in ``directory``; yields its address and the process."""
    config = directory / "bus.conf"
    config.write_text(_CONFIG.format(socket=directory / "bus", policy=policy))
    with subprocess.Popen(
        ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            if not address:
                raise RuntimeError("dbus-daemon did not start")
            yield address, process
        finally:
            process.kill()


@contextmanager
def private_bus(directory: Path, policy: str = OPEN_POLICY) -> Iterator[str]:
    """Runs a dbus-daemon and yields its address."""
    with bus_process(directory, policy) as (address, _process):
        yield address


@contextmanager
def main_loop() -> Iterator[None]:
    """Runs the default GLib main loop in a thread of its own."""
    loop = GLib.MainLoop()
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        GLib.idle_add(loop.quit)
        thread.join(5)


def connect(address: str) -> Gio.DBusConnection:
    """A connection that does not end the process when the bus goes."""
    flags = Gio.DBusConnectionFlags
    kinds = flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION
    return Gio.DBusConnection.new_for_address_sync(address, kinds, None, None)


@contextmanager
def served(address: str) -> Iterator[subprocess.Popen[str]]:
    """Runs ``support.dbus_server`` on a bus; its standard input and output are pipes, and it has the name."""
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-m", "support.dbus_server", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root.parent}:{root}"},
    ) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError("the server did not start")
            yield process
        finally:
            process.kill()
