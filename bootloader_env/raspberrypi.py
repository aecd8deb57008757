"""The Raspberry Pi's firmware with ``tryboot``: which partition it boots, in ``autoboot.txt``.

The boot name of a slot is the number of its boot partition. Activation names the target for ``[tryboot]``, in one write of
one sector together with our marker; it boots once, in the restart that is asked for with ``reboot "0 tryboot"``. Any
other reset, also a power cut or the watchdog, boots the partition of ``[all]``, until ``confirm`` writes the target there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bootloader_env import autoboot_format as fmt
from bootloader_env.errors import BootEnvError, io_failed
from bootloader_env.lock import locked
from bootloader_env.order import check_parts, check_trial, checked_names
from bootloader_env.port import BootState, Capabilities, SlotBoot

DEVICE_TREE = "/proc/device-tree"
LOCK_TIMEOUT = 10.0  # seconds
REBOOT_ARGUMENT = "0 tryboot"


class RaspberryPiEnv:
    """Implements ``port.BootEnv``, which documents the methods.

    Args:
        path: of autoboot.txt, on the first FAT partition.
        bootnames: numbers of the slots' boot partitions, 1 to 99.
        device_tree: of the running system, where the firmware tells what it has booted.

    Raises:
        BootEnvError: ``bootenv.bootnames``.
    """

    def __init__(self, path: str, bootnames: tuple[str, ...], *, device_tree: str = DEVICE_TREE) -> None:
        if any(not name.isdigit() or not 1 <= int(name) <= 99 or str(int(name)) != name for name in bootnames):
            raise BootEnvError(
                "bootenv.bootnames", "the bootnames of the slots cannot be used", details=" ".join(bootnames),
                resolution="on a Raspberry Pi the bootname of a slot is the number of its boot partition",
            )  # fmt: skip
        self._path = path
        self._bootnames = checked_names(bootnames)
        self._device_tree = device_tree

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return Capabilities(
            atomic=True, marker_inside=True, redundant=False, trial_attempts=1, one_shot=True,
            reboot_argument=REBOOT_ARGUMENT,
        )  # fmt: skip

    def current(self) -> str:
        """See BootEnv."""
        try:
            data = Path(self._device_tree, "chosen/bootloader/partition").read_bytes()
        except OSError:
            return ""
        name = str(int.from_bytes(data, "big")) if len(data) == 4 else ""  # a cell of a device tree
        return name if name in self._bootnames else ""

    def read(self) -> BootState:
        """See BootEnv; raises ``bootenv.autoboot-missing``, ``bootenv.autoboot-invalid``, ``bootenv.io``.

        A slot that is armed comes first. It boots when the restart is asked for with ``capabilities.reboot_argument``.
        """
        content = fmt.decode(self._read())
        order = tuple(filter(None, dict.fromkeys((content.trying, content.lasting))))
        slots = {name: SlotBoot(name, name in order, int(name in order), name in order) for name in self._bootnames}
        return BootState(order, slots, content.trial)

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, target, fallback)
        check_trial(trial)
        self._update(lambda now: replace(now, lasting=fallback, trying=target, trial=trial))

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)
        self._update(lambda now: replace(now, lasting=bootname, trying=bootname, trial=""))

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bad, good)
        self._update(lambda now: replace(now, lasting=good, trying=good, trial=""))

    def mark_good(self, bootname: str) -> None:
        """See BootEnv; the firmware counts no attempts, and a slot that is not named is not booted."""
        check_parts(self._bootnames, bootname)

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv; a missing file may be on a partition that is not mounted."""
        return False

    def _update(self, change: Callable[[fmt.Autoboot], fmt.Autoboot]) -> None:
        with locked(os.path.dirname(os.path.realpath(self._path)), LOCK_TIMEOUT):
            raw = self._read()
            old = fmt.decode(raw)
            new = change(old)
            if new == old:
                return
            size = max(fmt.SIZE, len(raw))
            block = fmt.encode(new, size)
            if (
                len(raw) < size
            ):  # the size of the file is kept elsewhere on the medium: it changes while nothing else does
                self._write(raw.rstrip(b"\n").ljust(size, b"\n"))
            self._write(block)
            if self._read() != block:
                raise BootEnvError(
                    "bootenv.write-failed", "autoboot.txt was not stored as it was written", details=self._path,
                    resolution="check the file system", retryable=True,
                )  # fmt: skip

    def _read(self) -> bytes:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise OSError(f"{self._path} is no regular file")
                return os.pread(fd, fmt.MAX_SIZE + 1, 0)
            finally:
                os.close(fd)
        except FileNotFoundError as error:
            raise BootEnvError(
                "bootenv.autoboot-missing", "there is no autoboot.txt", details=self._path,
                resolution="mount the first FAT partition, and set bootloader.autoboot to the file in it",
            ) from error  # fmt: skip
        except OSError as error:
            raise io_failed("autoboot.txt cannot be read", error) from error

    def _write(self, block: bytes) -> None:
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_SYNC | os.O_CLOEXEC)
            try:
                if os.pwrite(fd, block, 0) != len(block):
                    raise OSError(f"{self._path} took only a part")
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # so that it is read back from the medium
            finally:
                os.close(fd)
        except OSError as error:
            raise io_failed("autoboot.txt cannot be written", error) from error
