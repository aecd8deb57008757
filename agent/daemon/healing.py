"""A boot environment that the bootloader can no longer use is made anew, but only when nothing valid can be lost by it."""

from __future__ import annotations

import logging

from agent.daemon.device import Device
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import State
from agent.daemon.memory import Memory
from agent.errors import EnvironmentFault
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootState

_log = logging.getLogger(__name__)
_GARBAGE = "bootenv.invalid"  # what is missing may be there, on a file system that is not mounted
# In these states the environment may hold the only copy of what was decided about a running target: whether it is on trial.
_UNDECIDED = frozenset({State.ACTIVATING, State.REBOOTING, State.TRIAL, State.CONFIRMING, State.REVERTING})
_SWITCHED = frozenset({"installed", "activated"})  # what is known of a running slot that nobody has confirmed


def read_or_heal(device: Device, memory: Memory, knowledge: Knowledge) -> BootState:
    """Reads the boot environment; makes a new one if it is garbage and the record says that what runs is not on trial.

    The running slot becomes the first choice. Of the others those stay bootable that were confirmed, or are as they left
    the factory. A record that was lost proves nothing; it is put aside, so that the next start finds none and must go by
    what is known of the running slot.

    Raises:
        BootEnvError: the environment cannot be read and was not healed.
    """
    try:
        return device.env.read()
    except BootEnvError as error:
        booted = device.booted.bootname
        record = memory.load(trial="", booted=booted, others=device.fallbacks(()))
        undecided = record.state in _UNDECIDED and record.target == booted
        if error.code != _GARBAGE or memory.lost or undecided:
            raise
        others = [group.bootname for group in device.groups if group != device.booted and not group.rescue]
        try:
            held = knowledge.holdings()
        except EnvironmentFault as fault:  # any other slot may be half-written; the running one boots
            _log.error("%s", fault, extra={"OTA_ERROR_CODE": fault.code})
            good = []
        else:
            if held.group(booted).state in _SWITCHED:
                raise
            states = {name: held.group(name).state for name in others}
            good = [
                name for name, state in states.items() if state == "confirmed" or (not state and name != record.target)
            ]
        if not device.env.heal(booted, good):
            raise
        _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        _log.warning("the boot environment was made anew: %s boots first, then %s", booted, " ".join(good) or "nothing")
        return device.env.read()
