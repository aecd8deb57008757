"""The U-Boot environment as libubootenv's and U-Boot's own tools see it."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import time

import pytest
from support.boot_environments import SIZE, boot_env, make_uboot, uboot_store

from bootloader_env.choose import open_env
from bootloader_env.fwenv_config import Copy, parse
from bootloader_env.uboot import DEFAULT_LOCK, UbootStore

# libubootenv prints a value as it is, so that one with a line end cannot be told from two variables.
ALPHABET = bytes(n for n in range(1, 256) if n not in b"\n")


def printed(folder) -> dict[str, str]:
    """What fw_printenv reads."""
    argv = ["fw_printenv", "-c", str(folder / "fw_env.config")]
    out = subprocess.run(argv, check=True, capture_output=True, timeout=20).stdout
    return dict(line.split("=", 1) for line in out.decode("latin-1").split("\n") if line)


def tool_sets(folder, name: str, value: str | None) -> None:
    argv = [b"fw_setenv", b"-c", os.fsencode(folder / "fw_env.config"), name.encode()]
    if value is not None:
        argv.append(value.encode("latin-1"))
    subprocess.run(argv, check=True, capture_output=True, timeout=20)


def random_value(chooser: random.Random) -> str:
    length = chooser.choice((1, 2, 10, 40, 300))
    return "".join(chr(chooser.choice(ALPHABET)) for _ in range(length))


@pytest.mark.parametrize("copies", [2, 1])
def test_random_changes_by_us_and_by_fw_setenv_are_read_alike_by_both(tmp_path, copies):
    chooser = random.Random(copies)
    both = make_uboot(tmp_path)
    if copies == 1:
        argv = ["mkenvimage", "-s", hex(SIZE), "-o", str(tmp_path / "env.bin"), str(tmp_path / "env.txt")]
        subprocess.run(argv, check=True, capture_output=True)
        (tmp_path / "fw_env.config").write_text(f"{tmp_path}/env.bin 0x0 {SIZE:#x}\n")
    store = UbootStore(both[:copies], lock=str(tmp_path / "lock"), allow_single=True)
    expected = dict(store.load())
    for _ in range(400):  # more than 255 writes, so that the flags wrap
        name = "v" + chooser.choice("abcdefgh")
        value = random_value(chooser) if chooser.random() < 0.8 else None
        if chooser.random() < 0.5:
            store.update(lambda now, name=name, value=value: {name: value})
        else:
            tool_sets(tmp_path, name, value)
        expected = {n: v for n, v in {**expected, name: value}.items() if v is not None}
        assert dict(store.load()) == expected
        assert printed(tmp_path) == expected


@pytest.mark.parametrize("padding", ["0x00", "0xff"])
def test_an_image_of_mkenvimage_is_read(tmp_path, padding):
    (tmp_path / "text").write_text("BOOT_ORDER=A B\nbootcmd=run a; \\\nrun b\n# comment\nBOOT_A_LEFT=3\n")
    argv = ["mkenvimage", "-r", "-s", "0x4000", "-p", padding, "-o", str(tmp_path / "one"), str(tmp_path / "text")]
    subprocess.run(argv, check=True, capture_output=True)
    data = (tmp_path / "one").read_bytes()
    (tmp_path / "env").write_bytes(data + bytes(0x4000))
    path = str(tmp_path / "env")
    store = UbootStore((Copy(path, 0, 0x4000), Copy(path, 0x4000, 0x4000)), lock=str(tmp_path / "lock"))
    variables = store.load()
    assert (variables["BOOT_ORDER"], variables["BOOT_A_LEFT"]) == ("A B", "3")


@pytest.mark.parametrize("torn_copy", [0, 1])
def test_with_one_torn_copy_fw_printenv_and_we_take_the_other(tmp_path, torn_copy):
    store = uboot_store(tmp_path)
    for step in range(4):
        store.update(lambda now, step=step: {"step": str(step)})
        data = bytearray((tmp_path / "env.bin").read_bytes())
        data[torn_copy * SIZE + 700 : torn_copy * SIZE + 712] = os.urandom(12)
        whole = (tmp_path / "env.bin").read_bytes()
        (tmp_path / "env.bin").write_bytes(data)
        assert printed(tmp_path) == dict(store.load())
        (tmp_path / "env.bin").write_bytes(whole)


@pytest.mark.parametrize("flags", [(0, 255), (255, 0), (3, 3), (7, 8), (8, 7), (255, 254), (254, 255), (1, 255)])
def test_of_two_valid_copies_fw_printenv_and_we_take_the_same(tmp_path, flags):
    store = uboot_store(tmp_path)
    store.update(lambda now: {"which": "second"})
    data = bytearray((tmp_path / "env.bin").read_bytes())
    data[4], data[SIZE + 4] = flags
    (tmp_path / "env.bin").write_bytes(data)
    assert printed(tmp_path) == dict(store.load())


@pytest.mark.parametrize(
    "text",
    [
        "{0} 0x0 0x2000\n{0} 0x2000 0x2000\n",
        "# x\n{0}\t0 2000 0x1000 1\n\n{0} 8192 2000\n",
        "{0} 0 2000\n{0} 020000 2000",
    ],
)
def test_one_description_means_the_same_to_fw_printenv_and_to_us(tmp_path, text):
    make_uboot(tmp_path, "a=1\n")
    (tmp_path / "fw_env.config").write_text(text.format(tmp_path / "env.bin"))
    layout = parse((tmp_path / "fw_env.config").read_text())
    store = UbootStore(layout.copies, lock=str(tmp_path / "lock"))
    store.update(lambda now: {"b": "2"})
    assert printed(tmp_path) == {"a": "1", "b": "2"} == dict(store.load())


@pytest.mark.req("S02")
def test_what_we_activate_is_what_raucs_boot_script_reads(tmp_path):
    env = boot_env("uboot", tmp_path)
    env.activate("B", fallback="A", trial="id")
    assert printed(tmp_path) == {
        "bootcmd": "run distro", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "2", "BOOT_ORDER": "B A", "OTA_TRIAL": "id",
    }  # fmt: skip
    tool_sets(tmp_path, "BOOT_B_LEFT", "1")
    assert env.read().slots["B"].attempts == 1
    tool_sets(tmp_path, "BOOT_ORDER", None)
    env.activate("B", fallback="A", trial="")
    assert printed(tmp_path)["BOOT_ORDER"] == "B A"


def test_fw_setenv_waits_for_us_and_we_wait_for_it(tmp_path):
    make_uboot(tmp_path)
    config = str(tmp_path / "fw_env.config")
    env = open_env(
        "uboot", bootnames=("A", "B"), env_config=config, grubenv="", attempts=3, attempts_primary=3, lock=DEFAULT_LOCK
    )
    fd = os.open(DEFAULT_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)  # as we hold it during a change
    tool = subprocess.Popen(["fw_setenv", "-c", config, "x", "1"])
    time.sleep(0.3)
    assert tool.poll() is None
    os.close(fd)
    assert tool.wait(timeout=10) == 0
    env.activate("B", fallback="A", trial="")
    assert printed(tmp_path)["x"] == "1"


def test_changes_in_parallel_with_fw_setenv_lose_nothing(tmp_path):
    store = UbootStore(make_uboot(tmp_path), lock=DEFAULT_LOCK)
    script = f'for n in $(seq 40); do fw_setenv -c {tmp_path}/fw_env.config "tool$n" "$n" || exit 1; done'
    tool = subprocess.Popen(["sh", "-c", script])
    for n in range(40):
        store.update(lambda now, n=n: {f"ours{n}": str(n)})
    assert tool.wait(timeout=30) == 0
    found = store.load()
    assert all(found[f"ours{n}"] == str(n) and found[f"tool{n + 1}"] == str(n + 1) for n in range(40))


@pytest.mark.root
def test_an_environment_on_a_real_block_device_is_shared_with_the_tools(tmp_path):
    make_uboot(tmp_path)
    backing = tmp_path / "disk"
    backing.write_bytes(bytes(0x10000) + (tmp_path / "env.bin").read_bytes() + bytes(0x10000))
    made = subprocess.run(["losetup", "-f", "--show", str(backing)], check=True, capture_output=True, text=True)
    device = made.stdout.strip()
    try:
        text = f"{device} 0x10000 {SIZE:#x}\n{device} {0x10000 + SIZE:#x} {SIZE:#x}\n"
        (tmp_path / "fw_env.config").write_text(text)
        store = UbootStore(parse(text).copies, lock=str(tmp_path / "lock"))
        for n in range(5):
            store.update(lambda now, n=n: {"ours": str(n)})
            tool_sets(tmp_path, "tool", str(n))
            assert dict(store.load()) == printed(tmp_path) == {"bootcmd": "run distro", "ours": str(n), "tool": str(n)}
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
