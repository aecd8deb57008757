"""One run of the project's own boot scripts as a function: ``bootloader_env/scripts/boot.cmd`` and ``grub.cfg``.

The bootloaders themselves run the scripts over thousands of environments in ``tests/conformance/test_boot_scripts_*.py``,
and these functions must then say the same, attempt by attempt and save by save.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

ATTEMPTS = 3  # ota_attempts
_UBOOT_COUNT = re.compile(r"0|[1-9a-f][0-9a-f]?")  # as setexpr prints it, at most ff
_GRUB_COUNT = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True)
class Try:
    """A slot or the rescue system that was told to start, and what the environment held on its medium at that moment."""

    bootname: str
    stored: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """What the script did between power on and the start of a kernel, or the reset.

    Attributes:
        tries: in their order; all but the last did not start.
        started: boot name of what runs now; None when the script ended with a reset.
        stored: the environment on its medium at the end.
        saves: how often it was written.
        refilled: new attempts were given, because no slot had any.
    """

    tries: tuple[Try, ...]
    started: str | None
    stored: Mapping[str, str]
    saves: int
    refilled: bool


class _Environment:
    """The variables in memory and on the medium."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.stored = dict(variables)
        self.now = dict(variables)
        self.changed = False
        self.saves = 0
        self.tries: list[Try] = []

    def set(self, name: str, value: str | None) -> None:
        self.changed = True
        self.now.pop(name, None)
        if value is not None:
            self.now[name] = value

    def save(self) -> None:
        if self.changed:
            self.stored, self.changed, self.saves = dict(self.now), False, self.saves + 1

    def order(self, name: str, bootnames: Sequence[str], blanks: str) -> list[str]:
        text = self.now.get(name, "")
        words = re.split(f"[{blanks}]+", text)
        order = [word for word in dict.fromkeys(words) if word in bootnames] or list(bootnames)
        if " ".join(order) != text:
            self.set(name, " ".join(order))
        return order

    def start(self, bootname: str, failing: Collection[str]) -> bool:
        self.save()
        self.tries.append(Try(bootname, dict(self.stored)))
        return bootname not in failing

    def ended(self, started: str | None, *, refilled: bool = False) -> Run:
        self.save()
        return Run(tuple(self.tries), started, self.stored, self.saves, refilled)


def uboot(variables: Mapping[str, str], bootnames: Sequence[str], rescue: str, failing: Collection[str] = ()) -> Run:
    """Runs ``boot.cmd``.

    Args:
        variables: the environment.
        bootnames: ``ota_slots``.
        rescue: ``ota_rescue``; empty for none.
        failing: the slots whose kernel cannot be loaded.
    """
    env = _Environment({name: value for name, value in variables.items() if value})  # U-Boot knows no empty variable
    full = f"{ATTEMPTS:x}"
    order = env.order("BOOT_ORDER", bootnames, " ")
    left = {name: f"BOOT_{name}_LEFT" for name in order}
    for name in order:
        if not _UBOOT_COUNT.fullmatch(env.now.get(left[name], "")):
            env.set(left[name], full)
    for name in order:
        if env.now[left[name]] != "0":
            env.set(left[name], f"{int(env.now[left[name]], 16) - 1:x}")
            if env.start(name, failing):
                return env.ended(name)
    if rescue and env.start(rescue, failing):
        return env.ended(rescue)
    refilled = all(env.now[left[name]] == "0" for name in order)
    if refilled:
        for name in order:
            env.set(left[name], full)
    return env.ended(None, refilled=refilled)


def grub(variables: Mapping[str, str], bootnames: Sequence[str], rescue: str, failing: Collection[str] = ()) -> Run:
    """Runs ``grub.cfg``; the arguments are those of ``uboot``."""
    env = _Environment(variables)
    order = env.order("ORDER", bootnames, " \t\n")
    _settle_flags(env, order)

    def usable(name: str) -> bool:
        return (env.now[f"{name}_OK"], env.now[f"{name}_TRY"]) == ("1", "0")

    for name in order:
        if usable(name):
            _count(env, name)
            if env.start(name, failing):
                return env.ended(name)
    if rescue and env.start(rescue, failing):
        return env.ended(rescue)
    refilled = not any(map(usable, order))
    if refilled:
        good = [name for name in order if env.now[f"{name}_OK"] == "1"]
        for name in good or order:
            env.set(f"{name}_OK", "1")
            env.set(f"{name}_TRY", "0")
            if env.now.get(f"{name}_LEFT"):
                env.set(f"{name}_LEFT", str(ATTEMPTS))
    return env.ended(None, refilled=refilled)


def _settle_flags(env: _Environment, order: Sequence[str]) -> None:
    for name in order:
        for flag, default in ((f"{name}_OK", "1"), (f"{name}_TRY", "0")):
            if env.now.get(flag) not in ("0", "1"):
                env.set(flag, default)
        left = env.now.get(f"{name}_LEFT", "")
        if left and not _GRUB_COUNT.fullmatch(left):
            env.set(f"{name}_LEFT", None)


def _count(env: _Environment, name: str) -> None:
    left = int(env.now.get(f"{name}_LEFT") or 0)
    if left > 0:
        env.set(f"{name}_LEFT", str(left - 1))
    if left <= 1:
        env.set(f"{name}_TRY", "1")
