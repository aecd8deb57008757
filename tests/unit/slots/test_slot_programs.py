"""Promises of running programs on slots, with real programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slots import claim, programs
from slots.errors import SlotError

MIB = 1024 * 1024


def failure(*argv: str, timeout: float = 20.0, **more: object) -> SlotError:
    with pytest.raises(SlotError) as caught:
        programs.run(*argv, timeout=timeout, **more)  # type: ignore[arg-type]
    return caught.value


def test_a_program_gets_a_clean_environment_and_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    ended = programs.run("sh", "-c", "env; cat; pwd; umask", timeout=20)
    names = {line.split("=")[0] for line in ended.output.splitlines()}
    assert names <= {"PATH", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_", "/", "0022"}
    assert "LC_ALL=C" in ended.output


def test_a_failure_tells_the_status_and_the_last_words() -> None:
    error = failure("sh", "-c", "echo out; echo first >&2; printf 'no room\\033[1m\\n\\n' >&2; exit 3")
    assert (error.code, error.retryable) == ("slot.program-failed", True)
    assert error.details == "sh: exit status 3; it said last: no room?[1m"


def test_what_was_said_on_standard_output_counts_when_there_is_nothing_else() -> None:
    assert failure("sh", "-c", "echo only this; false").details.endswith("it said last: only this")
    assert failure("false").details.endswith("it said last: it said nothing")


def test_a_status_may_mean_success() -> None:
    assert programs.run("sh", "-c", "exit 1", timeout=20, accept=(0, 1)).status == 1


def test_a_program_that_a_signal_ended_has_failed() -> None:
    assert "killed by signal 9" in failure("sh", "-c", "kill -9 $$").details


def test_a_program_that_takes_too_long_is_killed() -> None:
    error = failure("sh", "-c", "echo $$ >&2; exec sleep 600", timeout=0.3)
    assert error.code == "slot.program-timeout"
    pid = int(error.details.rsplit(" ", 1)[1])
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_that_closes_its_outputs_and_goes_on_is_killed_too() -> None:
    assert failure("sh", "-c", "exec >&- 2>&-; exec sleep 600", timeout=0.3).code == "slot.program-timeout"


def test_missing_programs_are_all_named() -> None:
    with pytest.raises(SlotError) as caught:
        programs.require("sh", "no-such-program", "nor-this-one")
    assert (caught.value.code, caught.value.details) == ("slot.program-missing", "no-such-program, nor-this-one")
    assert failure("no-such-program").code == "slot.program-missing"


def test_only_the_end_of_a_long_output_is_kept() -> None:
    ended = programs.run("sh", "-c", "yes | head -c 1000000; echo end", timeout=20)
    assert len(ended.output) == programs.MAX_OUTPUT
    assert ended.output.endswith("end\n")


def test_a_program_is_fed_while_it_speaks() -> None:
    """More than a pipe holds in both directions."""
    given = [bytes([number]) * 100_000 for number in range(30)]
    ended = programs.run("sh", "-c", "tee /dev/stderr | cksum", timeout=20, feed=given)
    whole = subprocess.run(["cksum"], input=b"".join(given), capture_output=True, check=True)
    assert ended.output == whole.stdout.decode()


def test_a_program_that_does_not_want_all_of_it_decides_by_its_status() -> None:
    assert programs.run("true", timeout=20, feed=(bytes(MIB) for _ in range(100))).status == 0
    assert failure("false", feed=(bytes(MIB) for _ in range(100))).code == "slot.program-failed"


def test_an_error_of_the_food_ends_the_program() -> None:
    def food() -> Iterator[bytes]:
        yield b"x"
        raise ValueError("spoilt")

    with pytest.raises(ValueError, match="spoilt"):
        programs.run("cat", timeout=20, feed=food())


@pytest.mark.req("S08")
def test_a_lock_outlives_whoever_started_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while mkfs runs, the next installer must not start writing beside it."""
    code = (
        "import os, sys; from slots import programs; from slots.claim import lock\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); lock(fd, 'slot')\n"
        "programs.run('sh', '-c', 'echo $$ > $0.pid; exec sleep 600', sys.argv[1], timeout=60, keep=(fd,))\n"
    )
    slot = tmp_path / "slot"
    parent = subprocess.Popen([sys.executable, "-c", code, str(slot)], cwd=Path(__file__).parents[3])
    pid_file = Path(f"{slot}.pid")
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    fd = os.open(slot, os.O_RDWR)
    try:
        monkeypatch.setattr(claim, "_PATIENCE", 0.0)
        with pytest.raises(SlotError) as caught:
            claim.lock(fd, "slot")
        assert caught.value.code == "slot.busy"
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        monkeypatch.setattr(claim, "_PATIENCE", 10.0)
        claim.lock(fd, "slot")
    finally:
        os.close(fd)
