"""Environments and boards for the boot scripts: every interesting one, the same for the bootloaders and for the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from random import Random

from agent.demo.bootlogic import Run

ORDERS = (
    "A B", "B A", "A", "B", None, "X", "X Y", "A A B", "B X A", "  B   A ", "A B C", "R A", "R", "a b", "A;B", "A\tB", "X\tB",
    '"A B"', "$A B", "${ota_slots}", "* A", "A=B", "-n A", "! = (", "AB", "&& B",
)  # fmt: skip
FEW_ORDERS = (("A B", ""), ("A B", "R"), ("B", "R"), (None, ""), ("B X A", ""))  # with the rescue system
UBOOT_COUNTS = ("0", "1", "3", None, "xyz")
UBOOT_ODD_COUNTS = (
    "2", "4", "9", "a", "f", "10", "ff", "100", "03", "0x3", "A", "FF", "3x", "-1", "3 3", " 3", "00", "deadbeef", "1.5",
    "ffffffffffffffffff", "${ota_attempts}", '"', "3;reset",
)  # fmt: skip
GRUB_STATES = (  # OK, TRY, LEFT
    ("1", "0", None), ("1", "1", None), ("0", "0", None), ("1", "0", "3"), ("1", "0", "1"), ("1", "1", "0"), ("0", "0", "0"),
    ("1", "0", "0"), ("1", "1", "2"), (None, None, None), ("1", "0", "x"),
)  # fmt: skip
RANDOM_CASES = 200
_WORDS = (*"ABCR", "A", "B", "AB", "A,B", *';=-("*#!|~<>`%[]{}?0', "$x", "&&", "ota_slots", "")
_VALUES = (*"0112", "3", "f", "ff", "100", "x", "", "00", "-1", " 1", "3 2", "$y", '"', "F", "1;2")
GRUB_ODD_STATES = tuple(product(("0", "1", None, "2", "yes"), ("0", "1", None, "x"), (None, "", "2", "9", "10", "-1")))


@dataclass(frozen=True, slots=True)
class Case:
    """An environment and a board.

    Attributes:
        variables: what the environment holds.
        bootnames: the slots that the script knows.
        rescue: boot name of the rescue system; empty for none.
        failing: what does not start.
    """

    variables: Mapping[str, str]
    bootnames: tuple[str, ...] = ("A", "B")
    rescue: str = ""
    failing: tuple[str, ...] = ()


def uboot_cases() -> list[Case]:
    """The cases for ``boot.cmd``."""
    cases = [
        Case(_uboot(order, {"A": a, "B": b}), rescue=rescue)
        for order, a, b, rescue in product(ORDERS, UBOOT_COUNTS, UBOOT_COUNTS, ("", "R"))
    ]
    cases += [Case(_uboot("A B", {"A": odd, "B": b})) for odd, b in product(UBOOT_ODD_COUNTS, ("0", "3"))]
    for order, counts, rescue in product(_orders_of_three(), product(("0", "2"), repeat=3), ("", "R")):
        cases.append(Case(_uboot(order, dict(zip("ABC", counts, strict=True))), ("A", "B", "C"), rescue))
    for order, a, b, (rescue, failing) in product(("A B", "B"), "013", "013", _failures()):
        cases.append(Case(_uboot(order, {"A": a, "B": b}) | {"bootargs": "quiet"}, rescue=rescue, failing=failing))
    return [*cases, *_random_cases("BOOT_ORDER", ("BOOT_{}_LEFT",))]


def grub_cases() -> list[Case]:
    """The cases for ``grub.cfg``."""
    cases = [
        Case(_grub(order, {"A": a, "B": b}), rescue=rescue)
        for (order, rescue), a, b in product(FEW_ORDERS, GRUB_STATES, GRUB_STATES)
    ]
    cases += [Case(_grub(order, {"A": ("1", "0", None), "B": ("1", "0", None)})) for order in ORDERS]
    cases += [Case(_grub("A B", {"A": odd, "B": ("1", "1", None)})) for odd in GRUB_ODD_STATES]
    states = (("1", "0", "2"), ("1", "1", "0"))
    for order, three, rescue in product(_orders_of_three(), product(states, repeat=3), ("", "R")):
        cases.append(Case(_grub(order, dict(zip("ABC", three, strict=True))), ("A", "B", "C"), rescue))
    some = (("1", "0", "2"), ("1", "0", None), ("0", "0", "0"))
    for order, a, b, (rescue, failing) in product(("A B", "B"), some, some, _failures()):
        cases.append(Case(_grub(order, {"A": a, "B": b}), rescue=rescue, failing=failing))
    return [*cases, *_random_cases("ORDER", ("{}_OK", "{}_TRY", "{}_LEFT"))]


def violations(case: Case, run: Run) -> list[str]:
    """What the scripts promise whatever the environment holds; found without knowing how they choose."""
    found = []
    order = (run.stored.get("BOOT_ORDER") or run.stored.get("ORDER", "")).split()
    names = [each.bootname for each in run.tries]
    if len(set(names)) != len(names):
        found.append("something was tried twice in one boot")
    if not set(names) <= {*order, *((case.rescue,) if case.rescue else ())}:
        found.append("a slot was tried that is not in the order")
    if not order or not set(order) <= set(case.bootnames):
        found.append("the order holds no slot, or one that is not known")
    if case.rescue in names[:-1] or (case.rescue and run.started is None and case.rescue not in names):
        found.append("the rescue system has its turn after all slots, and before a reset")
    if run.saves > max(1, len(names) + 1) or (len(names) == 1 and run.started and run.saves > 1):
        found.append("more saves than attempts")
    if run.saves == 1 and run.stored == dict(case.variables):
        found.append("a save that changed nothing")
    return found


def _uboot(order: str | None, counts: Mapping[str, str | None]) -> dict[str, str]:
    named = {"BOOT_ORDER": order, **{f"BOOT_{name}_LEFT": count for name, count in counts.items()}}
    return {name: value for name, value in named.items() if value is not None}


def _grub(order: str | None, states: Mapping[str, tuple[str | None, str | None, str | None]]) -> dict[str, str]:
    named = {"ORDER": order}
    for name, (good, tried, left) in states.items():
        named |= {f"{name}_OK": good, f"{name}_TRY": tried, f"{name}_LEFT": left}
    return {name: value for name, value in named.items() if value is not None}


def _random_cases(order: str, each: Sequence[str]) -> Iterator[Case]:
    chance = Random(4)
    for _ in range(RANDOM_CASES):
        names = chance.choice((("A", "B"), ("A", "B", "C")))
        blank = chance.choice((" ", "  ", "\t"))
        variables = {order: blank.join(chance.choices(_WORDS, k=chance.randrange(6)))}
        variables |= {
            name.format(slot): chance.choice(_VALUES) for slot in names for name in each if chance.random() < 0.9
        }
        rescue = chance.choice(("", "R"))
        yield Case(variables, names, rescue, tuple(name for name in (*names, "R") if chance.random() < 0.25))


def _orders_of_three() -> Iterator[str | None]:
    yield None
    yield "C"
    yield "B C"
    yield from (" ".join(order) for order in permutations("ABC"))


def _failures() -> Iterator[tuple[str, tuple[str, ...]]]:
    for slots in ((), ("A",), ("B",), ("A", "B")):
        yield "", slots
        yield "R", slots
        yield "R", (*slots, "R")
