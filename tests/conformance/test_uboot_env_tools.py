"""The U-Boot environment as libubootenv's and U-Boot's own tools see it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import subprocess
import time

import pytest
from support.boot_environments import SIZE, boot_env, make_uboot, uboot_store

from bootloader_env import uboot_format as fmt
from bootloader_env.choose import open_env
from bootloader_env.fwenv_config import Copy, parse
from bootloader_env.uboot import DEFAULT_LOCK, UbootStore

OPERATIONS = 1000

# libubootenv prints a value as it is, so that one with a line end cannot be told from two variables.
ALPHABET = "".join(chr(n) for n in range(1, 256) if n != 10)
NAMES = [f"v{letter}" for letter in "abcdefgh"] + ["with space", 'quo"te', "ümlaut", "-dash", ".dot", "#hash", "a:b"]


def printed(folder) -> dict[str, str]:
    """What fw_printenv reads."""
    argv = ["fw_printenv", "-c", str(folder / "fw_env.config")]
    out = subprocess.run(argv, check=True, capture_output=True, timeout=20).stdout
    return dict(line.split("=", 1) for line in out.decode("latin-1").split("\n") if line)


def tool_sets(folder, name: str, value: str | None) -> None:
    argv = [b"fw_setenv", b"-c", os.fsencode(folder / "fw_env.config"), b"--", name.encode("latin-1")]
    if value is not None:
        argv.append(value.encode("latin-1"))
    subprocess.run(argv, check=True, capture_output=True, timeout=20)


def tool_runs_script(folder, changes: dict[str, str | None]) -> None:
    """Several changes in one write."""
    lines = (f"{name}={value or ''}\n".encode("latin-1") for name, value in changes.items())
    (folder / "script").write_bytes(b"".join(lines))
    argv = ["fw_setenv", "-c", str(folder / "fw_env.config"), "-s", str(folder / "script")]
    subprocess.run(argv, check=True, capture_output=True, timeout=20)


def random_value(chooser: random.Random) -> str:
    kind = chooser.random()
    if kind < 0.2:
        return chooser.choice(("a=b", "=", '"', "'", "\\", "run a; run b", "${x}", " ", "\t", "\xff", "#", "a\\", "0"))
    length = chooser.choice((1, 2, 10, 40, 300))
    return "".join(chooser.choices(ALPHABET, k=length))


def random_changes(chooser: random.Random) -> dict[str, str | None]:
    names = chooser.sample(NAMES, chooser.choice((1, 1, 2, 5)))
    return {name: random_value(chooser) if chooser.random() < 0.75 else None for name in names}


def by_script(changes: dict[str, str | None]) -> bool:
    """Whether a script of fw_setenv can say so: it takes # for a comment, and a carriage return for a line end."""
    return not any(name.startswith("#") or (value or "").endswith("\r") for name, value in changes.items())


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
    seen_flags = set()
    for _ in range(OPERATIONS):
        changes = random_changes(chooser)
        who = chooser.random()
        if who < 0.5:
            store.update(lambda now, changes=changes: changes)
        elif who < 0.75 and by_script(changes):
            tool_runs_script(tmp_path, changes)
        else:
            name = next(iter(changes))
            changes = {name: changes[name]}
            tool_sets(tmp_path, name, changes[name])
        expected = {name: value for name, value in {**expected, **changes}.items() if value is not None}
        assert dict(store.load()) == expected
        assert printed(tmp_path) == expected
        seen_flags.add((tmp_path / "env.bin").read_bytes()[4])
    if copies == 2:
        assert {254, 255} & seen_flags and {0, 1} & seen_flags and len(seen_flags) == 128, "the flags must wrap"


@pytest.mark.parametrize("redundant", [True, False])
def test_random_images_of_mkenvimage_are_ours_byte_for_byte(tmp_path, redundant):
    chooser = random.Random(redundant)
    expected = []
    for number in range(OPERATIONS):
        names = chooser.sample(NAMES, chooser.randrange(1, 8))
        values = {name: random_value(chooser).rstrip("\\") or "x" for name in names if not name.startswith("#")}
        if chooser.random() < 0.2:
            values["lines"] = "run a;\nrun b"
        text = "".join(f"{name}={value}".replace("\n", "\\\n") + "\n" for name, value in values.items())
        (tmp_path / f"{number}.txt").write_bytes(b"# comment\n\n" + text.encode("latin-1"))
        expected.append(values)
    flag = "-r" if redundant else ""
    script = f"for n in $(seq 0 {OPERATIONS - 1}); do mkenvimage {flag} -s 4096 -p 0 -o $n.bin $n.txt || exit 1; done"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    for number, values in enumerate(expected):
        raw = (tmp_path / f"{number}.bin").read_bytes()
        image = fmt.decode(raw, redundant=redundant)
        assert image is not None
        assert dict(fmt.variables(image.entries)) == values
        assert fmt.encode(image.entries, 4096, flags=1 if redundant else None) == raw


def test_flags_and_callbacks_of_variables_survive_our_writes_and_still_bind_fw_setenv(tmp_path):
    text = "serial#=123\nipaddr=10.0.0.1\n.callbacks=ipaddr:ipaddr\n.flags=serial#:sr,ipaddr:ia\nBOOT_ORDER=A B\n"
    store = UbootStore(make_uboot(tmp_path, text), lock=str(tmp_path / "lock"))
    for value in ("B A", "A B", "B A"):
        store.update(lambda now, value=value: {"BOOT_ORDER": value})
    assert store.load()[".flags"] == "serial#:sr,ipaddr:ia"
    with contextlib.suppress(subprocess.CalledProcessError):  # libubootenv 0.3.2 refuses without a word
        tool_sets(tmp_path, "serial#", "456")
    tool_sets(tmp_path, "x", "1")
    store.update(lambda now: {"y": "2"})
    found = store.load()
    assert (found["serial#"], found[".callbacks"], found["x"], found["y"]) == ("123", "ipaddr:ipaddr", "1", "2")
    assert "serial#:sr" in found[".flags"].split(","), "libubootenv may lose other entries, we do not"


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
