"""UEFI's boot manager: which of the slots' entries the firmware takes. The label of an entry is the boot name.

With ``BootNext`` the firmware boots an entry once and deletes the variable before it starts it (UEFI 2.10, 3.1.2); the
lasting choice, ``BootOrder``, stays with the fallback until the target is confirmed. That is a trial by itself. A change
is at most two writes, each of them atomic, in an order in which a cut between them does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootloader_env import efi_format as fmt
from bootloader_env.efi_vars import EfiVars
from bootloader_env.errors import BootEnvError
from bootloader_env.order import check_parts, checked_names
from bootloader_env.port import BootState, Capabilities, SlotBoot


class EfiLoader:
    """Implements ``port.Loader``, which documents the methods.

    Args:
        variables: of the firmware.
        bootnames: the slots that we manage, labels of boot entries.
        use_bootnext: try a new slot by ``BootNext``. Otherwise it becomes the first of ``BootOrder`` at once, and no
            firmware goes back by itself from a system that starts and then fails.

    Raises:
        BootEnvError: ``bootenv.bootnames``.
    """

    def __init__(self, variables: EfiVars, bootnames: tuple[str, ...], *, use_bootnext: bool = True) -> None:
        self._variables = variables
        self._bootnames = checked_names(bootnames)
        self._use_bootnext = use_bootnext

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return Capabilities(
            atomic=False, marker_inside=False, redundant=False,
            trial_attempts=int(self._use_bootnext), one_shot=self._use_bootnext,
        )  # fmt: skip

    def current(self) -> str:
        """See BootEnv."""
        number = self._single("BootCurrent")
        option = None if number is None else self._option(number)
        return option.label if option is not None and option.label in self._bootnames else ""

    def read(self) -> BootState:
        """See BootEnv; raises ``bootenv.efi-missing``, ``bootenv.efi-invalid``, ``bootenv.io``."""
        entries = self._entries()
        following, lasting = self._single("BootNext"), self._order()
        tried = [number for number in lasting if entries.get(number) is not None and entries[number].active]
        numbers = ([following] if following in entries else []) + tried
        order = tuple(dict.fromkeys(entries[number].label for number in numbers))
        slots = {
            name: SlotBoot(name, name in order, int(name in order), name in order)  # it has no count of attempts
            for name in self._bootnames
        }
        return BootState(order, slots, "")

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv; raises ``bootenv.efi-entry``."""
        check_parts(self._bootnames, target, fallback)
        new, old = self._number(target), self._number(fallback)
        if self._use_bootnext:
            self._set_order(old, new)
            self._set_next(new)
        else:
            self._set_order(new, old)
            self._disarm()

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)
        self._set_order(self._number(bootname))
        self._disarm()

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bad, good)
        kept = self._number(good)
        self._disarm()  # first: it counts more than the order
        self._set_order(kept, without=bad)

    def mark_good(self, bootname: str) -> None:
        """See BootEnv; a slot that is in no order becomes its last."""
        check_parts(self._bootnames, bootname)
        number, order = self._number(bootname), self._order()
        if number not in order:
            self._variables.write("BootOrder", fmt.encode_numbers((*order, number)))

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv; a missing order is made by the next activation."""
        return False

    def settled(self, bootname: str) -> bool:
        """See Loader."""
        numbers = self._numbers(bootname)
        order = self._order()
        if self._single("BootNext") in numbers:
            return False
        confirmed = self._use_bootnext and order[:1] == tuple(numbers)
        return confirmed or not any(number in order for number in numbers)

    def _set_order(self, *first: int, without: str = "") -> None:
        dropped = self._numbers(without)
        now = self._order()
        others = [number for number in now or self._ours() if number not in dropped]
        wanted = tuple(dict.fromkeys((*first, *others)))
        if wanted != now:
            self._variables.write("BootOrder", fmt.encode_numbers(wanted))

    def _set_next(self, number: int) -> None:
        if self._single("BootNext") != number:
            self._variables.write("BootNext", fmt.encode_numbers((number,)))

    def _disarm(self) -> None:
        """Deletes BootNext if it is for a slot; what a person has set for the next boot stays."""
        if self._single("BootNext") in self._ours():
            self._variables.delete("BootNext")

    def _entries(self) -> dict[int, fmt.LoadOption]:
        found = {}
        for name in self._variables.names("Boot[0-9A-F]{4}"):
            number = int(name[4:], 16)
            option = self._option(number)
            if option is not None:
                found[number] = option
        return found

    def _option(self, number: int) -> fmt.LoadOption | None:
        data = self._variables.read(f"Boot{number:04X}")
        try:
            return None if data is None else fmt.decode_option(data)
        except BootEnvError:  # vendors keep odd entries; one of ours would be missed where it is needed
            return None

    def _numbers(self, label: str) -> list[int]:
        return [number for number, option in self._entries().items() if label and option.label == label]

    def _number(self, label: str) -> int:
        found = [(number, option) for number, option in self._entries().items() if option.label == label]
        if len(found) == 1 and found[0][1].active:
            return found[0][0]
        seen = ", ".join(f"Boot{number:04X}{'' if option.active else ' (not active)'}" for number, option in found)
        raise BootEnvError(
            "bootenv.efi-entry", "a slot does not have exactly one active boot entry in the firmware",
            details=f"label {label!r}: {seen or 'no entry'}",
            resolution=f"make one with efibootmgr --create-only --label {label}, and delete what is too much",
        )  # fmt: skip

    def _ours(self) -> list[int]:
        labels = {option.label: number for number, option in self._entries().items()}
        return [labels[name] for name in self._bootnames if name in labels]

    def _order(self) -> tuple[int, ...]:
        return fmt.decode_numbers(self._variables.read("BootOrder") or b"")

    def _single(self, name: str) -> int | None:
        data = self._variables.read(name)
        if data is None:
            return None
        numbers = fmt.decode_numbers(data)
        if len(numbers) != 1:
            raise fmt.invalid(f"{name} has {len(data)} bytes instead of 2")
        return numbers[0]
