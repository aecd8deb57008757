"""The GRUB environment block as grub-editenv sees it."""

from __future__ import annotations

import random
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.boot_environments import boot_env, make_grub

from bootloader_env import grub_format as fmt
from bootloader_env.choose import open_env
from bootloader_env.grub import GrubEnv, GrubStore
from bootloader_env.order import GrubDialect, Rules

VALUES = "ab 01=#\\\"'$`é\x7f\x01"


def tool(path, *argv: str) -> subprocess.CompletedProcess[bytes]:
    raw = [word.encode("latin-1") for word in ("grub-editenv", str(path), *argv)]
    return subprocess.run(raw, capture_output=True, timeout=20, check=False)


def listed(variables) -> bytes:
    """What ``grub-editenv list`` prints for these variables."""
    return b"".join(f"{name}={value}\n".encode("latin-1") for name, value in variables.items())


@pytest.mark.parametrize("in_place", [False, True])
def test_random_changes_by_us_and_by_grub_editenv_are_read_alike_by_both(tmp_path, in_place):
    chooser = random.Random(in_place)
    path = make_grub(tmp_path)
    store = GrubStore(str(path), in_place=in_place)
    expected: dict[str, str] = {}
    for _ in range(550):
        name = "v" + chooser.choice("abcdef")
        value = "".join(chooser.choice(VALUES + "\n") for _ in range(chooser.choice((0, 1, 5, 60))))
        kind = chooser.choice(("ours", "ours-remove", "tool", "tool-remove"))
        if kind == "ours":
            store.update(lambda now, name=name, value=value: {name: value})
        elif kind == "ours-remove":
            store.update(lambda now, name=name: {name: None})
        elif kind == "tool":
            assert tool(path, "set", f"{name}={value}").returncode == 0
        else:
            assert tool(path, "unset", name).returncode == 0
        if kind.endswith("remove"):
            expected.pop(name, None)
        else:
            expected[name] = value
        found = store.load()
        assert found == expected
        assert tool(path, "list").stdout == listed(found)
        assert path.stat().st_size == fmt.SIZE


BLOCKS = st.one_of(st.binary(max_size=60), st.text("ab=\\#\n \t", max_size=60).map(str.encode))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=BLOCKS.filter(lambda tail: b"\0" not in tail))
def test_any_block_is_read_as_grub_editenv_reads_it(tmp_path, tail):
    path = tmp_path / "odd"
    path.write_bytes((fmt.HEADER + tail).ljust(fmt.SIZE, b"#"))
    lines = fmt.decode(path.read_bytes())
    each = [fmt.variables((line,)) for line in lines]  # the tool prints repeated names repeatedly
    assert tool(path, "list").stdout == b"".join(map(listed, each))


def test_a_full_block_is_full_for_both(tmp_path):
    path = make_grub(tmp_path)
    store = GrubStore(str(path))
    room = fmt.SIZE - len(b"".join(fmt.decode(path.read_bytes()))) - len(fmt.HEADER) - len("a=\n")
    assert tool(path, "set", "a=" + "x" * (room + 1)).returncode != 0
    assert tool(path, "set", "a=" + "x" * room).returncode == 0
    assert store.load() == {"a": "x" * room}


@pytest.mark.req("S02")
def test_what_we_activate_is_what_raucs_boot_script_reads(tmp_path):
    env = boot_env("grub", tmp_path)
    env.activate("B", fallback="A", trial="id")
    out = tool(tmp_path / "grubenv", "list").stdout.split()
    assert set(out) == {b"ORDER=B", b"A", b"A_OK=1", b"A_TRY=0", b"B_OK=1", b"B_TRY=0", b"OTA_TRIAL=id"}
    tool(tmp_path / "grubenv", "set", "B_TRY=1")  # what GRUB does before it boots B
    assert not env.read().slots["B"].good
    assert env.read().primary == "A"
    env.confirm("B")
    assert env.read().primary == "B"


def test_grub_editenv_can_store_into_a_block_that_we_wrote(tmp_path):
    path = make_grub(tmp_path)
    GrubStore(str(path)).update(lambda now: {"ORDER": "A B"})
    assert tool(path, "set", "ORDER=B A").returncode == 0
    assert GrubStore(str(path)).load() == {"ORDER": "B A"}


@pytest.mark.req("S02")
def test_with_several_attempts_raucs_tool_and_script_still_understand_what_we_write(tmp_path):
    path = make_grub(tmp_path)
    env = open_env("grub", bootnames=("A", "B"), grubenv=str(path), attempts=3, attempts_primary=2)
    env.activate("B", fallback="A", trial="")
    common = {b"A_OK=1", b"A_TRY=0", b"B_OK=1", b"B_TRY=0"}
    assert set(tool(path, "list").stdout.splitlines()) == {*common, b"ORDER=B A", b"A_LEFT=3", b"B_LEFT=2"}
    tool(path, "set", "B_TRY=1")  # RAUC's script boots B, for which it knows one attempt
    assert env.read().primary == "A"
    tool(path, "set", "B_OK=1", "B_TRY=0")  # rauc status mark-good
    assert env.read().slots["B"].attempts == 2
    tool(path, "set", "B_LEFT=0", "B_TRY=1")  # our script has booted B for the last time
    assert env.read().slots["B"].attempts == 0
    tool(path, "set", "B_OK=1", "B_TRY=0")  # and RAUC, which does not know LEFT, marks it good
    assert env.read().slots["B"].attempts == 1
    tool(path, "set", "B_OK=0", "B_TRY=0")  # rauc status mark-bad
    assert not env.read().slots["B"].good
    env.confirm("B")
    assert {b"B_OK=1", b"B_TRY=0", b"B_LEFT=3"} <= set(tool(path, "list").stdout.splitlines())


@pytest.mark.parametrize("in_place", [False, True])
def test_a_block_that_was_made_anew_is_one_for_grub_editenv(tmp_path, in_place):
    path = tmp_path / "grubenv"
    path.write_bytes(bytes(1024))
    assert tool(path, "set", "ORDER=A").returncode != 0
    env = GrubEnv(GrubStore(str(path), in_place=in_place), Rules(("A", "B"), GrubDialect()))
    assert env.heal("A", ["B"])
    assert tool(path, "set", "ORDER=B A").returncode == 0
    assert env.read().order == ("B", "A")
