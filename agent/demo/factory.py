"""What leaves the factory: keys, a disk with one system on it, a boot environment, a configuration."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import agent
from agent.bundler.keygen import DevelopmentPki, make_pki
from agent.demo import images
from agent.demo.bootlogic import ATTEMPTS
from agent.demo.bootscript import COPY_SIZE, Flash, Storage
from agent.demo.grubscript import GrubBlock
from agent.errors import ConfigError

COMPATIBLE = "ota-demo-board"
CONTROLLER = "demo-device"
BOOTNAMES = ("A", "B")
RESCUE = "R"  # boot name of the rescue system, on boards that have one
_MARK = ".ota-demo"
_SPARE = 4  # MiB that a slot is larger than the image from the factory


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the device is, in seconds; far shorter than in the field, so that a demo is short."""

    deadline: float = 6.0
    soak: float = 0.5
    interval: float = 0.1
    retry: float = 0.2


def claim(directory: Path) -> int:
    """Takes an empty folder, or one of an earlier demo, which is emptied.

    Returns:
        A descriptor that keeps others out of the folder until it is closed.

    Raises:
        ConfigError: ``demo.folder``: it holds something else, is in use, or its path cannot stand in fw_env.config.
    """
    if any(char.isspace() or not char.isprintable() for char in str(directory.absolute())):
        raise ConfigError(
            "demo.folder", "the path of the folder may not contain white space", details=str(directory.absolute()),
            resolution="name another folder with --dir; fw_env.config(5) cannot express this one",
        )  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not (directory / _MARK).exists():
        raise ConfigError(
            "demo.folder", "the folder holds something that is not from a demo", details=str(directory),
            resolution="name an empty or a new folder with --dir",
        )  # fmt: skip
    lock = _lock(directory / _MARK)
    for entry in directory.iterdir():
        if entry.name == _MARK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for name in ("run", "log", "slots", "bundles", "images"):
        (directory / name).mkdir()
    return lock


def _lock(mark: Path) -> int:
    fd = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigError(
            "demo.folder", "another demo is being played in this folder", details=str(mark.parent),
            resolution="wait for its end, or name another folder with --dir",
        ) from None  # fmt: skip
    return fd


def make_keys(directory: Path) -> dict[str, DevelopmentPki]:
    """Two authorities that call themselves the same: ``vendor`` is the one that the device trusts, ``stranger`` is not."""
    now = datetime.datetime.now(datetime.UTC)
    return {who: make_pki(directory / "pki" / who, name="demo", now=now) for who in ("vendor", "stranger")}


def make_disk(directory: Path, image: Path, size: int, bootnames: Sequence[str] = BOOTNAMES) -> dict[str, Path]:
    """The slot files: the first and the rescue system hold the image, the others nothing yet.

    Args:
        directory: where ``slots/`` is.
        image: the system from the factory.
        size: MiB of an image; a slot is a little larger.
        bootnames: of the slots.
    """
    slots = {name: directory / "slots" / f"rootfs-{name.lower()}.img" for name in bootnames}
    for name, path in slots.items():
        if name in (bootnames[0], RESCUE):
            shutil.copyfile(image, path)
        else:
            path.touch()
        os.truncate(path, (size + _SPARE) * images.MIB)
    return slots


def make_environment(directory: Path, flash: Storage, bootnames: Sequence[str] = BOOTNAMES) -> None:
    """The boot environment, and for U-Boot the file that tells ``fw_printenv`` where it is; empty slots are not good."""
    order, first = " ".join(bootnames), bootnames[0]
    if isinstance(flash, GrubBlock):
        marks = {
            f"{name}_{mark}": str(int((name, mark) == (first, "OK"))) for name in bootnames for mark in ("OK", "TRY")
        }
        flash.format({"ORDER": order, **marks})
    elif isinstance(flash, Flash):
        left = {f"BOOT_{name}_LEFT": f"{ATTEMPTS:x}" if name == first else "0" for name in bootnames}
        flash.format({"bootcmd": "run boot_slot", "BOOT_ORDER": order, **left})
        lines = [f"{flash.path.absolute()} {offset:#x} {COPY_SIZE:#x}\n" for offset in (0, COPY_SIZE)]
        (directory / "fw_env.config").write_text("".join(lines), "ascii")


