from __future__ import annotations

import pytest
from support.boot_environments import make_grub, make_uboot

from bootloader_env.choose import open_env
from bootloader_env.errors import BootEnvError


def opened(tmp_path, kind="uboot", **changes):
    options = {
        "bootnames": ("A", "B"),
        "env_config": str(tmp_path / "fw_env.config"),
        "grubenv": str(tmp_path / "grubenv"),
        "attempts": 3,
        "attempts_primary": 5,
        "lock": str(tmp_path / "lock"),
    }
    return open_env(kind, **{**options, **changes})


@pytest.mark.parametrize(("kind", "attempts"), [("uboot", 5), ("grub", 1)])
def test_each_bootloader_is_opened_from_its_configuration(tmp_path, kind, attempts):
    make_uboot(tmp_path)
    make_grub(tmp_path)
    env = opened(tmp_path, kind)
    env.activate("B", fallback="A", trial="id")
    assert env.read().primary == "B"
    assert env.read().slots["B"].attempts == attempts


def test_opening_touches_no_medium(tmp_path):
    (tmp_path / "fw_env.config").write_text("/nowhere 0 1000\n/nowhere 0x1000 1000\n")
    opened(tmp_path)
    opened(tmp_path, "grub")


def test_a_missing_description_is_refused(tmp_path):
    with pytest.raises(BootEnvError) as caught:
        opened(tmp_path)
    assert caught.value.code == "bootenv.config-missing"


def test_a_huge_description_is_refused(tmp_path):
    (tmp_path / "fw_env.config").write_bytes(b"#" * 70000)
    with pytest.raises(BootEnvError) as caught:
        opened(tmp_path)
    assert caught.value.code == "bootenv.config-invalid"


def test_a_single_copy_needs_an_explicit_permission(tmp_path):
    (tmp_path / "fw_env.config").write_text("/nowhere 0 1000\n")
    with pytest.raises(BootEnvError) as caught:
        opened(tmp_path)
    assert caught.value.code == "bootenv.not-redundant"
    opened(tmp_path, allow_single=True)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"attempts_primary": 256}, {"kind": "lilo"}])
def test_values_out_of_range_are_refused(tmp_path, wrong):
    make_uboot(tmp_path)
    with pytest.raises(ValueError):
        opened(tmp_path, **wrong)
