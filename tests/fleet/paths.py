"""The paths an update can take, and what may be true at their end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.daemon.machine import State
from fleet.device import Device
from fleet.strikes import PowerCut
from fleet.systems import DEAD, GOOD, SICK, System, bundle_of

OLD, NEW = "1.0.0", "1.1.0"
Cancel = Callable[[], None]


def _nothing(_device: Device, _cancel: Cancel) -> None:
    """The update is left alone."""


@dataclass(frozen=True, slots=True)
class Path_:  # noqa: N801  not the one of pathlib
    """One path.

    Args:
        name: of the path.
        health: how the new system turns out.
        truth: the server's word that is true at the end, by the version that runs then.
        codes: one of these reasons is told with a failure; empty when none must be.
        signer: of the bundle.
        type: of the assignment.
        prepare: what else happens; gets the device and the operator's wish to cancel.
    """

    name: str
    health: str
    truth: dict[str, str]
    codes: tuple[str, ...] = ()
    signer: str = "good"
    type: str = "forced"
    prepare: Callable[[Device, Cancel], None] = field(default=_nothing)

    def bundle(self, directory: Path) -> Path:
        """The bundle that is offered."""
        return bundle_of(System(NEW, self.health), directory, signer=self.signer)


def _once(device: Device, state: State, act: Callable[[], None]) -> None:
    left = [act]

    def entered(now: State) -> None:
        if now is state and left:
            left.pop()()

    device.on_state = entered


def _cancel_at(state: State) -> Callable[[Device, Cancel], None]:
    return lambda device, cancel: _once(device, state, cancel)


def _slot_vanishes(device: Device, _cancel: Cancel) -> None:
    """The storage of the other slot is gone when it is to be written."""
    _once(device, State.STAGING, device.board.slots["B"].unlink)


def _gone(device: Device, _cancel: Cancel) -> None:
    """The new system is confirmed; before anybody is told, it is lost, and the bootloader goes back."""
    _once(device, State.REPORTING, lambda: _loses_the_new_system(device))


def _gone_untold(device: Device, _cancel: Cancel) -> None:
    """As before, but the success waits in the outbox already, because there was no network."""

    def offline() -> None:
        device.offline = True
        _once(device, State.IDLE, lambda: _loses_the_new_system(device))

    _once(device, State.REPORTING, offline)


def _loses_the_new_system(device: Device) -> None:
    device.offline = False
    device.board.fates[NEW] = DEAD
    raise PowerCut


PATHS = (
    Path_("good", GOOD, {NEW: "FINISHED"}),
    Path_("sick", SICK, {OLD: "ERROR"}, ("health.failed", "boot.fallback")),
    Path_("dead", DEAD, {OLD: "ERROR"}, ("boot.fallback",)),
    Path_("gone", GOOD, {OLD: "ERROR"}, ("boot.fallback",), prepare=_gone),
    Path_("gone-untold", GOOD, {OLD: "ERROR"}, ("boot.fallback",), prepare=_gone_untold),
    # Closing the update wins over the wish to cancel it, when that was not heard in time.
    Path_("cancelled", GOOD, {OLD: "CANCELED", NEW: "FINISHED"}, prepare=_cancel_at(State.INSPECTING)),
    Path_("cancelled-late", GOOD, {OLD: "CANCELED", NEW: "FINISHED"}, prepare=_cancel_at(State.STAGED)),
    Path_("download-only", GOOD, {OLD: "DOWNLOADED"}, type="downloadonly"),
    Path_("refused", GOOD, {OLD: "ERROR"}, ("bundle.signature-untrusted",), signer="other"),
    Path_("storage-fails", GOOD, {OLD: "ERROR"}, ("slot.missing",), prepare=_slot_vanishes),
)
