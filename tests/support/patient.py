"""A healthy device in a folder for the doctor: real files and tools, and tables of the system that a test can change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from pki.build import pem, shared_pki

from agent import process
from agent.demo.bootscript import COPY_SIZE, Flash
from agent.demo.grubscript import GrubBlock
from agent.doctor.finding import Finding, Severity
from agent.doctor.run import diagnose
from agent.doctor.subject import Places
from support.pretend import Clock as PretendClock

MIB = 1024 * 1024
EXT4 = b"\0" * 0x438 + b"\x53\xef" + b"\0" * 0x2000
UBOOT = {"bootcmd": "run boot_slot", "BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
GRUB = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "0"}
SYSTEMCTL = """#!/bin/sh
case "$*" in
  *RuntimeWatchdogUSec*) echo RuntimeWatchdogUSec={watchdog} ;;
  *ota-agent-trial.timer*) echo LoadState=loaded; echo ActiveState={timer} ;;
  *ota-agent.service*) echo LoadState=loaded; echo ActiveState={unit}; echo NRestarts=0 ;;
esac
"""


class Clock(PretendClock):
    """Synchronised, and at the time for which the test PKI is made."""

    def __init__(self) -> None:
        super().__init__()
        self.time = shared_pki().now.timestamp()
        self.kept = True

    def wall(self) -> float:
        return self.time

    def synchronised(self) -> bool:
        return self.kept


class Patient:
    """A device in a folder, on which A runs and B holds the version before.

    Args:
        home: an empty folder.
        bootloader: ``uboot`` or ``grub``.
    """

    def __init__(self, home: Path, bootloader: str = "uboot") -> None:
        self.home = home
        self.clock = Clock()
        self.settings: dict[str, object] = {
            "system.compatible": "Test Device", "system.state-dir": "state", "system.os-release": "os-release",
            "system.cmdline": "cmdline", "system.boot-id": "boot-id", "system.clock-epoch": "clock-epoch",
            "system.reboot-command": ["/bin/sh"], "system.bus": "none",
            "keyring.path": "root.pem", "encryption.key": "recipient.pem",
            "server.url": "https://updates.example.org", "server.controller-id": "device-1",
            "server.target-token-file": "token", "server.ca-file": "ca.pem", "fetcher.user": "nobody",
            "bootloader.type": bootloader, "bootloader.fw-env-config": "fw_env.config", "bootloader.grubenv": "grubenv",
            "bootloader.lock-file": "lock", "health.commands": [["/bin/true"]], "health.directory": "health.d",
            "fetcher.socket": "fetch.sock", "installer.socket": "install.sock", "health.pstore": ["pstore"],
            "health.bootstatus": "watchdogs",
            "slot.rootfs.0.device": "a.img", "slot.rootfs.0.bootname": "A", "slot.rootfs.0.type": "ext4",
            "slot.rootfs.1.device": "b.img", "slot.rootfs.1.bootname": "B", "slot.rootfs.1.type": "ext4",
        }  # fmt: skip
        for name in ("a.img", "b.img"):
            self.write(name, EXT4.ljust(MIB, b"\0"))
        self.write("cmdline", b"console=ttyS0 root=/dev/sda2 ota.slot=A\n")
        self.write("os-release", b"VERSION_ID=1.0\n")
        self.write("boot-id", b"b-1\n")
        for name in ("root.pem", "ca.pem"):
            self.write(name, pem(shared_pki().root))
        signer = shared_pki().signer("good")
        self.write("recipient.pem", key_pem(signer.key), 0o600)
        self.write("token", b"0123456789abcdef\n", 0o600)
        self.variables(UBOOT if bootloader == "uboot" else GRUB)
        self._state()
        self._system()

    def write(self, name: str, data: bytes, mode: int = 0o644) -> Path:
        """Makes or replaces a file."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def variables(self, variables: Mapping[str, str]) -> None:
        """Writes a new boot environment."""
        if self.settings["bootloader.type"] == "grub":
            GrubBlock(self.home / "grubenv").format(variables)
            return
        flash = self.home / "flash"
        Flash(flash, {}).format(variables)
        lines = [f"{flash} {offset:#x} {COPY_SIZE:#x}\n" for offset in (0, COPY_SIZE)]
        self.write("fw_env.config", "".join(lines).encode())

    def document(self, name: str, values: object) -> None:
        """Writes a document of the daemon's."""
        self.write(f"state/{name}.json", json.dumps(values).encode(), 0o600)

    def status(self, **facts: object) -> None:
        """What the daemon knows of slot B."""
        self.document("slots", {"schema": 2, "groups": {}, "slots": {"rootfs.1": facts}})

    def mounts(self, *lines: str, fstype: str = "ext4", options: str = "rw,relatime") -> None:
        """The table of mounts: the root file system, and more."""
        root = f"25 1 259:77 / / {options} shared:1 - {fstype} /dev/root {options}"
        self.write("proc/self/mountinfo", "\n".join([root, *lines, ""]).encode())

    def systemctl(self, unit: str = "active", timer: str = "active", watchdog: str = "30s") -> None:
        """What systemd says; from here on the system was started by it."""
        (self.home / "systemd").mkdir(exist_ok=True)
        for name in ("fetch.sock", "install.sock"):
            if not (self.home / name).exists():
                os.mknod(self.home / name, stat.S_IFSOCK | 0o600)
        self.write("systemctl", SYSTEMCTL.format(unit=unit, timer=timer, watchdog=watchdog).encode(), 0o755)

    @property
    def places(self) -> Places:
        return Places(
            proc=self.home / "proc", systemd=self.home / "systemd", systemctl=str(self.home / "systemctl"),
            modules=self.home / "modules", pstore=self.home / "backend", clock=self.clock,
        )  # fmt: skip

    def configure(self) -> Path:
        """Writes the configuration as it is set now."""
        sections: dict[str, list[str]] = {}
        for name, value in self.settings.items():
            section, _, key = name.rpartition(".")
            sections.setdefault(section, []).append(f"{key} = {json.dumps(value)}")
        text = "\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())
        return self.write("device.toml", text.encode())

    def diagnosis(self, **how: bool) -> tuple[Finding, ...]:
        """What the doctor finds."""
        return diagnose([self.configure()], places=self.places, **how)

    def complaints(self, **how: bool) -> set[tuple[str, str]]:
        """Id and severity of all that is not in order."""
        return {(each.id, each.severity.word) for each in self.diagnosis(**how) if each.severity is not Severity.OK}

    def _state(self) -> None:
        digest = hashlib.sha256((self.home / "b.img").read_bytes()).hexdigest()
        (self.home / "state").mkdir(mode=0o700)
        facts = {"status": "ok", "bundle.version": "0.9", "sha256": digest, "size": MIB}
        self.status(**facts)
        self.document("facts", {"floor": "", "signed_at": int(self.clock.time) - 86400})

    def _system(self) -> None:
        self.mounts()
        (self.home / "pstore").mkdir()
        self.write("backend", b"ramoops\n")
        self.write("watchdogs/watchdog0/options", b"0x81a0\n")
        self.write("health.d/10-app", b"#!/bin/sh\n", 0o755)
        self.write("proc/swaps", b"Filename\tType\tSize\tUsed\tPriority\n")
        self.write("proc/filesystems", b"nodev\ttmpfs\n\text4\n\tvfat\n")
        for name in ("net", "pid", "mnt"):
            self.write(f"proc/self/ns/{name}", b"")


def key_pem(key: object) -> bytes:
    """A private key in PEM, not encrypted."""
    from cryptography.hazmat.primitives import serialization as form

    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())  # type: ignore[attr-defined]


def fitted_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A healthy patient, and on its path exactly the programs that it needs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("fw_printenv", "grub-editenv", "mkfs.ext4", "e2fsck", "systemctl"):
        found = shutil.which(name, path=process.ENVIRONMENT["PATH"])
        assert found, name
        (programs / name).symlink_to(found)
    monkeypatch.setitem(process.ENVIRONMENT, "PATH", str(programs))
    return Patient(tmp_path)
