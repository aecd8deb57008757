"""From configuration to a boot environment. Each bootloader's own code is loaded only where it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Required, TypedDict, Unpack

from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootEnv


class Options(TypedDict, total=False):
    """What the bootloaders need to know; each takes what concerns it.

    Keys:
        bootnames: of all slots that we manage.
        rescue: of the rescue system, which is no target of updates but may be running when one is installed; the boot
            script must know it too.
        attempts: boots that a proven slot may fail in a row, where the bootloader counts: U-Boot and barebox 1 to 255,
            GRUB 1 to 9.
        attempts_primary: the same for a slot on trial; systemd-boot, which counts only these, 1 to 99.
        env_config: U-Boot: path of fw_env.config.
        allow_single: U-Boot: accept an environment that is not redundant.
        namespace: U-Boot: the environment to take of a description with several.
        lock: U-Boot: the lock file of libubootenv, unless the description names another.
        grubenv: GRUB: path of the environment block.
        efi_use_bootnext: EFI: try a new slot by BootNext.
        efivars: EFI, systemd-boot: where efivarfs is mounted.
        barebox_statename: barebox: the alias of the state in the device tree; empty for the default.
        barebox_dtbpath: barebox: a device tree blob to use instead of the running one; empty for none.
        cmdline: barebox: the kernel's command line.
        autoboot: Raspberry Pi: path of autoboot.txt.
        device_tree: U-Boot, Raspberry Pi: the device tree of the running system.
        loader_entries: systemd-boot: path of the directory with the entries.
        custom_backend: custom: path of the program.
    """

    bootnames: Required[tuple[str, ...]]
    rescue: tuple[str, ...]
    attempts: int
    attempts_primary: int
    env_config: str
    allow_single: bool
    namespace: str
    lock: str
    grubenv: str
    efi_use_bootnext: bool
    efivars: str
    barebox_statename: str
    barebox_dtbpath: str
    cmdline: str
    autoboot: str
    device_tree: str
    loader_entries: str
    custom_backend: str


def open_env(kind: str, **options: Unpack[Options]) -> BootEnv:
    """Returns the boot environment; the medium itself is not touched before the first call.

    Where its ``capabilities.marker_inside`` is false, ``marked.with_marker`` makes it complete.

    Args:
        kind: the bootloader, one of ``KINDS``.
        options: see Options.

    Raises:
        BootEnvError: ``bootenv.bootnames``; for U-Boot ``bootenv.config-missing``, ``bootenv.config-invalid``,
            ``bootenv.config-namespace``, ``bootenv.not-writable``, ``bootenv.not-redundant``.
        ValueError: an unknown kind, or attempts out of range.
    """
    if kind not in _OPENERS:
        raise ValueError(f"{kind!r} is no bootloader that we know")
    return _OPENERS[kind](options)


def _uboot(options: Options) -> BootEnv:
    from bootloader_env import fwenv_config
    from bootloader_env.order import Rules, UbootDialect
    from bootloader_env.uboot import DEFAULT_LOCK, UbootStore
    from bootloader_env.variables import VariableEnv

    good, primary = _attempts(options, 255)
    hint = _hint(options.get("device_tree", "/proc/device-tree"))
    layout = fwenv_config.parse(_config_text(options["env_config"]), namespace=options.get("namespace", ""), hint=hint)
    rules = Rules(options["bootnames"], UbootDialect(good, primary), options.get("rescue", ()))
    _check_writable(layout.writable, rules.names)
    lock = layout.lock or options.get("lock", DEFAULT_LOCK)
    store = UbootStore(layout.copies, lock=lock, allow_single=options.get("allow_single", False))
    return VariableEnv(store, rules, redundant=len(layout.copies) > 1)


def _grub(options: Options) -> BootEnv:
    from bootloader_env.grub import GrubEnv, GrubStore
    from bootloader_env.order import GrubDialect, Rules

    dialect = GrubDialect(*_attempts(options, 9))
    return GrubEnv(GrubStore(options["grubenv"]), Rules(options["bootnames"], dialect, options.get("rescue", ())))


def _efi(options: Options) -> BootEnv:
    from bootloader_env.efi import EfiLoader
    from bootloader_env.efi_vars import DIRECTORY, EfiVars

    variables = EfiVars(options.get("efivars", DIRECTORY))
    return EfiLoader(variables, _names(options), use_bootnext=options.get("efi_use_bootnext", True))


def _barebox(options: Options) -> BootEnv:
    from bootloader_env.barebox import BareboxLoader

    good, primary = _attempts(options, 255)
    return BareboxLoader(
        _names(options),
        attempts=good,
        attempts_primary=primary,
        statename=options.get("barebox_statename", ""),
        dtbpath=options.get("barebox_dtbpath", ""),
        cmdline=options.get("cmdline", "/proc/cmdline"),
    )


def _raspberrypi(options: Options) -> BootEnv:
    from bootloader_env.raspberrypi import DEVICE_TREE, RaspberryPiEnv

    tree = options.get("device_tree", DEVICE_TREE)
    return RaspberryPiEnv(options["autoboot"], _names(options), device_tree=tree)


def _systemd_boot(options: Options) -> BootEnv:
    from bootloader_env.efi_vars import DIRECTORY, EfiVars
    from bootloader_env.systemd_boot import SystemdBootLoader

    return SystemdBootLoader(
        options["loader_entries"],
        _names(options),
        attempts=_attempts(options, 99)[1],
        variables=EfiVars(options.get("efivars", DIRECTORY)),
    )


def _custom(options: Options) -> BootEnv:
    from bootloader_env.custom import CustomLoader

    return CustomLoader(options["custom_backend"], _names(options))


def _noop(options: Options) -> BootEnv:
    from bootloader_env.noop import NoopLoader

    return NoopLoader(_names(options))


_OPENERS: Mapping[str, Callable[[Options], BootEnv]] = {
    "uboot": _uboot,
    "grub": _grub,
    "efi": _efi,
    "barebox": _barebox,
    "raspberrypi": _raspberrypi,
    "systemd-boot": _systemd_boot,
    "custom": _custom,
    "noop": _noop,
}
KINDS = tuple(_OPENERS)


def _names(options: Options) -> tuple[str, ...]:
    return (*options["bootnames"], *options.get("rescue", ()))


def _attempts(options: Options, most: int) -> tuple[int, int]:
    both = options.get("attempts", 3), options.get("attempts_primary", 3)
    if not all(1 <= count <= most for count in both):
        raise ValueError(f"attempts must be between 1 and {most}")
    return both


def _hint(device_tree: str) -> str:
    """What U-Boot says its environment is called in fw_env.config; libubootenv, ``libuboot_namespace_from_dt``."""
    try:
        with Path(device_tree, "chosen/u-boot,env-config").open("rb") as file:
            return file.read(64).split(b"\0")[0].decode("utf-8", "replace")
    except OSError:
        return ""


def _check_writable(writable: frozenset[str] | None, needed: Iterable[str]) -> None:
    missing = sorted(set(needed) - writable) if writable is not None else []
    if missing:
        raise BootEnvError(
            "bootenv.not-writable",
            "the description of the U-Boot environment forbids to change what we must change",
            details="not in the writelist, or read-only there: " + " ".join(missing),
            resolution="add them to the writelist in fw_env.config, and to CONFIG_ENV_FLAGS_LIST_STATIC of U-Boot if it sets "
            "CONFIG_ENV_WRITEABLE_LIST",
        )


def _config_text(path: str) -> str:
    from bootloader_env import fwenv_config

    try:
        with Path(path).open("rb") as file:
            data = file.read(fwenv_config.MAX_FILE + 1)
    except OSError as error:
        raise BootEnvError(
            "bootenv.config-missing",
            "the description of the U-Boot environment cannot be read",
            details=str(error),
            resolution=f"describe both copies of the environment in {path}, see fw_env.config(5)",
        ) from error
    if len(data) > fwenv_config.MAX_FILE:
        raise BootEnvError(
            "bootenv.config-invalid", "the description of the U-Boot environment is too large", details=path
        )
    return data.decode("utf-8", "replace")
