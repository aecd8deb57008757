"""Targets of bootloaders that keep no variables of ours: load options of UEFI, autoboot.txt, entries of systemd-boot."""

from __future__ import annotations

from bootloader_env import autoboot_format, efi_format, entry_format, grub_format
from bootloader_env.errors import BootEnvError
from fuzz.mutate import by_lines, change_bytes, either
from fuzz.target import Target

OPTION = efi_format.encode_option(efi_format.LoadOption(1, "A", bytes.fromhex("7fff0400"), b"ro"))
AUTOBOOT = b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n# OTA_TRIAL=3,7,ab\n[none]\nx=1\n"
ENTRY = b"B+2-1.conf\ntitle B\nsort-key ota\nversion 3\nlinux /B/linux\noptions ota.slot=B\n"
BLOCK = grub_format.HEADER + b"ORDER=A B\nA_OK=1\nA_TRY=0\n# note\nv=a\\\\b\\\nc\n".ljust(200, b"#")


def run_option(data: bytes) -> None:
    """What is read is written the same, but for code units that are no text."""
    option = efi_format.decode_option(data)
    again = efi_format.encode_option(option)
    assert len(again) == len(data)
    assert efi_format.decode_option(again) == option
    efi_format.decode_text(data)


def run_autoboot(data: bytes) -> None:
    """A change says what was wanted to every later reader, and keeps all other lines."""
    content = autoboot_format.decode(data)
    wanted = autoboot_format.Autoboot("2", "3", "3,7,ab", content.others)
    again = autoboot_format.decode(autoboot_format.encode(wanted, autoboot_format.MAX_SIZE))
    assert (again.lasting, again.trying, again.trial) == ("2", "3", "3,7,ab")
    assert {name: lines for name, lines in again.others if lines} == {
        name: lines for name, lines in content.others if lines
    }


def run_entry(data: bytes) -> None:
    """The first line is the file's name. A new version is read back, and everything else stays."""
    first, _, rest = data.decode("utf-8", "surrogateescape").partition("\n")
    name = entry_format.decode_name(first)
    if name is None:
        raise BootEnvError("bootenv.entry-invalid", "no entry")
    if not name.parked and name.left is None:
        assert entry_format.encode_name(name.stem).casefold() == first.casefold()
    made = entry_format.entry(first, name, rest)
    text = entry_format.with_version(rest, 7)
    assert entry_format.fields(text) == {**entry_format.fields(rest), "version": "7"}
    assert entry_format.entry(first, name, text).version == 7 != -made.version
    assert entry_format.ranked([made]) == [made]


def run_grubenv(data: bytes) -> None:
    """A change is read back, keeps the size, and leaves all other variables as they are."""
    lines = grub_format.decode(data)
    before = grub_format.variables(lines)
    block = grub_format.encode(grub_format.edited(lines, {"ORDER": "B", "A_TRY": None}), len(data) + 64)
    assert len(block) == len(data) + 64
    after = grub_format.variables(grub_format.decode(block))
    assert after == {**{name: value for name, value in before.items() if name != "A_TRY"}, "ORDER": "B"}


_FILTERS = (
    b"[all]",
    b"[tryboot]",
    b"[none]",
    b"boot_partition=4",
    b"tryboot_a_b=1",
    b"# OTA_TRIAL=x",
    b"[",
    b"=",
    b"\x85",
    b"",
)
_FIELDS = (
    b"version 9",
    b"version  x",
    b"sort-key a",
    b"machine-id 1",
    b"# c",
    b"version",
    b"A+0.conf",
    b"A.conf.off",
    b"\xff",
)
_VARIABLES = (b"ORDER=B A", b"A_TRY=1", b"#", b"=", b"\\", b"x\\=1", b"")

TARGETS = (
    Target("efioption", lambda: [OPTION], run_option, (BootEnvError,), change_bytes, share=1),
    Target(
        "autoboot", lambda: [AUTOBOOT], run_autoboot, (BootEnvError,), either(change_bytes, by_lines(_FILTERS)), share=1,
        longest=600,
    ),
    Target("bootentry", lambda: [ENTRY], run_entry, (BootEnvError,), either(change_bytes, by_lines(_FIELDS)), share=1),
    Target("grubenv", lambda: [BLOCK], run_grubenv, (BootEnvError,), either(change_bytes, by_lines(_VARIABLES)), share=1),
)  # fmt: skip
