"""What rauc-hawkbit-updater does (1.4 and later, ``src/rauc-installer.c``, ``src/hawkbit-client.c``), call by call.

It is no copy: the calls and their order are the facts that a service must suit. It fetches the bundle to a file, has it
installed with no option, takes one property of each change, and tells the server each of them; ``Completed`` ends it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gi.repository import Gio, GLib

from support.ddi import Device

_PATIENCE = 30  # seconds


class Updater:
    """One action, from the poll to the last word.

    Args:
        device: what it is for the server.
        address: of the bus with RAUC's interface.
        download: where the bundle is put.
    """

    def __init__(self, device: Device, address: str, download: Path) -> None:
        self._device = device
        self._address = address
        self._download = download
        self._context = GLib.MainContext.new()
        self._loop = GLib.MainLoop.new(self._context, False)
        self._action = ""
        self.told: list[str] = []
        self.result = 2

    def run(self) -> bool:
        """Polls once and does what it finds; returns whether the server was told a success."""
        deployment = self._device.get(self._device.get().json()["_links"]["deploymentBase"]["href"]).json()
        self._action = deployment["id"]
        artifact = deployment["deployment"]["chunks"][0]["artifacts"][0]
        self._download.write_bytes(self._device.get(artifact["_links"]["download-http"]["href"]).content)
        self._tell("File checksum OK.")
        self._context.push_thread_default()
        try:
            self._install()
        finally:
            self._context.pop_thread_default()
        good = self.result == 0
        text = "Software bundle installed successfully." if good else "Failed to install software bundle."
        self._device.raw(self._action, "closed", "success" if good else "failure", details=[text])
        return good

    def _install(self) -> None:
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        bus = Gio.DBusConnection.new_for_address_sync(self._address, flags, None, None)
        proxy = Gio.DBusProxy.new_sync(
            bus, Gio.DBusProxyFlags.GET_INVALIDATED_PROPERTIES, None,
            "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer", None,
        )  # fmt: skip
        proxy.connect("g-properties-changed", self._changed)
        proxy.connect("g-signal", self._signal)
        arguments = GLib.Variant("(sa{sv})", (str(self._download), {}))
        proxy.call_sync("InstallBundle", arguments, Gio.DBusCallFlags.NONE, -1, None)
        timer = GLib.timeout_source_new_seconds(_PATIENCE)
        timer.set_callback(lambda *_: self._loop.quit())
        timer.attach(self._context)
        self._loop.run()
        timer.destroy()
        bus.close_sync(None)

    def _changed(self, _proxy: Any, changed: Any, invalidated: list[str]) -> None:
        if invalidated:
            self.result = 2
            self._loop.quit()
            return
        values = changed.unpack()
        if "Operation" in values:
            self._tell(values["Operation"])
        elif "Progress" in values:
            percentage, message, _depth = values["Progress"]
            self._tell(f"{percentage:3}% {message}")
        elif values.get("LastError"):
            self._tell(f"LastError: {values['LastError']}")

    def _signal(self, _proxy: Any, _sender: str, name: str, parameters: Any) -> None:
        if name == "Completed":
            (self.result,) = parameters.unpack()
            self._loop.quit()

    def _tell(self, text: str) -> None:
        self.told.append(text)
        self._device.raw(self._action, "proceeding", details=[text])
