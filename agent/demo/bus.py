"""A message bus of its own for the device, because its daemon may not take a name on yours."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent.demo import tools
from agent.errors import EnvironmentFault

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
_LONGEST = 100  # bytes of a socket's path; unix(7) allows 107


class PrivateBus:
    """A running dbus-daemon.

    Args:
        directory: for its configuration and its socket; a path too long for a socket is replaced by a temporary one.

    Raises:
        EnvironmentFault: ``demo.tool-missing``, ``demo.tool-failed``.
    """

    def __init__(self, directory: Path) -> None:
        tools.require(("dbus-daemon",))
        self._short: tempfile.TemporaryDirectory[str] | None = None
        home = directory
        if len(str(home)) > _LONGEST - len("/bus"):
            self._short = tempfile.TemporaryDirectory(prefix="ota-bus-")
            home = Path(self._short.name)
        config = directory / "bus.conf"
        config.write_text(_CONFIG.format(socket=home / "bus"), "utf-8")
        argv = [tools.find("dbus-daemon"), f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog"]
        self._process = subprocess.Popen(
            [*tools.bound_to_us(), *argv, "--print-address=1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        told = self._process.stdout.readline().strip() if self._process.stdout else ""
        self.address = told.partition(",guid=")[0]  # another daemon may come in its place
        if not self.address:
            self.stop()
            raise EnvironmentFault("demo.tool-failed", "dbus-daemon did not start", retryable=False)

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        with self._process:
            pass
        if self._short is not None:
            self._short.cleanup()


def properties(address: str) -> Mapping[str, object]:
    """The daemon's properties as anybody on the bus can read them; empty while it is not there."""
    from agent.cli.client import Client

    with contextlib.suppress(EnvironmentFault), Client(address) as client:
        return client.properties()
    return {}
