"""Promises of finding devices by name: the kernel's list first, and never a guess between two."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slots.errors import SlotError
from slots.lookup import find


def machine(root: Path, **uevents: str) -> dict[str, str]:
    for node, text in uevents.items():
        folder = root / "sys/class/block" / node
        folder.mkdir(parents=True)
        (folder / "uevent").write_text(f"DEVNAME={node}\n{text}")
        (root / "dev").mkdir(exist_ok=True)
        (root / "dev" / node).touch()
    return {"sysfs": str(root / "sys"), "dev": str(root / "dev")}


def link(root: Path, name: str, node: str) -> None:
    path = root / "dev/disk" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(root / "dev" / node)


def code(kind: str, name: str, **where: str) -> str:
    with pytest.raises(SlotError) as caught:
        find(kind, name, **where)
    return caught.value.code


def test_a_partition_is_found_by_the_name_that_the_kernel_shows(tmp_path: Path) -> None:
    where = machine(tmp_path, vda1="PARTNAME=rootfs-a\n", vda2="PARTNAME=rootfs b\nPARTUUID=ab-02\n", sda="")
    assert find("partlabel", "rootfs b", **where) == str(tmp_path / "dev/vda2")
    assert find("partuuid", "AB-02", **where) == str(tmp_path / "dev/vda2")


@pytest.mark.req("T05")
def test_a_second_disk_with_the_same_name_is_refused_even_when_a_link_chose_one(tmp_path: Path) -> None:
    where = machine(tmp_path, vda2="PARTNAME=rootfs-b\n", sda1="PARTNAME=rootfs-b\n")
    link(tmp_path, "by-partlabel/rootfs-b", "sda1")
    assert code("partlabel", "rootfs-b", **where) == "slot.device-ambiguous"


def test_a_link_of_udev_is_followed_when_nothing_else_knows_the_name(tmp_path: Path) -> None:
    where = machine(tmp_path, vda2="")
    link(tmp_path, "by-partlabel/root\\x2fb", "vda2")
    link(tmp_path, "by-uuid/77aa", "vda2")
    assert find("partlabel", "root/b", **where) == str(tmp_path / "dev/vda2")
    assert find("uuid", "77AA", **where) == str(tmp_path / "dev/vda2")


def test_a_link_into_nothing_is_a_missing_device(tmp_path: Path) -> None:
    where = machine(tmp_path, vda2="")
    link(tmp_path, "by-partlabel/rootfs-b", "vda9")
    assert code("partlabel", "rootfs-b", **where) == "slot.missing"


@pytest.mark.parametrize("name", ["", "x" * 129, "..", "../vda2", "a\0b", "nowhere"])
def test_a_name_that_nothing_has_is_a_missing_device(tmp_path: Path, name: str) -> None:
    assert code("partlabel", name, **machine(tmp_path, vda2="PARTNAME=rootfs-a\n")) == "slot.missing"


def test_a_machine_without_pyudev_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyudev", None)
    with pytest.raises(SlotError) as caught:
        find("partlabel", "nowhere", **machine(tmp_path, vda2=""))
    assert "pyudev is not installed" in caught.value.details
