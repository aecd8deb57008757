"""autoboot.txt: what is kept, what is refused, and that a change is one sector."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.boot_environments import torn
from support.loaders import RaspberryPi

from bootloader_env import autoboot_format as fmt
from bootloader_env.errors import BootEnvError
from bootloader_env.raspberrypi import RaspberryPiEnv

PLAIN = b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
TRIAL = "3,7," + "ab" * 8


def code_of(data: bytes) -> str:
    with pytest.raises(BootEnvError) as caught:
        fmt.decode(data)
    return caught.value.code


def test_the_example_of_the_documentation_is_read() -> None:
    content = fmt.decode(PLAIN)
    assert (content.lasting, content.trying, content.trial) == ("2", "3", "")


@pytest.mark.parametrize(
    ("text", "lasting", "trying"),
    [
        ("tryboot_a_b=1\nboot_partition=2\n", "2", "2"),
        ("tryboot_a_b = 1\n boot_partition = 4 \n", "4", "4"),
        ("[tryboot]\nboot_partition=3\n[all]\ntryboot_a_b=1\nboot_partition=2\n", "2", "2"),
        ("[none]\nboot_partition=9\n[all]\ntryboot_a_b=1\nboot_partition=2\n", "2", "2"),
        ("[all]\ntryboot_a_b=1\nboot_partition=1\nboot_partition=2\n[tryboot]\nboot_partition=5\n", "2", "5"),
        ("tryboot_a_b=1\n", "", ""),
    ],
)
def test_filters_and_repetitions_are_read_as_the_firmware_reads_them(text: str, lasting: str, trying: str) -> None:
    content = fmt.decode(text.encode())
    assert (content.lasting, content.trying) == (lasting, trying)


@pytest.mark.parametrize(
    "data", [b"", b"[all]\nboot_partition=2\n", b"[all]\ntryboot_a_b=0\n", b"\0" * 512, PLAIN.ljust(513)]
)
def test_what_is_not_made_for_two_partitions_is_refused(data: bytes) -> None:
    assert code_of(data) == "bootenv.autoboot-invalid"


def test_other_lines_stay_in_their_sections() -> None:
    text = PLAIN.replace(b"[tryboot]\n", b"# a comment\nboot_ramdisk=1\n[tryboot]\nother=5\n") + b"[none]\nx=1\n"
    built = fmt.encode(fmt.decode(text), fmt.SIZE)
    assert fmt.decode(built) == fmt.decode(text)
    lines = built.decode().splitlines()
    assert lines.index("[all]") < lines.index("# a comment") < lines.index("[tryboot]") < lines.index("other=5")
    assert len(built) == fmt.SIZE


def test_a_file_without_room_is_refused() -> None:
    long = PLAIN + b"# " + b"x" * 420 + b"\n"
    with pytest.raises(BootEnvError) as caught:
        fmt.encode(fmt.decode(long), fmt.SIZE)
    assert caught.value.code == "bootenv.autoboot-full"


@given(st.text("[al]try bo=1#\n_", max_size=80), st.sampled_from(["", TRIAL]))
def test_whatever_is_kept_what_is_built_says_what_was_wanted(text: str, trial: str) -> None:
    data = b"[all]\ntryboot_a_b=1\n" + text.encode()
    content = fmt.decode(data)
    wanted = fmt.Autoboot("2", "3", trial, content.others)
    again = fmt.decode(fmt.encode(wanted, fmt.MAX_SIZE))
    assert (again.lasting, again.trying, again.trial) == ("2", "3", trial)


@pytest.mark.req("S08", "S33")
def test_a_power_cut_leaves_the_file_as_before_or_as_wanted(tmp_path: Path) -> None:
    board = RaspberryPi(tmp_path)
    env = board.open("2")
    env.activate("3", fallback="2", trial=TRIAL)
    old, before = board.file.read_bytes(), env.read()
    env.confirm("3")
    new, after = board.file.read_bytes(), env.read()
    assert len(old) == len(new) == fmt.SIZE
    for state in torn(old, new, random.Random(1), 20):
        board.file.write_bytes(state)
        assert env.read() in (before, after)


def test_a_short_file_grows_before_anything_else_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = RaspberryPi(tmp_path)
    env = board.open("2")
    old = env.read()
    seen = []
    real = RaspberryPiEnv._write

    def write(self: RaspberryPiEnv, block: bytes) -> None:
        real(self, block)
        seen.append((len(board.file.read_bytes()), env.read()))

    monkeypatch.setattr(RaspberryPiEnv, "_write", write)
    env.activate("3", fallback="2", trial=TRIAL)
    assert seen == [(fmt.SIZE, old), (fmt.SIZE, env.read())]
    env.confirm("3")
    assert len(seen) == 3


def test_a_stray_restart_with_the_flag_leads_nowhere_when_nothing_is_armed(tmp_path: Path) -> None:
    board = RaspberryPi(tmp_path)
    env = board.open("2")
    env.activate("3", fallback="2", trial="")
    env.confirm("3")
    assert board.power_on("0 tryboot") == "3"
    env.revert("3", "2")
    assert board.power_on("0 tryboot") == "2"


@pytest.mark.parametrize("names", [("A", "B"), ("2", "03"), ("0", "2"), ("2", "100")])
def test_boot_names_are_numbers_of_partitions(names: tuple[str, ...]) -> None:
    with pytest.raises(BootEnvError) as caught:
        RaspberryPiEnv("/nowhere", names)
    assert caught.value.code == "bootenv.bootnames"


def test_a_missing_file_may_be_on_a_partition_that_is_not_mounted(tmp_path: Path) -> None:
    env = RaspberryPiEnv(str(tmp_path / "autoboot.txt"), ("2", "3"))
    with pytest.raises(BootEnvError) as caught:
        env.read()
    assert caught.value.code == "bootenv.autoboot-missing"
    assert not env.heal("2", ["3"])


@pytest.mark.parametrize(("cell", "name"), [(b"\0\0\0\3", "3"), (b"\0\0\0\1", ""), (b"\3", ""), (b"", "")])
def test_the_firmware_tells_the_partition_in_a_cell_of_the_device_tree(tmp_path: Path, cell: bytes, name: str) -> None:
    (tmp_path / "chosen/bootloader").mkdir(parents=True)
    (tmp_path / "chosen/bootloader/partition").write_bytes(cell)
    assert RaspberryPiEnv("/nowhere", ("2", "3"), device_tree=str(tmp_path)).current() == name
