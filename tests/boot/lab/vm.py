"""A virtual machine: a QEMU process with a serial console, a root shell on another port, and its monitor.

Everything is emulated (TCG): what ``/dev/kvm`` offers differs from host to host. A machine that has a core to itself is much
faster than one that shares it, so times are judged by ``cpu_seconds``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from agent.demo.tools import bound_to_us
from boot.lab.console import Console, Shell, Unheard
from boot.lab.qmp import Qmp

_T = TypeVar("_T")
_TICKS = os.sysconf("SC_CLK_TCK")
_ONE_RESET = 2.0  # seconds in which firmware of a PC resets more than once
NET = "net0"  # id of the network device, for ``set_link``

__all__ = ["NET", "VM", "Shell", "Unheard", "blocks", "drive", "network"]


class VM:
    """A machine, switched off.

    The guest sees the console as its first serial port and the shell as ``/dev/hvc0`` (virtio console).

    Args:
        directory: for ``console.log`` and ``qemu.log``, which go on over several starts.
        command: the program, the machine, firmware and devices; see ``drive`` and ``network``. Nothing else is in it:
            QEMU's default devices are left out.
    """

    def __init__(self, directory: Path, command: Sequence[str]) -> None:
        self.directory, self.command = directory, list(command)
        directory.mkdir(parents=True, exist_ok=True)
        self.console = Console(directory / "console.log", self.pause)
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: Path | None = None
        self._qmp: Qmp | None = None
        self._shell: Shell | None = None
        self._used, self._resets = 0.0, 0  # by processes that have ended
        self._power: list[tuple[float, str]] = []

    def __enter__(self) -> VM:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @property
    def powered(self) -> bool:
        """Whether it is on."""
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> int:
        """The number of the process of QEMU."""
        assert self._process is not None, "it is off"
        return self._process.pid

    @property
    def resets(self) -> int:
        """How often it was reset while it was on."""
        if self._qmp is not None:
            self._qmp.listen()
        return self._resets + (self._qmp.resets if self._qmp is not None else 0)

    @property
    def power(self) -> list[tuple[float, str]]:
        """When (seconds since 1970) what was done to it: ``on``, ``off``, ``cut``, ``reset``, ``cable out``, ``cable in``."""
        found = list[tuple[float, str]]()
        for at, what in sorted([*self._power, *self._reset_times()]):
            if not found or what != "reset" or found[-1][1] != "reset" or at - found[-1][0] > _ONE_RESET:
                found.append((at, what))
        return found

    def _reset_times(self) -> list[tuple[float, str]]:
        if self._qmp is None:
            return []
        stamps = [event["timestamp"] for event in self._qmp.events("RESET")]
        return [(stamp["seconds"] + stamp["microseconds"] / 1e6, "reset") for stamp in stamps]

    def _note(self, what: str) -> None:
        self._power.append((time.time(), what))

    @property
    def shell(self) -> Shell:
        """The root shell of the guest; ``wait`` for it after each boot."""
        assert self._shell is not None, "it is off"
        return self._shell

    @property
    def cpu_seconds(self) -> float:
        """What QEMU has computed, over all starts."""
        return self._used + (_computed(self._process.pid) if self._process is not None else 0.0)

    def start(self, *more: str) -> None:
        """Switches it on.

        Args:
            more: arguments for this start alone, such as ``-loadvm NAME`` or ``-rtc base=...``.
        """
        assert self._process is None, "it is on already"
        self._note("on")
        self._sockets = Path(tempfile.mkdtemp(prefix="ota-vm-"))  # their paths must be short
        with self.console.log.open("ab") as console, (self.directory / "qemu.log").open("ab") as errors:
            self._process = subprocess.Popen(
                [*bound_to_us(), *self.command, *self._ports(self._sockets), *more],
                stdin=subprocess.PIPE, stdout=console, stderr=errors, start_new_session=True,
            )  # fmt: skip
        try:
            assert self._process.stdin is not None
            self.console.keys = self._process.stdin
            self.until((self._sockets / "qmp").exists, "QEMU starts", 60)
            self._qmp = Qmp(self._sockets / "qmp")
            self._shell = Shell(self._sockets / "shell", self.pause, lambda: self.resets)
        except BaseException:
            self.cut()
            raise

    def _ports(self, sockets: Path) -> list[str]:
        return [
            "-nodefaults", "-display", "none", "-monitor", "none",
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-chardev", f"socket,id=shell,path={sockets}/shell,server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell",
            "-qmp", f"unix:{sockets}/qmp,server=on,wait=off",
        ]  # fmt: skip

    def pause(self) -> None:
        """Lets it go on for a moment.

        Raises:
            Unheard: it has ended.
        """
        if not self.powered:
            errors = (self.directory / "qemu.log").read_text("utf-8", "replace")[-2000:]
            raise Unheard(f"QEMU has ended: {errors}\n{self.console.tail}")
        self.console.listen()
        time.sleep(0.1)  # who looks more often takes the processor from it

    def until(self, wanted: Callable[[], _T], what: str, seconds: float = 300) -> _T:
        """Waits for something; returns what ``wanted`` gave.

        Args:
            wanted: gives something true when it has happened.
            what: for the message if it does not.
            seconds: of patience.

        Raises:
            Unheard: it did not happen, or the machine has ended.
        """
        end = time.monotonic() + seconds
        while not (found := wanted()):
            if time.monotonic() > end:
                raise Unheard(f"this did not happen: {what}\n{self.console.tail}")
            self.pause()
        return found

    def qmp(self, execute: str, **arguments: Any) -> Any:
        """Asks the monitor, see ``Qmp.ask``."""
        assert self._qmp is not None, "it is off"
        return self._qmp.ask(execute, **arguments)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the monitor has told of that name since the start, oldest first."""
        assert self._qmp is not None, "it is off"
        return self._qmp.events(name)

    def monitor(self, line: str) -> str:
        """Types a line into the monitor for people; most errors are only said there."""
        return str(self.qmp("human-monitor-command", command_line=line)).replace("\r", "").strip()

    def snapshot(self, name: str) -> None:
        """Saves memory, devices and disks in the first disk; every disk that can be written must be qcow2."""
        said = self.monitor(f"savevm {name}")
        assert not said, said

    def load(self, name: str) -> None:
        """Goes back to a snapshot, disks included."""
        said = self.monitor(f"loadvm {name}")
        assert not said, said

    def set_link(self, up: bool) -> None:
        """Pulls the network cable, or plugs it in."""
        self.qmp("set_link", name=NET, up=up)
        self._note("cable in" if up else "cable out")

    def wait_reset(self, before: int | None = None, seconds: float = 300) -> None:
        """Waits until it was reset.

        Args:
            before: ``resets`` at a time before it could happen; None counts from now on.
            seconds: of patience.
        """
        count = self.resets if before is None else before
        self.until(lambda: self.resets > count, "a reset", seconds)

    def wait_ended(self, seconds: float = 300) -> None:
        """Waits until it has switched itself off."""
        assert self._process is not None, "it is off"
        self._process.wait(seconds)
        self._note("off")
        self._clear()

    def cut(self) -> None:
        """The power fails: QEMU is gone at once, and with it what the guest had not handed to the host."""
        if self._process is not None:
            self._used += _computed(self._process.pid)
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._note("cut")
        self._clear()

    def _clear(self) -> None:
        if self._qmp is not None:
            self._qmp.listen()
            self._resets += self._qmp.resets
            self._power += self._reset_times()
            self._qmp.close()
        if self._shell is not None:
            self._shell.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        self._process = self._qmp = self._shell = self._sockets = self.console.keys = None


