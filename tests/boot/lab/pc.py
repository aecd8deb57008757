"""PCs that GRUB starts: by SeaBIOS, from a partition without a file system, or by UEFI (OVMF), from the EFI system partition.

GRUB runs the project's boot script as it is, and keeps its environment block beside it, on FAT. A disk boots either way.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import bootloader_env
from boot.lab.boards import ATTEMPTS, DEVICES, LABELS, LAST_WORDS, WATCHDOG, ramoops
from boot.lab.cache import cached
from boot.lab.debs import Arch
from boot.lab.disk import SECTOR, Layout, layout, make_disk
from boot.lab.system import INITRD_NAME, KERNEL_NAMES

Firmware = Literal["seabios", "ovmf"]
Platform = Literal["i386-pc", "x86_64-efi"]
SCRIPT = Path(bootloader_env.__file__).with_name("scripts") / "grub.cfg"
_OVMF = Path("/usr/share/ovmf/OVMF.fd")
_GRUB = Path("/usr/lib/grub")
_MACHINE = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "qemu64", "-m", "512", *DEVICES]
_HOME = "grub"  # on the boot partition
_BLOCK = f"{_HOME}/grubenv"
_BLOCK_SIZE = 1024
# Those that the script names, and what this disk and the serial port need.
_MODULES = (
    "normal", "boot", "configfile", "echo", "eval", "linux", "loadenv", "reboot", "test", "true",
    "part_gpt", "fat", "ext2", "regexp", "serial", "terminal",
)  # fmt: skip
_DISK_MODULES: dict[Platform, tuple[str, ...]] = {"i386-pc": ("biosdisk",), "x86_64-efi": ()}
# UEFI tells GRUB which partition it comes from; a BIOS tells the disk alone.
_PREFIX: dict[Platform, str] = {"i386-pc": "(hd0,gpt1)/grub", "x86_64-efi": "/grub"}
# A kernel on a busy host mistakes the host's pauses for defects of the timers, and may stop for it.
_CLOCKS = "tsc=reliable no_timer_check"
# In the middle of the memory, where neither the firmware nor GRUB loads anything; "$" in the map is "reserved".
_WORDS_AT = 0x10000000
_WORDS = rf"memmap={LAST_WORDS:#x}\${_WORDS_AT:#x} {ramoops(_WORDS_AT)}"
_FIRST = ("ORDER=A B", "A_OK=1", "A_TRY=0", f"A_LEFT={ATTEMPTS}", "B_OK=0", "B_TRY=0")
_BOTH = ("B_OK=1", f"B_LEFT={ATTEMPTS}")  # when the factory has filled slot B, too


class Grub:
    """A PC with one disk.

    Args:
        rescue: there is a rescue system.
        arguments: more for the kernel.
        firmware: what starts GRUB.
    """

    arch: Arch = "amd64"
    images: tuple[str, ...] = ("disk",)
    settings: Mapping[str, object] = {"bootloader.type": "grub", "bootloader.grubenv": f"/boot/firmware/{_BLOCK}"}
    files: Mapping[str, str] = {
        **WATCHDOG,
        "etc/systemd/system/ota-agent-trial.service.d/grub.conf": (
            f"[Service]\nEnvironment=GRUBENV=/boot/firmware/{_BLOCK}\n"
        ),
    }
    _BLOCK = f"::/{_BLOCK}"

    def __init__(self, *, rescue: bool = False, arguments: str = "", firmware: Firmware = "seabios") -> None:
        self.name = f"grub-{firmware}"
        self.rescue, self.layout = rescue, layout(rescue=True, bios=True)
        self._firmware, self._arguments = firmware, arguments

    def make(self, directory: Path, contents: Mapping[str, Path]) -> None:
        """See ``Board``."""
        with tempfile.TemporaryDirectory(prefix="ota-fat-") as name:
            boot = Path(name)
            (boot / "EFI/BOOT").mkdir(parents=True)
            (boot / "EFI/BOOT/BOOTX64.EFI").write_bytes(_grub("x86_64-efi").read_bytes())
            (boot / _HOME).mkdir()
            (boot / _HOME / "grub.cfg").write_bytes(SCRIPT.read_bytes())
            (boot / _HOME / "ota-board.cfg").write_text(self._board())
            _run("grub-editenv", boot / _BLOCK, "create")
            _run("grub-editenv", boot / _BLOCK, "set", *_FIRST, *(_BOTH if LABELS["B"] in contents else ()))
            disk = make_disk(directory / "disk.img", self.layout, {**contents, "boot": boot})
        _embed(disk, self.layout)

    def _board(self) -> str:
        """What the boot script needs to know of the board."""
        settings = {
            "ota_bootargs": f"ro console=ttyS0 panic=1 quiet loglevel=4 {_CLOCKS} {_WORDS} {self._arguments}".rstrip(),
            "ota_kernel": f"/{KERNEL_NAMES[self.arch]}",
            "ota_initrd": f"/{INITRD_NAME}",
            **{f"ota_device_{name}": f"($ota_disk,gpt{self.layout.number(label)})" for name, label in LABELS.items()},
            **{f"ota_args_{name}": f"root=PARTLABEL={label}" for name, label in LABELS.items()},
            **({"ota_rescue": "R"} if self.rescue else {}),
        }
        # A stick may come first in GRUB's count: the disk is the one that this file was read from.
        find = "regexp --set=1:ota_disk '^([^,]*)' \"$root\""
        lines = [find, *(f'set {name}="{value}"' for name, value in settings.items())]
        # The terminal begins with sequences that clear it, in the middle of a line.
        return "\n".join(["serial --unit=0 --speed=115200", "terminal_output serial", "echo", *lines]) + "\n"

    def command(self) -> list[str]:
        """See ``Board``."""
        return [*_MACHINE, *(["-bios", str(_OVMF)] if self._firmware == "ovmf" else [])]

    def variables(self, directory: Path) -> Mapping[str, str]:
        """See ``Board``; read by GRUB's own tool. One character for each byte, since a torn block has bytes of any kind."""
        with tempfile.NamedTemporaryFile(prefix="ota-grubenv-") as file:
            file.write(self.copies(directory)[0])
            file.flush()
            command = ["grub-editenv", file.name, "list"]
            done = subprocess.run(command, capture_output=True, encoding="latin-1", check=False)
        if done.returncode != 0:
            raise LookupError(done.stderr.strip())
        return dict(line.partition("=")[::2] for line in done.stdout.splitlines())

    def copies(self, directory: Path) -> list[bytes]:
        """See ``Board``; a file that cannot be read has no bytes."""
        done = subprocess.run(self._mcopy(directory, self._BLOCK, "-"), capture_output=True, check=False)
        return [done.stdout.ljust(_BLOCK_SIZE, b"\0")]

    def put_copy(self, directory: Path, number: int, content: bytes) -> None:
        """See ``Board``."""
        assert number == 0, "there is one block"
        subprocess.run(self._mcopy(directory, "-o", "-", self._BLOCK), input=content, capture_output=True, check=True)

    def _mcopy(self, directory: Path, *arguments: str) -> list[str]:
        return ["mcopy", "-i", f"{directory}/disk.img@@{self.layout.offset('boot')}", *arguments]


