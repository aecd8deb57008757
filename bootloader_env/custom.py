"""A bootloader that only a program of the device knows: RAUC's contract for a custom backend.

The program is called with one of ``get-primary``, ``set-primary NAME``, ``get-state NAME`` (prints ``good`` or ``bad``),
``set-state NAME good|bad`` and ``get-current`` (optional: it may fail or print nothing). Another exit status than 0 is an
error, and the last line of its standard error says why. Source: RAUC's reference, "Custom Bootloader Backend Interface".
"""

from __future__ import annotations

from collections.abc import Sequence

from bootloader_env import program
from bootloader_env.errors import BootEnvError
from bootloader_env.order import check_parts, checked_names
from bootloader_env.port import BootState, Capabilities, SlotBoot

TIMEOUT = 60.0  # seconds


class CustomLoader:
    """Implements ``port.Loader``, which documents the methods.

    ``set-primary`` makes a slot bootable with full attempts, as for RAUC; what a trial is worth depends on the program.

    Args:
        path: the program.
        bootnames: the slots that we manage.
        timeout: seconds for one call.

    Raises:
        BootEnvError: ``bootenv.bootnames``.
    """

    def __init__(self, path: str, bootnames: tuple[str, ...], *, timeout: float = TIMEOUT) -> None:
        self._path = path
        self._bootnames = checked_names(bootnames)
        self._timeout = timeout

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return Capabilities(atomic=False, marker_inside=False, redundant=False, trial_attempts=0)

    def current(self) -> str:
        """See BootEnv."""
        try:
            name = self._call("get-current").strip()
        except BootEnvError as error:
            if error.code == "bootenv.program-failed":
                return ""
            raise
        return name if name in self._bootnames else ""

    def read(self) -> BootState:
        """See BootEnv; raises ``bootenv.program-*``. The program tells of no order beyond the first."""
        first = self._primary()
        good = {name: self._good(name) for name in self._bootnames}
        ranked = dict.fromkeys((first, *self._bootnames))
        order = tuple(name for name in ranked if name == first or good.get(name))
        slots = {name: SlotBoot(name, name in order, int(good[name]), good[name]) for name in self._bootnames}
        return BootState(tuple(filter(None, order)), slots, "")

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, target, fallback)
        if not self._good(fallback):
            self._call("set-state", fallback, "good")
        if self._primary() != target or not self._good(target):
            self._call("set-primary", target)

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)
        if self._primary() != bootname:
            self._call("set-primary", bootname)
        self._call("set-state", bootname, "good")

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bad, good)
        if self._primary() != good:
            self._call("set-primary", good)
        if not self._good(good):
            self._call("set-state", good, "good")
        if self._good(bad):
            self._call("set-state", bad, "bad")

    def mark_good(self, bootname: str) -> None:
        """See BootEnv. Only the program knows whether there are attempts to be given back, so it is always called."""
        check_parts(self._bootnames, bootname)
        self._call("set-state", bootname, "good")

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv."""
        return False

    def settled(self, bootname: str) -> bool:
        """See Loader; this contract has no word for a confirmed slot."""
        return False

    def _primary(self) -> str:
        return self._call("get-primary").strip()

    def _good(self, name: str) -> bool:
        answer = self._call("get-state", name).strip()
        if answer not in ("good", "bad"):
            raise BootEnvError(
                "bootenv.program-answer", "the program for the boot environment gave no proper answer",
                details=f"get-state {name}: {answer[:60]!r} instead of good or bad",
                resolution="correct the program that bootloader.custom-backend names",
            )  # fmt: skip
        return answer == "good"

    def _call(self, *words: str) -> str:
        return program.run([self._path, *words], timeout=self._timeout)