def blocks(path: Path, name: str, *, form: str = "raw", below: Sequence[str] = ()) -> list[str]:
    """Arguments for a block node that some device is connected to.

    Args:
        path: the image.
        name: of the node; those below it are ``<name>-file``, ``<name>-0`` and so on.
        form: ``raw`` or ``qcow2``.
        below: what goes between the file and the format: values for ``-blockdev`` without a node name, from the file
            upwards, in which ``{below}`` is the node under it. ``driver=blkdebug,image={below},config=F``, for example.
    """
    node, words = f"{name}-file", list[str]()
    words += ["-blockdev", f"driver=file,filename={path},node-name={node},discard=unmap"]
    for number, graph in enumerate(below):
        words += ["-blockdev", f"{graph.format(below=node)},node-name={name}-{number}"]
        node = f"{name}-{number}"
    return [*words, "-blockdev", f"driver={form},file={node},node-name={name},discard=unmap"]


def drive(path: Path, name: str = "disk", *, form: str = "raw", below: Sequence[str] = (), more: str = "") -> list[str]:
    """Arguments for a virtio disk.

    Args:
        path: as for ``blocks``, with ``form`` and ``below``.
        name: of the node, also the serial number of the disk.
        more: for the device, as ``,werror=report``.
    """
    device = f"virtio-blk-pci,drive={name},serial={name}{more}"
    return [*blocks(path, name, form=form, below=below), "-device", device]


def network() -> list[str]:
    """Arguments for a network card; in the guest, 10.0.2.2 is the loopback interface of the host."""
    return ["-netdev", "user,id=user0", "-device", f"virtio-net-pci,netdev=user0,id={NET},romfile="]


def _computed(pid: int) -> float:
    """CPU seconds of a process that has not been waited for (proc_pid_stat(5): utime and stime)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
