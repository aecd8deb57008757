from __future__ import annotations

import subprocess
import sys

import pytest
from support.boot_environments import make_grub, make_uboot

from bootloader_env.choose import KINDS, open_env
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


@pytest.mark.parametrize("kind", ["uboot", "grub"])
@pytest.mark.parametrize("attempts", [1, 5])
def test_a_bootloader_that_counts_is_opened_with_its_attempts(tmp_path, kind, attempts):
    make_uboot(tmp_path)
    make_grub(tmp_path)
    env = opened(tmp_path, kind, attempts=1, attempts_primary=attempts)
    assert env.capabilities.trial_attempts == attempts
    env.activate("B", fallback="A", trial="id")
    assert env.read().primary == "B"
    assert env.read().slots["B"].attempts == attempts
    env.confirm("B")
    assert env.read().slots["B"].attempts == 1


def test_a_redundant_environment_is_told_from_a_single_one(tmp_path):
    make_uboot(tmp_path)
    make_grub(tmp_path)
    assert opened(tmp_path).capabilities.redundant
    assert not opened(tmp_path, "grub").capabilities.redundant
    (tmp_path / "fw_env.config").write_text("/nowhere 0 1000\n")
    assert not opened(tmp_path, allow_single=True).capabilities.redundant


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_other_bootloaders_is_not_loaded(tmp_path, kind):
    make_uboot(tmp_path)
    options = {
        "bootnames": ("2", "3"), "env_config": str(tmp_path / "fw_env.config"), "grubenv": "g", "autoboot": "a",
        "loader_entries": "l", "custom_backend": "c",
    }  # fmt: skip
    script = f"""
import sys
from bootloader_env.choose import KINDS, open_env
open_env({kind!r}, **{options!r})
print(*(name for name in sys.modules if name.startswith("bootloader_env.")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("bootloader_env.") for name in done.stdout.split()}
    own = {"uboot": "uboot", "grub": "grub", "raspberrypi": "raspberrypi", "systemd-boot": "systemd_boot"}.get(
        kind, kind
    )
    every = {"uboot", "grub", "efi", "barebox", "raspberrypi", "systemd_boot", "custom", "noop"}
    assert loaded & every == {own}


def test_opening_touches_no_medium(tmp_path):
    (tmp_path / "fw_env.config").write_text("/nowhere 0 1000\n/nowhere 0x1000 1000\n")
    opened(tmp_path)
    opened(tmp_path, "grub")
    opened(tmp_path, "efi", efivars="/nowhere")
    opened(tmp_path, "barebox", barebox_dtbpath="/nowhere")
    opened(tmp_path, "raspberrypi", bootnames=("2", "3"), autoboot="/nowhere")
    opened(tmp_path, "systemd-boot", loader_entries="/nowhere")
    opened(tmp_path, "custom", custom_backend="/nowhere")
    opened(tmp_path, "noop")


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


YAML = """\
uboot:
  size: 0x2000
  lockfile: {home}/own.lock
  {writelist}
  devices:
  - path: {home}/env.bin
  - path: {home}/env.bin
    offset: 0x2000
data:
  size: 0x2000
  devices:
  - path: {home}/data.bin
  - path: {home}/data.bin
    offset: 0x2000
"""


def describe(tmp_path, writelist="# all may be changed"):
    make_uboot(tmp_path)
    (tmp_path / "fw_env.config").write_text(YAML.format(home=tmp_path, writelist=writelist))


def test_an_environment_is_selected_by_the_setting_or_by_what_the_device_tree_says(tmp_path):
    describe(tmp_path)
    with pytest.raises(BootEnvError) as caught:
        opened(tmp_path, device_tree=str(tmp_path))
    assert caught.value.code == "bootenv.config-namespace"
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen/u-boot,env-config").write_bytes(b"uboot\0")
    for options in ({"namespace": "uboot"}, {"device_tree": str(tmp_path)}):
        env = opened(tmp_path, **options)
        env.activate("B", fallback="A", trial="")
        assert env.read().primary == "B"


def test_the_lock_that_the_description_names_is_taken(tmp_path):
    describe(tmp_path)
    opened(tmp_path, namespace="uboot").read()
    assert (tmp_path / "own.lock").exists()
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("BOOT_ORDER:sw", "BOOT_A_LEFT:dw", "BOOT_B_LEFT:dw", "OTA_TRIAL:sw"), ""),
        (("BOOT_ORDER:sw", "BOOT_A_LEFT:dw", "BOOT_B_LEFT:dr"), "BOOT_B_LEFT OTA_TRIAL"),
    ],
)
def test_variables_that_may_not_be_changed_are_told_at_the_start(tmp_path, names, missing):
    describe(tmp_path, "writelist: \n" + "".join(f"  - {name}\n" for name in names))
    if not missing:
        opened(tmp_path, namespace="uboot")
        return
    with pytest.raises(BootEnvError) as caught:
        opened(tmp_path, namespace="uboot")
    assert caught.value.code == "bootenv.not-writable"
    assert caught.value.details.endswith(": " + missing)


def test_flash_code_is_loaded_only_where_there_is_flash(tmp_path):
    make_uboot(tmp_path)
    code = (
        "import sys; from bootloader_env.choose import open_env;"
        f"open_env('uboot', bootnames=('A', 'B'), env_config='{tmp_path}/fw_env.config', grubenv='', attempts=3,"
        f" attempts_primary=3, lock='{tmp_path}/lock').read();"
        "print([name for name in sys.modules if name.split('.')[-1] in ('mtd', 'ubi', 'flash_devices', 'yaml_subset')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"attempts_primary": 256}, {"kind": "lilo"}, {"kind": "grub", "attempts": 10}]
)
def test_values_out_of_range_are_refused(tmp_path, wrong):
    make_uboot(tmp_path)
    with pytest.raises(ValueError):
        opened(tmp_path, **wrong)
