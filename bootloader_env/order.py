"""The algebra of boot variables: what each operation changes. Pure: variables in, changes out.

The variables are RAUC's, so that its boot scripts and its tools keep working beside us:

- U-Boot: ``BOOT_ORDER`` ("B A") and ``BOOT_<n>_LEFT``, a hexadecimal count of the attempts that are left.
- GRUB: ``ORDER``, ``<n>_OK`` and ``<n>_TRY``; a slot is tried when OK is 1 and TRY is 0, and GRUB sets TRY before booting it.
  With ``<n>_LEFT``, one decimal digit that RAUC does not know, our script counts it down, and sets TRY with the last boot.

``OTA_TRIAL`` is ours and unknown to the boot scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootState, SlotBoot

Variables = Mapping[str, str]
Changes = dict[str, str | None]  # None removes the variable

TRIAL = "OTA_TRIAL"
MAX_TRIAL = 100  # characters: the GRUB block holds 1024 bytes in all
MAX_NAMES = 32  # bootnames in an order
_BOOTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_HEX = re.compile(r"(0[xX])?[0-9A-Fa-f]{1,8}")
_DIGIT = re.compile(r"[1-9]")


class Dialect(Protocol):
    """How one bootloader writes down the order and the slots."""

    @property
    def order(self) -> str:
        """The name of the variable that holds the order."""
        ...

    @property
    def primary(self) -> int:
        """Attempts of a freshly activated slot."""
        ...

    def attempts(self, variables: Variables, name: str) -> int:
        """Boots left for a slot; 0 when its variables are missing or make no sense."""
        ...

    def fresh(self, name: str, *, primary: bool) -> Changes:
        """Full attempts, as the slot to try next (``primary``) or as one that has proved itself."""
        ...

    def dead(self, name: str) -> Changes:
        """No attempts."""
        ...

    @property
    def dead_leaves_order(self) -> bool:
        """Whether a slot that must not boot is also taken out of the order."""
        ...


@dataclass(frozen=True, slots=True)
class UbootDialect:
    """``BOOT_ORDER`` and ``BOOT_<n>_LEFT``.

    RAUC's script gives all slots new attempts when none is left, but never changes the order: a bad slot must leave it.

    Attributes:
        good: attempts of a slot that has proved itself.
        primary: attempts of a freshly activated slot.
    """

    good: int
    primary: int
    order: str = "BOOT_ORDER"
    dead_leaves_order: bool = True

    def attempts(self, variables: Variables, name: str) -> int:
        """See Dialect."""
        text = variables.get(f"BOOT_{name}_LEFT", "")
        return int(text, 16) if _HEX.fullmatch(text) else 0

    def fresh(self, name: str, *, primary: bool) -> Changes:
        """See Dialect."""
        return {f"BOOT_{name}_LEFT": f"{self.primary if primary else self.good:x}"}

    def dead(self, name: str) -> Changes:
        """See Dialect."""
        return {f"BOOT_{name}_LEFT": "0"}


@dataclass(frozen=True, slots=True)
class GrubDialect:
    """``ORDER``, ``<n>_OK``, ``<n>_TRY`` and, for several attempts, ``<n>_LEFT``.

    OK and TRY always say the same as for RAUC: its script and its tool may be used beside ours at any time. Where LEFT is
    missing or 0 although TRY is 0, somebody who does not know LEFT has marked the slot: it has RAUC's one attempt.

    Attributes:
        good: attempts of a slot that has proved itself, 1 to 9; with 1 for both there is no LEFT.
        primary: attempts of a freshly activated slot, 1 to 9.
    """

    good: int = 1
    primary: int = 1
    order: str = "ORDER"
    dead_leaves_order: bool = False

    def attempts(self, variables: Variables, name: str) -> int:
        """See Dialect."""
        if variables.get(f"{name}_OK") != "1" or variables.get(f"{name}_TRY") != "0":
            return 0
        left = variables.get(f"{name}_LEFT", "")
        return int(left) if _DIGIT.fullmatch(left) else 1

    def fresh(self, name: str, *, primary: bool) -> Changes:
        """See Dialect."""
        return {f"{name}_OK": "1", f"{name}_TRY": "0", **self._left(name, self.primary if primary else self.good)}

    def dead(self, name: str) -> Changes:
        """See Dialect."""
        return {f"{name}_OK": "0", f"{name}_TRY": "0", **self._left(name, 0)}

    def _left(self, name: str, count: int) -> Changes:
        counted = max(self.good, self.primary) > 1
        return {f"{name}_LEFT": str(count) if counted else None}


class Rules:
    """What each operation of ``port.BootEnv`` changes.

    Args:
        bootnames: the slots that we manage, at least two.
        dialect: how the bootloader writes them down.
        rescue: systems that the boot script starts by itself when no slot boots. They are behind every slot without being
            in the order, have no attempts, and can be a fallback but never a target.

    Raises:
        BootEnvError: ``bootenv.bootnames`` for names that do not work as parts of variables.
    """

    def __init__(self, bootnames: tuple[str, ...], dialect: Dialect, rescue: tuple[str, ...] = ()) -> None:
        self._bootnames = checked_names(bootnames)
        self._dialect = dialect
        self._rescue = rescue

    @property
    def names(self) -> frozenset[str]:
        """Every variable that any operation changes."""
        own = (variable for name in self._bootnames for variable in self._dialect.fresh(name, primary=True))
        return frozenset((self._dialect.order, TRIAL, *own))

    @property
    def trial_attempts(self) -> int:
        """Boots of a slot on trial."""
        return self._dialect.primary

    def state(self, variables: Variables) -> BootState:
        """Explains the variables."""
        order = self._order(variables)
        slots: dict[str, SlotBoot] = {}
        for name in self._bootnames:
            attempts = self._dialect.attempts(variables, name)
            slots[name] = SlotBoot(name, name in order, attempts, name in order and attempts > 0)
        return BootState(order, slots, variables.get(TRIAL, ""))

    def activate(self, variables: Variables, target: str, fallback: str, trial: str) -> Changes:
        """See ``port.BootEnv``."""
        self._check(target)
        self._check(target, fallback, rescue=True)
        check_trial(trial)
        changes = {
            **self._proved(fallback),
            **self._dialect.fresh(target, primary=True),
            self._dialect.order: self._headed(variables, target, fallback),
        }
        return {**changes, TRIAL: trial or None}

    def confirm(self, variables: Variables, bootname: str) -> Changes:
        """See ``port.BootEnv``; a slot that had lost its place in the order gets the first one."""
        self._check(bootname)
        changes = {**self._proved(bootname), TRIAL: None}
        if bootname not in self._order(variables):
            changes[self._dialect.order] = self._headed(variables, bootname)
        return changes

    def revert(self, variables: Variables, bad: str, good: str) -> Changes:
        """See ``port.BootEnv``."""
        self._check(bad)
        self._check(bad, good, rescue=True)
        order = self._headed(variables, good).split()
        if self._dialect.dead_leaves_order:
            order = [name for name in order if name != bad]
        return {
            **self._dialect.dead(bad),
            **self._proved(good),
            self._dialect.order: " ".join(order) or None,
            TRIAL: None,
        }

    def mark_good(self, variables: Variables, bootname: str) -> Changes:
        """See ``port.BootEnv``; the order is touched only when no slot of ours could boot by it."""
        if bootname in self._rescue:
            return {}
        self._check(bootname)
        changes = self._proved(bootname)
        after = {**variables, **{name: value or "" for name, value in changes.items()}}
        if not self.state(after).primary:
            changes[self._dialect.order] = self._headed(variables, bootname)
        return changes

    def _proved(self, name: str) -> Changes:
        """Full attempts for a slot that has proved itself; a rescue system has none to be given."""
        return {} if name in self._rescue else self._dialect.fresh(name, primary=False)

    def anew(self, bootname: str, good: Sequence[str]) -> Changes:
        """The variables of a new environment: see ``port.BootEnv.heal``."""
        first = tuple(good) if bootname in self._rescue else (bootname, *good)
        self._check(*first)
        changes: Changes = {self._dialect.order: self._headed({}, *first)}
        for name in self._bootnames:
            changes |= self._dialect.fresh(name, primary=False) if name in first else self._dialect.dead(name)
        return changes

    def _order(self, variables: Variables) -> tuple[str, ...]:
        names = variables.get(self._dialect.order, "").split()
        return tuple(dict.fromkeys(names))[:MAX_NAMES]

    def _headed(self, variables: Variables, *first: str) -> str:
        """The order with some names in front. One without any name of ours is healed with those of ours that may boot."""
        order = self._order(variables)
        if not set(order) & set(self._bootnames):
            order = (*self._not_ruled_out(variables), *order)
        return self._without_rescue([*first, *order])

    def _not_ruled_out(self, variables: Variables) -> tuple[str, ...]:
        """Our slots, without those that were taken out of the order on purpose, as a half-written one is.

        Boot scripts give new attempts to every slot in the order when all are used up: such a slot must not get back.
        """
        if not self._dialect.dead_leaves_order:
            return self._bootnames
        return tuple(name for name in self._bootnames if effective(variables, self._dialect.dead(name)))

    def _without_rescue(self, names: Iterable[str]) -> str:
        return " ".join(dict.fromkeys(name for name in names if name not in self._rescue))

    def _check(self, *names: str, rescue: bool = False) -> None:
        check_parts((*self._bootnames, *self._rescue) if rescue else self._bootnames, *names)


def checked_names(bootnames: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the boot names if they work as parts of variables, file names and words of a command.

    Raises:
        BootEnvError: ``bootenv.bootnames``.
    """
    wrong = [name for name in bootnames if not _BOOTNAME.fullmatch(name)]
    if wrong or len(set(bootnames)) != len(bootnames) or not 2 <= len(bootnames) <= MAX_NAMES:
        raise BootEnvError(
            "bootenv.bootnames",
            "the bootnames of the slots cannot be used",
            details=" ".join(map(repr, wrong or bootnames)),
            resolution="give at least two slots different bootnames of letters, digits, dot, dash and underscore",
        )
    return bootnames


def check_trial(trial: str) -> None:
    """Raises ValueError for a trial that cannot be kept everywhere."""
    if len(trial) > MAX_TRIAL or not trial.isascii() or not trial.isprintable():
        raise ValueError(f"a trial must be printable ASCII of at most {MAX_TRIAL} characters, not {trial!r}")


def check_parts(bootnames: Sequence[str], *names: str) -> None:
    """Raises BootEnvError ``bootenv.unknown-bootname``, and ValueError when one slot is named twice."""
    for name in names:
        if name not in bootnames:
            raise BootEnvError(
                "bootenv.unknown-bootname",
                "the bootloader knows no such slot",
                details=f"{name!r} is none of {' '.join(bootnames)}",
                resolution="compare the bootnames in the configuration with the boot script",
            )
    if len(set(names)) != len(names):
        raise ValueError(f"the same slot {names[0]} cannot play both parts")


def effective(variables: Variables, changes: Changes) -> Changes:
    """Leaves out the changes that change nothing."""
    return {name: value for name, value in changes.items() if variables.get(name) != value}
