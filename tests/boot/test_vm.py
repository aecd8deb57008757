"""The virtual machine that all boot tests use: console, resets, snapshots, power cuts; and the shell in the guest."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boot.lab.console import Shell, Unheard
from boot.lab.vm import VM, drive, network

FIRMWARE = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[VM]:
    """A machine that starts U-Boot; it is on, and at the prompt."""
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "16M"], check=True)
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "256", "-bios", FIRMWARE]
    with VM(tmp_path / "vm", [*command, *drive(disk, form="qcow2"), *network()]) as machine:
        machine.start()
        prompt(machine)
        yield machine


def prompt(vm: VM) -> None:
    vm.console.expect("stop autoboot")
    vm.console.type("\n")
    vm.console.expect("^=> ")


def typed(vm: VM, line: str) -> None:
    vm.console.type(f"{line}\n")
    vm.console.expect("^=> ")


def test_a_snapshot_brings_back_memory_in_this_start_and_in_the_next(vm: VM) -> None:
    typed(vm, "setenv fruit apple")
    vm.snapshot("here")
    typed(vm, "setenv fruit pear")
    vm.load("here")
    vm.console.type("echo ${fruit} again\n")
    vm.console.expect("^apple again$")
    vm.cut()
    vm.start("-loadvm", "here")
    vm.console.type("echo ${fruit} and again\n")
    vm.console.expect("^apple and again$", 10)


def test_resets_are_counted_and_a_power_cut_is_none(vm: VM) -> None:
    vm.console.type("reset\n")
    vm.wait_reset(0)
    vm.cut()
    assert (vm.resets, vm.powered) == (1, False)
    assert [what for _, what in vm.power] == ["on", "reset", "cut"]
    vm.start()
    prompt(vm)
    assert vm.resets == 1


def test_what_was_computed_is_summed_up_over_all_starts(vm: VM) -> None:
    vm.cut()
    first = vm.cpu_seconds
    vm.start()
    prompt(vm)
    assert vm.cpu_seconds > first > 0


def test_a_machine_that_ends_while_something_is_waited_for_says_why(vm: VM) -> None:
    vm.console.type("poweroff\n")
    with pytest.raises(Unheard, match="QEMU has ended"):
        vm.console.expect("never said")


@contextmanager
def connected(directory: Path, command: str) -> Iterator[Shell]:
    """A shell on a socket, as that of a guest, without a guest."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(directory / "port"))
        door.listen()
        shell = Shell(directory / "port", lambda: None, lambda: 0)
        port, _ = door.accept()
    with port, subprocess.Popen(["sh", "-c", command], stdin=port, stdout=port, stderr=port) as process:
        yield shell
        process.kill()
        shell.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with connected(tmp_path, "exec sh") as shell:
        yield shell


def test_a_shell_that_has_not_started_yet_is_asked_seldom_because_each_question_would_have_to_be_answered(
    tmp_path: Path,
) -> None:
    with connected(tmp_path, "sleep 2; exec sh") as shell:
        shell.wait()
        assert shell._number == 1
        assert shell.run("echo here") == "here"


def test_the_shell_gives_back_output_and_status_of_each_command(shell: Shell) -> None:
    shell.wait()
    assert shell.ask("echo out; echo err >&2; exit 3") == (3, "out\nerr")
    assert shell.run("printf 'a\\n\\nb'; cat") == "a\n\nb"
    with pytest.raises(AssertionError, match="false: 1"):
        shell.run("false")


def test_commands_longer_than_a_line_of_a_terminal_and_files_of_any_bytes_go_through(
    shell: Shell, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 64
    shell.write(str(tmp_path / "file"), content)
    assert (tmp_path / "file").read_bytes() == content
    assert shell.read(str(tmp_path / "file")) == content


def test_a_command_that_takes_too_long_is_not_mistaken_for_the_next(shell: Shell) -> None:
    with pytest.raises(Unheard, match="not within"):
        shell.ask("sleep 0.3; echo late", 0.01)
    assert shell.run("echo next") == "next"
