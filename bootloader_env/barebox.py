"""barebox' bootchooser, whose variables ``barebox-state`` (dt-utils) reads and writes, all of a change in one call.

The state has three copies with a checksum each, which are written one after the other and flushed; barebox takes the first
that is valid. A bootchooser target is the boot name. Values are RAUC's: priority 20 for the first choice, attempts in
``remaining_attempts``; a priority of 0 is never booted (barebox, Documentation/user/bootchooser.rst).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootloader_env import program
from bootloader_env.errors import BootEnvError, io_failed
from bootloader_env.order import check_parts, checked_names
from bootloader_env.port import BootState, Capabilities, SlotBoot

PROGRAM = "barebox-state"
TIMEOUT = 30.0  # seconds; an EEPROM takes some 5 ms for each page
_FIRST, _SECOND, _OTHERS = 20, 10, 5
_ACTIVE = re.compile(r"(?:^|\s)(?:bootstate|bootchooser)\.active=(?:bootstate\.)?(\S+)")
_NUMBER = re.compile(r"[0-9]{1,10}")
_MAX_CMDLINE = 64 * 1024
_Values = Mapping[str, int]


class BareboxLoader:
    """Implements ``port.Loader``, which documents the methods.

    Args:
        bootnames: the slots that we manage, names of bootchooser targets.
        attempts: boots of a slot that has proved itself.
        attempts_primary: boots of a slot on trial.
        statename: the alias of the state in the device tree; empty for ``barebox-state``'s own default.
        dtbpath: a device tree blob to take the description of the state from; empty for the running one.
        cmdline: the kernel's command line, to which bootchooser adds the target that it has booted.

    Raises:
        BootEnvError: ``bootenv.bootnames``.
    """

    def __init__(
        self,
        bootnames: tuple[str, ...],
        *,
        attempts: int,
        attempts_primary: int,
        statename: str = "",
        dtbpath: str = "",
        cmdline: str = "/proc/cmdline",
    ) -> None:
        self._bootnames = checked_names(bootnames)
        self._attempts, self._primary = attempts, attempts_primary
        self._command = [PROGRAM, *(["-n", statename] if statename else []), *(["-i", dtbpath] if dtbpath else [])]
        self._cmdline = cmdline

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return Capabilities(atomic=True, marker_inside=False, redundant=True, trial_attempts=self._primary)

    def current(self) -> str:
        """See BootEnv."""
        try:
            with Path(self._cmdline).open("rb") as file:
                text = file.read(_MAX_CMDLINE).decode("utf-8", "replace")
        except OSError as error:
            raise io_failed("the kernel's command line cannot be read", error) from error
        match = _ACTIVE.search(text)
        return match[1] if match and match[1] in self._bootnames else ""

    def read(self) -> BootState:
        """See BootEnv; raises ``bootenv.program-missing``, ``bootenv.program-failed``, ``bootenv.state-invalid``."""
        now = self._get()
        ranked = sorted(self._bootnames, key=lambda name: -now[_priority(name)])  # stable: as in the configuration
        order = tuple(name for name in ranked if now[_priority(name)] > 0)
        slots = {}
        for name in self._bootnames:
            left = now[_left(name)]
            slots[name] = SlotBoot(name, name in order, left, name in order and left > 0)
        return BootState(order, slots, "")

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, target, fallback)
        now = self._get()
        ranks = {**self._lowered(now, _OTHERS), _priority(fallback): _SECOND, _priority(target): _FIRST}
        self._set(now, {**ranks, _left(fallback): self._attempts, _left(target): self._primary})

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)
        now = self._get()
        ranks = {}
        if now[_priority(bootname)] == 0:
            ranks = {**self._lowered(now, _SECOND), _priority(bootname): _FIRST}
        self._set(now, {**ranks, _left(bootname): self._attempts})

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bad, good)
        now = self._get()
        ranks = {**self._lowered(now, _SECOND), _priority(good): _FIRST, _priority(bad): 0}
        self._set(now, {**ranks, _left(good): self._attempts, _left(bad): 0})

    def mark_good(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)
        now = self._get()
        boots = any(now[_priority(name)] > 0 and (name == bootname or now[_left(name)] > 0) for name in self._bootnames)
        self._set(now, {_left(bootname): self._attempts, **({} if boots else {_priority(bootname): _FIRST})})

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv; without a valid copy ``barebox-state`` itself starts from the defaults of the device tree."""
        return False

    def settled(self, bootname: str) -> bool:
        """See Loader; whether a slot that can boot has been confirmed, this bootloader cannot tell."""
        return bootname in self._bootnames and self._get()[_priority(bootname)] == 0

    def _lowered(self, now: _Values, limit: int) -> dict[str, int]:
        names = map(_priority, self._bootnames)
        return {name: min(limit, now[name]) for name in names if now[name] > 0}

    def _get(self) -> _Values:
        names = [word for name in self._bootnames for word in (_priority(name), _left(name))]
        output = program.run([*self._command, *(word for name in names for word in ("-g", name))], timeout=TIMEOUT)
        lines = output.split()
        if len(lines) != len(names) or not all(_NUMBER.fullmatch(line) for line in lines):
            raise BootEnvError(
                "bootenv.state-invalid", "the state of barebox does not hold a number for each slot",
                details=f"{len(names)} asked, answer {output[:100]!r}",
                resolution="give each slot priority and remaining_attempts, of type uint32, in the device tree",
            )  # fmt: skip
        return dict(zip(names, map(int, lines), strict=True))

    def _set(self, now: _Values, wanted: _Values) -> None:
        changes = {name: value for name, value in wanted.items() if now[name] != value}
        if not changes:
            return
        words = [word for name, value in changes.items() for word in ("-s", f"{name}={value}")]
        program.run([*self._command, *words], timeout=TIMEOUT)
        after = self._get()
        if any(after[name] != value for name, value in wanted.items()):
            raise BootEnvError(
                "bootenv.write-failed", "the state of barebox was not stored as it was written",
                details=" ".join(words), resolution="check the storage of the state", retryable=True,
            )  # fmt: skip


def _priority(name: str) -> str:
    return f"bootstate.{name}.priority"


def _left(name: str) -> str:
    return f"bootstate.{name}.remaining_attempts"
