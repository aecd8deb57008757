"""What a person tells the bootloader about a slot, by the rule that one slot which is known to boot always remains.

``good`` gives a slot its attempts back, ``bad`` keeps it from being booted, ``active`` makes it boot next. Only while no
update is under way: the boot environment of a trial is the way back.
"""

from __future__ import annotations

import logging
import threading

from agent.daemon.context import Context
from agent.daemon.device import Device
from agent.daemon.slot_status import Holdings
from agent.errors import ConfigError, EnvironmentFault, PolicyError
from bootloader_env.port import BootState
from slots.model import Group

_log = logging.getLogger(__name__)
STATES = ("good", "bad", "active")
_PATIENCE = 20.0  # seconds; less than the 25 after which a caller gives up


class Mark:
    """A wish: filled by the caller's thread, carried out by the worker.

    Args:
        state: one of ``STATES``.
        bootname: the group of slots.
    """

    def __init__(self, state: str, bootname: str) -> None:
        self.state = state
        self.bootname = bootname
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._taken = False
        self._error: Exception | None = None

    def take(self) -> bool:
        """Whether it may still be carried out; from then on the caller waits for it."""
        with self._lock:
            taken, self._taken = self._taken, True
            return not taken

    def end(self, error: Exception | None = None) -> None:
        """Tells the caller how it went."""
        self._error = error
        self._ended.set()

    def wait(self, seconds: float = _PATIENCE) -> None:
        """Waits for it to be carried out.

        Raises:
            EnvironmentFault: ``mark.late``: nobody got to it, and nobody will.
            Exception: whatever it failed with.
        """
        if not self._ended.wait(seconds) and self.take():
            raise EnvironmentFault(
                "mark.late", "the agent is busy and did not get to it", details="nothing was changed",
                resolution="try it again in a moment",
            )  # fmt: skip
        self._ended.wait()
        if self._error is not None:
            raise self._error


def mark_meant(device: Device, state: str, slot: str) -> Mark:
    """The wish that a request means.

    Args:
        device: what this device is.
        state: one of ``STATES``.
        slot: ``booted``, ``other``, a boot name, or a slot.

    Raises:
        PolicyError: ``mark.state``.
        ConfigError: ``mark.slot``.
    """
    if state not in STATES:
        raise PolicyError(
            "mark.state", "a slot cannot be marked so", details=state[:80], resolution=f"use {', '.join(STATES)}"
        )
    return Mark(state, _meant(device, slot).bootname)


def mark(context: Context, wish: Mark) -> None:
    """Carries out a wish and tells how it went; nothing is raised."""
    if not wish.take():
        return
    try:
        _carry_out(context, wish)
    except Exception as error:  # noqa: BLE001 - it is the caller's answer
        wish.end(error)
    else:
        _log.info("slot %s was marked %s", wish.bootname, wish.state, extra={"OTA_SLOT": wish.bootname})
        wish.end()


def refuse_danger(wish: Mark, device: Device, state: BootState, holdings: Holdings) -> None:
    """Refuses what could leave a device that does not boot.

    Raises:
        PolicyError: ``mark.dangerous``.
    """
    why = ""
    if state.trial:
        why = "an update is on trial"
    elif wish.state == "bad":
        if not _others_that_boot(state, wish.bootname):
            why = f"no other slot than {wish.bootname} is known to boot"
    elif wish.bootname != device.booted.bootname and _incomplete(device.group(wish.bootname), holdings):
        why = f"slot {wish.bootname} holds no complete system"
    if why:
        raise PolicyError(
            "mark.dangerous", "the device might not boot any more", details=why,
            resolution="install an update into the other slot first",
        )  # fmt: skip


def _carry_out(context: Context, wish: Mark) -> None:
    env, booted = context.device.env, context.device.booted.bootname
    state = env.read()
    refuse_danger(wish, context.device, state, context.knowledge.holdings())
    if wish.state == "good":
        env.mark_good(wish.bootname)
    elif wish.state == "bad":
        env.revert(wish.bootname, _others_that_boot(state, wish.bootname)[0])
    elif wish.bootname != booted:
        env.activate(wish.bootname, fallback=booted, trial="")
        if env.capabilities.one_shot:  # armed for one boot only; what was wanted is the lasting choice
            env.confirm(wish.bootname)
    elif state.primary not in ("", booted):
        env.activate(booted, fallback=state.primary, trial="")
    else:
        env.confirm(booted)


def _others_that_boot(state: BootState, bootname: str) -> list[str]:
    return [name for name in state.order if name != bootname and name in state.slots and state.slots[name].good]


def _incomplete(group: Group, holdings: Holdings) -> bool:
    held = {holdings.slot(slot.name).status for slot in group.own}
    return holdings.group(group.bootname).state in ("pending", "bad") or bool(held & {"pending", "failed"})


def _meant(device: Device, slot: str) -> Group:
    groups = [group for group in device.groups if not group.rescue]
    if slot == "booted" and device.booted in groups:
        return device.booted
    others = [group for group in groups if group != device.booted]
    if slot == "other" and len(others) == 1:
        return others[0]
    for group in groups:
        if slot in (group.bootname, *(each.name for each in group.own)):
            return group
    raise ConfigError(
        "mark.slot", "it is not clear which slot is meant", details=slot[:80],
        resolution=f"name one of {', '.join(group.bootname for group in groups)}",
    )  # fmt: skip
