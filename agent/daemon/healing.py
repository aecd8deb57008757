"""A boot environment that the bootloader can no longer use is made anew, but only when nothing valid can be lost by it."""

from __future__ import annotations

import logging

from agent.daemon.device import Device
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import State
from agent.daemon.memory import Memory
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootState

_log = logging.getLogger(__name__)
_NOTHING_THERE = frozenset({"bootenv.missing", "bootenv.invalid"})
# In these states the environment may hold the only copy of what was decided: whether the running slot is on trial.
_UNDECIDED = frozenset({State.ACTIVATING, State.REBOOTING, State.TRIAL, State.CONFIRMING, State.REVERTING})


def read_or_heal(device: Device, memory: Memory, knowledge: Knowledge) -> BootState:
    """Reads the boot environment; makes a new one if it is missing or garbage and the record says that nothing is on trial.

    The running slot becomes the first choice. Of the others those stay bootable that were confirmed, or are as they left
    the factory. A record that was lost proves nothing.

    Raises:
        BootEnvError: the environment cannot be read and was not healed.
    """
    try:
        return device.env.read()
    except BootEnvError as error:
        booted = device.booted.bootname
        record = memory.load(trial="", booted=booted, others=device.fallbacks(()))
        if error.code not in _NOTHING_THERE or memory.lost or record.state in _UNDECIDED:
            raise
        others = [group.bootname for group in device.groups if group != device.booted and not group.rescue]
        good = [name for name in others if knowledge.content(name).state in ("", "confirmed")]
        if not device.env.heal(booted, good):
            raise
        _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        _log.warning("the boot environment was made anew: %s boots first, then %s", booted, " ".join(good) or "nothing")
        return device.env.read()
