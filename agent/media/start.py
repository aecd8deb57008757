"""Begins to look for media, if that is possible; imported only where the configuration wants it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from agent.config import Config
from agent.daemon.device import Device
from agent.daemon.store import Store
from agent.media.notes import Notes
from agent.media.station import Station
from slots.device import resolve
from slots.errors import SlotError

_log = logging.getLogger(__name__)


def start(config: Config, device: Device, store: Store) -> Station | None:
    """Listens from here on; None, and an entry in the log, when that is not possible: an update from the server still is.

    Args:
        config: of the agent.
        device: its disks are not looked at.
        store: where notes are kept.
    """
    try:
        from agent.media.hotplug import Hotplug, numbers_of

        hotplug = Hotplug()
        own = hotplug.disks_of(numbers_of(_paths(config, device)))
    except (ImportError, OSError) as error:  # without libudev, or without the right to listen
        _log.error(
            "media are not looked for: %s; libudev and AF_NETLINK are needed", error,
            extra={"OTA_ERROR_CODE": "media.not-watched"},
        )  # fmt: skip
        return None
    return Station(config.media, hotplug, own, Notes(store))


def _paths(config: Config, device: Device) -> Iterator[str]:
    """What the running system stands on, and everything that an update is written to."""
    yield "/"
    yield str(config.system.state_dir)
    for group in device.groups:
        for slot in group.slots:
            try:
                yield resolve(slot.device)
            except SlotError:  # it is not there, so no medium can be it
                continue
