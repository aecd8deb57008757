"""What the properties of D-Bus say of the running system and of the last update, from what the device knows."""

from __future__ import annotations

import logging

from agent.daemon.device import Device
from agent.daemon.knowledge import Knowledge
from agent.errors import EnvironmentFault

_log = logging.getLogger(__name__)


def results(knowledge: Knowledge, device: Device) -> dict[str, object]:
    """The properties by name; none when the state cannot be read: to be seen is not worth a failure.

    Args:
        knowledge: what the device holds, and how the last update ended.
        device: what it is.
    """
    try:
        ending = knowledge.ending()
        held = knowledge.content(device.booted.bootname)
    except EnvironmentFault as error:
        _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        return {}
    return {
        "CurrentVersion": held.version or device.version,
        "LastResult": (ending.outcome, ending.version, ending.code, ending.brief),
        "LastError": (ending.code, ending.brief, ending.resolution),
    }
