"""The file that says where the U-Boot environment lies: ``/etc/fw_env.config``, in both of its formats. Pure.

A line is ``device offset size [sector-size [sectors [disable-lock]]]``; one line for a single environment, two for a
redundant one. The offset is decimal, octal (0...) or hexadecimal (0x...) and counts from the end when it is negative; the
sizes and the number of sectors are hexadecimal with or without 0x. Source: libubootenv, ``libuboot_read_config_ext``.

In YAML (libubootenv 0.3.4) a file has several environments, each with a name, its ``namespace``. There all numbers are
decimal, octal or hexadecimal. Source: libubootenv, ``parse_yaml_config``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bootloader_env.errors import BootEnvError

MAX_FILE = 64 * 1024  # bytes of the configuration
MIN_SIZE = 64  # bytes of an environment
MAX_SIZE = 1024 * 1024  # U-Boot's boards use 4 KiB to 256 KiB
_NUMBER = re.compile(r"(-?)(0[xX][0-9A-Fa-f]{1,15}|[0-9]{1,18})")
_SIZE = re.compile(r"(0[xX])?[0-9A-Fa-f]{1,8}")
_SHOWN = 64  # characters of a name in a message


@dataclass(frozen=True, slots=True)
class Copy:
    """Where one copy lies.

    Attributes:
        device: a file, a block device, ``/dev/mtdN``, ``/dev/ubiN_M``, or a UBI volume by its name (``/dev/ubi0:env``, or
            ``/dev/mtd0:env`` for the UBI device on that MTD device).
        offset: bytes from the start of the device (negative: from its end).
        size: bytes of the environment.
        sector_size: bytes of an erase block; 0: what the kernel says.
        sectors: raw flash only: erase blocks that belong to the copy, spare ones included; 0: as many as it needs.
        disable_lock: raw flash only: do not unlock the erase blocks before a write and lock them after it.
    """

    device: str
    offset: int
    size: int
    sector_size: int = 0
    sectors: int = 0
    disable_lock: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """An environment as it is described.

    Attributes:
        copies: one or two, of the same size.
        lock: the lock file that the description names, or an empty string.
        writable: the variables that may be changed, or None for all.
    """

    copies: tuple[Copy, ...]
    lock: str = ""
    writable: frozenset[str] | None = None


def parse(text: str, *, namespace: str = "", hint: str = "") -> Layout:
    """Understands a description.

    Args:
        text: the content of the file.
        namespace: the environment to take out of a file in YAML; empty: the hint, or the only one.
        hint: what the bootloader says the namespace is; ignored for the format of lines.

    Raises:
        BootEnvError: ``bootenv.config-invalid``, or ``bootenv.config-namespace`` when there is no such environment.
    """
    first = next((line.split()[0] for line in text.split("\n") if line.split() and line.split()[0][0] != "#"), "")
    if first and not first.startswith("/"):
        return _from_yaml(text, namespace or hint)
    if namespace:
        raise _no_namespace(namespace, ())
    return _from_lines(text)


def _from_lines(text: str) -> Layout:
    copies: list[Copy] = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if fields and not fields[0].startswith("#"):
            copies.append(_line(fields, f"line {number}"))
    return _layout(copies)


def _line(fields: list[str], where: str) -> Copy:
    if not 3 <= len(fields) <= 6:
        raise _wrong(f"{where}: {len(fields)} fields instead of device, offset and size")
    for name, field in zip(("size", "sector size", "number of sectors"), fields[2:5], strict=False):
        if not _SIZE.fullmatch(field):
            raise _wrong(f"{where}: the {name} {field[:_SHOWN]!r} is no hexadecimal number")
    if fields[5:] and fields[5] not in ("0", "1"):
        raise _wrong(f"{where}: the last field, which disables locks, is {fields[5][:_SHOWN]!r} and neither 0 nor 1")
    size, sector_size, sectors = (int(field, 16) for field in [*fields[2:5], "0", "0"][:3])
    return _copy(
        where, fields[0], _number(fields[1], f"{where}: offset"), size, sector_size, sectors, fields[5:] == ["1"]
    )


def _from_yaml(text: str, namespace: str) -> Layout:
    from bootloader_env import yaml_subset  # only devices with this format pay for it

    try:
        document = yaml_subset.load(text)
    except yaml_subset.YamlError as error:
        raise _wrong(f"the YAML is not understood: {error}") from error
    if not isinstance(document, dict):
        raise _wrong("in YAML, the names of environments come first, such as uboot:")
    if not namespace and len(document) > 1:
        raise _no_namespace("", document)
    name = namespace or next(iter(document))
    if name not in document:
        raise _no_namespace(name, document)
    layouts = {other: _environment(other, fields) for other, fields in document.items()}
    return layouts[name]


def _environment(name: str, node: object) -> Layout:
    fields = _mapping(name, node, ("size", "lockfile", "devices", "writelist"), required=("size", "devices"))
    size = _number(fields["size"], f"{name}.size")
    devices = fields["devices"]
    if not isinstance(devices, list):
        raise _wrong(f"{name}.devices: expected a list")
    copies = [_device(f"{name}.devices[{number}]", device, size) for number, device in enumerate(devices)]
    lock = fields.get("lockfile", "")
    if not isinstance(lock, str) or (lock and not lock.startswith("/")):
        raise _wrong(f"{name}.lockfile: expected an absolute path")
    writable = None if "writelist" not in fields else _writelist(f"{name}.writelist", fields["writelist"])
    return _layout(copies, lock, writable)


def _device(where: str, node: object, size: int) -> Copy:
    fields = _mapping(where, node, ("path", "offset", "sectorsize", "disablelock"), required=("path",))
    path, disable = fields["path"], fields.get("disablelock", "no")
    if disable not in ("yes", "no"):
        raise _wrong(f"{where}.disablelock: expected yes or no")  # libubootenv takes everything but yes for no
    offset = _number(fields.get("offset", "0"), f"{where}.offset")
    sector_size = _number(fields.get("sectorsize", "0"), f"{where}.sectorsize")
    if not isinstance(path, str) or not 0 <= sector_size <= 0xFFFFFFFF:
        raise _wrong(f"{where}: expected a path, and a sector size of 32 bits")
    return _copy(where, path, offset, size, sector_size, 0, disable == "yes")


def _writelist(where: str, node: object) -> frozenset[str]:
    """Entries are ``name:flags``; of the flags, ``r`` (read-only) and ``o`` (write once) forbid libubootenv to write."""
    names: dict[str, bool] = {}
    for entry in node if isinstance(node, list) else [None]:
        name, colon, flags = entry.partition(":") if isinstance(entry, str) else ("", "", "")
        if not name or not colon or not re.fullmatch(r"[sdxbimaroocw]{1,2}", flags) or name in names:
            raise _wrong(f"{where}: expected a list of different NAME:FLAGS, such as BOOT_ORDER:sw")
        names[name] = not set(flags) & set("ro")
    return frozenset(name for name, allowed in names.items() if allowed)


def _mapping(where: str, node: object, known: Collection[str], required: Collection[str]) -> Mapping[str, object]:
    if not isinstance(node, dict):
        raise _wrong(f"{where}: expected keys and values")
    for key in node:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            advice = f"did you mean {close[0]}?" if close else "known are " + ", ".join(known)
            raise _wrong(f"{where}: unknown key {key}; {advice}")
    for key in required:
        if key not in node:
            raise _wrong(f"{where}: {key} is missing")
    return node


def _layout(copies: list[Copy], lock: str = "", writable: frozenset[str] | None = None) -> Layout:
    if not 1 <= len(copies) <= 2:
        raise _wrong(f"{len(copies)} copies of an environment are described instead of one or two")
    if len({copy.size for copy in copies}) != 1:
        raise _wrong("the two copies have different sizes")
    if len(copies) == 2 and _overlap(*copies):
        raise _wrong("the two copies overlap")
    return Layout(tuple(copies), lock, writable)


def _copy(where: str, device: str, offset: int, size: int, sector_size: int, sectors: int, disable_lock: bool) -> Copy:
    if not device.startswith("/") or not device.isprintable():
        raise _wrong(f"{where}: {device[:_SHOWN]!r} is no absolute path")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise _wrong(f"{where}: a size of {size} bytes; in the format of lines it is hexadecimal, with or without 0x")
    return Copy(device, offset, size, sector_size, sectors, disable_lock)


def _number(text: object, where: str) -> int:
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise _wrong(f"{where}: expected a number, decimal or with 0x")
    digits = match[2]
    if digits[:2] in ("0x", "0X"):
        value = int(digits, 16)
    elif digits[0] == "0" and not re.fullmatch(r"[0-7]+", digits):
        raise _wrong(f"{where}: {digits!r} is no octal number, which a leading 0 announces")
    else:
        value = int(digits, 8 if digits[0] == "0" else 10)
    return -value if match[1] else value


def _overlap(first: Copy, second: Copy) -> bool:
    """Whether they overlap as far as the text can tell; the rest comes out when the devices are opened."""
    same_side = (first.offset < 0) == (second.offset < 0)
    return first.device == second.device and same_side and abs(first.offset - second.offset) < first.size


def _wrong(details: str) -> BootEnvError:
    return BootEnvError(
        "bootenv.config-invalid",
        "the description of the U-Boot environment is wrong",
        details=details,
        resolution="compare fw_env.config with CONFIG_ENV_OFFSET, CONFIG_ENV_OFFSET_REDUND and CONFIG_ENV_SIZE of U-Boot",
    )


def _no_namespace(name: str, known: Collection[str]) -> BootEnvError:
    there = "the file describes " + (", ".join(known)[:200] if known else "one environment without a name")
    return BootEnvError(
        "bootenv.config-namespace",
        "it is not clear which of the described environments is U-Boot's",
        details=f"{name[:_SHOWN]!r} is wanted, {there}" if name else there,
        resolution="set bootloader.fw-env-namespace to the name of U-Boot's environment",
    )
