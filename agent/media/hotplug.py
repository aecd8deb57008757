"""What is plugged in, by pyudev: a descriptor that becomes readable when that changes, and a look at all of it.

An event only says that there is something new; what it is is read from sysfs each time. So no event has to be understood,
and one that was lost, because nobody listened during an update, costs nothing. Where udevd runs its events are listened to,
which come when the device has its links; elsewhere the kernel's.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyudev

from agent.media.devices import Block

_log = logging.getLogger(__name__)
_UDEVD = Path("/run/udev/control")  # what libudev looks for, too
_SECTOR = 512  # the unit of sysfs, whatever the device's is
_BUFFER = 1024 * 1024  # bytes; a disk with many partitions says much at once


class Hotplug:
    """Listens from its construction on.

    Args:
        source: ``udev`` or ``kernel``; empty: whichever speaks.

    Raises:
        OSError: the kernel does not let this process listen.
    """

    def __init__(self, source: str = "") -> None:
        self._context = pyudev.Context()
        self._monitor = pyudev.Monitor.from_netlink(
            self._context, source=source or ("udev" if _UDEVD.exists() else "kernel")
        )
        self._monitor.filter_by("block")
        try:
            self._monitor.set_receive_buffer_size(_BUFFER)
        except OSError as error:  # without the right to do so, the default has to do
            _log.debug("%s", error)
        self._monitor.start()

    def fileno(self) -> int:
        """For ``select``: readable when something was plugged in or out."""
        return int(self._monitor.fileno())

    def drain(self) -> tuple[bool, frozenset[str]]:
        """Takes all events; returns whether there was any, and the nodes of what was plugged out."""
        any_event, gone = False, set[str]()
        while True:
            try:
                event = self._monitor.poll(0)
            except OSError as error:  # ENOBUFS: more than the buffer holds; sysfs knows what became of it
                _log.debug("%s", error)
                any_event = True
                if self._take_error():
                    continue
                return any_event, frozenset(gone)
            if event is None:
                return any_event, frozenset(gone)
            any_event = True
            if event.action == "remove" and event.device_node:
                gone.add(str(event.device_node))

    def _take_error(self) -> bool:
        """Whether an error waited at the socket; pyudev polls before it receives, and so never takes it away."""
        with socket.socket(fileno=os.dup(self.fileno())) as same:
            return same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def blocks(self) -> Iterator[Block]:
        """Every block device there is."""
        for device in self._context.list_devices(subsystem="block"):
            if device.device_node:
                yield _block(device)

    def disks_of(self, numbers: Iterable[int]) -> frozenset[str]:
        """The nodes of the disks with these device numbers on them, as far as they are disks."""
        found = set()
        for number in numbers:
            try:
                device = pyudev.Devices.from_device_number(self._context, "block", number)
            except (pyudev.DeviceNotFoundError, ValueError, OSError):  # of a file system without a device, say
                continue
            found.add(_block(device).disk)
        return frozenset(found)


def numbers_of(paths: Iterable[str]) -> Iterator[int]:
    """The device numbers behind paths: of a block device itself, of the file system around anything else."""
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        yield status.st_rdev or status.st_dev


def _block(device: Any) -> Block:  # noqa: ANN401 - pyudev has no types
    disk = device.find_parent("block") if device.device_type == "partition" else None
    if disk is None:  # a device counts its properties when it is asked whether it is true
        disk = device
    card = disk.find_parent("mmc")
    return Block(
        node=str(device.device_node),
        disk=str(disk.device_node),
        names=(str(device.device_node), *map(str, device.device_links)),
        size=_SECTOR * int(_attribute(device, "size") or 0),
        sequence=_attribute(disk, "diskseq"),
        removable=_attribute(disk, "removable") == "1",
        usb=device.properties.get("ID_BUS") == "usb" or disk.find_parent("usb") is not None,
        card=card is not None and _attribute(card, "type") == "SD",
    )


def _attribute(device: Any, name: str) -> str:  # noqa: ANN401 - as above
    """An attribute in sysfs; empty when the device is gone by now, or never had it."""
    try:
        return bytes(device.attributes.get(name) or b"").decode("ascii", "replace").strip()
    except OSError:
        return ""
