"""From configuration to a boot environment."""

from __future__ import annotations

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
    env_config: str,
    grubenv: str,
    attempts: int,
    attempts_primary: int,
    allow_single: bool = False,
    lock: str = DEFAULT_LOCK,
) -> BootEnv:
    """Returns the boot environment; the medium itself is not touched before the first call.

    Args:
        kind: the bootloader.
        bootnames: of all slots that we manage.
        env_config: U-Boot only: path of fw_env.config.
        grubenv: GRUB only: path of the environment block.
        attempts: U-Boot only: boots that a proven slot may fail in a row, 1 to 255.
        attempts_primary: U-Boot only: the same for a slot on trial.
        allow_single: U-Boot only: accept an environment that is not redundant.
        lock: U-Boot only: the lock file of libubootenv.

    Raises:
        BootEnvError: ``bootenv.bootnames``, ``bootenv.config-missing``, ``bootenv.config-invalid``,
            ``bootenv.config-unsupported``, ``bootenv.not-redundant``.
        ValueError: an unknown kind, or attempts out of range.
    """
    if kind == "grub":
        return VariableEnv(GrubStore(grubenv), Rules(bootnames, GrubDialect()))
    if kind != "uboot":
        raise ValueError(f"{kind!r} is no bootloader that we know")
    if not 1 <= attempts <= 255 or not 1 <= attempts_primary <= 255:
        raise ValueError("attempts must be between 1 and 255")
    copies = fwenv_config.parse(_config_text(env_config))
    store = UbootStore(copies, lock=lock, allow_single=allow_single)
    return VariableEnv(store, Rules(bootnames, UbootDialect(attempts, attempts_primary)))


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
