"""``autoboot.txt`` of the Raspberry Pi as text. Pure.

The firmware reads at most 512 bytes of it from the first FAT partition. Lines are ``key=value`` and filters: what follows
``[all]`` counts always, what follows ``[tryboot]`` only in a boot that was asked for by ``reboot "0 tryboot"``, which is
over with the next reset. ``boot_partition`` is the number of the partition to go on with; of several the last that counts.
With ``tryboot_a_b=1`` the same file names are loaded from it in both cases. Source: Raspberry Pi documentation,
"autoboot.txt" and "Fail-safe OS updates".

We write the file with one fixed size, so that a change is one sector and nothing of the file system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bootloader_env.errors import BootEnvError

SIZE = 480  # bytes; padded with line ends
MAX_SIZE = 512  # the firmware reads no more
_SECTION = re.compile(r"\[([^\]]*)\]")
_KEY = "boot_partition"
_TRIAL = "# OTA_TRIAL="  # a comment for the firmware


@dataclass(frozen=True, slots=True)
class Autoboot:
    """What the file says.

    Attributes:
        lasting: the partition of an ordinary boot, a decimal number; empty when there is none.
        trying: the partition of a boot with the tryboot flag.
        trial: our marker.
        others: further lines by section, in their order.
    """

    lasting: str
    trying: str
    trial: str = ""
    others: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())


def decode(data: bytes) -> Autoboot:
    """Reads the file.

    Raises:
        BootEnvError: ``bootenv.autoboot-invalid``: it is no such text, too long, or not made for pairs of partitions.
    """
    if len(data) > MAX_SIZE or b"\0" in data:
        raise _invalid(f"{len(data)} bytes, or no text")
    section, lasting, trying, trial = "all", "", "", ""
    others: dict[str, list[str]] = {"all": []}
    for line in map(str.strip, data.decode("latin-1").splitlines()):
        if line.startswith(_TRIAL):
            trial = line.removeprefix(_TRIAL)
        elif match := _SECTION.fullmatch(line):
            section = match[1]
            others.setdefault(section, [])
        elif line.partition("=")[0].strip() == _KEY:
            value = line.partition("=")[2].strip()
            lasting = value if section == "all" else lasting
            trying = value if section in ("all", "tryboot") else trying
        elif line:
            others[section].append(line)
    if not any(re.fullmatch(r"tryboot_a_b\s*=\s*1", line) for line in others["all"]):
        raise _invalid("there is no tryboot_a_b=1 for [all]")
    return Autoboot(lasting, trying, trial, tuple((name, tuple(lines)) for name, lines in others.items()))


def encode(content: Autoboot, size: int) -> bytes:
    """Builds the file.

    Args:
        content: what it shall say.
        size: bytes of the file.

    Raises:
        BootEnvError: ``bootenv.autoboot-full``.
    """
    sections = {"all": (), "tryboot": (), **dict(content.others)}
    sections["all"] = (*sections["all"], f"{_KEY}={content.lasting}")
    sections["tryboot"] = (*sections["tryboot"], f"{_KEY}={content.trying}")
    lines = [line for name, kept in sections.items() for line in (f"[{name}]", *kept)]
    # Our marker stands under [all] again, so that no later reader takes it for a part of the last section.
    lines += ["[all]", f"{_TRIAL}{content.trial}"] if content.trial else []
    data = "".join(f"{line}\n" for line in lines).encode("latin-1")
    if len(data) > size:
        raise BootEnvError(
            "bootenv.autoboot-full", "autoboot.txt has no room for the choice of the slot",
            details=f"{len(data)} bytes are needed, but there is room for {size}",
            resolution="remove comments and settings that are not needed from autoboot.txt",
        )  # fmt: skip
    return data.ljust(size, b"\n")


def _invalid(details: str) -> BootEnvError:
    return BootEnvError(
        "bootenv.autoboot-invalid", "autoboot.txt cannot be used", details=details,
        resolution="write [all] with tryboot_a_b=1 and boot_partition=N, and [tryboot] with boot_partition=N, to it",
    )  # fmt: skip
