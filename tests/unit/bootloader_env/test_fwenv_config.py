from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootloader_env.errors import BootEnvError
from bootloader_env.fwenv_config import Copy, parse


def refused(text, **options):
    with pytest.raises(BootEnvError) as caught:
        parse(text, **options)
    assert caught.value.resolution
    return caught.value


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ("/dev/mmcblk0 0x100000 0x10000\n", (Copy("/dev/mmcblk0", 0x100000, 0x10000),)),
        (
            "# comment\n\n/a 0 4000\n  /b\t4096   0x4000  0x200 1\n",
            (Copy("/a", 0, 0x4000), Copy("/b", 4096, 0x4000, 0x200, 1)),
        ),
        ("/a -0x2000 1000\r\n/a -0x1000 1000", (Copy("/a", -8192, 4096), Copy("/a", -4096, 4096))),
        ("/a 010 100\n", (Copy("/a", 8, 256),)),
        ("/a 0 100\n/a -0x100 100\n", (Copy("/a", 0, 256), Copy("/a", -256, 256))),
        ("/dev/mtd1 0x0 0x4000 0x4000\n", (Copy("/dev/mtd1", 0, 0x4000, 0x4000),)),
        ("/dev/mtd0 0x4000 0x4000 20000 10 1\n", (Copy("/dev/mtd0", 0x4000, 0x4000, 0x20000, 16, True),)),
        ("/dev/mtd0 0 0x4000 0x2000 2 0\n", (Copy("/dev/mtd0", 0, 0x4000, 0x2000, 2),)),
        (
            "/dev/ubi0_0 0x0 0x1f000 0x1f000\n/dev/ubi0:redund 0 0x1f000",
            (Copy("/dev/ubi0_0", 0, 0x1F000, 0x1F000), Copy("/dev/ubi0:redund", 0, 0x1F000)),
        ),
        ("/dev/mtd0:env 0x0 0x1f000 0x1f000\n", (Copy("/dev/mtd0:env", 0, 0x1F000, 0x1F000),)),
    ],
)
def test_the_lines_of_libubootenv_are_understood(text, copies):
    layout = parse(text)
    assert (layout.copies, layout.lock, layout.writable) == (copies, "", None)
    assert parse(text, hint="uboot") == layout, "the device tree names environments in YAML only"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "/a 0 100\n/b 0 100\n/c 0 100\n",
        "/a 0 100\n/b 0 200\n",
        "/a 0 100\n/a 0x80 100\n",
        "/a 0 100\n/a 0 100\n",
        "/a -0x100 100\n/a -0x80 100\n",
        "/a 0\n",
        "/a 0 100 1 1 1 1\n",
        "/a 0 100 1 1 yes\n",
        "/a 0 100 -1\n",
        "/a 0 100 1 x\n",
        "/a zero 100\n",
        "/a 09 100\n",
        "/a 0 -100\n",
        "/a 0 0\n",
        "/a 0 10\n",
        "/a 0 ffffffff\n",
        "relative 0 100\n",
        "/a 0 100\nrelative 0 100\n",
        "/a 0x1p3 100\n",
        "/a\x07 0 100\n",
    ],
)
def test_a_wrong_description_is_refused_with_advice(text):
    assert refused(text).code == "bootenv.config-invalid"


# The example of libubootenv's documentation, without its key "unlock", which its program does not know either.
TWO = """\
uboot:
  size : 0x4000
  lockfile : /var/lock/fw_printenv.lock
  writelist:
    - BOOT_ORDER:sw
    - BOOT_A_LEFT:dw
    - serial:so
    - board:sr
  devices:
    - path : /dev/mtd0
      offset : 0xA0000
      sectorsize : 0x10000
    - path : /dev/mtd0
      offset : 0xB0000
      sectorsize : 0x10000
      disablelock : yes

appvar:
  size : 16384
  lockfile : /var/lock/appvar.lock

  devices:
    - path : /dev/mtd1
      offset : 0
      sectorsize : 0x10000
    - path : /dev/mtd1
      offset : -0x10000
      sectorsize : 0x10000
"""
ONE = "env:\n  size: 010000\n  devices:\n  - path: /boot/uboot.env\n  - path: /boot/uboot-redund.env\n"


