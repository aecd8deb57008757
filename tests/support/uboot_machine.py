"""U-Boot itself runs the boot script: Debian's builds for QEMU's Arm machines, over a table of environments in one start.

The environments lie in memory, where QEMU has put them; ``env import -d`` makes each of them the only one. What a save
would store is printed by the command that replaces saveenv.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.demo.bootlogic import Run, Try
from support.boot_cases import Case

Width = Literal[32, 64]
_PROGRAM = {64: ["qemu-system-aarch64", "-cpu", "cortex-a53"], 32: ["qemu-system-arm", "-cpu", "cortex-a15"]}
_FIRMWARE = {64: "/usr/lib/u-boot/qemu_arm64/u-boot.bin", 32: "/usr/lib/u-boot/qemu_arm/u-boot.bin"}
_FLASH = 64 * 1024 * 1024  # bytes: what the machine expects of the file
_STRIDE = 0x400
_SCRIPT, _LOOP, _TABLE = 0x44000000, 0x45000000, 0x50000000
_WORDS = re.compile(r"^@(case|save|boot|reset|end)(?: (.*))?$")
_REFILLED = "OTA: no slot has attempts left"


@dataclass(frozen=True, slots=True)
class Seen:
    """One run; ``arguments`` are the kernel's, ``left_over`` are the names in the environment that ought not to be there."""

    run: Run
    arguments: str
    left_over: frozenset[str]


def script_image(source: Path, target: Path) -> Path:
    """Packs a script as integrators do."""
    command = ["mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", source, target]
    subprocess.run(command, check=True, capture_output=True)
    return target


def machine(*more: str, width: Width = 64) -> list[str]:
    """The command line of a machine that starts U-Boot, with its console on standard input and output."""
    return [
        *_PROGRAM[width], "-M", "virt", "-m", "512", "-bios", _FIRMWARE[width], "-display", "none",
        "-serial", "stdio", "-monitor", "none", "-nic", "none", *more,
    ]  # fmt: skip


def run_all(script: Path, cases: Sequence[Case], directory: Path, width: Width = 64) -> list[Seen]:
    """Runs the script over every case; all in one start of the machine, whose numbers have ``width`` bits."""
    settings = [_settings(case) for case in cases]
    table = b"".join(_block({**case.variables, **own}) for case, own in zip(cases, settings, strict=True))
    (directory / "table").write_bytes(table)
    lines = [
        f"echo @case {number}; env import -d -b {_TABLE + number * _STRIDE:x} {_STRIDE:x}; "
        f"source {_SCRIPT:x}; echo @end; printenv"
        for number in range(len(cases))
    ]
    (directory / "loop.cmd").write_text("\n".join([*lines, "poweroff"]) + "\n")
    loads = {
        _SCRIPT: script_image(script, directory / "boot.scr"),
        _LOOP: script_image(directory / "loop.cmd", directory / "loop.scr"),
        _TABLE: directory / "table",
    }
    arguments = [f"loader,file={path},addr={address:#x},force-raw=on" for address, path in loads.items()]
    flash = flash_image(directory, f"bootdelay=-2\nbootcmd=source {_LOOP:x}\n")
    done = subprocess.run(
        machine("-drive", f"if=pflash,index=1,format=raw,readonly=on,file={flash}", *_each("-device", arguments), width=width),
        stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    text = done.stdout.decode("latin-1").replace("\r", "")
    parts = text.split("@case ")[1:]
    assert len(parts) == len(cases), text[-2000:]
    return [_seen(part, case, own) for part, case, own in zip(parts, cases, settings, strict=True)]


def _settings(case: Case) -> dict[str, str]:
    named = {
        "ota_slots": " ".join(case.bootnames),
        "ota_rescue": case.rescue,
        "ota_save": "echo @save; printenv",
        "ota_reset": "echo @reset",
        "ota_boot": "echo @boot ${ota_slot} ${bootargs}; true",
        **{f"ota_boot_{name}": f"echo @boot {name} ${{bootargs}}; false" for name in case.failing},
    }
    return {name: value for name, value in named.items() if value}


def _seen(text: str, case: Case, settings: dict[str, str]) -> Seen:
    medium = {name: value for name, value in case.variables.items() if value}
    tries, saves, reset, arguments, at_end = [], 0, False, "", dict[str, str]()
    lines = iter(text.split("\n"))
    for line in lines:
        match = _WORDS.match(line)
        if match is None:
            continue
        word, rest = match[1], match[2] or ""
        if word == "save":
            medium, saves = _printed(lines), saves + 1
        elif word == "boot":
            name, _, arguments = rest.partition(" ")
            tries.append(Try(name, _without(medium, settings)))
        elif word == "reset":
            reset = True
        elif word == "end":
            at_end = _printed(lines)
    known = {*case.variables, *settings, "bootargs", "BOOT_ORDER", *(f"BOOT_{name}_LEFT" for name in case.bootnames)}
    stored = _without(medium, settings)
    last = tries[-1].bootname if tries and not reset else None
    run = Run(tuple(tries), last, stored, saves, _REFILLED in text)
    return Seen(run, arguments, frozenset({*at_end, *stored} - known))


def _without(variables: dict[str, str], settings: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in settings}


def _printed(lines: Iterator[str]) -> dict[str, str]:
    variables = {}
    for line in lines:
        if line.startswith("Environment size:"):
            break
        name, separator, value = line.partition("=")
        if separator:
            variables[name] = value
    return variables


def _block(variables: dict[str, str]) -> bytes:
    block = b"".join(f"{name}={value}".encode("latin-1") + b"\0" for name, value in variables.items()) + b"\0"
    assert len(block) <= _STRIDE
    return block.ljust(_STRIDE, b"\0")


def flash_image(directory: Path, text: str) -> Path:
    """An image of the flash of the machine with these variables as the environment."""
    (directory / "env.txt").write_text(text)
    flash = directory / "flash.img"
    subprocess.run(["mkenvimage", "-s", "0x40000", "-o", flash, directory / "env.txt"], check=True)
    with flash.open("r+b") as file:
        file.truncate(_FLASH)
    return flash


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
