"""A board without hardware: two slots, a boot environment in flash, and the project's boot script that chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.demo import bootscript, factory
from agent.demo.bootscript import ATTEMPTS, Flash
from fleet.systems import DEAD, SLOT_SIZE, System, system_in

BOOTNAMES = ("A", "B")
_MOST_BOOTS = 24  # without a rest between them: the attempts of both slots, several times over


class Board:
    """Slots and environment are files with the formats of the real ones.

    Args:
        home: an empty folder; what is in it survives any reset.
        system: from the factory, in slot A.
        firmware: lets so many seconds pass, as the bootloader and the kernel do.
    """

    def __init__(self, home: Path, system: System, firmware: Callable[[float], None]) -> None:
        self.home, self._firmware = home, firmware
        self.slots = {name: home / f"slot-{name.lower()}" for name in BOOTNAMES}
        (home / "run").mkdir()
        for name, path in self.slots.items():
            path.write_bytes((system.image() if name == "A" else b"").ljust(SLOT_SIZE, b"\0"))
        self.flash = Flash(home / "uboot.env", {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"})
        factory.make_environment(home, self.flash)
        self.fates: dict[str, str] = {}  # how versions turn out on this board, whatever they do on others
        self.boots: list[str] = []
        self.booted, self.system = "A", system

    @property
    def variables(self) -> Mapping[str, str]:
        """The boot environment."""
        return self.flash.load().variables

    def reset(self) -> None:
        """The power is on again: the boot script tries until a system runs.

        Raises:
            AssertionError: no slot boots, or one that holds no whole system.
        """
        for _ in range(_MOST_BOOTS):
            self._firmware(20.0)
            choice = bootscript.choose(self.variables, BOOTNAMES)
            assert choice is not None, "no slot boots"
            self.flash.save(choice.variables)
            self.boots.append(choice.bootname)
            system = system_in(self.slots[choice.bootname])
            assert system is not None, f"slot {choice.bootname} was booted, which holds no whole system"
            if self.health(system) != DEAD:
                self._start(choice.bootname, system)
                return
        raise AssertionError(f"it restarts for ever: {' '.join(self.boots)}")

    def health(self, system: System) -> str:
        """How a system turns out here."""
        return self.fates.get(system.version, system.health)

    def _start(self, bootname: str, system: System) -> None:
        self.booted, self.system = bootname, system
        run = self.home / "run"
        (run / "os-release").write_text(f"VERSION_ID={system.version}\n")
        (run / "boot-id").write_text(f"boot-{len(self.boots)}\n")
        (run / "cmdline").write_text(f"root={self.slots[bootname]} ro rauc.slot={bootname}\n")

    def at_rest(self) -> list[str]:
        """What is wrong with the boot environment of a device that has nothing to do."""
        now, found = self.variables, []
        if "OTA_TRIAL" in now:
            found.append("the marker of a trial is left over")
        if now["BOOT_ORDER"].split()[0] != self.booted:
            found.append("the running slot is not the first choice")
        if int(now[f"BOOT_{self.booted}_LEFT"], 16) != ATTEMPTS:
            found.append("the running slot was not marked good")
        return found