def _grub(platform: Platform) -> Path:
    """GRUB with all that it needs: it reads its script from the first partition, and no modules."""
    modules = [*_MODULES, *_DISK_MODULES[platform]]
    version = subprocess.run(["grub-mkimage", "--version"], capture_output=True, text=True, check=True).stdout
    command: Sequence[str] = ["grub-mkimage", "-O", platform, "-p", _PREFIX[platform], *modules]
    return cached(f"grub-{platform}", [version, *command], lambda path: _run(*command, "-o", path))


def _embed(disk: Path, of: Layout) -> None:
    """Puts GRUB where a BIOS finds it, as ``grub-bios-setup`` does for a block device.

    Source of the offsets: GRUB's include/grub/i386/pc/boot.h; the code of the table is in front of it (the first 440 bytes).
    """
    start = of.offset("bios") // SECTOR
    first, core = bytearray((_GRUB / "i386-pc/boot.img").read_bytes()), bytearray(_grub("i386-pc").read_bytes())
    struct.pack_into("<Q", first, 0x5C, start)
    first[0x66:0x68] = b"\x90\x90"  # no jump around the check of the drive number: BIOSes that lie about it
    sectors = -(-len(core) // SECTOR)
    assert sectors * SECTOR <= of.length("bios"), "GRUB does not fit into its partition"
    # Where the rest of it is, in the last entry of the first sector: the sector, how many, and the segment that they go to.
    struct.pack_into("<QHH", core, SECTOR - 12, start + 1, sectors - 1, 0x820)
    with disk.open("r+b") as file:
        file.write(first[:440])
        file.seek(start * SECTOR)
        file.write(core)


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
