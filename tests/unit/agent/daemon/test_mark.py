"""Marking a slot by hand: what the bootloader is told, and that one slot which is known to boot always remains."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from support.asked import Asked
from support.pretend import Disk, Environment, context, device

from agent.daemon.activities.idle import Idle
from agent.daemon.activities.mark import Mark, mark, mark_meant
from agent.daemon.context import Context
from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import State
from agent.daemon.presence import Presence
from agent.daemon.record import Record
from agent.daemon.slot_status import Content, SlotStatus
from agent.errors import ConfigError, EnvironmentFault, OtaError, PolicyError
from bootloader_env.errors import BootEnvError
from bootloader_env.port import Capabilities


def marked(here: Context, state: str, slot: str) -> Environment:
    """Carries out a wish; raises what the caller is told."""
    wish = mark_meant(here.device, state, slot)
    mark(here, wish)
    wish.wait(0)
    return here.device.env  # type: ignore[return-value]


def here(environment: Environment, disk: Disk | None = None, **more: object) -> Context:
    return context(disk or Disk(), environment, **more)


def refusal(here: Context, state: str, slot: str) -> OtaError:
    with pytest.raises((PolicyError, ConfigError, EnvironmentFault)) as caught:
        marked(here, state, slot)
    return caught.value


def test_good_gives_a_slot_its_attempts_back() -> None:
    environment = Environment()
    environment.variables["BOOT_A_LEFT"] = "0"
    marked(here(environment), "good", "booted")
    assert environment.read().slots["A"].good


def test_bad_makes_the_other_slot_boot() -> None:
    state = marked(here(Environment()), "bad", "booted").read()
    assert state.primary == "B"
    assert not state.slots["A"].good


@pytest.mark.parametrize("slot", ["other", "B", "rootfs.1"])
def test_active_makes_a_slot_boot_next_with_the_running_one_behind_it(slot: str) -> None:
    state = marked(here(Environment()), "active", slot).read()
    assert state.order[:2] == ("B", "A")
    assert state.slots["A"].good
    assert not state.trial


def test_active_takes_the_choice_of_another_slot_back() -> None:
    environment = Environment()
    marked(here(environment), "active", "other")
    state = marked(here(environment), "active", "booted").read()
    assert state.order[:2] == ("A", "B")
    assert state.slots["B"].good, "it is still there in need"


def test_where_an_activation_holds_for_one_boot_it_is_made_to_last() -> None:
    class OneShot(Environment):
        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, one_shot=True)

    assert [name for name, *_ in marked(here(OneShot()), "active", "other").calls] == ["activate", "confirm"]


@pytest.mark.req("T17")
def test_the_only_slot_that_is_known_to_boot_is_not_marked_bad() -> None:
    environment = Environment()
    environment.variables["BOOT_B_LEFT"] = "0"
    error = refusal(here(environment), "bad", "booted")
    assert error.code == "mark.dangerous"
    assert environment.calls == []


@pytest.mark.parametrize("state", ["good", "active"])
@pytest.mark.parametrize("held", ["group", "slot"])
def test_a_slot_without_a_complete_system_is_neither_good_nor_active(state: str, held: str) -> None:
    environment, disk = Environment(), Disk()
    now = here(environment, disk)
    if held == "group":
        now.knowledge.change_holdings(lambda old: old.with_group("B", Content("pending")))
    else:
        now.knowledge.change_holdings(lambda old: old.with_slots({"rootfs.1": SlotStatus(status="failed")}))
    assert refusal(now, state, "other").code == "mark.dangerous"
    assert environment.calls == []


@pytest.mark.parametrize("state", ["good", "bad", "active"])
def test_while_an_update_is_on_trial_nothing_is_marked(state: str) -> None:
    environment = Environment()
    environment.activate("B", fallback="A", trial="B,x")
    environment.calls.clear()
    assert refusal(here(environment), state, "other").code == "mark.dangerous"
    assert environment.calls == []


@pytest.mark.parametrize(
    ("state", "slot", "code"),
    [("best", "booted", "mark.state"), ("good", "third", "mark.slot"), ("good", "", "mark.slot")],
)
def test_what_makes_no_sense_is_refused_at_once(state: str, slot: str, code: str) -> None:
    assert refusal(here(Environment()), state, slot).code == code


def test_other_means_nothing_where_there_are_several() -> None:
    environment = Environment("ABC")
    now = here(environment, device=device(environment, bootnames="ABC"))
    assert refusal(now, "active", "other").code == "mark.slot"


def test_what_the_bootloader_refuses_is_the_answer() -> None:
    class Broken(Environment):
        def mark_good(self, bootname: str) -> None:
            raise BootEnvError("bootenv.write-failed", "the environment cannot be written")

    with pytest.raises(BootEnvError, match="cannot be written"):
        marked(here(Broken()), "good", "booted")


@pytest.mark.timeout(10)
def test_the_idle_worker_carries_it_out() -> None:
    inbox, environment = Inbox(), Environment()
    wish = Mark("bad", "A")
    inbox.mark(wish)
    threading.Thread(target=lambda: (wish.wait(5), inbox.stop())).start()
    with pytest.raises(Stopped):
        Idle(here(environment, inbox=inbox, server=None), lambda: None)(Record())  # type: ignore[arg-type]
    assert environment.read().primary == "B"


def presence(environment: Environment) -> Presence:
    knowledge = Knowledge(Disk())  # type: ignore[arg-type]  # the same interface
    return Presence(Inbox(), device(environment), knowledge, Asked(), "none", has_server=False, record=Record())


def test_an_update_that_comes_first_ends_the_wait() -> None:
    seen = presence(Environment())
    wait = seen.mark("good", "booted")
    seen.entered(replace(Record(), state=State.OFFERED))
    with pytest.raises(EnvironmentFault) as caught:
        wait()
    assert caught.value.code == "update.busy"


def test_during_an_update_it_is_refused_at_once() -> None:
    seen = presence(Environment())
    seen.entered(replace(Record(), state=State.STAGING))
    with pytest.raises(EnvironmentFault) as caught:
        seen.mark("good", "booted")
    assert caught.value.code == "update.busy"


def test_what_nobody_gets_to_is_not_done_later_behind_the_callers_back() -> None:
    environment = Environment()
    wish = Mark("bad", "A")
    with pytest.raises(EnvironmentFault) as caught:
        wish.wait(0)
    assert caught.value.code == "mark.late"
    mark(here(environment), wish)
    assert environment.calls == []
