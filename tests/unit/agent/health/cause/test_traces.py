"""What the kernel and the watchdogs leave behind is read in bounded time and size, and told from what is older."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.health.cause.bootstatus import CARDRESET, POWERUNDER, BootStatus, boot_status
from agent.health.cause.pstore import MAX_FILES, MAX_SIZE, panic_in, panics

RAMOOPS = """Panic#1 Part1
<6>[    1.234567] usb 1-1: new high-speed USB device number 2 using xhci_hcd
<0>[    2.345678] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(179,3)
<4>[    2.345690] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0-13-arm64 #1
"""


def record(directory: Path, name: str, text: str, age: int = 0) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    return path


@pytest.mark.req("S07")
def test_the_words_of_a_panic_are_found(tmp_path):
    record(tmp_path, "dmesg-ramoops-0", RAMOOPS)
    (found,) = panics([tmp_path, tmp_path / "none"])
    assert found.text == "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(179,3)"


@pytest.mark.parametrize(
    "text",
    [
        "Oops#1 Part1\n<1>[    2.0] Unable to handle kernel NULL pointer dereference\n<4>[ 2.1] Call trace:\n",
        "",
        "\0" * 4096,
    ],
)
def test_an_oops_after_which_the_kernel_went_on_is_no_panic(tmp_path, text):
    record(tmp_path, "dmesg-ramoops-0", text)
    assert panics([tmp_path]) == []


def test_the_same_panic_is_found_once_wherever_systemd_has_moved_it(tmp_path):
    record(tmp_path / "pstore", "dmesg-efi_pstore-170000000001001", RAMOOPS)
    whole = "Panic#1 Part2\n<6>[    0.1] Linux version\n" + RAMOOPS
    record(tmp_path / "archive", "1700000000/001/dmesg.txt", whole)
    assert len(panics([tmp_path / "pstore", tmp_path / "archive"])) == 1


def test_the_same_words_in_another_boot_are_another_panic():
    again = RAMOOPS.replace("2.345678", "2.345712")
    first, second = panic_in(RAMOOPS), panic_in(again)
    assert first is not None and second is not None
    assert (first.text, first.identity == second.identity) == (second.text, False)


def test_a_kernel_without_stamps_is_told_apart_by_the_whole_record():
    plain = "Panic#1 Part1\n<0>Kernel panic - not syncing: sysrq triggered crash\n"
    first, second = panic_in(plain), panic_in(plain.replace("#1", "#2"))
    assert first is not None and second is not None
    assert first.identity != second.identity


def test_the_newest_panic_comes_first(tmp_path):
    record(tmp_path, "dmesg-ramoops-0", RAMOOPS, age=50)
    record(tmp_path, "dmesg-ramoops-1", RAMOOPS.replace("2.345678", "9.345678").replace("VFS", "New"))
    assert ["New" in panic.text for panic in panics([tmp_path])] == [True, False]


@pytest.mark.req("T10")
def test_no_more_is_read_than_one_panic_needs(tmp_path):
    for number in range(MAX_FILES + 5):
        record(tmp_path, f"dmesg-ramoops-{number}", RAMOOPS.replace("2.345678", f"2.{number:06d}"), age=number)
    assert len(panics([tmp_path])) == MAX_FILES
    big = tmp_path / "big"
    record(big, "dmesg-ramoops-0", RAMOOPS + "x" * MAX_SIZE)
    assert panics([big]) == []
    record(big, "dmesg-ramoops-1", "x" * MAX_SIZE + RAMOOPS)
    assert len(panics([big])) == 1


@pytest.mark.req("T10")
def test_only_records_of_the_kernel_are_read(tmp_path):
    (tmp_path / "secret").write_text(RAMOOPS)
    (tmp_path / "dmesg-ramoops-0").symlink_to(tmp_path / "secret")
    (tmp_path / "console-ramoops-0").write_text(RAMOOPS)
    os.mkfifo(tmp_path / "dmesg-ramoops-1")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert panics([tmp_path]) == []


@given(st.binary(max_size=2000))
def test_no_bytes_can_hurt(data):
    panic = panic_in(data.decode("utf-8", "replace"))
    assert panic is None or (panic.text.isprintable() and len(panic.text) <= 200)


@given(st.text(max_size=400))
def test_what_is_passed_on_of_a_panic_is_short_and_printable(words):
    panic = panic_in(f"<0>[    2.0] Kernel panic - not syncing: {words}")
    assert panic is not None
    assert panic.text.isprintable()
    assert 0 < len(panic.text) <= 200


def watchdog(directory: Path, name: str, status: str, options: str) -> None:
    (directory / name).mkdir(parents=True)
    (directory / name / "bootstatus").write_text(status)
    (directory / name / "options").write_text(options)


@pytest.mark.req("S07")
@pytest.mark.parametrize(
    ("status", "options", "flags", "reports"),
    [
        ("32\n", "0x81a0\n", CARDRESET, True),
        ("0\n", "0x81a0\n", 0, True),
        ("0\n", "0x8180\n", 0, False),
        ("48\n", "0x8180\n", CARDRESET | POWERUNDER, False),
        ("x\n", "y\n", 0, False),
        ("33024\n", "0x8180\n", 0, False),  # flags that are no reason for a reset
    ],
)
def test_a_watchdog_tells_whether_it_was_the_cause(tmp_path, status, options, flags, reports):
    watchdog(tmp_path, "watchdog0", status, options)
    assert boot_status(tmp_path) == BootStatus(flags, reports)


def test_all_watchdogs_are_asked_and_none_is_needed(tmp_path):
    assert boot_status(None) == boot_status(tmp_path / "none") == boot_status(tmp_path) == BootStatus()
    watchdog(tmp_path, "watchdog0", "0", "0x8180")
    watchdog(tmp_path, "watchdog1", "32", "0x81a0")
    (tmp_path / "watchdog2").mkdir()
    assert boot_status(tmp_path) == BootStatus(CARDRESET, reports=True)
