"""Settings of slots: RAUC's names, accepted where they mean something, and nothing is lost on the way to the installer."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from agent import config
from agent.config_resolve import _ONLY_FOR
from agent.daemon.activities.work import described
from agent.daemon.device import look_at
from agent.errors import ConfigError
from agent.installer.permission import slot_of
from slots.errors import SlotError
from slots.model import REGION_TYPES, TYPES, Slot

BASE = """
[system]
compatible = "board"
[keyring]
path = "ca.pem"
[bootloader]
type = "uboot"
[slot.a.0]
device = "/dev/sda"
"""
VALUES = {
    "resize": "true", "extra-mkfs-opts": '["-O", "^has_journal"]', "extra-mount-opts": '"noatime,data=journal"',
    "allow-devices": "true", "region-start": '"4M"', "region-size": "8192", "size-limit": '"512K"',
}  # fmt: skip


def load(tmp_path: Path, text: str) -> config.SlotSettings:
    path = tmp_path / "device.toml"
    path.write_text(BASE + text)
    return config.load([path]).slots[0]


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return caught.value.details


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("key", VALUES)
def test_a_setting_is_accepted_where_it_means_something_and_nowhere_else(kind: str, key: str, tmp_path: Path) -> None:
    text = f'type = "{kind}"\n{key} = {VALUES[key]}\n'
    if kind in REGION_TYPES and key != "region-size":
        text += "region-size = 8192\n"
    if kind in _ONLY_FOR[key]:
        assert load(tmp_path, text).type == kind
    else:
        assert f"slot.a.0.{key}: expected nothing for a slot of type {kind}" in problems(tmp_path, text)


@pytest.mark.parametrize("kind", REGION_TYPES)
def test_a_region_needs_a_size(kind: str, tmp_path: Path) -> None:
    assert "slot.a.0.region-size: expected a number of bytes" in problems(tmp_path, f'type = "{kind}"\n')


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ('"64K"', 65536), ('"4M"', 4 << 20), ('"2G"', 2 << 30), ('"1T"', 1 << 40)],
)
def test_sizes_have_the_suffixes_of_rauc(text: str, size: int, tmp_path: Path) -> None:
    assert load(tmp_path, f'type = "boot-emmc"\nsize-limit = {text}\n').size_limit == size


@pytest.mark.parametrize(
    "text", ["-1", "1.5", "true", '"4 M"', '"4MB"', '"4m"', '"-4M"', '""', '"0x10"', "9223372036854775808"]
)
def test_what_is_no_size_is_refused(text: str, tmp_path: Path) -> None:
    assert "slot.a.0.size-limit: expected a number of bytes" in problems(
        tmp_path, f'type = "boot-emmc"\nsize-limit = {text}\n'
    )


@pytest.mark.parametrize("text", ['"-O x"', "[1]", '[""]', '["a\\nb"]'])
def test_options_of_mkfs_are_a_list_of_words(text: str, tmp_path: Path) -> None:
    assert "extra-mkfs-opts: expected a list of words" in problems(
        tmp_path, f'type = "ext4"\nextra-mkfs-opts = {text}\n'
    )


def test_the_same_word_may_be_there_twice(tmp_path: Path) -> None:
    found = load(tmp_path, 'type = "ext4"\nextra-mkfs-opts = ["-O", "a", "-O", "b"]\n')
    assert found.extra_mkfs_opts == ("-O", "a", "-O", "b")


def test_every_attribute_of_a_slot_reaches_the_installer() -> None:
    slot = Slot(
        "a.1", "a", 1, "/dev/x", "ext4", bootname="B", readonly=False, resize=True, install_same=False,
        extra_mkfs_opts=("-O", "x y"), extra_mount_opts="noatime", region_start=1 << 40, region_size=2, size_limit=3,
        allow_devices=True,
    )  # fmt: skip
    assert slot_of(described(slot)) == slot
    changed = {item.name for item in fields(Slot) if getattr(slot, item.name) != item.default}
    assert changed == {item.name for item in fields(Slot)} - {"parent", "readonly", "rescue"}, (
        "try every attribute here"
    )


def test_every_setting_of_a_slot_reaches_the_model(tmp_path: Path) -> None:
    """As far as the first thing that this device does not have."""
    assert {item.name for item in fields(Slot)} == {item.name for item in fields(config.SlotSettings)}
    path = tmp_path / "device.toml"
    path.write_text(BASE + 'bootname = "A"\n')
    with pytest.raises(SlotError) as caught:
        look_at(config.load([path]))
    assert caught.value.code == "slot.layout-invalid"