def test_yaml_with_several_environments_is_understood():
    uboot = parse(TWO, namespace="uboot")
    assert uboot.copies == (
        Copy("/dev/mtd0", 0xA0000, 0x4000, 0x10000),
        Copy("/dev/mtd0", 0xB0000, 0x4000, 0x10000, 0, True),
    )
    assert uboot.lock == "/var/lock/fw_printenv.lock"
    assert uboot.writable == {"BOOT_ORDER", "BOOT_A_LEFT"}, "o is write once and r read-only: fw_setenv refuses both"
    app = parse(TWO, namespace="appvar")
    assert (app.copies[1].offset, app.lock, app.writable) == (-0x10000, "/var/lock/appvar.lock", None)


def test_what_the_device_tree_says_selects_an_environment_and_a_setting_goes_first():
    assert parse(TWO, hint="appvar") == parse(TWO, namespace="appvar")
    assert parse(TWO, namespace="uboot", hint="appvar") == parse(TWO, namespace="uboot")


def test_the_only_environment_needs_no_name():
    assert parse(ONE).copies == (Copy("/boot/uboot.env", 0, 4096), Copy("/boot/uboot-redund.env", 0, 4096))
    assert parse("---  # made by us\n" + ONE) == parse(ONE)


@pytest.mark.parametrize(
    ("text", "options", "part"),
    [
        (TWO, {}, "uboot, appvar"),
        (TWO, {"namespace": "ubot"}, "'ubot' is wanted"),
        (ONE, {"hint": "uboot"}, "'uboot' is wanted"),
        ("/a 0 100\n", {"namespace": "uboot"}, "without a name"),
    ],
)
def test_an_environment_that_is_not_there_or_not_named_is_never_guessed(text, options, part):
    error = refused(text, **options)
    assert error.code == "bootenv.config-namespace"
    assert part in error.details


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ("size :", "sze :", "did you mean size?"),
        ("disablelock : yes", "unlock : yes", "known are path, offset, sectorsize, disablelock"),
        ("disablelock : yes", "disablelock : true", "expected yes or no"),
        ("disablelock : yes", "disable-lock : yes", "did you mean disablelock?"),
        ("size : 0x4000", "size : 16k", "uboot.size: expected a number"),
        ("size : 0x4000", "size : 08", "no octal number"),
        ("size : 0x4000", "size : 1", "a size of 1 bytes"),
        ("  size : 0x4000\n", "", "size is missing"),
        ("lockfile : /var/lock/fw", "lockfile : var/lock/fw", "absolute path"),
        ("path : /dev/mtd1\n      offset : 0\n", "offset : 0\n", "appvar.devices[0]: path is missing"),
        ("path : /dev/mtd1\n      offset : 0\n", "path : mtd1\n      offset : 0\n", "no absolute path"),
        ("- BOOT_ORDER:sw", "- BOOT_ORDER", "NAME:FLAGS"),
        ("- BOOT_ORDER:sw", "- BOOT_ORDER:sq", "NAME:FLAGS"),
        ("- BOOT_A_LEFT:dw", "- BOOT_ORDER:dw", "different"),
        ("sectorsize : 0x10000", "sectorsize : -1", "sector size"),
        ("offset : 0xB0000", "offset : 0xA0000", "overlap"),
        ("offset : 0xB0000", "offset : {}", "more YAML than is understood"),
        ("appvar:", "uboot:", "repeats a key"),
    ],
)
def test_a_mistake_in_yaml_is_told_with_its_place(before, after, part):
    text = TWO.replace(before, after)
    assert text != TWO
    error = refused(text, namespace="uboot")
    assert error.code == "bootenv.config-invalid"
    assert part in error.details


@pytest.mark.parametrize(
    "text", ["uboot\n", "- uboot\n", "uboot: x\n", "uboot:\n  - size\n", "e:\n  size: 64\n  devices: x\n"]
)
def test_another_shape_of_yaml_is_refused(text):
    assert refused(text).code == "bootenv.config-invalid"


@given(st.one_of(st.text(max_size=200), st.text(alphabet="/ab 0x-#\n\t1f", max_size=60)))
def test_arbitrary_text_is_understood_or_refused(text):
    with contextlib.suppress(BootEnvError):
        assert 1 <= len(parse(text).copies) <= 2
