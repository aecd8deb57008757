"""Settings of the boot scripts (``docs/boot-scripts.md`` of the agent), so that they agree with the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ota_layer.layout import Layout, Read


_NOTE = "# Made from OTA_* variables by the recipe; change them, not this file."


def grub_board(layout: Layout, get: Read) -> str:
    """The text of ``ota-board.cfg``.

    The disk is the one that GRUB read this file from: another disk, such as a USB stick, may come first in GRUB's count.
    """
    lines = [
        _NOTE,
        "regexp --set=1:ota_disk '^([^,]*)' \"$root\"",
        f'set ota_slots="{layout.bootnames}"',
        f'set ota_attempts="{attempts(get)}"',
        f'set ota_bootargs="{_plain(get, "OTA_KERNEL_ARGS")}"',
        f'set ota_kernel="{_plain(get, "OTA_KERNEL_PATH")}"',
    ]
    if get("OTA_INITRD_PATH"):
        lines.append(f'set ota_initrd="{_plain(get, "OTA_INITRD_PATH")}"')
    for slot in layout.slots:
        lines.append(f'set ota_device_{slot.bootname}="($ota_disk,gpt{slot.number})"')
        lines.append(f'set ota_args_{slot.bootname}="root=PARTUUID={slot.uuid}"')
    return "\n".join(lines) + "\n"


def grub_variables(layout: Layout) -> dict[str, str]:
    """The environment of a new device: the first slot holds a system, the others do not."""
    found = {"ORDER": layout.bootnames}
    for place, slot in enumerate(layout.slots):
        found[f"{slot.bootname}_OK"] = "1" if place == 0 else "0"
        found[f"{slot.bootname}_TRY"] = "0"
    return found


def uboot_settings(layout: Layout, get: Read) -> str:
    """Lines that stand before ``boot.cmd``; a variable of the environment is preferred to each of them."""
    settings = {
        "ota_slots": layout.bootnames,
        "ota_attempts": attempts(get),
        "ota_medium": _plain(get, "OTA_UBOOT_MEDIUM"),
        "ota_bootargs": _plain(get, "OTA_KERNEL_ARGS"),
        "ota_kernel": _plain(get, "OTA_KERNEL_PATH"),
    }
    for slot in layout.slots:
        settings[f"ota_part_{slot.bootname}"] = f"{slot.number:x}"  # U-Boot reads it as hexadecimal
        settings[f"ota_args_{slot.bootname}"] = f"root=PARTUUID={slot.uuid}"
    lines = [_NOTE, *(f'test -n "${{{name}}}" || {name}="{value}"' for name, value in settings.items())]
    if get("OTA_UBOOT_ENV_FILE"):
        lines += _environment_in_a_file(layout, get)
    if get("OTA_UBOOT_BOOT"):
        lines.append(f"setenv ota_boot '{_single_quoted(get, 'OTA_UBOOT_BOOT')}'")
    elif get("OTA_INITRD_PATH"):
        lines.append(f"setenv ota_boot '{_with_initrd(get)}'")
    return "\n".join(lines) + "\n"


def uboot_variables(layout: Layout, get: Read) -> dict[str, str]:
    """The environment of a new device: the first slot holds a system, and an empty slot must not be in the order."""
    found = {"BOOT_ORDER": layout.slots[0].bootname}
    for place, slot in enumerate(layout.slots):
        found[f"BOOT_{slot.bootname}_LEFT"] = attempts(get) if place == 0 else "0"
    return found


def attempts(get: Read) -> str:
    """Boots that a slot gets; one digit, which is the same in U-Boot's hexadecimal and in GRUB's words.

    Raises:
        ValueError: ``OTA_BOOT_ATTEMPTS`` is no such number.
    """
    text = get("OTA_BOOT_ATTEMPTS") or ""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 9):
        raise ValueError(f"OTA_BOOT_ATTEMPTS: expected a number from 1 to 9, got {text!r}")
    return str(int(text))


def _environment_in_a_file(layout: Layout, get: Read) -> list[str]:
    """For a U-Boot that cannot store its environment: a file in the boot partition, and a copy that is written first.

    The file is what CONFIG_ENV_IS_IN_FAT makes, so the running system reads it with the usual tools. A write in its place
    may be cut; then the checksum is wrong and the copy counts.
    """
    place = f"{_plain(get, 'OTA_UBOOT_MEDIUM')}:{layout.boot.number:x}"
    size = _plain(get, "OTA_UBOOT_ENV_SIZE")
    file, backup = environment_files(get)
    names = " ".join(["BOOT_ORDER", *(f"BOOT_{slot.bootname}_LEFT" for slot in layout.slots), "OTA_TRIAL"])
    read = "load {0} ${{kernel_addr_r}} {1} {2} && env import -c ${{kernel_addr_r}} {2} {3}"
    write = "fatwrite {0} ${{kernel_addr_r}} {1} {2}"
    save = [f"env export -c -s {size} ${{kernel_addr_r}} {names}"]
    save += [write.format(place, name, size) for name in (backup, file)]
    return [
        f"if {read.format(place, file, size, names)}; then true; else {read.format(place, backup, size, names)}; fi",
        f"setenv ota_save '{'; '.join(save)}'",
    ]


def _with_initrd(get: Read) -> str:
    """Commands that start a slot with its initial RAM disk, whose size is that of the file that was loaded last."""
    load = "load ${ota_medium}:${ota_part}"
    return (
        f"{load} ${{kernel_addr_r}} ${{ota_kernel}} && "
        f"{load} ${{ramdisk_addr_r}} {_plain(get, 'OTA_INITRD_PATH')} && "
        "booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}"
    )


def environment_files(get: Read) -> list[str]:
    """The file that holds the environment, and its copy; none where U-Boot stores it elsewhere."""
    file = get("OTA_UBOOT_ENV_FILE")
    return [file, f"{file}.bak"] if file else []


def _plain(get: Read, variable: str) -> str:
    text = " ".join((get(variable) or "").split())
    if not text or any(each in text for each in "\"'$\\;"):
        raise ValueError(f"{variable}: expected a text without quotes, $, backslash and semicolon, got {text!r}")
    return text


def _single_quoted(get: Read, variable: str) -> str:
    text = " ".join((get(variable) or "").split())
    if "'" in text:
        raise ValueError(f"{variable}: expected commands without ', got {text!r}")
    return text
