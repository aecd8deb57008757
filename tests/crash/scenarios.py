"""The updates that are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Scenario:
    """One update from the server.

    Attributes:
        bootloader: ``uboot``; ``grub`` on a file system that replaces files; ``fat`` is GRUB's block on one that cannot.
        system: what the new system is like: ``healthy``; ``sick``: its check fails; ``dead``: it does not start.
        cancelled: whether the operator takes the update back while it is written.
        again: whether another update came before, so that the second slot runs and the first is written.
        altered: names in ``crash.alterations``.
    """

    bootloader: Literal["uboot", "grub", "fat"] = "uboot"
    system: Literal["healthy", "sick", "dead"] = "healthy"
    cancelled: bool = False
    again: bool = False
    altered: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in reports."""
        words = [self.bootloader, self.system, "cancelled" * self.cancelled, "again" * self.again, *self.altered]
        return "-".join(word for word in words if word)


SCENARIOS = (
    Scenario("uboot", "healthy"),
    Scenario("uboot", "sick"),
    Scenario("uboot", "dead"),
    Scenario("uboot", "healthy", cancelled=True),
    Scenario("uboot", "healthy", again=True),
    Scenario("grub", "healthy"),
    Scenario("grub", "sick"),
    Scenario("grub", "dead"),
    Scenario("fat", "healthy"),
    Scenario("fat", "sick"),
)
