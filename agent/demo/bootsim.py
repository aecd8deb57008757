"""A board in a folder. Everything on it is real but the reset: that is a SIGKILL of everything and a new start.

Power on means what it means on a device: the boot script chooses a slot from the environment in flash, the kernel finds a
root file system in the bytes of that slot or it does not, and the service manager starts the agent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import agent
from agent.demo import bootscript, grubscript, images, tools
from agent.demo.bootlogic import ATTEMPTS
from agent.demo.bootscript import Flash, Script, Storage
from agent.demo.grubscript import GrubBlock
from agent.demo.processes import everyone, kill_everyone, written_by
from agent.errors import EnvironmentFault

Bootloader = Literal["uboot", "grub"]
_ENTRY = Path(agent.__file__).with_name("__main__.py")
_MAX_RESETS = 16  # failed boots in a row: two slots with three attempts each, twice, and some
_MAX_RESTARTS = 5  # of the daemon in one boot, as a service manager would allow
_CANNOT_START = 2  # exit status of a daemon that its configuration does not allow to run


@dataclass(frozen=True, slots=True)
class Boot:
    """One successful boot: its number since the factory, the slot, and what the slot's os-release says."""

    number: int
    bootname: str
    version: str
    left: int
    boot_id: str


class Board:
    """The device.

    Args:
        directory: holds everything: ``device.toml``, the flash, ``run/``, ``state/``, ``log/``.
        slots: boot name and file of each slot, in the boot script's order of preference.
        say: told what happens, one sentence each.
        bootloader: ``uboot`` or ``grub``.
        script: which boot script it runs.
        rescue: which of the slots is the rescue system; empty for none.

    ``program`` is what the service manager starts, followed by ``--config FILE``; a test may put another in its place.
    """

    def __init__(
        self,
        directory: Path,
        slots: Mapping[str, Path],
        say: Callable[[str], None] = lambda _: None,
        bootloader: Bootloader = "uboot",
        script: Script = "ota",
        rescue: str = "",
    ) -> None:
        self.directory = directory
        self.slots = dict(slots)
        self.rescue = rescue
        self.bootnames = tuple(name for name in slots if name != rescue)
        counters = {f"BOOT_{name}_LEFT": f"{ATTEMPTS:x}" for name in self.bootnames}
        defaults = {"BOOT_ORDER": " ".join(self.bootnames), **counters}
        self.bootloader = bootloader
        grub = bootloader == "grub"
        self.flash: Storage = GrubBlock(directory / "grubenv") if grub else Flash(directory / "uboot.env", defaults)
        self._choose = grubscript.choose if grub else bootscript.choose
        self._script = script
        self.program = [sys.executable, "-I", str(_ENTRY), "daemon"]
        self.boots: list[Boot] = []
        self._say = say
        self._daemon: subprocess.Popen[bytes] | None = None
        self._restarts = 0

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.directory / "device.toml"

    @property
    def reset_request(self) -> Path:
        """Appears when the running system asks for a restart."""
        return self.directory / "run" / "reset-request"

    @property
    def log(self) -> Path:
        """What the processes of the present boot said."""
        return self.directory / "log" / f"boot-{len(self.boots)}.log"

    @property
    def booted(self) -> Boot:
        """The present boot, or the last one."""
        return self.boots[-1]

    @property
    def powered(self) -> bool:
        """Whether the power is on."""
        return self._daemon is not None

    @property
    def daemon_pid(self) -> int:
        """Process id of the daemon, 0 without power."""
        return 0 if self._daemon is None else self._daemon.pid

    def power_on(self) -> Boot:
        """Boots; slots that hold no system use up their attempts first.

        Raises:
            EnvironmentFault: ``demo.dead``: no slot boots, as a real device would be dead now.
        """
        if self._daemon is not None:
            raise RuntimeError("the power is on already")
        self.reset_request.unlink(missing_ok=True)
        for _ in range(_MAX_RESETS):
            before = self.flash.load().variables
            choice = self._choose(before, self.bootnames, self._script, rescue=self.rescue)
            if choice is None:
                break
            if choice.refilled:
                self._say("boot script: no slot has attempts left, all counters are filled again")
            if choice.bootname == self.rescue:
                self._say("boot script: no slot has attempts left, the rescue system starts")
            if choice.saves:
                self.flash.save(choice.variables)
            slot = self.slots[choice.bootname]
            release = images.read_file(slot, images.OS_RELEASE)
            if release:
                return self._boot(choice.bootname, choice.left, release)
            self._say(f"slot {choice.bootname} holds no system; reset, {choice.left} attempts left")
        raise EnvironmentFault("demo.dead", "no slot of the device boots", retryable=False)

    def power_cut(self) -> int:
        """Ends every process of the device at once; returns how many there were."""
        if self._daemon is None:
            return 0
        count = kill_everyone(self._daemon.pid)
        self._daemon.wait()
        self._daemon = None
        return count

    def processes(self) -> set[int]:
        """The processes of the running device: the daemon, and at times a fetcher and an installer."""
        return everyone(self._daemon.pid) if self._daemon is not None else set()

    def tick(self) -> None:
        """Does what the hardware and the service manager do by themselves: call it often.

        Raises:
            EnvironmentFault: ``demo.daemon-ended`` when the daemon ends again and again, or cannot start as configured.
        """
        if self._daemon is None:
            return
        if self.reset_request.exists():
            self._say("the device restarts")
            self.power_cut()
            self.power_on()
        elif (status := self._daemon.poll()) is not None:
            self._restarts += 1
            if status == _CANNOT_START or self._restarts > _MAX_RESTARTS:
                self.power_cut()
                raise EnvironmentFault(
                    "demo.daemon-ended", f"the daemon ended with status {status}", retryable=False,
                    details=self.log.read_text("utf-8", "replace")[-1500:], resolution=f"read {self.log}",
                )  # fmt: skip
            self._say(f"the daemon ended with status {status}; the service manager starts it again")
            kill_everyone(self._daemon.pid)
            self._start_daemon()

    def record(self) -> Mapping[str, object]:
        """The update as the daemon last saved it; empty before the first."""
        return self.document("record")

    def document(self, name: str) -> Mapping[str, object]:
        """A document of the daemon's state directory (see ``agent.daemon.store``)."""
        try:
            values = json.loads((self.directory / "state" / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def written(self) -> tuple[int, int]:
        """Process id of the installer at work, and the bytes that it has written, as the kernel counted them."""
        return written_by(self._daemon.pid, "installer") if self._daemon is not None else (0, 0)

    def _boot(self, bootname: str, left: int, release: bytes) -> Boot:
        run = self.directory / "run"
        boot = Boot(len(self.boots) + 1, bootname, version_of(release), left, str(uuid.uuid4()))
        health = run / "health"
        health.write_bytes(images.read_file(self.slots[bootname], images.HEALTH) or b"#!/bin/sh\nexit 1\n")
        health.chmod(0o755)
        (run / "os-release").write_bytes(release)
        (run / "boot-id").write_text(boot.boot_id + "\n", "ascii")
        (run / "cmdline").write_text(f"console=ttyS0 root={self.slots[bootname]} ro rauc.slot={bootname}\n", "utf-8")
        self.boots.append(boot)
        self._restarts = 0
        self._say(f"slot {bootname} boots version {boot.version} ({left} more attempts)")
        self._start_daemon()
        return boot

    def _start_daemon(self) -> None:
        # As a service manager would give it: nothing of our own environment, but the place of the interpreter's libraries.
        environment = {key: os.environ[key] for key in ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH") if key in os.environ}
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [*tools.bound_to_us(), *self.program, "--config", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment, start_new_session=True,
            )  # fmt: skip


def version_of(release: bytes) -> str:
    """VERSION_ID of an os-release."""
    for line in release.decode("utf-8", "replace").splitlines():
        if line.startswith("VERSION_ID="):
            return line.partition("=")[2].strip("\"'")
    return ""
