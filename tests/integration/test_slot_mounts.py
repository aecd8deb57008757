"""Promises of mounts without a place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import loop, run
from support.filesystems import sized
from support.handling import MIB, slot_on

from slots import mounts
from slots.device import open_target
from slots.errors import SlotError
from slots.usage import Identity, in_use

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    with loop(sized(tmp_path / "disk", 8 * MIB)) as node:
        run("mkfs.ext4", "-q", "-F", node)
        yield node


def test_nobody_sees_the_mount_and_the_kernel_guards_the_device(device: str) -> None:
    with mounts.mounted(device, "ext4") as top:
        assert os.listdir(top) == ["lost+found"]
        assert in_use(Identity.at(device) or pytest.fail("no device")) == ""
        with pytest.raises(SlotError) as caught:
            open_target(slot_on(device), booted=(), size=1)
    assert caught.value.code == "slot.busy"
    open_target(slot_on(device), booted=(), size=1).close()


@pytest.mark.req("S08")
def test_nothing_stays_mounted_when_we_are_killed(device: str) -> None:
    code = (
        "import os, signal, sys; from slots import mounts\n"
        "with mounts.mounted(sys.argv[1], 'ext4') as top:\n"
        "    os.open('half', os.O_CREAT | os.O_WRONLY, dir_fd=top)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, device], cwd=ROOT, check=False)
    assert done.returncode == -9
    open_target(slot_on(device), booted=(), size=1).close()


def test_programs_and_devices_on_it_have_no_effect(device: str) -> None:
    with mounts.mounted(device, "ext4") as top:
        os.mknod("null", 0o20666, os.makedev(1, 3), dir_fd=top)
        with pytest.raises(PermissionError):
            os.open("null", os.O_WRONLY, dir_fd=top)


def test_what_was_written_is_on_the_medium_at_the_end(device: str) -> None:
    with mounts.mounted(device, "ext4") as top:
        fd = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=top)
        os.write(fd, b"x" * MIB)
        os.close(fd)
    run("e2fsck", "-f", "-n", device)
    with mounts.mounted(device, "ext4", readonly=True) as top:
        assert os.stat("file", dir_fd=top).st_size == MIB
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("directory", dir_fd=top)


def test_options_are_those_of_mount(device: str) -> None:
    with mounts.mounted(device, "ext4", options="noatime,commit=30,nodelalloc"):
        text = next(Path("/proc/fs/ext4").glob(f"{Path(device).name}/options")).read_text().split()
    assert {"commit=30", "nodelalloc"} <= set(text)


@pytest.mark.parametrize("options", ["nonsense", "commit=soon", "commit=30,nonsense"])
def test_an_option_that_the_file_system_does_not_know_is_named(options: str, device: str) -> None:
    for use in (
        lambda: mounts.require_support("ext4", options),
        lambda: mounts.mounted(device, "ext4", options=options).__enter__(),
    ):
        with pytest.raises(SlotError) as caught:
            use()
        assert caught.value.code == "slot.mount-failed"
        assert options.rpartition(",")[2].partition("=")[0] in caught.value.details


def test_what_is_no_file_system_is_told(tmp_path: Path) -> None:
    with loop(sized(tmp_path / "empty", MIB)) as node, pytest.raises(SlotError) as caught:
        mounts.mounted(node, "ext4").__enter__()
    assert caught.value.code == "slot.mount-failed"
    assert node in caught.value.details


def test_a_file_system_that_the_kernel_does_not_have_is_told() -> None:
    with pytest.raises(SlotError) as caught:
        mounts.require_support("no-such-file-system")
    assert caught.value.code == "slot.kernel-support"
