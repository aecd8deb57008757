"""From the settings to the checks: the explicit list of all kinds of check there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from agent.health.boot_complete import BootCompleteCheck
from agent.health.bus_name import BusNameCheck
from agent.health.command import CommandCheck
from agent.health.directory import directory_checks
from agent.health.mount import MountCheck
from agent.health.result import Check
from agent.health.server import ServerCheck
from agent.health.space import SpaceCheck
from agent.health.suite import Suite
from agent.health.systemctl import Systemctl
from agent.health.tcp import TcpCheck
from agent.health.units import SystemStateCheck, UnitsCheck
from agent.health.url import UrlCheck
from agent.health.watchdog import WatchdogCheck

if TYPE_CHECKING:
    from agent.bus.calls import Bus
    from agent.config import Config, HealthSettings
    from agent.health.network import Prober

_BOOTED_BY_SYSTEMD = "/run/systemd/system"  # sd_booted(3) looks for exactly this directory


def choose(
    config: Config,
    bus: Bus,
    prober: Prober,
    contact: Callable[[], None] | None,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Suite:
    """Builds the checks that the settings ask for.

    Args:
        config: see ``agent.config``.
        bus: on which names are looked for.
        prober: uses the network.
        contact: talks to the server once; None when there is no server, or when the update did not come from it.
        stopping: whether answers are not wanted any more.
    """
    timeout = config.health.check_timeout
    systemctl = Systemctl(timeout, stopping=stopping)
    checks = [
        *_of_systemd(config.health, systemctl),
        *(BusNameCheck(name, bus, timeout) for name in config.health.dbus_names),
        *_of_places(config, systemctl, stopping),
        *_of_programs(config.health, stopping),
        *(TcpCheck(endpoint, prober) for endpoint in config.health.tcp),
        *(UrlCheck(url, prober) for url in config.health.urls),
    ]
    if config.health.server and contact is not None:
        checks.append(ServerCheck(contact))
    return Suite(checks, retries=config.health.retries, stopping=stopping, finish=prober.close)


def _of_systemd(settings: HealthSettings, systemctl: Systemctl) -> Iterator[Check]:
    booted = os.path.isdir(_BOOTED_BY_SYSTEMD)
    if booted:
        yield SystemStateCheck(systemctl)
    if settings.units:
        yield UnitsCheck(settings.units, systemctl)
    if booted and settings.boot_complete:
        yield BootCompleteCheck(systemctl)


def _of_places(config: Config, systemctl: Systemctl, stopping: Callable[[], bool]) -> Iterator[Check]:
    settings = config.health
    for point in settings.mounts:
        yield MountCheck(point, settings.check_timeout, stopping)
    if settings.free_space:
        for path in (config.system.state_dir, *settings.mounts):
            yield SpaceCheck(path, settings.free_space, settings.check_timeout, stopping)
    if settings.watchdog is not None:
        yield WatchdogCheck(settings.watchdog, systemctl)


def _of_programs(settings: HealthSettings, stopping: Callable[[], bool]) -> Iterator[Check]:
    for argv in settings.commands:
        yield CommandCheck(argv, settings.check_timeout, stopping=stopping)
    if settings.directory is not None:
        yield from directory_checks(settings.directory, settings.check_timeout, stopping)
