"""From configuration to a boot environment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from bootloader_env import fwenv_config
from bootloader_env.errors import BootEnvError
from bootloader_env.grub import GrubStore
from bootloader_env.order import GrubDialect, Rules, UbootDialect
from bootloader_env.port import BootEnv
from bootloader_env.uboot import DEFAULT_LOCK, UbootStore
from bootloader_env.variables import VariableEnv


def open_env(
    kind: Literal["uboot", "grub"],
    *,
    bootnames: tuple[str, ...],
    rescue: tuple[str, ...] = (),
    env_config: str,
    grubenv: str,
    attempts: int,
    attempts_primary: int,
    allow_single: bool = False,
    namespace: str = "",
    lock: str = DEFAULT_LOCK,
    device_tree: str = "/proc/device-tree",
) -> BootEnv:
    """Returns the boot environment; the medium itself is not touched before the first call.

    Args:
        kind: the bootloader.
        bootnames: of all slots that we manage.
        rescue: of the rescue system, if there is one; the boot script must know it too.
        env_config: U-Boot only: path of fw_env.config.
        grubenv: GRUB only: path of the environment block.
        attempts: U-Boot only: boots that a proven slot may fail in a row, 1 to 255.
        attempts_primary: U-Boot only: the same for a slot on trial.
        allow_single: U-Boot only: accept an environment that is not redundant.
        namespace: U-Boot only: the environment to take of a description with several.
        lock: U-Boot only: the lock file of libubootenv, unless the description names another.
        device_tree: U-Boot only: where the device tree is, in which the bootloader may name the environment.

    Raises:
        BootEnvError: ``bootenv.bootnames``, ``bootenv.config-missing``, ``bootenv.config-invalid``,
            ``bootenv.config-namespace``, ``bootenv.not-writable``, ``bootenv.not-redundant``.
        ValueError: an unknown kind, or attempts out of range.
    """
    if kind == "grub":
        return VariableEnv(GrubStore(grubenv), Rules(bootnames, GrubDialect(), rescue))
    if kind != "uboot":
        raise ValueError(f"{kind!r} is no bootloader that we know")
    if not 1 <= attempts <= 255 or not 1 <= attempts_primary <= 255:
        raise ValueError("attempts must be between 1 and 255")
    layout = fwenv_config.parse(_config_text(env_config), namespace=namespace, hint=_hint(device_tree))
    rules = Rules(bootnames, UbootDialect(attempts, attempts_primary), rescue)
    _check_writable(layout.writable, rules.names)
    return VariableEnv(UbootStore(layout.copies, lock=layout.lock or lock, allow_single=allow_single), rules)


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
