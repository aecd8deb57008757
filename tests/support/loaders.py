"""Every bootloader that we support, as a board in a folder: real storage, and a model of what the bootloader does with it.

The models share no code with ``bootloader_env``. They do what the documentation of the bootloader says at power-on: choose
a slot, and count.
"""

from __future__ import annotations

import struct
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.demo import bootscript, grubscript
from agent.demo.factory import make_environment
from bootloader_env.choose import open_env
from bootloader_env.marked import with_marker
from bootloader_env.port import BootEnv
from support.fdt import barebox_blob

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


class Board:
    """One board. ``names`` are the boot names of its slots; ``attempts`` the boots of a slot on trial."""

    kind = ""
    names: tuple[str, ...] = ("A", "B")
    attempts = 3
    options: tuple[tuple[str, object], ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.make()

    def make(self) -> None:
        """Leaves the board as the factory does: the first slot is the choice, all are good."""
        raise NotImplementedError

    def power_on(self, argument: str = "") -> str:
        """What the bootloader does; returns the boot name.

        Args:
            argument: what the restart was asked for with.
        """
        raise NotImplementedError

    def place(self) -> Mapping[str, object]:
        """Where everything is, as options of ``open_env``."""
        raise NotImplementedError

    def open(self, booted: str) -> BootEnv:
        """As the agent opens it in a boot of this slot."""
        options: dict[str, Any] = {**dict(self.options), **self.place()}
        env = open_env(self.kind, bootnames=self.names, **options)
        return with_marker(env, str(self.state / "trial"), booted=booted)

    def lasting(self) -> str:
        """What would boot now, if the power went off and on."""
        kept = self.snapshot()
        try:
            return self.power_on()
        finally:
            self.restore(kept)

    def snapshot(self) -> dict[Path, bytes]:
        """Everything on the medium."""
        return {path: path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def restore(self, kept: Mapping[Path, bytes]) -> None:
        """Puts everything back."""
        for path in self.snapshot():
            if path not in kept:
                path.unlink()
        for path, data in kept.items():
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)

    def close(self) -> None:
        """Takes back what is outside of the folder."""


class Uboot(Board):
    kind = "uboot"
    options = (
        ("attempts", 3),
        ("attempts_primary", 3),
    )

    def make(self) -> None:
        order = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
        self.flash = bootscript.Flash(self.folder / "uboot.env", order)
        make_environment(self.folder, self.flash)
        self.flash.format(order)
        (self.folder / "lock").touch()

    def place(self) -> Mapping[str, object]:
        return {"env_config": str(self.folder / "fw_env.config"), "lock": str(self.folder / "lock")}

    def power_on(self, argument: str = "") -> str:
        found = bootscript.choose(self.flash.load().variables, self.names)
        assert found is not None
        self.flash.save(found.variables)
        return found.bootname


class Grub(Board):
    """RAUC's script: one try."""

    kind = "grub"
    attempts = 1
    options = (
        ("attempts", 1),
        ("attempts_primary", 1),
    )

    def make(self) -> None:
        self.block = grubscript.GrubBlock(self.folder / "grubenv")
        self.block.format({"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "0"})

    def place(self) -> Mapping[str, object]:
        return {"grubenv": str(self.folder / "grubenv")}

    def power_on(self, argument: str = "") -> str:
        found = grubscript.choose(self.block.load().variables, self.names)
        assert found is not None
        self.block.save(found.variables)
        return found.bootname


class GrubCounting(Grub):
    """Our script: counts ``<n>_LEFT`` down, and sets TRY with the last boot."""

    attempts = 3
    options = (
        ("attempts", 3),
        ("attempts_primary", 3),
    )

    def power_on(self, argument: str = "") -> str:
        now = dict(self.block.load().variables)
        for _ in range(2):
            for name in now["ORDER"].split():
                if now.get(f"{name}_OK") == "1" and now.get(f"{name}_TRY") == "0":
                    left = int(now.get(f"{name}_LEFT", "0"))
                    if left > 0:
                        now[f"{name}_LEFT"] = str(left - 1)
                    if left <= 1:
                        now[f"{name}_TRY"] = "1"
                    self.block.save(now)
                    return name
            for name in self.names:
                if now.get(f"{name}_OK") == "1":
                    now |= {f"{name}_TRY": "0", f"{name}_LEFT": "3"}
        raise AssertionError("no slot boots")


class Efi(Board):
    kind = "efi"
    attempts = 1

    def make(self) -> None:
        self.vars = self.folder / "efivars"
        self.vars.mkdir()
        for number, label in enumerate(("Setup", *self.names, "USB")):
            self.put(f"Boot{number:04X}", self.option(label))
        self.put("BootOrder", struct.pack("<4H", 1, 2, 3, 0))

    @staticmethod
    def option(label: str) -> bytes:
        """A load option with a device path that ends at once (UEFI 2.10, 10.3.1)."""
        path = bytes([0x7F, 0xFF, 4, 0])
        return struct.pack("<IH", 1, len(path)) + label.encode("utf-16-le") + b"\0\0" + path + b"ro"

    def put(self, name: str, data: bytes, vendor: str = GLOBAL) -> None:
        (self.vars / f"{name}-{vendor}").write_bytes(struct.pack("<I", 7) + data)

    def get(self, name: str) -> list[int]:
        path = self.vars / f"{name}-{GLOBAL}"
        data = path.read_bytes()[4:] if path.exists() else b""
        return list(struct.unpack(f"<{len(data) // 2}H", data))

    def place(self) -> Mapping[str, object]:
        return {"efivars": str(self.vars)}

    def power_on(self, argument: str = "") -> str:
        following = self.get("BootNext")
        (self.vars / f"BootNext-{GLOBAL}").unlink(missing_ok=True)  # before the entry is started
        for number in following + self.get("BootOrder"):
            raw = (self.vars / f"Boot{number:04X}-{GLOBAL}").read_bytes()[4:]
            label = raw[6:].decode("utf-16-le", "replace").split("\0")[0]
            if label in self.names:
                self.put("BootCurrent", struct.pack("<H", number))
                return label
        raise AssertionError("no slot boots")


class EfiOrder(Efi):
    """Without BootNext: nothing goes back by itself from a system that starts and fails."""

    attempts = 0
    options = (("efi_use_bootnext", False),)


class Barebox(Board):
    """The real barebox-state, on a file; bootchooser is a model."""

    kind = "barebox"
    options = (
        ("attempts", 3),
        ("attempts_primary", 3),
    )

    def make(self) -> None:
        number = str(uuid.uuid4())
        (self.folder / "state.dtb").write_bytes(barebox_blob(number, self.names))
        (self.folder / "state.img").write_bytes(bytes(0x10000))
        self.link = Path("/dev/disk/by-partuuid", number)  # where barebox-state looks for the partition of its state
        self.link.parent.mkdir(parents=True, exist_ok=True)
        self.link.symlink_to(self.folder / "state.img")
        (self.folder / "cmdline").write_text("console=ttyS0\n")
        # The first call finds no valid copy, complains and stores the defaults with what it is told.
        self.tool(*(word for name in self.names for word in ("-s", f"bootstate.{name}.remaining_attempts=3")))

    def tool(self, *argv: str) -> list[int]:
        argv = ("barebox-state", "-i", str(self.folder / "state.dtb"), *argv)
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
        return [int(word) for word in done.stdout.split()]

    def place(self) -> Mapping[str, object]:
        return {"barebox_dtbpath": str(self.folder / "state.dtb"), "cmdline": str(self.folder / "cmdline")}

    def power_on(self, argument: str = "") -> str:
        found = []
        for name in self.names:
            priority, left = self.tool(
                "-g", f"bootstate.{name}.priority", "-g", f"bootstate.{name}.remaining_attempts"
            )  # fmt: skip
            if priority > 0 and left > 0:
                found.append((priority, name, left))
        assert found, "no slot boots"
        _, name, left = max(found)
        self.tool("-s", f"bootstate.{name}.remaining_attempts={left - 1}")
        (self.folder / "cmdline").write_text(f"console=ttyS0 bootchooser.active={name}\n")
        return name

    def close(self) -> None:
        self.link.unlink()


class RaspberryPi(Board):
    kind = "raspberrypi"
    names = ("2", "3")
    attempts = 1

    def make(self) -> None:
        self.file = self.folder / "autoboot.txt"
        self.file.write_text("[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n")

    def place(self) -> Mapping[str, object]:
        return {"autoboot": str(self.file), "device_tree": str(self.folder)}

    def power_on(self, argument: str = "") -> str:
        counts, partition = True, ""
        for line in self.file.read_text().splitlines():
            if line.startswith("["):
                counts = line == "[all]" or (line == "[tryboot]" and argument == "0 tryboot")
            elif counts and line.startswith("boot_partition="):
                partition = line.partition("=")[2]
        told = self.folder / "chosen" / "bootloader"
        told.mkdir(parents=True, exist_ok=True)
        (told / "partition").write_bytes(struct.pack(">I", int(partition)))
        return partition


class SystemdBoot(Board):
    kind = "systemd-boot"
    options = (("attempts_primary", 3),)

    def make(self) -> None:
        self.entries = self.folder / "esp" / "loader" / "entries"
        self.entries.mkdir(parents=True)
        (self.entries.parent / "loader.conf").write_text("timeout 0\n")
        for version, name in enumerate(reversed(self.names), 1):
            (self.entries / f"{name}.conf").write_text(
                f"title {name}\nsort-key os\nversion {version}\nlinux /{name}/linux\noptions ota.slot={name}\n"
            )

    def place(self) -> Mapping[str, object]:
        return {"loader_entries": str(self.entries), "efivars": str(self.folder / "efivars")}

    def power_on(self, argument: str = "") -> str:
        found = []
        for path in self.entries.glob("*.conf"):
            stem, _, counts = path.name.removesuffix(".conf").partition("+")
            left = int(counts.split("-")[0]) if counts else None
            version = next(
                int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith("version ")
            )
            found.append((left != 0, version, path.name, stem, left, path))
        *_, stem, left, path = max(found, key=lambda each: each[:3])
        if left:
            done = int(path.name.removesuffix(".conf").partition("-")[2] or 0)
            path.rename(self.entries / f"{stem}+{left - 1}-{done + 1}.conf")
        efivars = self.folder / "efivars"
        efivars.mkdir(exist_ok=True)
        told = struct.pack("<I", 6) + f"{path.name.lower()}\0".encode("utf-16-le")
        (efivars / f"LoaderEntrySelected-{LOADER}").write_bytes(told)
        return stem


BACKEND = r"""#!/bin/sh -eu
# A bootloader that keeps an order, and for each slot the boots that are left.
cd "${0%/*}/custom"
put() { echo "$2" >"$1.new"; mv "$1.new" "$1"; }
known() { [ -e "left-$1" ] || { echo "no slot $1" >&2; exit 3; }; read -r left <"left-$1"; }
read -r order <order
case "$1" in
get-primary) for n in $order; do known "$n"; [ "$left" = 0 ] || { echo "$n"; exit 0; }; done; echo "no slot" >&2; exit 1 ;;
set-primary)
    known "$2"
    put "left-$2" 3
    new=$2
    for n in $order; do [ "$n" = "$2" ] || new="$new $n"; done
    put order "$new" ;;
get-state) known "$2"; if [ "$left" = 0 ]; then echo bad; else echo good; fi ;;
set-state) known "$2"; if [ "$3" = good ]; then put "left-$2" 3; else put "left-$2" 0; fi ;;
get-current) read -r current <current; echo "$current" ;;
*) echo "unknown command $1" >&2; exit 2 ;;
esac
"""


class Custom(Board):
    kind = "custom"

    def make(self) -> None:
        self.backend = self.folder / "backend"
        self.backend.write_text(BACKEND)
        self.backend.chmod(0o755)
        self.vars = self.folder / "custom"
        self.vars.mkdir()
        for name, text in {
            "order": " ".join(self.names),
            "current": "",
            **{f"left-{n}": "3" for n in self.names},
        }.items():
            (self.vars / name).write_text(text + "\n")

    def place(self) -> Mapping[str, object]:
        return {"custom_backend": str(self.backend)}

    def power_on(self, argument: str = "") -> str:
        for name in (self.vars / "order").read_text().split():
            left = int((self.vars / f"left-{name}").read_text())
            if left > 0:
                (self.vars / f"left-{name}").write_text(f"{left - 1}\n")
                (self.vars / "current").write_text(f"{name}\n")
                return name
        raise AssertionError("no slot boots")


BOARDS = {
    "uboot": Uboot, "grub": Grub, "grub-counting": GrubCounting, "efi": Efi, "efi-order": EfiOrder, "barebox": Barebox,
    "raspberrypi": RaspberryPi, "systemd-boot": SystemdBoot, "custom": Custom,
}  # fmt: skip
