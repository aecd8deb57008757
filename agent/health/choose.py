"""From the settings to the checks: the explicit list of all kinds of check there are.

Each kind is imported when the settings ask for it: the daemon that stays afterwards carries nothing that it has no use for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from agent.health.result import Check
from agent.health.suite import Suite

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
    checks = [
        *_of_systemd(config.health, stopping),
        *_of_bus(config.health, bus),
        *_of_places(config, stopping),
        *_of_programs(config.health, stopping),
        *_of_network(config.health, prober),
    ]
    if config.health.server and contact is not None:
        from agent.health.server import ServerCheck

        checks.append(ServerCheck(contact))
    return Suite(checks, retries=config.health.retries, stopping=stopping, finish=prober.close)


def _of_systemd(settings: HealthSettings, stopping: Callable[[], bool]) -> Iterator[Check]:
    booted = os.path.isdir(_BOOTED_BY_SYSTEMD)
    if not booted and not settings.units:
        return
    from agent.health.boot_complete import BootCompleteCheck
    from agent.health.systemctl import Systemctl
    from agent.health.units import SystemStateCheck, UnitsCheck

    systemctl = Systemctl(settings.check_timeout, stopping=stopping)
    if booted:
        yield SystemStateCheck(systemctl)
    if settings.units:
        yield UnitsCheck(settings.units, systemctl)
    if booted and settings.boot_complete:
        yield BootCompleteCheck(systemctl)


def _of_bus(settings: HealthSettings, bus: Bus) -> Iterator[Check]:
    if settings.dbus_names:
        from agent.health.bus_name import BusNameCheck

        yield from (BusNameCheck(name, bus, settings.check_timeout) for name in settings.dbus_names)


def _of_places(config: Config, stopping: Callable[[], bool]) -> Iterator[Check]:
    settings = config.health
    if settings.mounts:
        from agent.health.mount import MountCheck

        yield from (MountCheck(point, settings.check_timeout, stopping) for point in settings.mounts)
    if settings.free_space:
        from agent.health.space import SpaceCheck

        for path in (config.system.state_dir, *settings.mounts):
            yield SpaceCheck(path, settings.free_space, settings.check_timeout, stopping)
    if settings.watchdog is not None:
        from agent.health.systemctl import Systemctl
        from agent.health.watchdog import WatchdogCheck

        yield WatchdogCheck(settings.watchdog, Systemctl(settings.check_timeout, stopping=stopping))


def _of_programs(settings: HealthSettings, stopping: Callable[[], bool]) -> Iterator[Check]:
    if settings.commands:
        from agent.health.command import CommandCheck

        yield from (CommandCheck(argv, settings.check_timeout, stopping=stopping) for argv in settings.commands)
    if settings.directory is not None and os.path.lexists(settings.directory):
        from agent.health.directory import directory_checks

        yield from directory_checks(settings.directory, settings.check_timeout, stopping)


def _of_network(settings: HealthSettings, prober: Prober) -> Iterator[Check]:
    if settings.tcp:
        from agent.health.tcp import TcpCheck

        yield from (TcpCheck(endpoint, prober) for endpoint in settings.tcp)
    if settings.urls:
        from agent.health.url import UrlCheck

        yield from (UrlCheck(url, prober) for url in settings.urls)
