"""The agent's rules and the boot scripts together: a half-written slot never boots, whatever crashes when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from agent.demo import bootlogic
from agent.demo.bootlogic import Run
from bootloader_env.order import GrubDialect, Rules, UbootDialect

Script = Callable[[Mapping[str, str], Sequence[str], str, Collection[str]], Run]


@dataclass
class Kind:
    """A bootloader with its script, and the slots of a device."""

    script: Script
    rules: Rules
    bootnames: tuple[str, ...]
    rescue: str = ""
    factory: dict[str, str] = field(default_factory=dict)


def kinds() -> dict[str, Kind]:
    found = {}
    for names, rescue in (("AB", ""), ("ABC", ""), ("AB", "R")):
        left = {f"BOOT_{name}_LEFT": "3" if name == "A" else "0" for name in names}
        uboot = Rules(tuple(names), UbootDialect(3, 3), tuple(rescue))
        found[f"uboot-{names}{rescue}"] = Kind(
            bootlogic.uboot, uboot, tuple(names), rescue, {"BOOT_ORDER": "A", **left}
        )
        marks = {f"{name}_OK": str(int(name == "A")) for name in names} | {f"{name}_TRY": "0" for name in names}
        for attempts in (1, 3):
            grub = Rules(tuple(names), GrubDialect(attempts, attempts), tuple(rescue))
            found[f"grub-{names}{rescue}-{attempts}"] = Kind(
                bootlogic.grub, grub, tuple(names), rescue, {"ORDER": " ".join(names), **marks}
            )
    return found


KINDS = kinds()


class Device(RuleBasedStateMachine):
    """What an agent does to a device, and what happens to it; ``content`` is what a slot holds: good, sick or half."""

    kind: Kind

    def __init__(self) -> None:
        super().__init__()
        self.variables = dict(self.kind.factory)
        self.content = {name: "good" if name == "A" else "half" for name in self.kind.bootnames}
        self.content |= dict.fromkeys(filter(None, (self.kind.rescue,)), "good")
        self.running = "A"
        self.staged = self.trial = ""

    def change(self, changes: Mapping[str, str | None]) -> None:
        merged = {**self.variables, **changes}
        self.variables = {name: value for name, value in merged.items() if value is not None}

    @rule()
    def power_cut(self) -> None:
        """And on again; whatever does not come up is reset by its watchdog."""
        for _ in range(20):
            run = self.kind.script(self.variables, self.kind.bootnames, self.kind.rescue, ())
            self.variables = dict(run.stored)
            assert all(self.content[each.bootname] != "half" for each in run.tries), "a half-written slot was booted"
            if run.started is not None and self.content[run.started] == "good":
                break
        else:
            raise AssertionError("no good system boots")
        self.running = str(run.started)
        if self.trial and self.running != self.trial:
            self.change(self.kind.rules.revert(self.variables, self.trial, self.running))
            self.trial = ""

    @rule()
    def healthy(self) -> None:
        if self.running == self.trial:
            self.change(self.kind.rules.confirm(self.variables, self.running))
            self.trial = ""
        elif not self.trial:
            self.change(self.kind.rules.mark_good(self.variables, self.running))

    @precondition(lambda self: not self.trial)
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        """The target of an update: taken out first, then written."""
        others = [name for name in self.kind.bootnames if name != self.running]
        self.staged = self.staged if self.staged in others else data.draw(st.sampled_from(others))
        self.change(self.kind.rules.revert(self.variables, self.staged, self.running))
        self.content[self.staged] = "half"

    @precondition(lambda self: self.staged and self.staged != self.running and not self.trial)
    @rule(ends=st.sampled_from(["good", "sick"]))
    def switch(self, ends: str) -> None:
        """Written as a whole; whether the system in it is any good is seen only now."""
        self.content[self.staged] = ends
        self.change(self.kind.rules.activate(self.variables, self.staged, self.running, "t"))
        self.trial, self.staged = self.staged, ""

    @precondition(lambda self: self.trial and self.running == self.trial)
    @rule()
    def sick(self) -> None:
        """Comes up, but its health check fails."""
        fallback = next(name for name in (*self.kind.bootnames, self.kind.rescue) if self.bootable(name))
        self.change(self.kind.rules.revert(self.variables, self.trial, fallback))
        self.content[self.trial] = "sick"
        self.trial = ""
        self.power_cut()

    def bootable(self, name: str) -> bool:
        return bool(name) and name != self.running and self.content[name] == "good"

    @invariant()
    def a_good_system_is_left(self) -> None:
        assert self.content[self.running] == "good"


@pytest.mark.req("S07", "S08")
@pytest.mark.parametrize("name", KINDS)
def test_whatever_happens_a_good_system_boots_and_a_half_written_one_never(name: str) -> None:
    machine = type("Machine", (Device,), {"kind": KINDS[name]})
    calm = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=calm)  # type: ignore[no-untyped-call]  # of hypothesis


def boots(script: Script, variables: Mapping[str, str]) -> int:
    """How often slot A boots, without ever being marked good, before B does."""
    count = 0
    while (run := script(variables, ("A", "B"), "", ())).started == "A":
        variables, count = run.stored, count + 1
    assert run.started == "B"
    return count


@pytest.mark.parametrize("left", [f"{count:x}" for count in (0, 1, 2, 3, 9, 10, 15, 16, 255)])
def test_uboot_boots_a_slot_as_often_as_the_agent_counts(left: str) -> None:
    variables = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": left, "BOOT_B_LEFT": "3"}
    assert boots(bootlogic.uboot, variables) == UbootDialect(3, 3).attempts(variables, "A")


@pytest.mark.parametrize("good", ["0", "1"])
@pytest.mark.parametrize("tried", ["0", "1"])
@pytest.mark.parametrize("left", [None, *"0123456789"])
def test_grub_boots_a_slot_as_often_as_the_agent_counts(good: str, tried: str, left: str | None) -> None:
    variables = {"ORDER": "A B", "A_OK": good, "A_TRY": tried, "B_OK": "1", "B_TRY": "0"}
    variables |= {"A_LEFT": left} if left is not None else {}
    assert boots(bootlogic.grub, variables) == GrubDialect(3, 3).attempts(variables, "A")
