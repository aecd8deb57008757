"""Promises of opening a slot, on files. Block devices: tests/integration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.disks import slot

from slots.device import capacity, open_target, resolve
from slots.errors import SlotError
from slots.model import Slot


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "slot-b"
    path.write_bytes(b"old" + bytes(9997))
    return path


def refusal(target: Slot, *booted: str | Path, size: int = 1) -> SlotError:
    with pytest.raises(SlotError) as caught:
        open_target(target, booted=[str(device) for device in booted], size=size)
    return caught.value


def test_a_file_is_a_slot_as_large_as_it_is(image: Path) -> None:
    with open_target(slot(image), booted=(), size=10_000) as target:
        assert (target.capacity, target.block, target.path) == (10_000, False, str(image))
    assert capacity(str(image)) == 10_000


def test_leaving_closes_the_descriptor_once_and_for_all(image: Path) -> None:
    with open_target(slot(image), booted=(), size=1) as target:
        fd = target.fd
    with pytest.raises(OSError):
        os.fstat(fd)
    target.close()


def test_a_link_is_followed_to_the_real_path(image: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(image)
    assert resolve(str(tmp_path / "link")) == str(image)


@pytest.mark.parametrize("device", ["relative", "", "/nowhere/at/all", "/dev/null\0", "unknown:label"])
def test_a_device_that_does_not_exist_is_refused(device: str) -> None:
    with pytest.raises(SlotError) as caught:
        resolve(device)
    assert caught.value.code == "slot.missing"
    assert refusal(slot(device)).code == "slot.missing"


def test_a_path_that_vanished_has_no_capacity(tmp_path: Path) -> None:
    with pytest.raises(SlotError) as caught:
        capacity(str(tmp_path / "gone"))
    assert caught.value.code == "slot.missing"


@pytest.mark.parametrize("device", ["/dev/null", "/tmp"])
def test_what_holds_no_bytes_is_refused(device: str) -> None:
    assert refusal(slot(device)).code == "slot.not-storage"


@pytest.mark.req("T05")
def test_a_read_only_slot_is_refused_before_its_device_is_looked_at() -> None:
    assert refusal(slot("/nowhere", readonly=True)).code == "slot.readonly"


@pytest.mark.req("T05", "S30")
@pytest.mark.parametrize("alias", ["itself", "symlink", "hardlink"])
def test_the_running_file_is_refused_by_any_name(image: Path, tmp_path: Path, alias: str) -> None:
    other = tmp_path / "other"
    if alias == "symlink":
        other.symlink_to(image)
    elif alias == "hardlink":
        other.hardlink_to(image)
    assert refusal(slot(other if alias != "itself" else image), image).code == "slot.booted"


def test_a_running_device_that_is_gone_does_not_hinder(image: Path, tmp_path: Path) -> None:
    with open_target(slot(image), booted=[str(tmp_path / "gone")], size=1) as target:
        assert target.fd >= 0


@pytest.mark.req("T05")
def test_a_path_exchanged_between_look_and_open_is_refused(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exchange(_: object) -> str:
        image.rename(image.with_name("away"))
        image.write_bytes(bytes(10_000))
        return ""

    monkeypatch.setattr("slots.device.in_use", exchange)  # runs between the look and the opening
    assert refusal(slot(image)).code == "slot.changed"


@pytest.mark.req("T05")
def test_a_link_put_in_place_between_look_and_open_is_not_followed(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange(_: object) -> str:
        image.rename(image.with_name("away"))
        image.symlink_to("away")
        return ""

    monkeypatch.setattr("slots.device.in_use", exchange)
    assert refusal(slot(image)).code == "slot.missing"


def test_a_large_image_is_refused_with_both_sizes_and_nothing_written(image: Path) -> None:
    before = image.read_bytes()
    error = refusal(slot(image), size=10_001)
    assert error.code == "slot.too-small"
    assert error.details == "it has 10001 bytes, the slot 10000"
    assert image.read_bytes() == before


def test_without_the_mount_table_nothing_is_opened(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(_: object) -> str:
        raise PermissionError("no /proc here")

    monkeypatch.setattr("slots.device.in_use", unreadable)
    assert refusal(slot(image)).code == "slot.usage-unknown"
