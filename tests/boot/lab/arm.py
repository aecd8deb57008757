"""arm64 boards that U-Boot starts: Debian's build with its environment on FAT, and one with a redundant one on an SD card.

Both run the project's boot script as it is. What a Yocto layer would put into the environment is put there here.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.uboot_machine import flash_image, script_image

import bootloader_env
from boot.lab import uboot
from boot.lab.boards import ATTEMPTS, DEVICES, LABELS, LAST_WORDS, WATCHDOG, ramoops
from boot.lab.debs import Arch
from boot.lab.disk import layout, make_disk
from boot.lab.environment import decode, encode
from boot.lab.system import MIB

SCRIPT = Path(bootloader_env.__file__).with_name("scripts") / "boot.cmd"
_MACHINE = ["qemu-system-aarch64", "-machine", "virt", "-accel", "tcg", "-cpu", "cortex-a53", "-m", "512", *DEVICES]
# hush does not expand a variable twice, so each command names its numbers.
_ENV, _SCRIPT, _DEVICE_TREE = 0x43000000, 0x43100000, 0x40000000
# Far from what U-Boot and the kernel load; the kernel is told by the device tree that it is taken.
_WORDS_AT = 0x50000000
_PREPARE = f"virtio scan; fdt addr {_DEVICE_TREE:x}; fdt resize 1000; fdt rsvmem add {_WORDS_AT:x} {LAST_WORDS:x}"
# With KASLR the kernel isolates its page tables, too, and changes them at each call of it: an emulator throws away each time
# what it knows of the memory. A boot costs 11 CPU seconds without, and 17 with it.
_FAST = "nokaslr"
_SHARED = "BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT OTA_TRIAL"


def _first(contents: Mapping[str, Path]) -> dict[str, str]:
    """The choice of the factory, which may have filled slot B, too."""
    both = LABELS["B"] in contents
    full = f"{ATTEMPTS:x}"
    return {"BOOT_ORDER": "A B" if both else "A", "BOOT_A_LEFT": full, "BOOT_B_LEFT": full if both else "0"}


def _settings(of: Sequence[str], arguments: str) -> dict[str, str]:
    """What the boot script needs to know of the board."""
    load = "load virtio 0:${ota_part}"
    return {
        "kernel_addr_r": "0x40400000",
        "ramdisk_addr_r": "0x44000000",
        "ota_medium": "virtio 0",
        **{f"ota_part_{name}": str(number) for number, name in enumerate(of, 2)},
        **{f"ota_args_{name}": f"root=PARTLABEL={LABELS[name]}" for name in of},
        "ota_bootargs": f"ro console=ttyAMA0 panic=1 quiet loglevel=4 {_FAST} {ramoops(_WORDS_AT)} {arguments}".rstrip(),
        "ota_boot": f"{load} ${{kernel_addr_r}} /boot/Image && {load} ${{ramdisk_addr_r}} /boot/initrd && "
        f"booti ${{kernel_addr_r}} ${{ramdisk_addr_r}}:${{filesize}} {_DEVICE_TREE:x}",
    }


class _Arm:
    arch: Arch = "arm64"
    images: tuple[str, ...] = ("disk",)

    def __init__(self, *, rescue: bool = False, arguments: str = "") -> None:
        self.rescue, self.layout = rescue, layout(rescue=True)
        self._settings = _settings(("A", "B", "R"), arguments)

    def _variables(self) -> dict[str, str]:
        """The environment in the factory."""
        return {**self._settings, **({"ota_rescue": "R"} if self.rescue else {})}


class UBootFat(_Arm):
    """Debian's U-Boot. The environment is a file on a FAT partition; a second one is what it was at the last boot.

    The agent knows of the first file only. If a power cut tears it, U-Boot takes the second one: the slot that ran boots again.

    Args:
        rescue: there is a rescue system.
        arguments: more for the kernel.
    """

    name = "uboot-fat"
    _SIZE = 0x4000
    _FILES = ("uboot.env", "ubootbak.env")

    settings: Mapping[str, object] = {"bootloader.type": "uboot", "bootloader.allow-single-environment": True}
    files: Mapping[str, str] = {**WATCHDOG, "etc/fw_env.config": f"/boot/firmware/{_FILES[0]} 0x0 {_SIZE:#x}\n"}

    def __init__(self, *, rescue: bool = False, arguments: str = "") -> None:
        super().__init__(rescue=rescue, arguments=arguments)
        self._flash = Path()

    def make(self, directory: Path, contents: Mapping[str, Path]) -> None:
        """See ``Board``."""
        self._flash = flash_image(directory, "".join(f"{name}={value}\n" for name, value in self._commands().items()))
        with tempfile.TemporaryDirectory(prefix="ota-fat-") as name:
            boot = Path(name)
            script_image(SCRIPT, boot / "boot.scr")
            for file in self._FILES:
                (boot / file).write_bytes(encode(_first(contents), self._SIZE, redundant=False))
            make_disk(directory / "disk.img", self.layout, {**contents, "boot": boot})

    def _commands(self) -> dict[str, str]:
        """The environment of the build, which is in flash and never written."""
        first, second = self._FILES
        size, where = f"{self._SIZE:x}", f"{_ENV:x}"
        load = f"load virtio 0:1 {where} {{}} {size} && env import -c {where} {size} {_SHARED}"
        save = f"fatwrite virtio 0:1 {where} {{}} {size}"
        return {
            "bootdelay": "-2",
            "bootcmd": f"{_PREPARE}; run ota_load; load virtio 0:1 {_SCRIPT:x} boot.scr && source {_SCRIPT:x}",
            # The file that was good is written last: a power cut never finds both of them damaged.
            "ota_load": f"if {load.format(first)}; then setenv ota_good {first}; setenv ota_other {second}; else "
            f"echo OTA: {first} is damaged; {load.format(second)}; setenv ota_good {second}; setenv ota_other {first}; fi",
            "ota_save": f"env export -c -s {size} {where} {_SHARED}; {save.format('${ota_other}')}; "
            f"{save.format('${ota_good}')}",
            **self._variables(),
        }

    def command(self) -> list[str]:
        """See ``Board``."""
        flash = f"if=pflash,index=1,format=raw,readonly=on,file={self._flash}"
        return [*_MACHINE, "-bios", str(uboot.STOCK), "-drive", flash]

    def variables(self, directory: Path) -> Mapping[str, str]:
        """See ``Board``."""
        return decode(self.copies(directory), redundant=False)

    def copies(self, directory: Path) -> list[bytes]:
        """See ``Board``; a file that cannot be read has no bytes."""
        return [self._mtools("mcopy", directory, f"::/{file}", "-").ljust(self._SIZE, b"\0") for file in self._FILES]

    def put_copy(self, directory: Path, number: int, content: bytes) -> None:
        """See ``Board``."""
        self._mtools("mcopy", directory, "-o", "-", f"::/{self._FILES[number]}", content=content)

    def remove_copy(self, directory: Path, number: int) -> None:
        """The file of a copy is lost."""
        self._mtools("mdel", directory, f"::/{self._FILES[number]}")

    def _mtools(self, program: str, directory: Path, *arguments: str, content: bytes = b"") -> bytes:
        where = f"{directory}/disk.img@@{self.layout.offset('boot')}"
        command = [program, "-i", where, *arguments]
        return subprocess.run(command, input=content, capture_output=True, check=bool(content)).stdout


class UBootRedundant(_Arm):
    """A U-Boot as boards have it: two copies of the environment outside of all partitions, saved by ``saveenv``.

    Args:
        rescue: there is a rescue system.
        arguments: more for the kernel.
    """

    name = "uboot-redundant"
    images = ("disk", "card")
    settings: Mapping[str, object] = {"bootloader.type": "uboot"}
    files: Mapping[str, str] = {
        **WATCHDOG,
        "etc/modules-load.d/card.conf": "sdhci_pci\nmmc_block\n",
        "etc/fw_env.config": "".join(f"/dev/mmcblk0 {offset:#x} {uboot.COPY_SIZE:#x}\n" for offset in uboot.COPIES),
    }
    _CARD = 16 * MIB

    def _defaults(self) -> dict[str, str]:
        """What is compiled in."""
        command = f"{_PREPARE}; load virtio 0:1 {_SCRIPT:x} boot.scr && source {_SCRIPT:x}"
        return {"bootcmd": command, **_settings(("A", "B", "R"), "")}

    def make(self, directory: Path, contents: Mapping[str, Path]) -> None:
        """See ``Board``."""
        with tempfile.TemporaryDirectory(prefix="ota-fat-") as name:
            script_image(SCRIPT, Path(name) / "boot.scr")
            make_disk(directory / "disk.img", self.layout, {**contents, "boot": Path(name)})
        with (directory / "card.img").open("wb") as card:
            card.truncate(self._CARD)
        whole = encode({**self._defaults(), **self._variables(), **_first(contents)}, uboot.COPY_SIZE, redundant=True)
        for number in range(len(uboot.COPIES)):
            self.put_copy(directory, number, whole)

    def command(self) -> list[str]:
        """See ``Board``."""
        program = uboot.redundant("".join(f"{name}={value}\n" for name, value in self._defaults().items()))
        return [*_MACHINE, "-bios", str(program), "-device", "sdhci-pci", "-device", "sd-card,drive=card"]

    def variables(self, directory: Path) -> Mapping[str, str]:
        """See ``Board``."""
        shared = _SHARED.split()
        every = decode(self.copies(directory), redundant=True)
        return {name: value for name, value in every.items() if name in shared}

    def copies(self, directory: Path) -> list[bytes]:
        """See ``Board``."""
        card = (directory / "card.img").read_bytes()
        return [card[offset : offset + uboot.COPY_SIZE] for offset in uboot.COPIES]

    def put_copy(self, directory: Path, number: int, content: bytes) -> None:
        """See ``Board``."""
        with (directory / "card.img").open("r+b") as card:
            card.seek(uboot.COPIES[number])
            card.write(content)
