"""What this device is, as of this boot: its slots, which one runs, and its boot environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from agent.config import Config
from agent.errors import ConfigError
from bootloader_env.choose import open_env
from bootloader_env.marked import with_marker
from bootloader_env.port import BootEnv
from slots.detect import booted_slot
from slots.device import resolve
from slots.model import Group, Slot, groups_of

_MAX_TEXT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Device:
    """Facts that cannot change before the next boot, and the way to the boot environment.

    ``release`` is what the running system says of itself (os-release(5)); ``version`` is taken from it.
    """

    compatible: str
    boot_id: str
    groups: tuple[Group, ...]
    booted: Group
    env: BootEnv
    release: Mapping[str, str]
    version: str

    def group(self, bootname: str) -> Group:
        """The slot group with this boot name.

        Raises:
            ConfigError: ``slot.unknown``.
        """
        for group in self.groups:
            if group.bootname == bootname:
                return group
        raise ConfigError("slot.unknown", "the configuration has no such slot", details=bootname)

    def fallbacks(self, order: Sequence[str]) -> tuple[str, ...]:
        """The boot names of the groups that do not run, the likeliest to boot in their place first.

        Args:
            order: the bootloader's; the rescue system is behind all that are in it.
        """
        others = [group for group in self.groups if group != self.booted]
        place = {name: number for number, name in enumerate(order)}
        others.sort(key=lambda group: (group.rescue, place.get(group.bootname, len(place))))
        return tuple(group.bootname for group in others)


def slots_of(config: Config) -> tuple[Slot, ...]:
    """The configured slots."""
    return tuple(Slot(**{name.name: getattr(item, name.name) for name in fields(Slot)}) for item in config.slots)


def bootloader_of(config: Config, groups: tuple[Group, ...]) -> BootEnv:
    """The bootloader; where it has no place for the marker of a trial, ``env_of`` adds one.

    Raises:
        BootEnvError: see ``bootloader_env.choose.open_env``.
    """
    loader = config.bootloader
    return open_env(
        loader.type,
        bootnames=tuple(group.bootname for group in groups if not group.rescue),
        rescue=tuple(group.bootname for group in groups if group.rescue),
        attempts=loader.boot_attempts,
        attempts_primary=loader.boot_attempts_primary,
        env_config=str(loader.fw_env_config),
        allow_single=loader.allow_single_environment,
        namespace=loader.fw_env_namespace,
        lock=str(loader.lock_file),
        grubenv=str(loader.grubenv),
        efi_use_bootnext=loader.efi_use_bootnext,
        efivars=str(loader.efivars),
        barebox_statename=loader.barebox_statename,
        barebox_dtbpath=str(loader.barebox_dtbpath or ""),
        cmdline=str(config.system.cmdline),
        autoboot=str(loader.autoboot),
        loader_entries=str(loader.loader_entries),
        custom_backend=str(loader.custom_backend or ""),
    )


def booted_of(config: Config, groups: tuple[Group, ...], loader: BootEnv | None) -> Group:
    """The group that is running.

    Args:
        config: what is configured.
        groups: all groups.
        loader: the bootloader, which may know; None if it cannot be reached.

    Raises:
        SlotError: see ``slots.detect.booted_slot``.
        BootEnvError: the bootloader was asked, and failed.
        ConfigError: ``config.file``.
    """
    current = loader.current if loader is not None else _unknown
    running = booted_slot(_text(config.system.cmdline), slots_of(config), resolve, current)
    return next(group for group in groups if running in group.slots)


def env_of(config: Config, loader: BootEnv, booted: Group) -> BootEnv:
    """The boot environment with a place for the marker of a trial."""
    return with_marker(loader, str(config.system.state_dir / "trial"), booted=booted.bootname)


def _unknown() -> str:
    return ""


def look_at(config: Config) -> Device:
    """Finds out what this device is.

    Raises:
        ConfigError, SlotError, BootEnvError: the configuration does not fit the device; see their codes.
    """
    groups = groups_of(slots_of(config))
    loader = bootloader_of(config, groups)
    booted = booted_of(config, groups, loader)
    release = parse_os_release(_text(config.system.os_release))
    return Device(
        compatible=config.system.compatible,
        boot_id=_text(config.system.boot_id).strip(),
        groups=groups,
        booted=booted,
        env=env_of(config, loader, booted),
        release=release,
        version=release.get("IMAGE_VERSION") or release.get(config.system.version_key, ""),
    )


def variant_of(config: Config) -> str:
    """Which variant of the device this is; empty when the configuration says nothing about it.

    Raises:
        ConfigError: ``config.file``.
    """
    if config.system.variant_file is None:
        return config.system.variant_name
    return _text(config.system.variant_file).strip()


def parse_os_release(text: str) -> dict[str, str]:
    """Reads os-release(5): shell-like assignments, quotes removed, comments and odd lines ignored."""
    values = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and key.isidentifier():
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            values[key] = value
    return values


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_TEXT).decode("utf-8", "replace")
    except OSError as error:
        raise ConfigError(
            "config.file", "a file that the agent needs cannot be read", details=str(error),
            resolution="check the paths in the [system] section",
        ) from error  # fmt: skip