def make_token(directory: Path) -> str:
    """The device's own token for the server, in a file that only its owner may read."""
    token = secrets.token_hex(16)
    fd = os.open(directory / "token", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token


def write_config(
    directory: Path, slots: Mapping[str, Path], url: str, timing: Timing, overrides: Mapping[str, object]
) -> None:
    """Writes ``device.toml`` and the program that restarts the device.

    Args:
        directory: of the device; relative paths in the file start there.
        slots: boot name and file.
        url: of the server.
        timing: patience.
        overrides: ``"section.key"`` and value, put in place of what stands here.
    """
    home = directory.absolute()
    reset = home / "reset"
    reset.write_text(
        f"#!/bin/sh\n# The reset line of the board: whoever watches it cuts the power.\n: >{home}/run/reset-request\n"
    )
    values: dict[str, object] = {
        "system.compatible": COMPATIBLE,
        "system.state-dir": "state",
        "system.run-dir": "run/ota-agent",
        "system.os-release": "run/os-release",
        "system.cmdline": "run/cmdline",
        "system.boot-id": "run/boot-id",
        "system.reboot-command": ["/bin/sh", str(reset)],
        "system.bus": "none",
        "keyring.path": "pki/vendor/root.pem",
        "update.retry-delay": timing.retry,
        "server.url": url,
        "server.controller-id": CONTROLLER,
        "server.target-token-file": "token",
        "server.ca-file": "tls/ca.pem",
        "server.poll-min": 1,
        "server.poll-first-delay": 0,
        "server.poll-splay": False,
        "server.check-interval": 0,
        "server.connect-timeout": 5,
        "server.read-timeout": 10,
        "fetcher.user": fetcher_user(),
        "fetcher.socket": "",  # not those of an agent that this machine may have
        "installer.socket": "",
        "media.socket": "",
        "bootloader.type": "uboot",
        "bootloader.fw-env-config": "fw_env.config",
        "bootloader.grubenv": "grubenv",
        "bootloader.lock-file": "run/fw_env.lock",
        "bootloader.boot-attempts": ATTEMPTS,
        "bootloader.boot-attempts-primary": ATTEMPTS,
        "health.commands": [[str(home / "run" / "health")]],
        "health.directory": "health.d",
        "health.boot-complete": False,  # the board has none, whatever the machine has that it is played on
        "health.pstore": ["run/pstore"],
        "health.bootstatus": "run/watchdog",
        "health.deadline": timing.deadline,
        "health.soak": timing.soak,
        "health.interval": timing.interval,
        "health.check-timeout": timing.deadline,
    }
    for index, (bootname, path) in enumerate(slots.items()):
        section = "slot.rescue.0" if bootname == RESCUE else f"slot.rootfs.{index}"
        values |= {f"{section}.device": str(path.absolute()), f"{section}.bootname": bootname}
        if bootname == RESCUE:
            values |= {f"{section}.rescue": True, f"{section}.readonly": True}
    (directory / "device.toml").write_text(_toml({**values, **overrides}), "utf-8")


def fetcher_user() -> str:
    """``nobody`` for root, when that user can still read the program; else the same user."""
    if os.geteuid() != 0:
        return ""
    home = Path(agent.__file__).absolute()
    open_to_all = all(parent.stat().st_mode & 0o001 for parent in home.parents)
    return "nobody" if open_to_all else ""


def _toml(values: Mapping[str, object]) -> str:
    sections: dict[str, list[str]] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        sections.setdefault(section, []).append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())
