from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootloader_env.errors import BootEnvError
from bootloader_env.fwenv_config import Copy, parse


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ("/dev/mmcblk0 0x100000 0x10000\n", (Copy("/dev/mmcblk0", 0x100000, 0x10000),)),
        ("# comment\n\n/a 0 4000\n  /b\t4096   0x4000  0x200 1\n", (Copy("/a", 0, 0x4000), Copy("/b", 4096, 0x4000))),
        ("/a -0x2000 1000\r\n/a -0x1000 1000", (Copy("/a", -8192, 4096), Copy("/a", -4096, 4096))),
        ("/a 010 100\n", (Copy("/a", 8, 256),)),
        ("/dev/mtdblock0x 0 100", None),
        ("/a 0 100\n/a -0x100 100\n", (Copy("/a", 0, 256), Copy("/a", -256, 256))),
    ],
)
def test_the_lines_of_libubootenv_are_understood(text, copies):
    if copies is None:
        with pytest.raises(BootEnvError):
            parse(text)
    else:
        assert parse(text) == copies


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
        "/a zero 100\n",
        "/a 09 100\n",
        "/a 0 -100\n",
        "/a 0 0\n",
        "/a 0 10\n",
        "/a 0 ffffffff\n",
        "relative 0 100\n",
        "/a 0x1p3 100\n",
    ],
)
def test_a_wrong_description_is_refused_with_advice(text):
    with pytest.raises(BootEnvError) as caught:
        parse(text)
    assert caught.value.code == "bootenv.config-invalid"
    assert caught.value.resolution


@pytest.mark.parametrize("text", ["uboot:\n  size : 0x4000\n", "---\n", "/dev/mtd0 0 100", "/dev/ubi0:env 0 100"])
def test_kinds_of_environment_that_are_not_supported_are_named_as_such(text):
    with pytest.raises(BootEnvError) as caught:
        parse(text)
    assert caught.value.code == "bootenv.config-unsupported"


@given(st.one_of(st.text(max_size=200), st.text(alphabet="/ab 0x-#\n\t1f", max_size=60)))
def test_arbitrary_text_is_understood_or_refused(text):
    with contextlib.suppress(BootEnvError):
        assert 1 <= len(parse(text)) <= 2
