"""The part of the agent's configuration that follows from the disk and the bootloader."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ota_layer.bootscript import attempts

if TYPE_CHECKING:
    from ota_layer.layout import Layout, Read

BOOTLOADERS = ("grub", "uboot")


def bootloader_of(get: Read) -> str:
    """Which bootloader the disk is made for.

    Raises:
        ValueError: ``OTA_BOOTLOADER`` is none of those that this layer makes a disk for.
    """
    found = get("OTA_BOOTLOADER") or ""
    if found not in BOOTLOADERS:
        raise ValueError(f"OTA_BOOTLOADER: expected {' or '.join(BOOTLOADERS)}, got {found!r}")
    return found


def agent_settings(layout: Layout, get: Read) -> str:
    """The text of the vendor's configuration file, which files in /etc/ota-agent override setting by setting."""
    compatible = get("OTA_COMPATIBLE") or ""
    if not compatible:
        raise ValueError("OTA_COMPATIBLE: expected the name of the device, as in its bundles, got nothing")
    lines = [
        "# Made from OTA_* by the recipe ota-agent-conf; change the variables, not this file.",
        "[system]",
        f"compatible = {_quoted(compatible)}",
        "",
        "[keyring]",
        'path = "/etc/ota-agent/ca.pem"',
        "",
        "[fetcher]",
        'user = "ota-fetcher"',
        "",
        *_bootloader(get),
    ]
    for place, slot in enumerate(layout.slots):
        lines += [
            "",
            f"[slot.rootfs.{place}]",
            f"device = {_quoted('partlabel:' + slot.label)}",
            'type = "ext4"',
            f"bootname = {_quoted(slot.bootname)}",
        ]
    return "\n".join(lines) + "\n"


def _bootloader(get: Read) -> list[str]:
    kind = bootloader_of(get)
    lines = ["[bootloader]", f"type = {_quoted(kind)}"]
    if kind == "grub":
        lines.append(f"grubenv = {_quoted(grubenv_path(get))}")
    elif copies := environment_copies(get):
        lines.append('fw-env-config = "/etc/ota-agent/fw_env.config"')
        if len(copies) == 1:
            lines.append("allow-single-environment = true")
    return [*lines, f"boot-attempts = {attempts(get)}", f"boot-attempts-primary = {attempts(get)}"]


def grubenv_path(get: Read) -> str:
    """Where the running system finds GRUB's environment block."""
    return f"{get('OTA_AB_BOOT_MOUNT')}/EFI/BOOT/grubenv"


def environment_copies(get: Read) -> list[str]:
    """The lines of ``fw_env.config``, one for each copy of U-Boot's environment; none where the board brings the file.

    Raises:
        ValueError: there are more than two.
    """
    if get("OTA_UBOOT_ENV_FILE"):
        return [f"{get('OTA_AB_BOOT_MOUNT')}/{get('OTA_UBOOT_ENV_FILE')} 0x0 {get('OTA_UBOOT_ENV_SIZE')}"]
    text = (get("OTA_UBOOT_ENV_CONFIG") or "").replace("\\n", "\n")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if len(lines) > 2:
        raise ValueError(f"OTA_UBOOT_ENV_CONFIG: expected one line or two, separated by \\n, got {len(lines)}")
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text)  # a basic string of TOML takes every escape of JSON but \/, which dumps does not write


def trial_places(get: Read) -> str:
    """A drop-in that tells the last resort of a trial where the boot environment is; empty if it is where it looks anyway."""
    if bootloader_of(get) == "grub":
        return f"[Service]\nEnvironment=GRUBENV={grubenv_path(get)}\n"
    if environment_copies(get):
        return "[Service]\nEnvironment=FW_ENV_CONFIG=/etc/ota-agent/fw_env.config\n"
    return ""
