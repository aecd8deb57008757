"""Programs that change or tell a boot environment: time, output, and what they say when they fail."""

from __future__ import annotations

import os
import select
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from support.loaders import Barebox, Custom

from bootloader_env import program
from bootloader_env.barebox import BareboxLoader
from bootloader_env.custom import CustomLoader
from bootloader_env.errors import BootEnvError


def failure(*argv: str, timeout: float = 20.0) -> BootEnvError:
    with pytest.raises(BootEnvError) as caught:
        program.run(argv, timeout=timeout)
    return caught.value


def test_the_output_of_a_program_is_returned() -> None:
    assert program.run(["echo", "good"], timeout=20) == "good\n"


def test_the_environment_is_clean_and_nothing_is_read_from_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    assert program.run(["/bin/sh", "-c", "env | grep -c SECRET; cat"], timeout=20).startswith("0")


def test_the_last_line_of_the_errors_says_why_it_failed() -> None:
    error = failure("/bin/sh", "-c", "echo out; echo first >&2; echo 'no\x1b such slot' >&2; exit 3")
    assert error.code == "bootenv.program-failed"
    assert "status 3: no? such slot" in error.details
    assert error.retryable


def test_a_program_that_only_talks_on_standard_output_is_quoted_too() -> None:
    assert "status 1: sorry" in failure("/bin/sh", "-c", "echo sorry; exit 1").details


def test_a_program_that_is_missing_or_no_program_is_explained(tmp_path: Path) -> None:
    assert failure("/nowhere/program").code == "bootenv.program-missing"
    (tmp_path / "text").write_text("x")
    assert failure(str(tmp_path / "text")).code == "bootenv.program-missing"


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    error = failure("/bin/sh", "-c", f"echo waiting >&2; sleep 1000 & echo $! >{tmp_path}/child; wait", timeout=0.5)
    assert (error.code, error.retryable) == ("bootenv.program-timeout", True)
    assert "waiting" in error.details
    with suppress(ProcessLookupError):
        end = select.poll()
        end.register(os.pidfd_open(int((tmp_path / "child").read_text())), select.POLLIN)
        assert end.poll(20_000), "the child is still there"


def test_a_child_in_the_background_keeps_nobody_waiting(tmp_path: Path) -> None:
    assert program.run(["/bin/sh", "-c", "sleep 1000 & echo done"], timeout=20) == "done\n"


def test_no_descriptors_are_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    program.run(["true"], timeout=20)
    failure("false")
    failure("/nowhere")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("echo perhaps", "bootenv.program-answer"),
        ("exit 1", "bootenv.program-failed"),
        ("sleep 1000", "bootenv.program-timeout"),
    ],
)
def test_a_custom_backend_that_misbehaves_is_named(tmp_path: Path, script: str, code: str) -> None:
    path = tmp_path / "backend"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    with pytest.raises(BootEnvError) as caught:
        CustomLoader(str(path), ("A", "B"), timeout=0.5 if "sleep" in script else 20).read()
    assert caught.value.code == code


def test_a_custom_backend_need_not_know_what_was_booted(tmp_path: Path) -> None:
    board = Custom(tmp_path)
    board.backend.write_text(board.backend.read_text().replace("get-current)", "get-nothing)"))
    assert board.open("A").current() == ""
    (tmp_path / "backend").unlink()
    with pytest.raises(BootEnvError) as caught:
        board.open("A").current()
    assert caught.value.code == "bootenv.program-missing"


def test_a_custom_backend_that_calls_an_unknown_slot_the_first_is_shown_as_it_is(tmp_path: Path) -> None:
    board = Custom(tmp_path)
    (board.vars / "order").write_text("R A B\n")
    (board.vars / "left-R").write_text("3\n")
    state = board.open("A").read()
    assert (state.order, state.primary) == (("R", "A", "B"), "A")


@pytest.fixture
def barebox(tmp_path: Path):
    board = Barebox(tmp_path)
    yield board
    board.close()


def test_barebox_is_left_as_rauc_would_leave_it(barebox: Barebox) -> None:
    env = barebox.open("A")
    words = [
        word
        for name in "AB"
        for key in ("priority", "remaining_attempts")
        for word in ("-g", f"bootstate.{name}.{key}")
    ]
    env.revert("B", "A")
    assert barebox.tool(*words) == [20, 3, 0, 0]
    env.activate("B", fallback="A", trial="B,1,2")
    assert barebox.tool(*words) == [10, 3, 20, 3]
    barebox.power_on()
    assert barebox.tool(*words) == [10, 3, 20, 2]
    barebox.open("B").confirm("B")
    assert barebox.tool(*words) == [10, 3, 20, 3]


@pytest.mark.root
def test_in_the_sandbox_barebox_state_needs_no_more_than_its_lock(barebox: Barebox) -> None:
    """What ProtectSystem=strict and the drop-in make of /run."""
    script = (
        "mount --make-rprivate / && mount -t tmpfs none /run && touch $LOCK && mount --bind $LOCK $LOCK && "
        f"mount -o remount,bind,ro /run && barebox-state -i {barebox.folder}/state.dtb -s bootstate.A.priority=7 && "
        f"umount $LOCK && rm $LOCK 2>/dev/null; ! barebox-state -i {barebox.folder}/state.dtb -s bootstate.A.priority=8"
    ).replace("$LOCK", "/run/barebox-state.lock")
    subprocess.run(["unshare", "-m", "/bin/sh", "-c", script], check=True, timeout=20)
    assert barebox.tool("-g", "bootstate.A.priority") == [7]


def test_one_broken_copy_of_three_loses_nothing(barebox: Barebox) -> None:
    barebox.open("A").activate("B", fallback="A", trial="")
    image = barebox.folder / "state.img"
    before = barebox.open("A").read()
    raw = bytearray(image.read_bytes())
    raw[:0x400] = bytes(0x400)
    image.write_bytes(raw)
    assert barebox.open("A").read() == before
    assert barebox.power_on() == "B"


def test_a_slot_that_the_state_does_not_know_is_explained(barebox: Barebox) -> None:
    dtb = str(barebox.folder / "state.dtb")
    with pytest.raises(BootEnvError) as caught:
        BareboxLoader(("A", "C"), attempts=3, attempts_primary=3, dtbpath=dtb).read()
    assert caught.value.code == "bootenv.program-failed"
    assert "no such variable" in caught.value.details


def test_the_name_of_a_state_that_is_not_there_is_explained(barebox: Barebox) -> None:
    dtb = str(barebox.folder / "state.dtb")
    named = BareboxLoader(("A", "B"), attempts=3, attempts_primary=3, dtbpath=dtb, statename="state")
    assert named.read().order == ("A", "B")
    with pytest.raises(BootEnvError) as caught:
        BareboxLoader(("A", "B"), attempts=3, attempts_primary=3, dtbpath=dtb, statename="other").read()
    assert caught.value.code == "bootenv.program-failed"


@pytest.mark.parametrize(
    ("cmdline", "name"),
    [
        ("quiet bootchooser.active=B root=/dev/x", "B"), ("bootstate.active=A", "A"), ("bootchooser.active=bootstate.A", "A"),
        ("bootchooser.active=C", ""), ("xbootstate.active=A", ""), ("", ""),
    ],
)  # fmt: skip
def test_bootchooser_tells_what_it_has_booted(tmp_path: Path, cmdline: str, name: str) -> None:
    (tmp_path / "cmdline").write_text(cmdline + "\n")
    loader = BareboxLoader(("A", "B"), attempts=3, attempts_primary=3, cmdline=str(tmp_path / "cmdline"))
    assert loader.current() == name
