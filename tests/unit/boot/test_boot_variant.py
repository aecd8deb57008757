"""Changes to file systems that are not mounted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from boot.lab.system import MIB, format_ext4
from boot.lab.variant import change, exists, read


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "usr/sbin").mkdir(parents=True)
    (tree / "usr/sbin/init").write_text("init")
    (tree / "etc").mkdir()
    (tree / "etc/os-release").symlink_to("../usr/lib/os-release")
    format_ext4(tmp_path / "image", 4 * MIB, tree)
    return tmp_path / "image"


def stat_of(image: Path, path: str) -> str:
    command = ["debugfs", "-R", f"stat /{path}", str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def sound(image: Path) -> bool:
    return subprocess.run(["e2fsck", "-f", "-n", image], capture_output=True, check=False).returncode == 0


def test_a_file_replaces_a_link_and_not_its_target(image: Path) -> None:
    change(image, files={"etc/os-release": "VERSION_ID=2\n"})
    assert read(image, "etc/os-release") == "VERSION_ID=2\n"
    assert not exists(image, "usr/lib/os-release")


def test_directories_that_are_missing_are_made(image: Path) -> None:
    change(image, files={"etc/systemd/system/a.service": "[Unit]\n", "etc/systemd/system/b.service": "[Service]\n"})
    assert read(image, "etc/systemd/system/b.service") == "[Service]\n"
    assert sound(image)


def test_scripts_are_executable_and_other_files_are_not(image: Path) -> None:
    change(image, files={"usr/bin/check": "#!/bin/sh\n", "etc/check.conf": "x\n"})
    assert "Mode:  0755" in stat_of(image, "usr/bin/check")
    assert "Mode:  0644" in stat_of(image, "etc/check.conf")


def test_files_are_removed(image: Path) -> None:
    change(image, files={}, remove=["usr/sbin/init"])
    assert not exists(image, "usr/sbin/init")
    assert sound(image)


def test_links_are_made(image: Path) -> None:
    change(image, files={}, links={"etc/systemd/system/ota-agent.service": "/dev/null"})
    assert 'Fast link dest: "/dev/null"' in stat_of(image, "etc/systemd/system/ota-agent.service")


def test_what_is_not_there_cannot_be_removed(image: Path) -> None:
    with pytest.raises(RuntimeError, match="usr/sbin/inti"):
        change(image, files={}, remove=["usr/sbin/inti"])


def test_a_change_for_which_there_is_no_room_is_an_error(image: Path) -> None:
    with pytest.raises(RuntimeError, match="debugfs"):
        change(image, files={"large": "x" * 8 * MIB})
