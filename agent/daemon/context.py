"""The collaborators of the activities, built once by the daemon; nothing looks anything up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.audit.port import Auditor
from agent.bus.calls import Bus
from agent.clock import Clock
from agent.config import Config
from agent.consent.desk import Desk
from agent.daemon.children import Child, spawn
from agent.daemon.device import Device
from agent.daemon.handed import Handed
from agent.daemon.inbox import Inbox
from agent.daemon.installers import Installers
from agent.daemon.knowledge import Knowledge
from agent.daemon.memory import Memory
from agent.daemon.server import Server
from agent.daemon.trial_notes import TrialNotes
from agent.health.suite import Suite

if TYPE_CHECKING:
    from agent.daemon.leaving import Leaving
    from agent.media.station import Station


@dataclass(frozen=True, slots=True)
class Context:
    """What an activity may use.

    ``server`` is None when none is configured. ``boot_checks`` judge an ordinary boot and a local update,
    ``trial_checks`` an update from the server: a system that cannot reach it again could never be mended. ``memory`` saves
    the record in the middle of an activity, ``notes`` are for the reason of a fallback. ``tell`` publishes what changed.
    ``reset`` asks for the reboot, with the argument that the bootloader needs or an empty text, and returns. ``audit``
    records decisions. ``desk`` knows what people and the policy say. ``spawn`` starts a process for one request. ``bus`` is
    for calls to other services; without a bus each is refused as ``unreachable``. ``handed`` keeps what was handed over as
    an open file. ``media`` is None when nothing that is plugged in is looked at, ``leaving`` when the daemon stays although
    it has nothing to do.
    """

    config: Config
    device: Device
    knowledge: Knowledge
    server: Server | None
    installers: Installers
    inbox: Inbox
    clock: Clock
    boot_checks: Suite
    trial_checks: Suite
    memory: Memory
    notes: TrialNotes
    tell: Callable[[Mapping[str, object]], None]
    reset: Callable[[str], None]
    audit: Auditor
    desk: Desk
    spawn: Callable[[str], Child] = spawn
    bus: Bus = field(default_factory=lambda: Bus("none"))
    handed: Handed = field(default_factory=Handed)
    media: Station | None = None
    leaving: Leaving | None = None

    def dismiss(self) -> None:
        """Ends the processes that were kept for what follows at once: the daemon is going to wait, or does something else."""
        self.installers.dismiss()
        if self.server is not None:
            self.server.dismiss()

    def running_version(self) -> str:
        """The version of the running system: of the bundle it came from, else what it says of itself."""
        return self.knowledge.content(self.device.booted.bootname).version or self.device.version
