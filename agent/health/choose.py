"""From the settings to the checks: the explicit list of all kinds of check there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.health.command import CommandCheck
from agent.health.result import Check
from agent.health.server import ServerCheck
from agent.health.suite import Suite
from agent.health.units import SystemStateCheck, UnitsCheck

if TYPE_CHECKING:
    from agent.config import HealthSettings

_BOOTED_BY_SYSTEMD = "/run/systemd/system"  # sd_booted(3) looks for exactly this directory


def choose(settings: HealthSettings, contact: Callable[[], None] | None) -> Suite:
    """Builds the checks that the settings ask for.

    Args:
        settings: the ``[health]`` section.
        contact: talks to the server once; None when there is no server, or when the update did not come from it.
    """
    checks: list[Check] = []
    if os.path.isdir(_BOOTED_BY_SYSTEMD):
        checks.append(SystemStateCheck(settings.check_timeout))
    if settings.units:
        checks.append(UnitsCheck(settings.units, settings.check_timeout))
    checks += [CommandCheck(argv, settings.check_timeout) for argv in settings.commands]
    if settings.server and contact is not None:
        checks.append(ServerCheck(contact))
    return Suite(checks)
